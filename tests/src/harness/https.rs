//! A small HTTP/1.1 client, with and without TLS, for looking at the server from outside and for attacking it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use shared::message::latest::Answer;

use super::wait::LIMIT;

/// A certificate chain in DER, leaf first, and its key in PKCS#8.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// Leaf first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 in DER.
    pub key: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as a message of the protocol.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn answer(&self) -> Answer<'_> {
        Answer::decode(&self.body)
            .unwrap_or_else(|error| panic!("status {}: {error}: {:?}", self.status, self.body))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The rustls settings of a test client: TLS 1.3, `root` in DER as the only anchor.
///
/// # Panics
/// Where a certificate or key cannot be used.
#[must_use]
pub fn client_config(root: &[u8], identity: Option<&ClientKey>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).expect("a trust anchor");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    match identity {
        Some(ClientKey { chain, key }) => {
            let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivateKeyDer::try_from(key.clone()).expect("a key in PKCS#8");
            builder.with_client_auth_cert(chain, key).expect("certificate and key belong together")
        }
        None => builder.with_no_client_auth(),
    }
}

/// A TLS connection to `localhost`, its handshake not yet done.
///
/// # Panics
/// Where nobody listens.
#[must_use]
pub fn connect(port: u16, config: ClientConfig) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a TLS session");
    StreamOwned::new(session, tcp(port))
}

/// Sends one request over TLS; `body` makes it a `POST` of CBOR.
///
/// # Panics
/// Where the connection breaks or the answer is not HTTP.
#[must_use]
pub fn https(port: u16, config: ClientConfig, path: &str, body: Option<&[u8]>) -> Reply {
    exchange(connect(port, config), path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// As [`https`], to a server that may not be there, or die before it has answered.
///
/// # Errors
/// Where the whole answer does not come.
///
/// # Panics
/// Where the settings cannot be used.
pub fn try_https(port: u16, config: ClientConfig, path: &str, body: Option<&[u8]>) -> std::io::Result<Reply> {
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a TLS session");
    exchange(StreamOwned::new(session, try_tcp(port)?), path, body)
}

/// An operator's call without a body, by `POST`, with the bearer token `token`.
///
/// # Panics
/// Where the connection breaks.
#[must_use]
pub fn operator(port: u16, root: &[u8], token: &str, path: &str) -> Reply {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    send(connect(port, client_config(root, None)), &format!("POST {path}"), &headers, &[])
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Sends one request without TLS.
///
/// # Panics
/// Where the connection breaks or the answer is not HTTP.
#[must_use]
pub fn http(port: u16, path: &str) -> Reply {
    exchange(tcp(port), path, None).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Sends one request over `stream` and reads the answer to its end.
///
/// # Errors
/// Where the connection breaks before the whole answer is there, or the answer is not HTTP.
pub fn exchange(stream: impl Read + Write, path: &str, body: Option<&[u8]>) -> std::io::Result<Reply> {
    let Some(body) = body else { return send(stream, &format!("GET {path}"), "", &[]) };
    let kind = shared::endpoint::MEDIA_TYPE;
    let headers = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    send(stream, &format!("POST {path}"), &headers, body)
}

/// Sends one request, whose first line begins with `call` (method and path), with these headers, each with its line end,
/// besides those of every request; reads the answer to its end.
///
/// # Errors
/// As [`exchange`].
pub fn send(mut stream: impl Read + Write, call: &str, headers: &str, body: &[u8]) -> std::io::Result<Reply> {
    let head = format!("{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    stream.flush()?;
    let answer = read_answer(&mut stream)?;
    parsed(&answer)
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "an answer that is cut"))
}

/// Reads an answer to the end of its connection.
pub(super) fn read_answer(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        // A server that closes without close_notify has still said all that its Content-Length promises.
        if answer.is_empty() || error.kind() != std::io::ErrorKind::UnexpectedEof {
            return Err(error);
        }
    }
    Ok(answer)
}

pub(super) fn parse(answer: &[u8]) -> Reply {
    parsed(answer).expect("a whole answer of HTTP")
}

/// `None` where it is cut, or not HTTP.
fn parsed(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok())?;
    let reply = Reply { status, head, body: answer[end + 4..].to_vec() };
    let length = reply.header("content-length").map(str::parse);
    length.is_none_or(|length| length == Ok(reply.body.len())).then_some(reply)
}

fn tcp(port: u16) -> TcpStream {
    try_tcp(port).expect("somebody listens")
}

fn try_tcp(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}
