//! HTTPS to the enrollment server: one connection for each request, everything bounded in size and time.
//!
//! Knows nothing of what the bodies mean.

use agent_core::platform::{ClientIdentity, Reply, Request, Server, SigningKey, Transport, TransportError};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::config::Timeouts;
use crate::heartbeat::Heartbeat;
use crate::tls;

/// Longest head of an answer, in bytes; hyper allows no less than 8192.
const MAX_HEAD: usize = 8192;
/// Most header fields of an answer.
const MAX_FIELDS: usize = 32;

/// [`Transport`] over tokio, rustls and hyper.
#[derive(Clone, Debug)]
pub struct HttpsTransport {
    timeouts: Timeouts,
    heartbeat: Heartbeat,
}

impl HttpsTransport {
    /// A transport with these limits in time, which tells `heartbeat` that the flow is alive.
    #[must_use]
    pub const fn new(timeouts: Timeouts, heartbeat: Heartbeat) -> Self {
        Self { timeouts, heartbeat }
    }
}

impl<K: SigningKey + Clone + Send + Sync + 'static> Transport<K> for HttpsTransport {
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        self.heartbeat.beat();
        let exchange = Box::pin(self.exchange_without_deadline(server, identity, request, answer));
        let outcome = timeout(self.timeouts.exchange, exchange).await;
        self.heartbeat.beat();
        outcome.map_err(|_| TransportError::TimedOut)?
    }
}

impl HttpsTransport {
    async fn exchange_without_deadline<K: SigningKey + Clone + Send + Sync + 'static>(
        &self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        let stream = tls::connect(server, identity, &self.timeouts).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| from_hyper(&error))?;
        let mut exchange = core::pin::pin!(async {
            let request = http_request(server, request)?;
            let response = sender.send_request(request).await.map_err(|error| from_hyper(&error))?;
            let status = response.status().as_u16();
            let length = read_body(response.into_body(), answer).await?;
            Ok(Reply { status, length })
        });
        let mut connection = core::pin::pin!(connection);
        // The connection may end before the last part of the answer was taken out of it.
        tokio::select! {
            biased;
            outcome = &mut exchange => return outcome,
            ended = &mut connection => if let Err(error) = ended {
                tracing::debug!(%error, "the HTTPS connection failed");
            },
        }
        exchange.await
    }
}

fn http_request(
    server: Server<'_>,
    request: Request<'_>,
) -> Result<hyper::Request<Full<Bytes>>, TransportError> {
    let is_ipv6 = server.host.contains(':');
    let host = if is_ipv6 { format!("[{}]", server.host) } else { server.host.to_owned() };
    let builder = hyper::Request::builder()
        .uri(request.path)
        .header(header::HOST, format!("{host}:{}", server.port))
        .header(header::USER_AGENT, concat!("agent/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, shared::endpoint::MEDIA_TYPE)
        .header(header::CONNECTION, "close");
    let built = match request.body {
        Some(body) => builder
            .method(Method::POST)
            .header(header::CONTENT_TYPE, shared::endpoint::MEDIA_TYPE)
            .body(Full::from(Bytes::copy_from_slice(body))),
        None => builder.method(Method::GET).body(Full::default()),
    };
    built.map_err(|_| TransportError::Protocol)
}

/// Reads the body to its end into the front of `answer`.
async fn read_body(mut body: hyper::body::Incoming, answer: &mut [u8]) -> Result<usize, TransportError> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| from_hyper(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        let end = length + data.len();
        answer.get_mut(length..end).ok_or(TransportError::TooLarge)?.copy_from_slice(data);
        length = end;
    }
    Ok(length)
}

fn from_hyper(error: &hyper::Error) -> TransportError {
    let mut source: Option<&(dyn core::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return tls::from_io(io);
        }
        source = inner.source();
    }
    if error.is_parse() { TransportError::Protocol } else { TransportError::Closed }
}
