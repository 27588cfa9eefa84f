//! HTTPS for a device: one request, one answer, one connection (HTTP/1.1, RFC 9112).
//!
//! Strict and small: the answer has a Content-Length and no transfer coding, its head is no
//! longer than 1 KiB and its body than the caller's buffer. Not here: redirects, keep-alive,
//! chunks, compression.

mod response;

use core::fmt::Write as _;
use core::net::Ipv6Addr;
use core::pin::pin;

use agent_core::apart::apart;
use agent_core::platform::{ClientIdentity, Reply, Request, Server, SigningKey, Transport, TransportError};
use embassy_time::with_timeout;
use embedded_io_async::{Read, Write};
use embedded_tls::CryptoRngCore;
use shared::endpoint::MEDIA_TYPE;
use shared::limits::MAX_HOST;

use crate::net::{Connector, TimeLimits, within};
use crate::tls::guard::GuardState;
use crate::tls::{Place, Workspace, open};

pub use response::receive;

/// [`Transport`] over any network that has TCP.
#[derive(Debug)]
pub struct Https<'w, 'b, C, R> {
    connector: C,
    rng: R,
    workspace: &'w Workspace<'b>,
    limits: TimeLimits,
}

impl<'w, 'b, C, R> Https<'w, 'b, C, R> {
    /// Shares `workspace` with the MQTT client: they never use it at once.
    pub const fn new(connector: C, rng: R, workspace: &'w Workspace<'b>, limits: TimeLimits) -> Self {
        Self { connector, rng, workspace, limits }
    }
}

impl<K: SigningKey, C: Connector, R: CryptoRngCore> Transport<K> for Https<'_, '_, C, R> {
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        // Whoever has the buffers is still connected: a defect of the caller, who gets an error for it.
        let mut lent = self.workspace.lend().ok_or(TransportError::Tls)?;
        let stream =
            within(self.limits.connect, pin!(self.connector.connect(server.host, server.port))).await?;
        let state = GuardState::new();
        let mut place = Place::new();
        let mut session = apart(pin!(open(
            &mut place,
            stream,
            lent.buffers(),
            &state,
            server,
            identity,
            &mut self.rng,
            self.limits
        )))
        .await?;
        let reply = within(
            self.limits.exchange,
            pin!(async {
                send(&mut session, server, request).await?;
                receive(&mut session, answer).await
            }),
        )
        .await?;
        // The answer is complete: a peer that is gone before the goodbye takes nothing from it.
        if let Some(closing) = place.close(&state) {
            let _said = with_timeout(self.limits.record, pin!(closing)).await;
        }
        Ok(reply)
    }
}

/// Room for the request's head: the longest host and path, and the fixed words.
const REQUEST_HEAD: usize = MAX_HOST + 256;

async fn send(
    session: &mut (impl Write + Read<Error: Into<TransportError>>),
    server: Server<'_>,
    request: Request<'_>,
) -> Result<(), TransportError> {
    let mut head: heapless::String<REQUEST_HEAD> = heapless::String::new();
    write_head(&mut head, server, request).map_err(|_| TransportError::Protocol)?;
    let closed = |_| TransportError::Closed;
    session.write_all(head.as_bytes()).await.map_err(closed)?;
    session.write_all(request.body.unwrap_or_default()).await.map_err(closed)?;
    session.flush().await.map_err(closed)
}

fn write_head(
    head: &mut heapless::String<REQUEST_HEAD>,
    server: Server<'_>,
    request: Request<'_>,
) -> core::fmt::Result {
    let Server { host, port, .. } = server;
    let method = if request.body.is_some() { "POST" } else { "GET" };
    write!(head, "{method} {} HTTP/1.1\r\nHost: ", request.path)?;
    // RFC 3986, section 3.2.2: an IPv6 address stands in brackets.
    if host.parse::<Ipv6Addr>().is_ok() {
        write!(head, "[{host}]:{port}\r\n")?;
    } else {
        write!(head, "{host}:{port}\r\n")?;
    }
    if let Some(body) = request.body {
        write!(head, "Content-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n", body.len())?;
    }
    head.write_str("Connection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use agent_core::x509::Validity;
    use shared::UnixTime;

    use super::*;

    fn head(host: &str, body: Option<&[u8]>) -> std::string::String {
        let validity = Validity::At(UnixTime::from_secs(0));
        let server = Server { host, port: 8443, anchors: &[], validity };
        let mut head = heapless::String::new();
        write_head(&mut head, server, Request { path: "/v1/trust", body }).unwrap();
        head.as_str().into()
    }

    #[test]
    fn heads_are_complete() {
        assert_eq!(
            head("enroll.example", Some(b"abc")),
            "POST /v1/trust HTTP/1.1\r\nHost: enroll.example:8443\r\nContent-Type: application/cbor\r\n\
             Content-Length: 3\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            head("::1", None),
            "GET /v1/trust HTTP/1.1\r\nHost: [::1]:8443\r\nConnection: close\r\n\r\n"
        );
    }
}
