//! Opens a TLS session and gives it out only where the server has proved who it is.

use core::future::Future;
use core::net::IpAddr;
use core::pin::pin;

use agent_core::apart::apart;
use agent_core::platform::{ClientIdentity, Server, SigningKey, TransportError};
use embassy_time::with_timeout;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_tls::{CryptoRngCore, MaxFragmentLength, TlsConfig, TlsConnection, TlsContext, TlsError};

use super::guard::{Guard, GuardState, RecordFault};
use super::provider::Provider;
use super::suite::InspectedAes128GcmSha256;
use super::verifier::{Authenticated, Verifier, VerifyFault};
use super::workspace::Buffers;
use crate::net::TimeLimits;

/// Where a connection lives, all 1.3 KiB of it: on a small stack, it had better never move.
pub struct Place<'s, S: Read + Write>(Option<TlsConnection<'s, Guard<'s, S>, InspectedAes128GcmSha256>>);

impl<S: Read + Write> Place<'_, S> {
    /// A place with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Ends the session that was opened here, with a goodbye to the peer (RFC 8446, section 6.1); `None` where none
    /// was. No `async fn`: its future would hold the connection once more.
    pub fn close(
        &mut self,
        state: &GuardState,
    ) -> Option<impl Future<Output = Result<impl Sized, impl Sized>>> {
        state.next_write();
        self.0.take().map(TlsConnection::close)
    }
}

impl<S: Read + Write> Default for Place<'_, S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A TLS 1.3 session with an authenticated server.
pub struct AuthenticatedSession<'p, 's, S: Read + Write> {
    tls: &'p mut TlsConnection<'s, Guard<'s, S>, InspectedAes128GcmSha256>,
    state: &'s GuardState,
    _proof: Authenticated,
}

/// How a session failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A buffer is shorter than [`Buffers::MIN_READ`] or [`Buffers::MIN_WRITE`].
    #[error("the TLS buffers are too short")]
    Buffers,
    /// The server has not proved who it is.
    #[error(transparent)]
    Verify(#[from] VerifyFault),
    /// The guard refused a record, or none came.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// The handshake took too long.
    #[error("the TLS handshake took too long")]
    TimedOut,
    /// The peer closed the session in order.
    #[error("the peer closed the session")]
    Closed,
    /// The peer broke the protocol, or sent a fatal alert.
    #[error("the TLS protocol failed: {0}")]
    Protocol(TlsErrorText),
}

/// Why no session was opened, and how far the server had come by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NotOpened {
    /// The reason.
    pub error: SessionError,
    /// Whether the server had proved who it is. Until then it cannot have seen the device's certificate.
    pub shown: bool,
}

/// What embedded-tls says, without what it would print for a developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsErrorText {
    /// The peer ended the handshake with an alert.
    #[error("the peer sent an alert")]
    Alert,
    /// A record could not be decrypted, or holds what is not allowed.
    #[error("a record is forged or holds what is not allowed")]
    Decryption,
    /// A message could not be read, or came at the wrong time.
    #[error("a message cannot be read or comes at the wrong time")]
    Message,
}

