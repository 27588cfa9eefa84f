//! The accept loop: connections, handshakes and their deadlines.
//!
//! A connection costs nothing before its handshake but a descriptor and a place, which [`crate::admission`] gives.

mod unread;

use core::convert::Infallible;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::admission::{Connected, Gate, Source};
use crate::api::{Peer, PeerAddress};
use crate::config::Limits;
use crate::dashboard;
use crate::est;
use crate::in_force::InForce;
use crate::issuance::ClientIdentity;
use crate::telemetry::Metrics;
use crate::tls::Following;
use unread::Watched;

/// One listener and what answers behind it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) router: Router,
    /// `None` for the listener without TLS.
    pub(crate) tls: Option<Tls>,
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    pub(crate) metrics: Arc<Metrics>,
}

/// How a listener speaks TLS, and so what a client certificate means there.
#[derive(Clone)]
pub(crate) enum Tls {
    /// The native protocol: the handshake has verified an LDevID of ours.
    Native(Arc<InForce<ServerConfig>>),
    /// EST: the handshake has verified that the client has the key of its certificate, whosever that is.
    Est(Arc<Following>),
    /// The dashboard: as for EST; what a certificate is good for, the settings say.
    Dashboard(Arc<Following>),
}

impl Tls {
    /// By what is in force now: certificates and CAs may change while the server runs.
    fn acceptor(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Native(native) => Some(TlsAcceptor::from(native.now())),
            Self::Est(settings) | Self::Dashboard(settings) => match settings.now() {
                Ok(config) => Some(TlsAcceptor::from(config)),
                Err(error) => {
                    tracing::error!(%error, "there are no TLS settings for a listener");
                    None
                }
            },
        }
    }
}

/// What requests are told of the client of their connection. One of EST or of the dashboard is never taken for one of
/// the native protocol.
#[derive(Clone)]
enum Seen {
    Native(Peer),
    Est(Arc<est::Connection>),
    Dashboard(dashboard::Client),
}

/// Pause after an accept that failed, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long the end of a connection waits for a client that reads nothing.
const CLOSE: Duration = Duration::from_secs(1);
/// Longest head of a request.
const MAX_HEAD: usize = 16 * 1024;
/// Most header fields of a request.
const MAX_HEADERS: usize = 32;

/// Serves until `stop`; then finishes what is under way, for as long as the limits allow.
pub(crate) async fn serve(listener: TcpListener, site: Site, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let ending = stop.clone();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok((stream, from)) => (stream, PeerAddress(from)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = match site.gate.connect(Source::from(from.0.ip())) {
            Ok(place) => place,
            Err(full) => {
                site.metrics.turned_away(full);
                continue;
            }
        };
        let (site, stop) = (site.clone(), ending.clone());
        connections.spawn(async move {
            let _open = site.metrics.connected();
            let life = site.limits.connection;
            if tokio::time::timeout(life, connection((stream, from), place, site, stop)).await.is_err() {
                tracing::debug!(?life, "a connection was closed for its age");
            }
        });
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(site.limits.shutdown, finish).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were closed before they had finished");
    }
}

/// Waits until the server stops, or nobody is left who could stop it.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _orphaned = stop.wait_for(|stop| *stop).await.is_err();
}

/// What comes of `work`; `None` where the server stops first, and what is under way is broken off.
pub(crate) async fn unless_stopped<T>(
    stop: &mut watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        () = stopped(stop) => None,
        done = work => Some(done),
    }
}

async fn connection(
    (stream, from): (TcpStream, PeerAddress),
    mut place: Connected,
    site: Site,
    stop: watch::Receiver<bool>,
) {
    // Answers are short; waiting to fill a segment would only add a round trip.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let Some(tls) = &site.tls else {
        place.handshaken();
        return exchange(stream, (Seen::Native(None), from), &place, &site, stop).await;
    };
    let Some(acceptor) = tls.acceptor() else {
        site.metrics.handshake_failed();
        return;
    };
    match tokio::time::timeout(site.limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            place.handshaken();
            let session = stream.get_ref().1;
            let seen = match tls {
                // A ticket is no proof of a key: whoever comes by one is nobody.
                Tls::Native(_) if session.handshake_kind() == Some(HandshakeKind::Resumed) => {
                    Seen::Native(None)
                }
                Tls::Native(_) => {
                    let certificate = session.peer_certificates().and_then(<[_]>::first);
                    // The verifier has read it already; a certificate that cannot be read counts as none.
                    Seen::Native(certificate.and_then(|der| ClientIdentity::from_der(der).ok()))
                }
                Tls::Est(_) => Seen::Est(Arc::new(est::Connection::new(session))),
                Tls::Dashboard(_) => Seen::Dashboard(dashboard::Client::new(session)),
            };
            exchange(stream, (seen, from), &place, &site, stop).await;
        }
        Ok(Err(error)) => {
            site.metrics.handshake_failed();
            tracing::debug!(%error, "a TLS handshake failed");
        }
        Err(_) => {
            site.metrics.handshake_failed();
            tracing::debug!(limit = ?site.limits.handshake, "a TLS handshake took too long");
        }
    }
}

/// HTTP/1.1 over one connection.
async fn exchange<S>(
    stream: S,
    (seen, from): (Seen, PeerAddress),
    place: &Connected,
    site: &Site,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let router = site.router.clone();
        let (parts, body) = request.into_parts();
        let (body, read) = Watched::new(body);
        let mut request = Request::from_parts(parts, Body::new(body));
        match seen.clone() {
            Seen::Native(peer) => drop(request.extensions_mut().insert(peer)),
            Seen::Est(connection) => drop(request.extensions_mut().insert(connection)),
            Seen::Dashboard(client) => drop(request.extensions_mut().insert(client)),
        }
        request.extensions_mut().insert(from);
        request.extensions_mut().insert(place.place());
        let answered = router.oneshot(request);
        async move {
            let mut response = answered.await?;
            read.tell(&mut response);
            Ok::<_, Infallible>(response)
        }
    });
    let mut server = http1::Builder::new();
    // Without the timer the header deadline would do nothing.
    server.timer(TokioTimer::new()).header_read_timeout(site.limits.header);
    server.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let mut connection = server.serve_connection(TokioIo::new(stream), service);
    let ended = match unless_stopped(&mut stop, &mut connection).await {
        Some(ended) => ended,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
        // hyper leaves what it cannot read as it is. Over TLS an end without close_notify is that of an attacker who cut the
        // connection (RFC 8446, section 6.1), and the client could not tell.
        let mut stream = connection.into_parts().io.into_inner();
        let closed = tokio::time::timeout(CLOSE, stream.shutdown()).await;
        tracing::trace!(in_time = closed.is_ok(), "it was closed");
    }
}

#[cfg(test)]
mod tests;
