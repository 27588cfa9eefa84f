//! MQTT 5 for a device, on minimq: one connection, driven by the core's [`Session`].
//!
//! Each connection is a clean session: nothing is queued on the device, and what the core wants published it
//! says again after a reconnect. Not here: reconnecting, QoS 2, topics of the device's own choice.

mod patience;

use core::pin::pin;
use core::time::Duration;

use agent_core::apart::apart;
use agent_core::platform::{Broker, Login, Server, Session, SigningKey, Step, TransportError};
use embassy_time::{Duration as Ticks, Instant};
use embedded_io_async::{Read, Write};
use embedded_tls::CryptoRngCore;
use minimq::{
    Buffers, ConfigBuilder, Connection, Error, Op, PeerError, PubError, Publication, QoS, RetainHandling,
    SubscriptionOptions, TopicFilter, Will,
};

use crate::net::{Connector, TimeLimits, within};
use crate::tls::guard::GuardState;
use crate::tls::{AuthenticatedSession, Place, SessionError, Workspace, open};
use patience::wait_at_most;

/// A size for [`PacketBuffers::receive`]: a command and its topic are short.
pub const RECEIVE_BUFFER: usize = 512;
/// A size for [`PacketBuffers::send`]: the longest packet is CONNECT with the last will, or a publication.
pub const SEND_BUFFER: usize = 1024;

/// The buffers of MQTT packets.
#[derive(Debug)]
pub struct PacketBuffers<'b> {
    /// Holds one packet received.
    pub receive: &'b mut [u8],
    /// Holds the packets that are not acknowledged yet.
    pub send: &'b mut [u8],
}

/// [`Broker`] over any network that has TCP.
#[derive(Debug)]
pub struct Mqtt<'w, 'b, C, R> {
    connector: C,
    rng: R,
    workspace: &'w Workspace<'b>,
    packets: PacketBuffers<'b>,
    limits: TimeLimits,
}

impl<'w, 'b, C, R> Mqtt<'w, 'b, C, R> {
    /// Shares `workspace` with the HTTPS client: they never use it at once.
    pub const fn new(
        connector: C,
        rng: R,
        workspace: &'w Workspace<'b>,
        packets: PacketBuffers<'b>,
        limits: TimeLimits,
    ) -> Self {
        Self { connector, rng, workspace, packets, limits }
    }
}

impl<K: SigningKey, C: Connector, R: CryptoRngCore> Broker<K> for Mqtt<'_, '_, C, R> {
    async fn serve(&mut self, login: Login<'_, K>, session: &mut impl Session) -> Result<(), TransportError> {
        // Whoever has the buffers is still connected: a defect of the caller, who gets an error for it.
        let mut lent = self.workspace.lend().ok_or(TransportError::Tls)?;
        let Server { host, port, .. } = login.server;
        let stream = within(self.limits.connect, pin!(self.connector.connect(host, port))).await?;
        let state = GuardState::new();
        let buffers = Buffers::new(&mut *self.packets.receive, &mut *self.packets.send);
        let mut mqtt = minimq::Session::new(configure(buffers, &login)?);
        let identity = Some(login.identity);
        let mut place = Place::new();
        let tls = apart(pin!(open(
            &mut place,
            stream,
            lent.buffers(),
            &state,
            login.server,
            identity,
            &mut self.rng,
            self.limits
        )))
        .await?;
        let connection =
            within(self.limits.exchange, pin!(async { mqtt.connect(tls).await.map_err(explain) })).await?;
        let mut talk = Talk {
            connection,
            state: &state,
            command_topic: login.command_topic,
            patience: self.limits.exchange,
        };
        apart(pin!(talk.subscribe(session))).await?;
        session.accepted().await;
        apart(pin!(talk.serve(session))).await
    }
}

