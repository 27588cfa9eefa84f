//! What the adapters need of a network: a TCP connection, and limits on time.

use core::future::Future;
use core::net::{IpAddr, Ipv4Addr};
use core::pin::Pin;

use agent_core::platform::TransportError;
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write};

/// Opens TCP connections.
///
/// To implement with embassy-net: keep the `Stack` and the socket's two buffers, look `host` up with
/// `Stack::dns_query` where it is a name ([`ipv4_literal`]), make a `TcpSocket` on the buffers and connect it. With
/// tokio: connect a `TcpStream` and wrap it in a type that implements the two traits of embedded-io-async.
///
/// A stream must be usable after one of its `read` futures is dropped (no byte may be lost), as both of the
/// above are. Nothing here asks for a time limit: the callers have one.
#[expect(async_fn_in_trait, reason = "one task drives everything, so that futures need not be Send")]
pub trait Connector {
    /// A connection, closed when it is dropped.
    type Stream<'c>: Read + Write
    where
        Self: 'c;

    /// Connects to `port` of `host`, which is a name or an IP address.
    ///
    /// # Errors
    /// Says how far it came.
    async fn connect<'c>(&'c mut self, host: &str, port: u16) -> Result<Self::Stream<'c>, ConnectError>;
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address, or the resolver does not answer.
    #[error("the host name cannot be resolved")]
    NoAddress,
    /// No route, or no answer.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The host answers, but nobody listens on the port.
    #[error("the host refuses the connection")]
    Refused,
}

/// How long each part of a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Name resolution and TCP connection.
    pub connect: Duration,
    /// The whole TLS handshake, our own arithmetic included: a second or two on a small core.
    pub handshake: Duration,
    /// One HTTP request with its answer, or one MQTT packet with its acknowledgement.
    pub exchange: Duration,
    /// One TLS record, from its first byte to its last; also the longest that a write may be stuck.
    pub record: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            handshake: Duration::from_secs(30),
            exchange: Duration::from_secs(30),
            record: Duration::from_secs(10),
        }
    }
}

/// The address that `host` is, or `None` where it is a name: for stacks that are built for IPv4 alone.
///
/// # Errors
/// [`ConnectError::NoAddress`] for an IPv6 address. The broker's host is the server's to choose and lies in the flash
/// then, and embassy-net panics at an address of a family that it was not built with: at every start.
pub fn ipv4_literal(host: &str) -> Result<Option<Ipv4Addr>, ConnectError> {
    match host.parse() {
        Ok(IpAddr::V4(address)) => Ok(Some(address)),
        Ok(IpAddr::V6(_)) => Err(ConnectError::NoAddress),
        Err(_) => Ok(None),
    }
}

impl From<ConnectError> for TransportError {
    fn from(_: ConnectError) -> Self {
        Self::Unreachable
    }
}

/// Awaits `work` for at most `limit`. Takes it pinned, for a future that is handed on lies in memory twice.
pub(crate) async fn within<T, E: Into<TransportError>>(
    limit: Duration,
    work: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<T, TransportError> {
    match with_timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(TransportError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_no_address_and_no_name() {
        for host in ["::1", "2001:db8::1", "::ffff:192.0.2.1", "::"] {
            assert_eq!(ipv4_literal(host), Err(ConnectError::NoAddress), "{host}");
        }
        assert_eq!(ipv4_literal("192.0.2.1"), Ok(Some(Ipv4Addr::new(192, 0, 2, 1))));
        for name in ["broker.example", "192.0.2", "[::1]", ""] {
            assert_eq!(ipv4_literal(name), Ok(None), "{name}");
        }
    }
}