/// Opens a session with `server` over `stream`, in `place`, with `identity` as client certificate where there is one.
///
/// # Errors
/// Says how far it came. No byte of the application was sent or received then.
#[expect(
    clippy::too_many_arguments,
    reason = "a struct of them would be one more thing to move on a small stack"
)]
pub async fn open<'p, 's, S: Read + Write + 's, K: SigningKey>(
    place: &'p mut Place<'s, S>,
    stream: S,
    buffers: Buffers<'s>,
    state: &'s GuardState,
    server: Server<'_>,
    identity: Option<ClientIdentity<'_, K>>,
    rng: impl CryptoRngCore,
    limits: TimeLimits,
) -> Result<AuthenticatedSession<'p, 's, S>, NotOpened> {
    let early = |error| NotOpened { error, shown: false };
    if buffers.read.len() < Buffers::MIN_READ || buffers.write.len() < Buffers::MIN_WRITE {
        return Err(early(SessionError::Buffers));
    }
    let guard = Guard::new(stream, state, buffers.parked, buffers.read.len(), limits.record);
    let tls = place.0.insert(TlsConnection::new(guard, buffers.read, buffers.write));
    let mut config = TlsConfig::new().with_max_fragment_length(MaxFragmentLength::Bits12);
    // RFC 6066, section 3: an IP address is no server name.
    if server.host.parse::<IpAddr>().is_err() {
        config = config.with_server_name(server.host);
    }
    let mut provider = Provider::new(rng, Verifier::new(server), identity);
    let outcome = {
        let context = TlsContext::new(&config, &mut provider);
        with_timeout(limits.handshake, apart(pin!(tls.open(context)))).await
    };
    let verdict = provider.into_verifier();
    // The most telling reason first: what the verifier refused, then what the guard did.
    let proof = match (verdict.fault(), verdict.finish()) {
        (Some(fault), _) => return Err(early(fault.into())),
        (None, proof) => proof,
    };
    let shown = proof.is_ok();
    match outcome {
        Err(_) => Err(NotOpened { error: SessionError::TimedOut, shown }),
        Ok(Err(error)) => Err(NotOpened { error: explain(state, error), shown }),
        Ok(Ok(())) => {
            let proof = proof.map_err(|fault| early(fault.into()))?;
            state.opened();
            Ok(AuthenticatedSession { tls, state, _proof: proof })
        }
    }
}

impl<S: Read + Write> ErrorType for AuthenticatedSession<'_, '_, S> {
    type Error = SessionError;
}

impl<S: Read + Write> Read for AuthenticatedSession<'_, '_, S> {
    /// Returns 0 after the peer's close_notify.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SessionError> {
        self.state.next_read();
        match self.tls.read(buffer).await {
            Ok(count) => Ok(count),
            Err(error) => match explain(self.state, error) {
                SessionError::Closed => Ok(0),
                other => Err(other),
            },
        }
    }
}

impl<S: Read + Write> Write for AuthenticatedSession<'_, '_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, SessionError> {
        self.state.next_write();
        self.tls.write(bytes).await.map_err(|error| explain(self.state, error))
    }

    async fn flush(&mut self) -> Result<(), SessionError> {
        self.state.next_write();
        self.tls.flush().await.map_err(|error| explain(self.state, error))
    }
}

impl embedded_io_async::Error for SessionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Record(fault) => fault.kind(),
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::ConnectionReset,
            Self::Buffers => ErrorKind::OutOfMemory,
            Self::Verify(_) | Self::Protocol(_) => ErrorKind::InvalidData,
        }
    }
}

/// What the core is told.
impl From<SessionError> for TransportError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Verify(VerifyFault::Path(reason)) => Self::Certificate(reason),
            SessionError::TimedOut | SessionError::Record(RecordFault::TimedOut) => Self::TimedOut,
            SessionError::Closed
            | SessionError::Record(RecordFault::Ended | RecordFault::Truncated | RecordFault::Stream(_)) => {
                Self::Closed
            }
            SessionError::Buffers
            | SessionError::Verify(_)
            | SessionError::Record(_)
            | SessionError::Protocol(_) => Self::Tls,
        }
    }
}

impl From<NotOpened> for TransportError {
    fn from(reason: NotOpened) -> Self {
        Self::from(reason.error).of_handshake(reason.shown)
    }
}

fn explain(state: &GuardState, error: TlsError) -> SessionError {
    if let Some(fault) = state.fault() {
        return fault.into();
    }
    match error {
        TlsError::ConnectionClosed => SessionError::Closed,
        // InternalError is how the library reports a fatal alert in an open session.
        TlsError::HandshakeAborted(..) | TlsError::InternalError => {
            SessionError::Protocol(TlsErrorText::Alert)
        }
        TlsError::CryptoError | TlsError::InvalidApplicationData => {
            SessionError::Protocol(TlsErrorText::Decryption)
        }
        _ => SessionError::Protocol(TlsErrorText::Message),
    }
}
