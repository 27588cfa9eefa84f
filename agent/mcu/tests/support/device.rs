//! The device under test: buffers of the sizes a board has, and one call for a whole connection.

use core::time::Duration;

use agent_core::keystore::SoftKey;
use agent_core::platform::{ClientIdentity, Reply, Request, Server, Transport as _, TransportError};
use agent_core::x509::Validity;
use agent_mcu::http::Https;
use agent_mcu::net::TimeLimits;
use agent_mcu::tls::guard::GuardState;
use agent_mcu::tls::{Buffers, NotOpened, Place, READ_BUFFER, SessionError, WRITE_BUFFER, Workspace, open};
use embedded_io_async::{Read as _, Write as _};
use rand_core::OsRng;

use super::network::Loopback;
use super::pki::{Identity, NOW};

/// Bytes of a record that can be parked.
const PARKED: usize = 512;

/// Time enough for everything.
pub(crate) const PATIENT: TimeLimits = TimeLimits {
    connect: embassy_time::Duration::from_secs(20),
    handshake: embassy_time::Duration::from_secs(20),
    exchange: embassy_time::Duration::from_secs(20),
    record: embassy_time::Duration::from_secs(20),
};

/// A limit that a test waits for.
pub(crate) const SHORT: embassy_time::Duration = embassy_time::Duration::from_millis(300);

/// Memory of one device, without `Https` and the like that would borrow it.
pub(crate) struct Device {
    /// Its network.
    pub(crate) network: Loopback,
    /// Its patience.
    pub(crate) limits: TimeLimits,
    /// Its clock.
    pub(crate) validity: Validity,
}

impl Default for Device {
    fn default() -> Self {
        Self { network: Loopback::default(), limits: PATIENT, validity: Validity::At(NOW) }
    }
}

/// Where a device calls.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// The one trust anchor, in DER.
    pub(crate) anchor: &'a [u8],
}

/// What became of a connection that [`Device::visit`] made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    /// Whether the session was given out.
    pub(crate) opened: bool,
    /// What the first read brought; empty after an orderly end.
    pub(crate) outcome: Result<Vec<u8>, SessionError>,
    /// What the core is told where no session was given out.
    pub(crate) told: Option<TransportError>,
}

impl Visit {
    fn refused(reason: NotOpened) -> Self {
        Self { opened: false, outcome: Err(reason.error), told: Some(reason.into()) }
    }
}

/// What [`Device::visit`] sends once the session is open.
pub(crate) const GREETING: &[u8] = b"a secret of the device";

impl Device {
    /// One HTTPS exchange, as the core asks for it, with an answer buffer of `room` bytes.
    pub(crate) async fn exchange(
        &self,
        to: Address<'_>,
        identity: Option<&Identity>,
        request: Request<'_>,
        room: usize,
    ) -> Result<(Reply, Vec<u8>), TransportError> {
        let (mut read, mut write) = (vec![0; READ_BUFFER], vec![0; WRITE_BUFFER]);
        let mut parked = vec![0; PARKED];
        let workspace = Workspace::new(Buffers { read: &mut read, write: &mut write, parked: &mut parked });
        let mut https = Https::new(self.network.clone(), OsRng, &workspace, self.limits);
        let key = identity.map(Identity::device_key);
        let chain = identity.map(Identity::chain).unwrap_or_default();
        let identity = key.as_ref().map(|key| ClientIdentity { key, chain: &chain });
        let anchors = [to.anchor];
        let mut answer = vec![0; room];
        let server = self.server(to, &anchors);
        let reply = https.exchange(server, identity, request, &mut answer).await?;
        answer.truncate(reply.length);
        Ok((reply, answer))
    }

    /// Opens a session, says [`GREETING`] and reads once.
    pub(crate) async fn visit(&self, to: Address<'_>) -> Visit {
        let (mut read, mut write) = (vec![0; READ_BUFFER], vec![0; WRITE_BUFFER]);
        let mut parked = vec![0; PARKED];
        let buffers = Buffers { read: &mut read, write: &mut write, parked: &mut parked };
        let state = GuardState::new();
        let mut place = Place::new();
        let anchors = [to.anchor];
        let stream = self.network.stream(to.port).await.unwrap();
        let nobody: Option<ClientIdentity<'_, SoftKey>> = None;
        let server = self.server(to, &anchors);
        let mut session =
            match open(&mut place, stream, buffers, &state, server, nobody, OsRng, self.limits).await {
                Ok(session) => session,
                Err(reason) => return Visit::refused(reason),
            };
        let mut answer = vec![0; 8192];
        let outcome = async {
            session.write_all(GREETING).await?;
            session.flush().await?;
            session.read(&mut answer).await
        };
        // As in HTTP and MQTT, the whole has a limit of its own.
        let limit = Duration::from_micros(self.limits.exchange.as_micros());
        let outcome = tokio::time::timeout(limit, outcome).await.unwrap_or(Err(SessionError::TimedOut));
        Visit { opened: true, outcome: outcome.map(|count| answer[..count].to_vec()), told: None }
    }

    fn server<'a>(&self, to: Address<'a>, anchors: &'a [&'a [u8]]) -> Server<'a> {
        Server { host: to.host, port: to.port, anchors, validity: self.validity }
    }
}
