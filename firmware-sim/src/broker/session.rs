//! One connection, from the TLS handshake to its end.

use std::sync::Arc;

use rumqttc::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, LastWill,
    Packet,
};
use shared::DeviceId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::acl::{Acl, Violation};
use super::config::{Limits, Timekeeper};
use super::packets::{Frames, MAX_PACKET, encode};
use super::peer::Peer;
use super::registry::Registry;
use super::revocation::Gate;
use super::upstream::Upstream;

/// What all sessions share.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) registry: Registry,
    pub(super) limits: Limits,
    pub(super) time: Arc<dyn Timekeeper>,
    pub(super) events: broadcast::Sender<Event>,
}

/// What happened at the broker.
#[derive(Clone, Debug)]
pub enum Event {
    /// A device logged in.
    Connected(DeviceId),
    /// A connection ended, or was not let in.
    Ended {
        /// Whose it was, where the certificate had been verified.
        device: Option<DeviceId>,
        /// Why.
        why: Ended,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The device closed it, or the network did.
    #[error("closed by the device")]
    ByDevice,
    /// The router closed it, for example because the device was silent for too long.
    #[error("closed by the router")]
    ByRouter,
    /// Too many connections.
    #[error("too many connections")]
    Full,
    /// There is no usable CRL.
    #[error("there is no usable CRL")]
    NoCrl,
    /// The TLS handshake failed: no certificate, one of another CA, an expired or a revoked one.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// The client certificate names no device.
    #[error("the client certificate names no device")]
    NotADevice,
    /// A time limit passed.
    #[error("a time limit passed")]
    TooSlow,
    /// The device asked for what it may not have, or broke the protocol.
    #[error("refused: {0}")]
    Refused(String),
    /// The certificate was revoked.
    #[error("the certificate was revoked")]
    Revoked,
    /// The CA of the certificate is not taken any more.
    #[error("the CA of the certificate is not taken any more")]
    CaRetired,
    /// The certificate ended.
    #[error("the certificate ended")]
    Expired,
    /// The device logged in again.
    #[error("the device logged in again")]
    TakenOver,
}

impl Ended {
    /// What the device is told, where it can be told anything.
    const fn disconnect_reason(&self) -> Option<DisconnectReasonCode> {
        match self {
            Self::Revoked | Self::CaRetired | Self::Expired => {
                Some(DisconnectReasonCode::AdministrativeAction)
            }
            Self::TakenOver => Some(DisconnectReasonCode::SessionTakenOver),
            _ => None,
        }
    }
}

/// Serves one connection to its end and tells the observers.
pub(super) async fn serve(stream: TcpStream, context: Context) {
    let mut device = None;
    let why = match admit(stream, &context).await {
        Ok((tls, peer)) => {
            device = peer.who.device().cloned();
            session(tls, peer, &context).await
        }
        Err(why) => why,
    };
    tracing::debug!(device = device.as_ref().map(DeviceId::as_str), %why, "connection ended");
    // Nobody has to listen.
    let _listeners = context.events.send(Event::Ended { device, why });
}

/// TLS, and who it is.
async fn admit(stream: TcpStream, context: &Context) -> Result<(TlsStream<TcpStream>, Peer), Ended> {
    // Small packets that wait for each other gain nothing from Nagle's algorithm.
    let _no_matter = stream.set_nodelay(true);
    let config = context.gate.borrow().tls.clone().ok_or(Ended::NoCrl)?;
    let accepting = TlsAcceptor::from(config).accept(stream);
    let tls = timeout(context.limits.handshake, accepting).await.map_err(|_| Ended::TooSlow)?;
    let tls = tls.map_err(|error| Ended::Handshake(error.to_string()))?;
    let peer = Peer::of(tls.get_ref().1).ok_or(Ended::NotADevice)?;
    Ok((tls, peer))
}

async fn session(tls: TlsStream<TcpStream>, peer: Peer, context: &Context) -> Ended {
    let (mut reader, mut writer) = tokio::io::split(tls);
    let acl = Acl::new(peer.who.clone());
    let mut frames = Frames::default();
    let reading = first_packet(&mut frames, &mut reader, &acl);
    let login = match timeout(context.limits.connect, reading).await {
        Ok(Ok(login)) => login,
        Ok(Err(stop)) => {
            refuse(&mut writer, &stop, context).await;
            return stop.into();
        }
        Err(_) => return Ended::TooSlow,
    };
    let (place, mut taken_over) = context.registry.enter(peer.who.name()).await;
    let mut gate = context.gate.clone();
    // Kept to the end of the session.
    let mut end = None;
    let why = tokio::select! {
        // First, so that a device that was revoked during its handshake gets nowhere.
        biased;
        why = locked_out(&mut gate, &peer) => why,
        arrival = context.time.reached(peer.not_after) => {
            end = Some(arrival);
            Ended::Expired
        }
        why = relay(&mut reader, &mut writer, frames, login, &acl, context, &mut taken_over) => why,
    };
    if let Some(reason) = why.disconnect_reason() {
        farewell(&mut writer, reason).await;
    }
    // The router publishes a last will, by client identifier, about a millisecond after the connection has
    // ended: were the device's next session there by then, it would lose its own.
    drop(writer);
    tokio::time::sleep(SETTLE).await;
    drop((place, end));
    why
}

/// Both directions, until one ends.
async fn relay(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    frames: Frames,
    login: Login,
    acl: &Acl,
    context: &Context,
    taken_over: &mut oneshot::Receiver<()>,
) -> Ended {
    let Ok(upstream) = context.upstream.connect().await else { return Ended::ByRouter };
    let (mut from_router, mut to_router) = upstream.into_split();
    let keep_alive = login.keep_alive;
    let login = Packet::Connect(login.connect, login.will, context.upstream.login());
    let Ok(bytes) = encode(&login) else { return Ended::Refused(Violation::Malformed.to_string()) };
    if to_router.write_all(&bytes).await.is_err() {
        return Ended::ByRouter;
    }
    let connected = || {
        let device = acl.who().device().cloned();
        let _listeners = device.map(|device| context.events.send(Event::Connected(device)));
    };
    let why = tokio::select! {
        biased;
        _ = taken_over => Ended::TakenOver,
        stop = upward(reader, frames, acl, &mut to_router) => match stop {
            Stop::Ended(why) => why,
            Stop::Violation(violation) => {
                farewell(writer, violation.reason()).await;
                Ended::Refused(violation.to_string())
            }
        },
        why = downward(&mut from_router, writer, context.limits, keep_alive, connected) => why,
    };
    if why == Ended::TakenOver {
        // In order: the old session's last will must not follow the new one's birth.
        let goodbye = Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection));
        if let Ok(bytes) = encode(&goodbye) {
            let _ended_by_itself = to_router.write_all(&bytes).await;
        }
    }
    // The router has to have seen the end before the device's next session is there: if it saw it later, it would end that
    // one, since it knows both by one name.
    let _ended_by_itself = to_router.shutdown().await;
    let _closed = timeout(ROUTER_PATIENCE, copy(&mut from_router, &mut sink())).await;
    why
}

