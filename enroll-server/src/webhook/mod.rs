//! Webhooks: events of the audit trail, posted to services of the operator's own, signed, at least once.
//!
//! Each webhook has a durable cursor over the events ([`crate::store::Outbox`]) and delivers them one by one, by
//! rising number. The cursor moves after the receiver has taken an event, so a crash in between repeats that one
//! event, with the same identifier. A receiver that is slow or gone costs one task that waits: nothing is queued in
//! memory, and issuance does not know of it. Messages and signatures are those of Standard Webhooks.

mod backoff;
mod consequence;
mod courier;
mod message;
mod secret;
mod standing;
#[cfg(test)]
mod tests;

use crate::audit::{EventKind, Severity};
use crate::outgoing::{Anchors, AnchorsError, Outgoing, Reply, SendError, Target};
use crate::store::EventQuery;
use crate::telemetry::traces::spans;
use bytes::Bytes;
use core::time::Duration;
use shared::UnixTime;
use std::path::PathBuf;
use tracing::Instrument as _;

pub use backoff::Backoff;
pub use consequence::{Consequence, TRIES, consequence};
pub(crate) use courier::Courier;
pub use message::Message;
pub use secret::{Secret, WebhookSecretError, new_secret};
pub use standing::Standing;

/// A webhook as the settings have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, unique: letters, digits and `-`.
    pub name: String,
    /// Where to post.
    pub target: Target,
    /// File with the shared secret, mode 0600.
    pub secret_file: PathBuf,
    /// Which events.
    pub filter: Filter,
    /// CA certificates that are believed instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Deadline of one attempt.
    pub timeout: Duration,
    /// Pauses between attempts.
    pub backoff: Backoff,
}

/// Which events a webhook wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these kinds; empty: of any.
    pub kinds: Vec<EventKind>,
    /// At least so severe.
    pub severity: Option<Severity>,
}

impl Filter {
    /// The first `limit` events that fit, after the one with this number.
    ///
    /// That an event was parked is told nowhere but in the trail, the metrics and at the command line: two webhooks
    /// that refuse each other's reports would have events without end.
    #[must_use]
    pub fn after(&self, number: u64, limit: u32) -> EventQuery {
        let mut kinds = if self.kinds.is_empty() { EventKind::ALL.to_vec() } else { self.kinds.clone() };
        kinds.retain(|kind| *kind != EventKind::WebhookParked);
        EventQuery { kinds, severity: self.severity, ..EventQuery::after(number, limit) }
    }
}

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its secret cannot be used.
    #[error("webhook {name}: its secret cannot be used")]
    Secret {
        /// The webhook.
        name: String,
        /// Why.
        source: WebhookSecretError,
    },
    /// Its CA certificates cannot be used.
    #[error("webhook {name}: its CA certificates cannot be used")]
    Anchors {
        /// The webhook.
        name: String,
        /// Why.
        source: AnchorsError,
    },
}

/// Sends messages to one receiver.
#[derive(Debug)]
pub struct Sender {
    webhook: Webhook,
    secret: Secret,
    client: Outgoing,
}

impl Sender {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// Says which cannot be used.
    pub fn new(webhook: Webhook) -> Result<Self, WebhookError> {
        let name = || webhook.name.clone();
        let secret = Secret::read(&webhook.secret_file)
            .map_err(|source| WebhookError::Secret { name: name(), source })?;
        let anchors = webhook.ca_file.clone().map_or(Anchors::System, Anchors::File);
        let client = Outgoing::new(&anchors, webhook.timeout)
            .map_err(|source| WebhookError::Anchors { name: name(), source })?;
        Ok(Self { webhook, secret, client })
    }

    /// The settings.
    #[must_use]
    pub const fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Sends one message, once. Any status is an answer, whatever becomes of the body behind it: a receiver that took
    /// an event has taken it, and one that refused it has refused it.
    ///
    /// # Errors
    /// Where no answer came in time.
    pub async fn send(&self, message: &Message, now: UnixTime) -> Result<Reply, SendError> {
        let headers = message.headers(&self.secret, now)?;
        let span = spans::delivery(&self.webhook.name, message.id());
        let body = Bytes::from(message.body().to_owned());
        let sent = self.client.deliver(&self.webhook.target, &headers, body).instrument(span.clone()).await;
        match &sent {
            Ok(reply) => spans::answered(&span, reply.status),
            Err(_) => spans::failed(&span),
        }
        sent
    }
}
