//! Asks an operator's service which broker a device gets.
//!
//! It is believed only where it names a broker of the settings: it can choose among them and send nobody elsewhere.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use appraisal::GroupName;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use shared::DeviceId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{AssignmentService, NamedBroker};
use crate::outgoing::{Anchors, AnchorsError, Outgoing, SendError, Target};

/// Most questions under way; beyond that the fallback decides at once.
const MOST: usize = 64;
/// How long a service that failed is not asked again: a storm of devices does not wait for it one by one.
const REST: Duration = Duration::from_secs(5);

/// Why the service did not decide.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    #[error("the webhook failed a moment ago")]
    Resting,
    #[error("{MOST} questions wait for the webhook already")]
    Crowded,
    #[error("the webhook does not answer")]
    Send(#[from] SendError),
    #[error("the webhook answered with status {0}")]
    Status(StatusCode),
    #[error("the webhook's answer is no JSON with the name of a broker of the settings")]
    Answer,
}

#[derive(Debug)]
pub(super) struct Hook {
    target: Target,
    client: Outgoing,
    places: Semaphore,
    failed: Mutex<Option<Instant>>,
}

impl Hook {
    pub(super) fn new(settings: &AssignmentService) -> Result<Self, AnchorsError> {
        let anchors = settings.ca_file.clone().map_or(Anchors::System, Anchors::File);
        Ok(Self {
            target: settings.url.clone(),
            client: Outgoing::new(&anchors, settings.timeout)?,
            places: Semaphore::new(MOST),
            failed: Mutex::new(None),
        })
    }

    /// Posts `{"device", "group", "brokers"}`; the answer is `{"broker": NAME}`.
    pub(super) async fn ask<'b>(
        &self,
        device: &DeviceId,
        group: &GroupName,
        list: &'b [NamedBroker],
    ) -> Result<&'b NamedBroker, HookError> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some_and(|failed| failed.elapsed() < REST) {
            return Err(HookError::Resting);
        }
        let _place = self.places.try_acquire().map_err(|_| HookError::Crowded)?;
        let asked = self.exchange(device, group, list).await;
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = asked.is_err().then(Instant::now);
        asked
    }

    async fn exchange<'b>(
        &self,
        device: &DeviceId,
        group: &GroupName,
        list: &'b [NamedBroker],
    ) -> Result<&'b NamedBroker, HookError> {
        let names: Vec<_> = list.iter().map(|broker| broker.name.as_str()).collect();
        let body = json!({ "device": device.as_str(), "group": group.as_str(), "brokers": names });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let reply = self.client.post(&self.target, &headers, body.to_string().into()).await?;
        if reply.status != StatusCode::OK {
            return Err(HookError::Status(reply.status));
        }
        let answer: Value = serde_json::from_slice(&reply.body).map_err(|_| HookError::Answer)?;
        let name = answer.get("broker").and_then(Value::as_str).ok_or(HookError::Answer)?;
        list.iter().find(|broker| broker.name == name).ok_or(HookError::Answer)
    }
}
