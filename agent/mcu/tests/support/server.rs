//! An honest TLS 1.3 server, on rustls, set up as the enrollment server is.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::network::listen;
use super::pki::{Authority, Identity};

/// A server that answers one connection after the other, as its test says.
pub(crate) struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Its port on the loopback interface.
    pub(crate) port: u16,
}

/// An accepted connection.
pub(crate) type Tls = tokio_rustls::server::TlsStream<TcpStream>;

/// A request as the server got it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// A server for anybody; `fragment` is the longest record it sends.
    pub(crate) async fn start(identity: &Identity, fragment: usize) -> Self {
        Self::with(identity, fragment, None).await
    }

    /// A server for devices of `clients` only.
    pub(crate) async fn mutual(identity: &Identity, clients: &Authority) -> Self {
        Self::with(identity, 4096, Some(clients)).await
    }

    async fn with(identity: &Identity, fragment: usize, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        });
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let builder = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(authority.der.clone())).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
                )
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Always(certified(identity))));
        config.max_fragment_size = Some(fragment);
        let (listener, port) = listen().await;
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), port }
    }

    /// The next connection, its handshake done.
    pub(crate) async fn accept(&self) -> io::Result<Tls> {
        let (tcp, _) = self.listener.accept().await?;
        tcp.set_nodelay(true)?;
        self.acceptor.accept(tcp).await
    }

    /// Serves one exchange: hears a request, says `answer` as it stands, waits for the end.
    pub(crate) async fn answer(&self, answer: &[u8]) -> io::Result<Heard> {
        let mut tls = self.accept().await?;
        let heard = hear(&mut tls).await?;
        tls.write_all(answer).await?;
        tls.flush().await?;
        let mut rest = Vec::new();
        // The device says goodbye and is gone.
        tls.read_to_end(&mut rest).await?;
        assert!(rest.is_empty(), "bytes behind the request: {rest:?}");
        Ok(heard)
    }
}

/// Reads one request.
pub(crate) async fn hear(tls: &mut Tls) -> io::Result<Heard> {
    let mut text = Vec::new();
    let end = loop {
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        text.push(tls.read_u8().await?);
    };
    let head = String::from_utf8(text[..end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    tls.read_exact(&mut body).await?;
    Ok(Heard { head, body })
}

/// An answer with its length.
pub(crate) fn http(status: u16, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// Shows one certificate to everybody, however wrong it is.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let chain = identity.chain.iter().cloned().map(CertificateDer::from).collect();
    Arc::new(CertifiedKey::new(chain, aws_lc_rs::sign::any_ecdsa_type(&key).unwrap()))
}
