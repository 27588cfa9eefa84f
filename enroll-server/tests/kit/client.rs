//! A client that writes bytes and reads bytes, with and without TLS.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use shared::message::latest::Answer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than any limit of a test's server.
const LIMIT: Duration = Duration::from_secs(20);

/// A certificate chain, leaf first, and its key in PKCS#8.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Vec<u8>,
}

/// How to connect.
#[derive(Clone)]
pub(crate) struct Tls {
    address: SocketAddr,
    root: Vec<u8>,
    identity: Option<Identity>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[track_caller]
    pub(crate) fn answer(&self) -> Answer<'_> {
        Answer::decode(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Tls {
    pub(crate) fn new(address: SocketAddr, root: &[u8]) -> Self {
        let groups = aws_lc_rs::default_provider().kx_groups;
        Self { address, root: root.to_vec(), identity: None, groups, versions: vec![&rustls::version::TLS13] }
    }

    pub(crate) fn identity(self, identity: &Identity) -> Self {
        Self { identity: Some(identity.clone()), ..self }
    }

    pub(crate) fn groups(self, groups: &[&'static dyn SupportedKxGroup]) -> Self {
        Self { groups: groups.to_vec(), ..self }
    }

    pub(crate) fn versions(self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { versions: versions.to_vec(), ..self }
    }

    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        self.connect_with(&self.config()).await
    }

    /// Settings that keep the tickets of their connections.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.clone())).unwrap();
        let provider = CryptoProvider { kx_groups: self.groups.clone(), ..aws_lc_rs::default_provider() };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match &self.identity {
            Some(Identity { chain, key }) => {
                let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::try_from(key.clone()).unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Arc::new(config)
    }

    pub(crate) async fn connect_with(&self, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        // The end of the handshake and the request are two short writes: the second would wait for the first's acknowledgement.
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(config))
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
    }

    /// One request on a connection of its own.
    pub(crate) async fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Reply> {
        exchange(self.connect().await?, &request(method, path, headers, body)).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.try_request(method, path, "", body).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.request("POST", path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[]).await
    }
}

/// One request without TLS.
pub(crate) async fn http(address: SocketAddr, path: &str) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    exchange(stream, &request("GET", path, "", &[])).await.unwrap()
}

pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() && method == "GET" {
        String::new()
    } else {
        format!("Content-Type: application/cbor\r\nContent-Length: {}\r\n", body.len())
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// Writes `bytes` and reads the answer to the connection's end. A server may answer and close before it has read
/// everything; then writing fails and the answer is there all the same.
pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> io::Result<Reply> {
    let _cut_short = stream.write_all(bytes).await.is_err();
    let _closed = stream.flush().await.is_err();
    parse(&read_to_end(&mut stream).await?)
}

/// Everything until the connection's end; fails where it does not end, or ends without a byte.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    match read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(answer),
    }
}

fn parse(answer: &[u8]) -> io::Result<Reply> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Ok(Reply { status, head, body: answer[end + 4..].to_vec() })
}
