//! One connection to the broker, driven by a task of its own: it reads, acknowledges and pings whatever the
//! session does meanwhile, and ends with the first error. It never connects again.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use agent_core::platform::{Login, TransportError};
use bytes::Bytes;
use rumqttc::{
    AsyncClient, Event, EventLoop, IncomingPacketSizeLimit, LastWill, MqttOptions, Outgoing, Packet,
    PublishNoticeError, PublishOptions, QoS, RetainForwardRule, SessionMode, SubscribeFilterInput,
    SubscribeNoticeError, SubscribeReasonCode,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reason;
use crate::tls::TlsStream;

/// Longest packet the broker may send, in bytes: commands are short.
const MAX_PACKET: u32 = 4096;
/// Most publications that wait for the broker's acknowledgement. A session has one at a time. rumqttc keeps a table with
/// a place for each, which with its own default of 65,535 takes 16 MB and is gone through after every packet.
const MAX_IN_FLIGHT: u16 = 4;
/// Most commands that wait to be taken; then the connection is not read on.
const MAX_WAITING: usize = 16;

/// What the broker's answer will be; `None` where the link ended before it came.
pub(super) type Answer = Pin<Box<dyn Future<Output = Option<Result<(), TransportError>>> + Send>>;

/// An open connection.
pub(super) struct Link {
    client: AsyncClient,
    /// Payloads from the command topic, in order; closed at the end of the link.
    pub(super) messages: mpsc::Receiver<Bytes>,
    /// The one task that drives the connection; aborted when the link is dropped.
    driver: JoinSet<Result<(), TransportError>>,
}

impl Link {
    /// Begins the login over `stream`; the receiver hears when the broker has accepted it.
    pub(super) fn new<K>(
        stream: TlsStream,
        login: &Login<'_, K>,
    ) -> Result<(Self, oneshot::Receiver<()>), TransportError> {
        let builder = AsyncClient::builder(options(stream, login)).capacity(4);
        let (client, events) = builder.try_build().map_err(|_| TransportError::Protocol)?;
        let (to_messages, messages) = mpsc::channel(MAX_WAITING);
        let (to_logged_in, logged_in) = oneshot::channel();
        let mut driver = JoinSet::new();
        driver.spawn(drive(events, login.command_topic.to_owned(), to_logged_in, to_messages));
        Ok((Self { client, messages, driver }, logged_in))
    }

    /// Why the link ended; waits until it does.
    pub(super) async fn end(&mut self) -> TransportError {
        match self.driver.join_next().await {
            Some(Ok(Err(error))) => error,
            _ => TransportError::Closed,
        }
    }

    pub(super) async fn subscribe(&self, topic: &str) -> Result<Answer, TransportError> {
        // A retained command would be obeyed again at every connection.
        let filter = SubscribeFilterInput::new(topic, QoS::AtLeastOnce)
            .retain_forward_rule(RetainForwardRule::Never)
            .no_local(true);
        let notice =
            self.client.subscribe_many_tracked([filter]).await.map_err(|_| TransportError::Closed)?;
        Ok(Box::pin(async move {
            match notice.wait_async().await {
                Ok(answer) => match answer.return_codes.as_slice() {
                    [SubscribeReasonCode::Success(QoS::AtLeastOnce)] => Some(Ok(())),
                    // A broker that grants less cannot carry commands reliably.
                    [SubscribeReasonCode::Success(_)] => Some(Err(TransportError::Protocol)),
                    [refused] => Some(Err(TransportError::Refused(reason::of_subscription(refused)))),
                    _ => Some(Err(TransportError::Protocol)),
                },
                Err(SubscribeNoticeError::Recv) => None,
                Err(_) => Some(Err(TransportError::Protocol)),
            }
        }))
    }

    pub(super) async fn publish(
        &self,
        topic: String,
        payload: Vec<u8>,
        retain: bool,
    ) -> Result<Answer, TransportError> {
        let how = PublishOptions::at_least_once().retain(retain);
        let notice = self.client.publish_tracked(topic, payload, how).await;
        let notice = notice.map_err(|_| TransportError::Closed)?;
        Ok(Box::pin(async move {
            match notice.wait_completion_async().await {
                Ok(()) => Some(Ok(())),
                Err(PublishNoticeError::V5PubAck(code)) => {
                    tracing::warn!(reason = ?code, "the broker refuses a publication");
                    Some(Err(TransportError::Refused(code as u8)))
                }
                Err(PublishNoticeError::Recv) => None,
                Err(error) => {
                    tracing::warn!(%error, "a publication failed");
                    Some(Err(TransportError::Protocol))
                }
            }
        }))
    }

    /// Disconnects in order, so that the broker does not publish the last will.
    pub(super) async fn leave(mut self, limit: Duration) -> Result<(), TransportError> {
        let leave = async {
            self.client.disconnect().await.map_err(|_| TransportError::Closed)?;
            self.driver.join_next().await.and_then(Result::ok).unwrap_or(Err(TransportError::Closed))
        };
        timeout(limit, leave).await.map_err(|_| TransportError::TimedOut)?
    }
}

/// Drives the connection to its end: `Ok` after a disconnection in order.
async fn drive(
    mut events: EventLoop,
    command_topic: String,
    logged_in: oneshot::Sender<()>,
    messages: mpsc::Sender<Bytes>,
) -> Result<(), TransportError> {
    let mut logged_in = Some(logged_in);
    loop {
        match Box::pin(events.poll()).await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                // Nobody listens any more only where the link is dropped, and this task with it.
                let _heard = logged_in.take().map(|sender| sender.send(()));
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if message.topic != command_topic.as_bytes() || message.retain {
                    tracing::warn!("a message that is no command of this device was left aside");
                } else if messages.send(message.payload).await.is_err() {
                    return Err(TransportError::Closed);
                }
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the MQTT connection ended");
                return Err(reason::of_end(&error));
            }
        }
    }
}

fn options<K>(stream: TlsStream, login: &Login<'_, K>) -> MqttOptions {
    let mut options = MqttOptions::new(login.client_id, (login.server.host, login.server.port));
    let will = LastWill::new(login.will_topic, login.will_payload, QoS::AtLeastOnce, true, None);
    let keep_alive = u16::try_from(login.keep_alive.as_secs()).unwrap_or(u16::MAX);
    options
        .set_session_mode(SessionMode::Clean)
        .set_keep_alive(keep_alive)
        .set_last_will(will)
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(MAX_PACKET))
        .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT)
        // The limits that count are those of whoever waits for the link.
        .set_connect_timeout(Duration::from_secs(600));
    // The stream is authenticated already. It is there once: a second connection would need a second proof.
    let stream = Arc::new(Mutex::new(Some(stream)));
    options.set_socket_connector(move |_address, _options| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)) }
    });
    options
}
