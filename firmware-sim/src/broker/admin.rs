//! The demonstration's observer: sees what devices publish, and sends them commands.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, Publish};
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions};
use shared::DeviceId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::upstream::Upstream;

/// An observer of all topics. Dropping it ends it.
#[derive(Debug)]
pub struct Admin {
    client: AsyncClient,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

/// What one device has published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of telemetry messages.
    pub telemetry: u64,
    /// Content of the last telemetry message.
    pub last_telemetry: String,
    /// Number of status messages.
    pub statuses: u64,
    /// Content of the last status message.
    pub last_status: String,
}

/// Why the observer does not work.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The router did not take the subscription in time.
    #[error("the router did not take the observer's subscription within {} s", PATIENCE.as_secs())]
    NoAnswer,
    /// The command could not be sent.
    #[error("the command could not be sent")]
    Send(#[from] rumqttc::ClientError),
    /// What was waited for did not happen.
    #[error("this was not seen within {} ms", waited.as_millis())]
    NotSeen {
        /// How long was waited.
        waited: Duration,
    },
}

impl Admin {
    pub(super) async fn connect(upstream: &Upstream) -> Result<Self, AdminError> {
        let address = upstream.address();
        let mut options = MqttOptions::new("observer", (address.ip().to_string(), address.port()));
        options.set_keep_alive(30);
        // rumqttc goes through a table of so many places after every packet.
        options.set_outgoing_inflight_upper_limit(256);
        options.set_auth(upstream.login());
        let (client, mut events) = AsyncClient::builder(options).capacity(256).build();
        client.subscribe("devices/#", QoS::AtLeastOnce).await?;
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let (count, mut changed) = watch::channel(0);
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::Publish(publish))) => {
                            record(&seen, &publish);
                            count.send_modify(|count| *count += 1);
                        }
                        Ok(Event::Incoming(Packet::SubAck(_))) => count.send_modify(|count| *count += 1),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::debug!(%error, "the observer lost the router");
                            tokio::time::sleep(Duration::from_millis(200)).await;
                        }
                    }
                }
            }
        });
        let admin = Self { client, seen, changed: changed.clone(), task };
        match tokio::time::timeout(PATIENCE, changed.changed()).await {
            Ok(Ok(())) => Ok(admin),
            _ => Err(AdminError::NoAnswer),
        }
    }

    /// What `id` has published so far.
    #[must_use]
    pub fn seen(&self, id: &DeviceId) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(id.as_str()).cloned().unwrap_or_default()
    }

    /// Waits until what `id` has published is `enough`.
    ///
    /// # Errors
    /// Where that does not happen in time.
    pub async fn wait(
        &self,
        id: &DeviceId,
        patience: Duration,
        enough: impl Fn(&Seen) -> bool,
    ) -> Result<Seen, AdminError> {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                let seen = self.seen(id);
                if enough(&seen) {
                    return Some(seen);
                }
                changed.changed().await.ok()?;
            }
        };
        let not_seen = AdminError::NotSeen { waited: patience };
        tokio::time::timeout(patience, waiting).await.ok().flatten().ok_or(not_seen)
    }

    /// Sends a command to `id`, for example `{"command":"renew"}`.
    ///
    /// # Errors
    /// Where the observer has ended.
    pub async fn command(&self, id: &DeviceId, command: &str) -> Result<(), AdminError> {
        let topic = format!("devices/{id}/command");
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.publish(topic, command.to_owned(), options).await?;
        Ok(())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long the router may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn record(seen: &Mutex<HashMap<String, Seen>>, publish: &Publish) {
    let Ok(topic) = core::str::from_utf8(&publish.topic) else { return };
    let mut levels = topic.split('/');
    let (Some("devices"), Some(id), Some(kind), None) =
        (levels.next(), levels.next(), levels.next(), levels.next())
    else {
        return;
    };
    let content = String::from_utf8_lossy(&publish.payload).into_owned();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let device = seen.entry(id.to_owned()).or_default();
    match kind {
        "telemetry" => {
            device.telemetry += 1;
            device.last_telemetry = content;
        }
        "status" => {
            device.statuses += 1;
            device.last_status = content;
        }
        _ => {}
    }
}