/// How long the router may take to end a session.
const ROUTER_PATIENCE: core::time::Duration = core::time::Duration::from_secs(1);
/// How long the router may take to settle a session that has ended.
const SETTLE: core::time::Duration = core::time::Duration::from_millis(25);
/// How long a device may take to read why it is cut off.
const FAREWELL: core::time::Duration = core::time::Duration::from_millis(200);
/// Keep-alive for those that want none: a silent connection must end at some time.
const LONGEST_KEEP_ALIVE: u16 = 600;

/// A CONNECT packet that was checked.
struct Login {
    connect: Connect,
    will: Option<LastWill>,
    /// The keep-alive in force, where it is not the one that was asked for.
    keep_alive: Option<u16>,
}

enum Stop {
    Ended(Ended),
    Violation(Violation),
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Ended(why) => why,
            Stop::Violation(violation) => Self::Refused(violation.to_string()),
        }
    }
}

async fn first_packet(
    frames: &mut Frames,
    reader: &mut (impl AsyncRead + Unpin),
    acl: &Acl,
) -> Result<Login, Stop> {
    let packet = next(frames, reader).await?;
    // User name and password mean nothing here: the certificate is the identity.
    let Packet::Connect(mut connect, will, _) = packet else {
        return Err(Stop::Violation(Violation::Unexpected));
    };
    acl.connect(&connect, will.as_ref()).map_err(Stop::Violation)?;
    let mut keep_alive = None;
    if connect.keep_alive == 0 || connect.keep_alive > LONGEST_KEEP_ALIVE {
        connect.keep_alive = LONGEST_KEEP_ALIVE;
        keep_alive = Some(LONGEST_KEEP_ALIVE);
    }
    Ok(Login { connect, will, keep_alive })
}

