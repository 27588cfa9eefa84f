//! A TLS server in the test's own process: reads one request, answers with prepared bytes.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::pki::{Ca, Leaf};

/// What the server does after the handshake.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Reads the request, sends these bytes, closes.
    Answer(Vec<u8>),
    /// Reads the request, sends these bytes, and then nothing more, for ever.
    Stall(Vec<u8>),
}

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Requests as they came, and the client certificate's DER where there was one.
    pub(crate) requests: mpsc::UnboundedReceiver<(String, Option<Vec<u8>>)>,
    _task: tokio::task::JoinSet<()>,
}

/// Settings of the server's TLS.
pub(crate) struct Tls<'a> {
    pub(crate) identity: &'a Leaf,
    pub(crate) client_ca: Option<&'a Ca>,
    pub(crate) version: &'static rustls::SupportedProtocolVersion,
}

impl<'a> Tls<'a> {
    pub(crate) fn of(identity: &'a Leaf) -> Self {
        Self { identity, client_ca: None, version: &rustls::version::TLS13 }
    }
}

/// Starts a server on a free port of this machine.
pub(crate) async fn start(tls: Tls<'_>, behaviour: Behaviour) -> Server {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[tls.version])
        .unwrap();
    let builder = match tls.client_ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(ca.der.clone())).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let chain = tls.identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(tls.identity.key.serialize_der()).unwrap();
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = mpsc::unbounded_channel();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let client = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
            let Some(request) = read_request(&mut stream).await else { continue };
            sender.send((request, client)).unwrap();
            let (Behaviour::Answer(bytes) | Behaviour::Stall(bytes)) = &behaviour;
            // The client may hang up in the middle of an answer that it does not want.
            let sent = stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok();
            if sent && matches!(behaviour, Behaviour::Stall(_)) {
                core::future::pending::<()>().await;
            }
            let _closed = stream.shutdown().await;
        }
    });
    Server { port, requests, _task: task }
}

/// The head, and a body as long as the head says.
async fn read_request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 2048];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// An HTTP answer with this body.
pub(crate) fn http(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
