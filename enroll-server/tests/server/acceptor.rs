//! What comes before the first request: a handshake in the smallest pieces, and a client that speaks HTTP/2.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use enroll_server::config::Est;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use shared::endpoint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::kit::client::{exchange, http, request};
use crate::kit::device::{Device, Operational};
use crate::kit::{Site, until};

async fn site() -> Site {
    Box::pin(Site::with(|config| {
        config.est = Some(Est { listen: SocketAddr::from(([127, 0, 0, 1], 0)) });
    }))
    .await
}

/// Sends one byte a segment; where `records`, the first record as many of one byte too.
struct Crumbs {
    stream: TcpStream,
    records: bool,
    /// What is still to be sent of the first record.
    first: Vec<u8>,
    /// So that the server reads them one by one, and not all that came meanwhile.
    pause: Pin<Box<Sleep>>,
    paused: u32,
}

/// Bytes after each of which the sender waits: more than a head of TLS and the beginning of what follows.
const PAUSES: u32 = 400;

impl Crumbs {
    async fn connect(to: SocketAddr, records: bool) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let pause = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { stream, records, first: Vec::new(), pause, paused: 0 }
    }

    fn one(&mut self, byte: u8, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pause.as_mut().poll(context));
        ready!(Pin::new(&mut self.stream).poll_write(context, &[byte]))?;
        if self.paused < PAUSES {
            self.paused += 1;
            self.pause.as_mut().reset(Instant::now() + Duration::from_millis(1));
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(byte) = self.first.first().copied() {
            ready!(self.one(byte, context))?;
            self.first.remove(0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Crumbs {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.send(context))?;
        if core::mem::take(&mut self.records) {
            // RFC 8446, section 5.1: a message may be split over records. rustls hands the whole ClientHello over at once.
            let (head, hello) = bytes.split_at(5);
            assert_eq!((head[0], usize::from(head[3]) << 8 | usize::from(head[4])), (22, hello.len()));
            self.first = hello.iter().flat_map(|byte| [22, head[1], head[2], 0, 1, *byte]).collect();
            return Poll::Ready(Ok(bytes.len()));
        }
        let Some(byte) = bytes.first() else { return Poll::Ready(Ok(0)) };
        ready!(self.one(*byte, context))?;
        Poll::Ready(Ok(1))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Crumbs {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ClientConfig>,
    stream: S,
) -> io::Result<TlsStream<S>> {
    TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// rustls CVE-2024-11738 was a ClientHello that came in pieces.
#[tokio::test]
async fn a_handshake_and_a_request_in_pieces_of_one_byte_are_served() {
    let site = site().await;
    let device = site.device("SN-1").await;
    for records in [false, true] {
        let identity = site.enroll(&device).await;
        let body = Device::renew(&device.id, &Operational::new().csr);
        let config = site.tls().identity(&identity).config();
        let stream = handshake(&config, Crumbs::connect(site.https(), records).await).await.unwrap();
        let reply = exchange(stream, &request("POST", endpoint::RENEW, "", &body)).await.unwrap();
        assert_eq!(reply.status, 200, "with the first record in pieces: {records}: {reply:?}");

        let est = site.server().bound().est.unwrap();
        let stream = handshake(&config, Crumbs::connect(est, records).await).await.unwrap();
        let asked = request("GET", "/.well-known/est/cacerts", "", &[]);
        // The identity was replaced by the renewal, and is still one of two in force.
        assert_eq!(exchange(stream, &asked).await.unwrap().status, 200, "{records}");
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Far below the deadline of a head.
const LONG: Duration = Duration::from_secs(4);
/// How a client of HTTP/2 begins (RFC 9113, section 3.4), with a SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn http_2_is_refused_and_costs_nothing_that_lasts() {
    let site = site().await;
    let device = site.device("SN-1").await;
    let with = |protocols: &[&[u8]]| {
        let mut config = ClientConfig::clone(&site.tls().config());
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    let (only, both, silent) = (with(&[b"h2"]), with(&[b"h2", b"http/1.1"]), with(&[]));
    // Closed at once and in order, without a word: whoever speaks HTTP/2 would not read one of HTTP/1.1.
    let refused = async |stream: &mut (dyn Stream + '_), what: &str| {
        let begun = Instant::now();
        stream.write_all(PREFACE).await.unwrap();
        let mut answer = Vec::new();
        // Where TLS ends without close_notify, rustls says so.
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty() && begun.elapsed() < LONG, "{what}: {answer:?} in {:?}", begun.elapsed());
    };
    let tcp = async |to: SocketAddr| TcpStream::connect(to).await.unwrap();
    for listener in [site.https(), site.server().bound().est.unwrap()] {
        for _ in 0..50 {
            // Who speaks nothing else gets no connection (RFC 7301, section 3.2).
            let error = handshake(&only, tcp(listener).await).await.unwrap_err().to_string();
            assert!(error.contains("NoApplicationProtocol"), "{error}");
            for (config, agreed) in [(&both, Some(&b"http/1.1"[..])), (&silent, None)] {
                let mut stream = handshake(config, tcp(listener).await).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
                refused(&mut stream, "over TLS").await;
            }
        }
    }
    let mut plain = tcp(site.http()).await;
    refused(&mut plain, "without TLS").await;
    until("all places", async || {
        http(site.http(), "/metrics").await.text().contains("enroll_connections_open 1\n")
    })
    .await;
    site.enroll(&device).await;
}