async fn next(frames: &mut Frames, reader: &mut (impl AsyncRead + Unpin)) -> Result<Packet, Stop> {
    loop {
        if let Some(packet) = frames.next().map_err(Stop::Violation)? {
            return Ok(packet);
        }
        if !matches!(frames.fill(reader).await, Ok(true)) {
            return Err(Stop::Ended(Ended::ByDevice));
        }
    }
}

/// Device to router: every packet is read, checked and written anew, so that the router sees nothing else.
async fn upward(
    reader: &mut (impl AsyncRead + Unpin),
    mut frames: Frames,
    acl: &Acl,
    to_router: &mut (impl AsyncWrite + Unpin),
) -> Stop {
    loop {
        let packet = match next(&mut frames, reader).await {
            Ok(packet) => packet,
            Err(stop) => return stop,
        };
        if let Err(violation) = acl.packet(&packet) {
            return Stop::Violation(violation);
        }
        let bytes = match encode(&packet) {
            Ok(bytes) => bytes,
            Err(violation) => return Stop::Violation(violation),
        };
        if to_router.write_all(&bytes).await.is_err() {
            return Stop::Ended(Ended::ByRouter);
        }
        if matches!(packet, Packet::Disconnect(_)) {
            // Sent on, so that the router drops the last will.
            return Stop::Ended(Ended::ByDevice);
        }
    }
}

/// Router to device: the acknowledgement of the login is made true to what the guard offers, all else is copied.
async fn downward(
    from_router: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    limits: Limits,
    keep_alive: Option<u16>,
    connected: impl FnOnce(),
) -> Ended {
    let mut frames = Frames::default();
    let Ok(Packet::ConnAck(mut acknowledgement)) = next(&mut frames, from_router).await else {
        return Ended::ByRouter;
    };
    let router = acknowledgement.properties.take();
    acknowledgement.properties = Some(offered(router.as_ref(), keep_alive));
    let Ok(mut bytes) = encode(&Packet::ConnAck(acknowledgement)) else { return Ended::ByRouter };
    bytes.extend_from_slice(&frames.into_rest());
    connected();
    loop {
        let writing = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        match timeout(limits.write, writing).await {
            Ok(Ok(())) => bytes.clear(),
            Ok(Err(_)) => return Ended::ByDevice,
            Err(_) => return Ended::TooSlow,
        }
        bytes.reserve(4096);
        if !matches!(from_router.read_buf(&mut bytes).await, Ok(1..)) {
            return Ended::ByRouter;
        }
    }
}

/// What a device may use here: no topic aliases, no shared subscriptions, packets of bounded length.
fn offered(router: Option<&ConnAckProperties>, keep_alive: Option<u16>) -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: router.and_then(|properties| properties.session_expiry_interval),
        receive_max: router.and_then(|properties| properties.receive_max),
        max_qos: None,
        retain_available: None,
        max_packet_size: Some(MAX_PACKET),
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: Some(0),
        server_keep_alive: keep_alive,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}

async fn locked_out(gate: &mut watch::Receiver<Gate>, peer: &Peer) -> Ended {
    loop {
        {
            let gate = gate.borrow_and_update();
            if gate.revoked.contains(&peer.serial) {
                return Ended::Revoked;
            }
            if !gate.issuers.contains(&peer.issuer) {
                return Ended::CaRetired;
            }
        }
        if gate.changed().await.is_err() {
            // The broker stops; the session's task ends with it.
            core::future::pending::<()>().await;
        }
    }
}

/// Answers a login that is refused (MQTT 5, section 3.2.2.2).
async fn refuse(writer: &mut (impl AsyncWrite + Unpin), stop: &Stop, context: &Context) {
    let Stop::Violation(violation) = stop else { return };
    let code = match violation {
        Violation::ForeignClientId => ConnectReturnCode::ClientIdentifierNotValid,
        Violation::ForeignTopic | Violation::TopicAlias => ConnectReturnCode::NotAuthorized,
        Violation::Unexpected => ConnectReturnCode::ProtocolError,
        Violation::Malformed => ConnectReturnCode::MalformedPacket,
    };
    let acknowledgement = ConnAck { session_present: false, code, properties: None };
    if let Ok(bytes) = encode(&Packet::ConnAck(acknowledgement)) {
        let _told = timeout(context.limits.write.min(FAREWELL), last_words(writer, &bytes)).await;
    }
}

async fn farewell(writer: &mut (impl AsyncWrite + Unpin), reason: DisconnectReasonCode) {
    if let Ok(bytes) = encode(&Packet::Disconnect(Disconnect::new(reason))) {
        let _told = timeout(FAREWELL, last_words(writer, &bytes)).await;
    }
}

async fn last_words(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.shutdown().await
}
