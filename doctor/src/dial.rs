//! From a name to a connection: all addresses, with a limit of time on each step.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::finding::{Cause, Finding};

/// Most addresses that are tried.
const MAX_ADDRESSES: usize = 8;

/// The addresses of a host.
pub(crate) async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, Finding> {
    let refuse = |found: String| Finding::new(Cause::NameNotFound, host, found, "an address for the name");
    let found = timeout(limit, tokio::net::lookup_host((host, port))).await;
    match found {
        Err(_) => Err(refuse("the name servers do not answer".to_owned())),
        Ok(Err(error)) => Err(refuse(error.to_string())),
        Ok(Ok(addresses)) => {
            let all: Vec<_> = addresses.take(MAX_ADDRESSES).collect();
            if all.is_empty() { Err(refuse("the name has no address".to_owned())) } else { Ok(all) }
        }
    }
}

/// A connection to the first address that takes one, with what became of those before.
pub(crate) async fn connect(
    target: &str,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<(TcpStream, SocketAddr, Vec<String>), Finding> {
    let mut failures = Vec::new();
    let mut refused = false;
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address, failures)),
            Ok(Err(error)) => {
                refused |= error.kind() == io::ErrorKind::ConnectionRefused;
                failures.push(format!("{address}: {error}"));
            }
            Err(_) => failures.push(format!("{address}: no answer within {} s", limit.as_secs())),
        }
    }
    let cause = if refused { Cause::PortClosed } else { Cause::NoAnswer };
    Err(Finding::new(cause, target, failures.join("; "), "a server that takes the connection"))
}
