//! The core's broker over rumqttc (MQTT 5): opens the connection, then does what the session says.
//!
//! TLS is opened by `crate::tls`, so that the broker's certificate is judged exactly as the server's. Nothing is
//! kept between two connections: when and whether to connect again is the core's decision.

mod link;
mod reason;

use core::future::Future;
use core::time::Duration;

use agent_core::platform::{Broker, ClientIdentity, Login, Session, SigningKey, Step, TransportError};
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::Timeouts;
use crate::heartbeat::Heartbeat;
use crate::tls;
use link::Link;

/// How a session waits until it has something to say again.
///
/// To implement: a pause may be dropped half-way, when a message comes.
#[expect(async_fn_in_trait, reason = "one task drives a device, so that futures need not be Send")]
pub trait Pause {
    /// Waits.
    async fn pause(&self, duration: Duration);
}

/// Pauses in real time.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealTime;

impl Pause for RealTime {
    async fn pause(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// [`Broker`] over tokio, rustls and rumqttc. The limits of what goes over the network are in real time always;
/// `P` is how a session pauses.
#[derive(Clone, Debug)]
pub struct MqttBroker<P = RealTime> {
    timeouts: Timeouts,
    heartbeat: Heartbeat,
    pause: P,
}

impl MqttBroker {
    /// A broker client with these limits in time, which tells `heartbeat` that the flow is alive.
    #[must_use]
    pub const fn new(timeouts: Timeouts, heartbeat: Heartbeat) -> Self {
        Self { timeouts, heartbeat, pause: RealTime }
    }
}

impl<P> MqttBroker<P> {
    /// As [`new`](MqttBroker::new), with pauses in another time: for simulations.
    #[must_use]
    pub const fn pausing(timeouts: Timeouts, heartbeat: Heartbeat, pause: P) -> Self {
        Self { timeouts, heartbeat, pause }
    }

    /// Waits for the broker, no longer than `limit`, and for nothing that comes after the end of the link.
    async fn within<T>(
        limit: Duration,
        link: &mut Link,
        what: impl Future<Output = Option<Result<T, TransportError>>>,
    ) -> Result<T, TransportError> {
        let outcome = tokio::select! {
            biased;
            outcome = what => outcome,
            end = link.end() => return Err(end),
            () = sleep(limit) => return Err(TransportError::TimedOut),
        };
        // Nothing comes any more: the link knows why.
        match outcome {
            Some(outcome) => outcome,
            None => Err(link.end().await),
        }
    }

    async fn publish(
        &self,
        link: &mut Link,
        session: &mut impl Session,
        publication: Publication,
    ) -> Result<(), TransportError> {
        let acknowledged = link.publish(publication.topic, publication.payload, publication.retain).await?;
        let mut acknowledged = core::pin::pin!(acknowledged);
        let deadline = Instant::now() + self.timeouts.exchange;
        loop {
            tokio::select! {
                biased;
                outcome = &mut acknowledged => return match outcome {
                    Some(Ok(())) => {
                        session.published();
                        Ok(())
                    }
                    Some(Err(error)) => Err(error),
                    None => Err(link.end().await),
                },
                message = link.messages.recv() => match message {
                    Some(payload) => session.command(&payload),
                    None => return Err(link.end().await),
                },
                () = sleep_until(deadline) => return Err(TransportError::TimedOut),
            }
        }
    }
}

impl<K: SigningKey + Clone + Send + Sync + 'static, P: Pause> Broker<K> for MqttBroker<P> {
    async fn serve(&mut self, login: Login<'_, K>, session: &mut impl Session) -> Result<(), TransportError> {
        self.heartbeat.beat();
        let identity = ClientIdentity { key: login.identity.key, chain: login.identity.chain };
        let stream = Box::pin(tls::connect(login.server, Some(identity), &self.timeouts)).await?;
        let (mut link, logged_in) = Link::new(stream, &login)?;
        self.heartbeat.beat();
        Self::within(self.timeouts.handshake, &mut link, async { logged_in.await.ok().map(Ok) }).await?;
        self.heartbeat.beat();
        let subscribed = link.subscribe(login.command_topic).await?;
        Self::within(self.timeouts.exchange, &mut link, subscribed).await?;
        self.heartbeat.beat();
        // Writes to storage; the link's own task keeps the connection alive meanwhile.
        session.accepted().await;
        loop {
            self.heartbeat.beat();
            match session.next() {
                Step::Publish { topic, payload, retain } => {
                    let publication =
                        Publication { topic: topic.to_owned(), payload: payload.to_vec(), retain };
                    self.publish(&mut link, session, publication).await?;
                }
                Step::Wait(duration) => {
                    let duration = duration.min(self.heartbeat.longest_silence());
                    tokio::select! {
                        biased;
                        message = link.messages.recv() => match message {
                            Some(payload) => session.command(&payload),
                            None => return Err(link.end().await),
                        },
                        () = self.pause.pause(duration) => {}
                    }
                }
                Step::Leave => return link.leave(self.timeouts.handshake).await,
            }
        }
    }
}

/// A publication, owned: the session's own copy cannot be held while its commands are handed in.
struct Publication {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}
