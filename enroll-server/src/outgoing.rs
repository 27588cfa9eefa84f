//! Outgoing HTTP: short bodies to services of the operator's own (webhooks), and the files of a log, with one deadline over all of it.
//!
//! HTTPS, or plain HTTP to this machine only. Follows no redirect, keeps no connection, repeats nothing: who
//! calls decides what a failure means.

use core::net::IpAddr;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::dial::dial;

/// Longest answer that is read.
pub const MAX_REPLY: usize = 16 * 1024;
/// Longest address.
const MAX_URL: usize = 1024;
/// Largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// Where to send: `https://HOST[:PORT]/PATH`, or `http://` to this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: Authority,
    path: String,
    tls: bool,
}

/// Why a text is no address to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an absolute address.
    #[error("expected an address such as https://hooks.example/path")]
    Form,
    /// A scheme other than these two.
    #[error("expected https://, or http:// to this machine")]
    Scheme,
    /// Plain HTTP over a network.
    #[error("http:// goes to this machine only (localhost, 127.0.0.0/8, [::1]); elsewhere it is https://")]
    Plain,
    /// A password in an address ends up in logs.
    #[error("an address holds no user name and no password")]
    Credentials,
}

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// Says what it lacks.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_URL {
            return Err(TargetError::Form);
        }
        let parts = text.parse::<Uri>().map_err(|_| TargetError::Form)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(TargetError::Form);
        };
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials);
        }
        let tls = scheme == Scheme::HTTPS;
        if !tls && scheme != Scheme::HTTP {
            return Err(TargetError::Scheme);
        }
        let path = parts.path_and_query.map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned());
        let target = Self { authority, path, tls };
        if target.host().is_empty() || target.authority.port().is_some_and(|port| port.as_u16() == 0) {
            return Err(TargetError::Form);
        }
        if !tls && !target.is_local() {
            return Err(TargetError::Plain);
        }
        Ok(target)
    }

    /// The host, an IPv6 address without its brackets.
    fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 })
    }

    fn is_local(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl core::fmt::Display for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchors {
    /// Those of the operating system.
    System,
    /// The CA certificates in this file, PEM, and no others.
    File(PathBuf),
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no CA certificate.
    #[error("{}: holds no CA certificate in PEM", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body: at most [`MAX_REPLY`] bytes after a post, what was asked for at most after a get. Of a
    /// [delivery](Outgoing::deliver) what there is of it.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It took longer than allowed.
    #[error("no answer within {limit:?}")]
    TooSlow {
        /// What was allowed.
        limit: Duration,
    },
    /// No connection, or no TLS session.
    #[error("{host}: cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system or TLS says.
        source: io::Error,
    },
    /// The host's name cannot stand in a certificate.
    #[error("{host}: is no name of a server")]
    Name {
        /// The host.
        host: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// The exchange broke off, or was not HTTP.
    #[error("the exchange broke off")]
    Http(#[from] hyper::Error),
    /// A header or the address cannot be sent.
    #[error("the request cannot be written")]
    Request(#[from] axum::http::Error),
    /// The answer is too long.
    #[error("the answer is longer than {most} bytes")]
    TooLong {
        /// Most it may have.
        most: usize,
    },
    /// The answer's body broke off.
    #[error("the answer broke off")]
    Body,
}

/// Sends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    tls: Arc<ClientConfig>,
    limit: Duration,
}

impl Outgoing {
    /// A client that gives up after `limit`: name, connection, TLS, request and answer together.
    ///
    /// # Errors
    /// Where the anchors cannot be read.
    pub fn new(anchors: &Anchors, limit: Duration) -> Result<Self, AnchorsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(anchors)?)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), limit })
    }

    /// Posts `body` with `headers` (its `Content-Type` among them). Any status is an answer.
    ///
    /// # Errors
    /// Where no whole answer came in time.
    pub async fn post(&self, target: &Target, headers: &HeaderMap, body: Bytes) -> Result<Reply, SendError> {
        let exchange = self.exchange(target, request(target, headers, body)?, MAX_REPLY);
        exchange.await.map_err(|broken| broken.why)
    }

    /// As [`post`](Self::post), where the head of the answer says it all: a body that is longer than [`MAX_REPLY`],
    /// breaks off or does not end in time is cut, and the answer is one.
    ///
    /// # Errors
    /// Where no whole head of an answer came in time.
    pub async fn deliver(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Reply, SendError> {
        let exchange = self.exchange(target, request(target, headers, body)?, MAX_REPLY);
        exchange.await.or_else(|Broken { came, why }| came.ok_or(why))
    }

    /// Gets what is below the address of `target` at `path`, at most `most` bytes. Any status is an answer.
    ///
    /// # Errors
    /// Where no whole answer came in time.
    pub async fn get(&self, target: &Target, path: &str, most: usize) -> Result<Reply, SendError> {
        let target =
            Target { path: format!("{}/{path}", target.path.trim_end_matches('/')), ..target.clone() };
        let mut request = request(&target, &HeaderMap::new(), Bytes::new())?;
        *request.method_mut() = Method::GET;
        self.exchange(&target, request, most).await.map_err(|broken| broken.why)
    }

    async fn exchange(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Reply, Broken> {
        let limit = self.limit;
        // Outside of what the deadline drops.
        let mut came = Came::default();
        let sent = tokio::time::timeout(limit, self.send(target, request, most, &mut came)).await;
        let problem = sent.unwrap_or(Err(SendError::TooSlow { limit })).err();
        match (came.reply(), problem) {
            (Some(reply), None) => Ok(reply),
            (came, why) => Err(Broken { came, why: why.unwrap_or(SendError::Body) }),
        }
    }

    async fn send(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
        most: usize,
        came: &mut Came,
    ) -> Result<(), SendError> {
        let unreachable = |source| SendError::Unreachable { host: target.host().to_owned(), source };
        let stream = dial(target.host(), target.port(), self.limit).await.map_err(unreachable)?;
        if !target.tls {
            return converse(stream, request, most, came).await;
        }
        let name = ServerName::try_from(target.host().to_owned())
            .map_err(|source| SendError::Name { host: target.host().to_owned(), source })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(unreachable)?;
        converse(stream, request, most, came).await
    }
}

/// Why there is no whole answer, and what came of one.
struct Broken {
    /// Its head, and as much of its body as came.
    came: Option<Reply>,
    why: SendError,
}

/// An answer as far as it came.
#[derive(Default)]
struct Came {
    head: Option<response::Parts>,
    body: Vec<u8>,
}

impl Came {
    fn reply(self) -> Option<Reply> {
        let head = self.head?;
        Some(Reply { status: head.status, headers: head.headers, body: self.body.into() })
    }

    /// Takes an answer in, with at most `most` bytes of its body.
    async fn read(&mut self, answer: response::Response<Incoming>, most: usize) -> Result<(), SendError> {
        let (head, mut body) = answer.into_parts();
        self.head = Some(head);
        while let Some(frame) = body.frame().await {
            // What are no data are trailers.
            let Ok(mut data) = frame.map_err(|_| SendError::Body)?.into_data() else { continue };
            let room = most.saturating_sub(self.body.len());
            let fits = data.len() <= room;
            data.truncate(room);
            self.body.extend_from_slice(&data);
            if !fits {
                return Err(SendError::TooLong { most });
            }
        }
        Ok(())
    }
}

fn request(
    target: &Target,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, axum::http::Error> {
    let length = HeaderValue::from(body.len());
    let mut request =
        Request::builder().method(Method::POST).uri(target.path.as_str()).body(Full::new(body))?;
    let all = request.headers_mut();
    all.extend(headers.clone());
    all.insert(HOST, HeaderValue::try_from(target.authority.as_str())?);
    all.insert(USER_AGENT, HeaderValue::from_static(concat!("enroll-server/", env!("CARGO_PKG_VERSION"))));
    all.insert(CONTENT_LENGTH, length);
    Ok(request)
}

async fn converse<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    most: usize,
    came: &mut Came,
) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = http1::Builder::new();
    client.max_buf_size(MAX_HEAD).max_headers(64);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        came.read(answer, most).await
    };
    // The connection lives no longer than the exchange: both are polled here, and dropped here.
    let mut connection = core::pin::pin!(connection);
    let mut answer = core::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match (answer.await, ended) {
            // What the connection says is nearer to the cause. Where it broke off behind a head, that is still read.
            (Err(_), Err(error)) => Err(error.into()),
            (answered, _) => answered,
        }
    }
}

/// The CA certificates of `anchors`.
pub(crate) fn roots(anchors: &Anchors) -> Result<RootCertStore, AnchorsError> {
    let mut store = RootCertStore::empty();
    match anchors {
        Anchors::System => {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "some of the system's CA certificates cannot be read");
            }
            // A system without any is no error here: what is sent to this machine needs none.
            let (taken, ignored) = store.add_parsable_certificates(found.certs);
            tracing::debug!(taken, ignored, "the system's CA certificates");
        }
        Anchors::File(path) => {
            for der in certificates(path)? {
                store.add(CertificateDer::from(der))?;
            }
        }
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, AnchorsError> {
    let bytes =
        std::fs::read(path).map_err(|source| AnchorsError::Unreadable { path: path.to_owned(), source })?;
    ca::pem::read_certificates(&bytes).map_err(|_| AnchorsError::Empty { path: path.to_owned() })
}

#[cfg(test)]
mod tests;
