//! Messages in the form of Standard Webhooks: identifier, time, body and signature.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use serde_json::json;
use shared::UnixTime;

use super::secret::Secret;
use crate::issuance::sha256;
use crate::store::Event;

/// One message. Made of an event it is the same at every attempt, but for the time of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    id: String,
    body: String,
}

impl Message {
    /// The message for an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let body =
            json!({ "type": event.kind, "timestamp": event.at.to_string(), "data": event }).to_string();
        // The number alone would do, if no database were ever restored from a backup and went on from there.
        let hash = hex::encode(sha256(body.as_bytes()));
        let id = format!("evt_{}_{}", event.number, hash.chars().take(16).collect::<String>());
        Self { id, body }
    }

    /// A message that says that it is a test.
    #[must_use]
    pub fn test(now: UnixTime) -> Self {
        let data = json!({ "message": "This is a test." });
        let body = json!({ "type": "webhook-test", "timestamp": now.to_string(), "data": data }).to_string();
        Self { id: format!("test_{}", now.as_secs()), body }
    }

    /// Its identifier: the same whenever it is sent, so that a receiver can drop what it has already.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its body, JSON.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Its header fields, signed at `now`.
    ///
    /// # Errors
    /// None: identifiers and signatures are printable.
    pub(super) fn headers(&self, secret: &Secret, now: UnixTime) -> Result<HeaderMap, axum::http::Error> {
        let timestamp = now.as_secs().to_string();
        let signature = secret.sign(format!("{}.{timestamp}.{}", self.id, self.body).as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-id", HeaderValue::try_from(&self.id)?);
        headers.insert("webhook-timestamp", HeaderValue::try_from(timestamp)?);
        headers.insert("webhook-signature", HeaderValue::try_from(signature)?);
        Ok(headers)
    }
}
