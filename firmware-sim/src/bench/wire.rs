//! Connections of the load: TLS 1.3 and HTTP/1.1, each device's own.

use core::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::BenchError;
use super::member::Identity;

/// An open connection. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    resumed: bool,
}

impl Wire {
    /// Connects with TLS.
    pub(super) async fn tls(to: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self, BenchError> {
        let failed = |source| BenchError::Connection { to, source };
        let stream = connect(to).await?;
        let name = rustls_pki_types::ServerName::try_from(super::site::HOST)
            .map_err(|_| BenchError::Proc("the server's name"))?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(Self { sender: http(stream).await?, resumed })
    }

    /// Connects without TLS.
    pub(super) async fn plain(to: SocketAddr) -> Result<Self, BenchError> {
        Ok(Self { sender: http(connect(to).await?).await?, resumed: false })
    }

    /// Whether the handshake went by a ticket.
    pub(super) const fn resumed(&self) -> bool {
        self.resumed
    }

    /// Sends a request and waits for the whole answer.
    pub(super) async fn post(
        &mut self,
        path: &'static str,
        kind: &'static str,
        body: Vec<u8>,
    ) -> Result<Bytes, BenchError> {
        let request = Request::post(path).header(HOST, super::site::HOST).header(CONTENT_TYPE, kind);
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| BenchError::Proc("the request"))?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).collect::<String>();
        Err(BenchError::Answer { path, found: format!("{status}: {text}"), expected: "200" })
    }
}

/// TLS settings of a client that trusts `roots`, and shows `identity` where it has one.
pub(super) fn client(
    roots: &Arc<RootCertStore>,
    identity: Option<Identity>,
) -> Result<ClientConfig, BenchError> {
    let provider = Arc::new(rustls::crypto::CryptoProvider {
        // P-256, as small devices have it.
        kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::SECP256R1],
        ..rustls::crypto::aws_lc_rs::default_provider()
    });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(Arc::clone(roots));
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn connect(to: SocketAddr) -> Result<TcpStream, BenchError> {
    let failed = |source| BenchError::Connection { to, source };
    let stream = TcpStream::connect(to).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, BenchError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What breaks off is told to whoever waits for an answer.
        let _ended = connection.await;
    });
    Ok(sender)
}
