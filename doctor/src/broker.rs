//! MQTT 5 over a verified connection: logs in, and asks the broker whether the device may use its topics.

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, PublishNoticeError, PublishOptions,
    QoS, SessionMode, StateError, SubscribeFilterInput, SubscribeReasonCode, mqttbytes,
};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::alert;
use crate::check::Mqtt;
use crate::heard::{Heard, Listened};

/// What is published.
const PAYLOAD: &[u8] = br#"{"doctor":true}"#;
/// Most publications that wait for the broker's acknowledgement; there is one. rumqttc keeps a table with a place for
/// each, which with its own default of 65,535 takes 16 MB.
const MAX_IN_FLIGHT: u16 = 4;

/// How a session failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection ended; an alert in it is about the client's certificate.
    Ended(io::Error),
    /// The broker refused, in its words.
    Refused(String),
    /// It speaks no MQTT 5.
    Protocol(String),
    /// Nothing came in time.
    Silent,
}

/// An open session.
pub(crate) struct Session {
    client: AsyncClient,
    driver: JoinSet<ConnectionError>,
    limit: Duration,
}

/// Logs in.
pub(crate) async fn login(
    stream: TlsStream<TcpStream>,
    mqtt: &Mqtt,
    limit: Duration,
) -> Result<Session, Failure> {
    // The address is for show: the connection is there already.
    let mut options = MqttOptions::new(&mqtt.client_id, ("localhost", 8883));
    options
        .set_session_mode(SessionMode::Clean)
        .set_keep_alive(60)
        .set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT)
        .set_connect_timeout(Duration::from_secs(600));
    let heard = Heard::default();
    let stream = Arc::new(Mutex::new(Some(Listened { stream, heard: heard.clone() })));
    options.set_socket_connector(move |_address, _options| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let built = AsyncClient::builder(options).capacity(4).try_build();
    let (client, events) = built.map_err(|error| Failure::Protocol(error.to_string()))?;
    let (to_logged_in, logged_in) = oneshot::channel();
    let mut driver = JoinSet::new();
    driver.spawn(drive(events, to_logged_in));
    let mut session = Session { client, driver, limit };
    let failure = tokio::select! {
        biased;
        answer = timeout(limit, logged_in) => match answer {
            Ok(Ok(())) => return Ok(session),
            Ok(Err(_)) => session.end().await,
            Err(_) => Failure::Silent,
        },
        failure = session.driver.join_next() => ended(failure),
    };
    // The library waits for the rest of an answer that is none of MQTT 5, until the broker ends the connection or the time
    // is over.
    Err(match (failure, heard.words()) {
        (Failure::Ended(error), Some(words)) if alert::inner(&error).is_none() => Failure::Protocol(words),
        (Failure::Silent, Some(words)) => Failure::Protocol(words),
        (failure, _) => failure,
    })
}

impl Session {
    /// Publishes once, not retained. `Refused` where the broker does not allow it.
    pub(crate) async fn publish(&mut self, topic: &str) -> Result<(), Failure> {
        let how = PublishOptions::at_least_once().retain(false);
        let notice = self.client.publish_tracked(topic.to_owned(), PAYLOAD.to_vec(), how).await;
        let Ok(notice) = notice else { return Err(self.end().await) };
        match timeout(self.limit, notice.wait_completion_async()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(PublishNoticeError::V5PubAck(code))) => Err(Failure::Refused(format!("{code:?}"))),
            Ok(Err(_)) => Err(self.end().await),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// Subscribes. `Refused` where the broker does not allow it.
    pub(crate) async fn subscribe(&mut self, topic: &str) -> Result<(), Failure> {
        let filter = SubscribeFilterInput::new(topic, QoS::AtLeastOnce).no_local(true);
        let Ok(notice) = self.client.subscribe_many_tracked([filter]).await else {
            return Err(self.end().await);
        };
        match timeout(self.limit, notice.wait_async()).await {
            Ok(Ok(answer)) => match answer.return_codes.as_slice() {
                [SubscribeReasonCode::Success(_)] => Ok(()),
                codes => Err(Failure::Refused(format!("{codes:?}"))),
            },
            Ok(Err(_)) => Err(self.end().await),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// Logs out in order.
    pub(crate) async fn leave(mut self) {
        if self.client.disconnect().await.is_ok() {
            let _ended = timeout(self.limit, self.driver.join_next()).await;
        }
    }

    async fn end(&mut self) -> Failure {
        match timeout(self.limit, self.driver.join_next()).await {
            Ok(outcome) => ended(outcome),
            Err(_) => Failure::Silent,
        }
    }
}

async fn drive(mut events: EventLoop, logged_in: oneshot::Sender<()>) -> ConnectionError {
    let mut logged_in = Some(logged_in);
    loop {
        match Box::pin(events.poll()).await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let _heard = logged_in.take().map(|sender| sender.send(()));
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

fn ended(outcome: Option<Result<ConnectionError, tokio::task::JoinError>>) -> Failure {
    let Some(Ok(error)) = outcome else { return Failure::Ended(io::ErrorKind::UnexpectedEof.into()) };
    match error {
        ConnectionError::ConnectionRefused(code) => Failure::Refused(format!("{code:?}")),
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)),
        ) => Failure::Ended(error),
        ConnectionError::MqttState(StateError::ConnFail { reason }) => {
            Failure::Refused(format!("{reason:?}"))
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            Failure::Refused(format!("{reason_code:?}"))
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            Failure::Ended(io::ErrorKind::UnexpectedEof.into())
        }
        other => Failure::Protocol(other.to_string()),
    }
}