fn configure<'p, K>(buffers: Buffers<'p>, login: &Login<'p, K>) -> Result<ConfigBuilder<'p>, TransportError> {
    let keep_alive = u16::try_from(login.keep_alive.as_secs()).unwrap_or(u16::MAX);
    let unusable = |_| TransportError::Protocol;
    let will = Will::new(login.will_topic, login.will_payload, &[]).map_err(unusable)?;
    let config = ConfigBuilder::new(buffers).client_id(login.client_id).map_err(unusable)?;
    config.keepalive_interval(keep_alive).will(will.retained().qos(QoS::AtLeastOnce)).map_err(unusable)
}

/// A connection that the broker accepted.
struct Talk<'c, 'p, 's, S: Read + Write> {
    connection: Connection<'c, 'p, AuthenticatedSession<'c, 's, S>>,
    state: &'c GuardState,
    command_topic: &'c str,
    /// Longest time to wait for an acknowledgement.
    patience: Ticks,
}

impl<S: Read + Write> Talk<'_, '_, '_, S> {
    async fn subscribe(&mut self, session: &mut impl Session) -> Result<(), TransportError> {
        // A retained command would be obeyed again after each reconnect.
        let options = SubscriptionOptions::default()
            .maximum_qos(QoS::AtLeastOnce)
            .retain_behavior(RetainHandling::Never);
        let filter = TopicFilter::new(self.command_topic).options(options);
        let filters = [filter];
        let subscribing = async { self.connection.subscribe(&filters, &[]).await.map_err(explain) };
        let op = within(self.patience, pin!(subscribing)).await?;
        self.acknowledged(op, session).await
    }

    async fn serve(&mut self, session: &mut impl Session) -> Result<(), TransportError> {
        loop {
            match session.next() {
                Step::Publish { topic, payload, retain } => {
                    let publication = Publication::bytes(topic, payload).qos(QoS::AtLeastOnce);
                    let publication = if retain { publication.retain() } else { publication };
                    let publishing = async {
                        self.connection.publish(publication).await.map_err(|error| match error {
                            PubError::Session(error) => explain(error),
                            PubError::Payload(_) => TransportError::TooLarge,
                        })
                    };
                    let op = within(self.patience, pin!(publishing)).await?;
                    if let Some(op) = op {
                        self.acknowledged(op, session).await?;
                    }
                    session.published();
                }
                Step::Wait(duration) => self.wait(duration, session).await?,
                Step::Leave => {
                    let leaving = async { self.connection.disconnect().await.map_err(explain) };
                    return within(self.patience, pin!(leaving)).await;
                }
            }
        }
    }

    async fn acknowledged(&mut self, op: Op, session: &mut impl Session) -> Result<(), TransportError> {
        let deadline = Instant::now() + self.patience;
        while self.connection.is_pending(&op) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Ticks::MIN {
                return Err(TransportError::TimedOut);
            }
            self.poll(left, session).await?;
        }
        if self.connection.is_complete(&op) { Ok(()) } else { Err(TransportError::Closed) }
    }

    async fn wait(&mut self, duration: Duration, session: &mut impl Session) -> Result<(), TransportError> {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // Microseconds become ticks; a time beyond what ticks can count is as good as for ever.
        let ticks = Ticks::from_micros(micros.min(u64::from(u32::MAX) * 1_000));
        self.poll(ticks, session).await
    }

    /// Lets the connection make progress, for at most `duration`; hands over a command that comes.
    async fn poll(&mut self, duration: Ticks, session: &mut impl Session) -> Result<(), TransportError> {
        let state = self.state;
        match wait_at_most(duration, || state.busy(), self.connection.poll()).await {
            None | Some(Ok(None)) => Ok(()),
            Some(Ok(Some(message))) => {
                if message.topic() == self.command_topic && !message.retained() {
                    session.command(message.payload());
                }
                Ok(())
            }
            Some(Err(error)) => Err(explain(error)),
        }
    }
}

fn explain(error: Error<SessionError>) -> TransportError {
    match error {
        Error::Transport(error) => error.into(),
        Error::Peer(PeerError::Rejected(reason)) => TransportError::Refused(reason.into()),
        Error::Disconnected | Error::WriteZero => TransportError::Closed,
        Error::Resource(_) => TransportError::TooLarge,
        _ => TransportError::Protocol,
    }
}
