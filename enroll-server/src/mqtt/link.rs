//! One connection to a broker, driven by a task of its own. It ends with the first error and never connects again:
//! when to do so is the teller's decision.

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::{
    AsyncClient, Event, EventLoop, IncomingPacketSizeLimit, MqttOptions, PublishNotice, PublishOptions,
    PublishResult, RetainForwardRule, SessionMode, SubscribeFilterInput,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::{Identity, IdentityError};
use super::place::{Address, Birth};
use crate::dial::dial;
use crate::issuance::chain;
use crate::store::TellOutcome;

/// Longest packet that a broker may send: the status of a device.
const MAX_PACKET: u32 = 4_096;
/// Commands that wait to be written.
const CAPACITY: usize = 64;
/// Most commands that wait for the broker's acknowledgement. rumqttc keeps a table with a place for each, which it goes
/// through after every packet; its own default is 65,535.
const MAX_IN_FLIGHT: u16 = 256;
/// How often a connection with nothing to say is looked after, in seconds.
const KEEP_ALIVE: u16 = 30;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the server's client certificate cannot be used")]
    Identity(#[from] IdentityError),
    #[error("the broker's name cannot stand in a certificate")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("the broker cannot be reached, or one does not believe the other")]
    Unreachable(#[source] io::Error),
    #[error("the MQTT client cannot be set up")]
    Client,
    #[error("the broker ended the connection: {0}")]
    Ended(String),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    client: AsyncClient,
    /// The one task that drives the connection; aborted when the link is dropped. Says why it ended.
    driver: JoinSet<String>,
    timeout: Duration,
}

impl Link {
    /// Connects and logs in. Births of devices go to `births` from then on, where `status_filter` says which topics
    /// they are on.
    pub(super) async fn open(
        identity: Identity,
        address: Address,
        status_filter: Option<String>,
        births: mpsc::Sender<Birth>,
        limit: Duration,
    ) -> Result<Self, LinkError> {
        let opening = async {
            let credentials = identity.read()?;
            let name = ServerName::try_from(address.host.clone())?;
            let dialled = dial(&address.host, address.port, limit).await;
            let stream = dialled.map_err(LinkError::Unreachable)?;
            let connector = TlsConnector::from(credentials.tls);
            let stream = connector.connect(name, stream).await.map_err(LinkError::Unreachable)?;
            let options = options(stream, credentials.name, &address);
            let builder = AsyncClient::builder(options).capacity(CAPACITY);
            let (client, events) = builder.try_build().map_err(|_| LinkError::Client)?;
            let (to_logged_in, logged_in) = oneshot::channel();
            let mut driver = JoinSet::new();
            driver.spawn(drive(events, address.clone(), to_logged_in, births));
            let mut link = Self { client, driver, timeout: limit };
            if logged_in.await.is_err() {
                return Err(LinkError::Ended(link.end().await));
            }
            if let Some(filter) = status_filter {
                link.subscribe(&filter, &address).await;
            }
            Ok(link)
        };
        timeout(limit, opening).await.map_err(|_| LinkError::TooSlow(limit))?
    }

    /// Why the link has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.driver.try_join_next().map(|ended| ended.unwrap_or_else(|error| error.to_string()))
    }

    async fn end(&mut self) -> String {
        match self.driver.join_next().await {
            Some(Ok(why)) => why,
            Some(Err(error)) => error.to_string(),
            None => "it has ended".to_owned(),
        }
    }

    /// Without the births, devices that were away are told when their next time comes.
    async fn subscribe(&self, filter: &str, address: &Address) {
        // What is retained says how it was, not how it is.
        let wanted =
            SubscribeFilterInput::new(filter, QoS::AtLeastOnce).retain_forward_rule(RetainForwardRule::Never);
        let granted = async {
            let answer = self.client.subscribe_many_tracked([wanted]).await.ok()?.wait_async().await.ok()?;
            Some(matches!(answer.return_codes.as_slice(), [SubscribeReasonCode::Success(_)]))
        };
        if granted.await != Some(true) {
            tracing::warn!(broker = %address, filter, "the broker does not let this server see who comes online");
        }
    }

    /// Hands a command over. What comes of it is told by [`Handed::outcome`].
    pub(super) async fn publish(&self, topic: String, payload: &'static [u8]) -> Option<Handed> {
        // Not retained, so that it is not obeyed again at every login; not kept longer than until the device would
        // be told again.
        let publishing = self.client.publish_tracked(topic, payload, PublishOptions::at_least_once());
        let notice = timeout(self.timeout, publishing).await.ok()?.ok()?;
        Some(Handed { notice, limit: self.timeout })
    }
}

/// A command that was handed to a broker.
#[derive(Debug)]
pub(super) struct Handed {
    notice: PublishNotice,
    limit: Duration,
}

impl Handed {
    /// What the broker does with it; `None` where the connection ends before that is known.
    pub(super) async fn outcome(self) -> Option<TellOutcome> {
        let answer = timeout(self.limit, self.notice.wait_async()).await.ok()?.ok()?;
        Some(match answer {
            PublishResult::Qos1(answer) => match answer.reason {
                PubAckReason::Success => TellOutcome::Taken,
                // MQTT 5, section 3.4.2.1. Not every broker says so.
                PubAckReason::NoMatchingSubscribers => {
                    TellOutcome::Failed("the device is not at its broker".to_owned())
                }
                PubAckReason::NotAuthorized => {
                    TellOutcome::Failed("the broker does not let this server write commands".to_owned())
                }
                other => TellOutcome::Failed(format!("the broker does not take the command: {other:?}")),
            },
            _ => return None,
        })
    }
}

/// Drives the connection to its end.
async fn drive(
    mut events: EventLoop,
    address: Address,
    logged_in: oneshot::Sender<()>,
    births: mpsc::Sender<Birth>,
) -> String {
    let mut logged_in = Some(logged_in);
    loop {
        match Box::pin(events.poll()).await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let _nobody_waits = logged_in.take().map(|sender| sender.send(()));
            }
            Ok(Event::Incoming(Packet::Publish(message))) if !message.retain => {
                let topic = String::from_utf8_lossy(&message.topic).into_owned();
                let birth = Birth { broker: address.clone(), topic, payload: message.payload };
                // One that is lost is made up for: the device is told again later.
                if births.try_send(birth).is_err() {
                    tracing::trace!("more devices came online than were looked at");
                }
            }
            Ok(_) => {}
            Err(error) => return chain(&error),
        }
    }
}

fn options(stream: TlsStream<TcpStream>, name: String, address: &Address) -> MqttOptions {
    let mut options = MqttOptions::new(name, (address.host.as_str(), address.port));
    options
        .set_session_mode(SessionMode::Clean)
        .set_keep_alive(KEEP_ALIVE)
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(MAX_PACKET))
        .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT)
        // The limit that counts is that of whoever waits for the link.
        .set_connect_timeout(Duration::from_secs(600));
    // The stream is authenticated already. It is there once: a second connection is another link.
    let stream = Arc::new(Mutex::new(Some(stream)));
    options.set_socket_connector(move |_address, _options| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    options
}
