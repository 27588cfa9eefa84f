//! Slow and hostile clients on real sockets, many at once, each going on until it is told to stop.
//!
//! They come from addresses of the loopback network, so that limits on addresses can be seen to work.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use shared::endpoint::CHALLENGE;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// What a hostile client does on each of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing at all.
    HalfOpen,
    /// Its ClientHello, byte by byte.
    SlowHandshake,
    /// A request's head, byte by byte.
    SlowHeader,
    /// A request's body, byte by byte.
    SlowBody,
    /// What is no TLS.
    Garbage,
    /// A handshake, and away without a word.
    Vanishes,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::HalfOpen,
        Self::SlowHandshake,
        Self::SlowHeader,
        Self::SlowBody,
        Self::Garbage,
        Self::Vanishes,
    ];
}

/// Clients at work. They stop when this is dropped.
#[derive(Debug)]
pub struct Flood {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
    connections: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

/// From one byte to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// From one connection to the next.
const REST: Duration = Duration::from_millis(500);

impl Flood {
    /// So many clients of all manners; every second one comes from one and the same address, the others each from its
    /// own.
    #[must_use]
    pub fn begin(clients: u32, port: u16, config: &ClientConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (connections, closed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut set = JoinSet::new();
        let hello: Arc<[u8]> = client_hello(config).into();
        let config = Arc::new(config.clone());
        for (number, manner) in (0..clients).zip(Manner::ALL.into_iter().cycle()) {
            let own = Ipv4Addr::from_bits(0x7f02_0000 + number);
            let from = if (number / 6).is_multiple_of(2) { Ipv4Addr::new(127, 1, 0, 1) } else { own };
            let (config, hello, mut stopped) = (Arc::clone(&config), Arc::clone(&hello), stopped.clone());
            let (connections, closed) = (Arc::clone(&connections), Arc::clone(&closed));
            set.spawn(async move {
                let work = async {
                    loop {
                        let hello = Arc::clone(&hello);
                        connections.fetch_add(1, Ordering::Relaxed);
                        // However it ends, another one follows.
                        let _ended = one(manner, from, port, &config, &hello).await;
                        closed.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(REST).await;
                    }
                };
                tokio::select! {
                    () = work => {}
                    _stopped = stopped.wait_for(|stop| *stop) => {}
                }
            });
        }
        Self { stop, clients: set, connections, closed }
    }

    /// Connections that were begun, and those that came to an end.
    #[must_use]
    pub fn connections(&self) -> (u64, u64) {
        (self.connections.load(Ordering::Relaxed), self.closed.load(Ordering::Relaxed))
    }

    /// All clients go, whatever they were at.
    pub async fn end(mut self) {
        let _listened = self.stop.send(true);
        while self.clients.join_next().await.is_some() {}
    }
}

async fn one(
    manner: Manner,
    from: Ipv4Addr,
    port: u16,
    config: &Arc<ClientConfig>,
    hello: &[u8],
) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let head = format!(
        "POST {CHALLENGE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cbor\r\nContent-Length: 4000\r\n\r\n"
    );
    match manner {
        Manner::HalfOpen => to_the_end(stream).await,
        Manner::SlowHandshake => trickle(stream, hello).await,
        Manner::Garbage => {
            let mut stream = stream;
            stream.write_all(&[0xa5; 600]).await?;
            to_the_end(stream).await
        }
        Manner::SlowHeader => trickle(tls(stream, config).await?, head.as_bytes()).await,
        Manner::SlowBody => {
            let mut stream = tls(stream, config).await?;
            stream.write_all(head.as_bytes()).await?;
            trickle(stream, &[0x42; 4000]).await
        }
        Manner::Vanishes => tls(stream, config).await.map(drop),
    }
}

async fn tls(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// Sends byte by byte until the server has enough of it, or all is sent; then waits for the end.
async fn trickle(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        for byte in bytes {
            write.write_all(&[*byte]).await?;
            write.flush().await?;
            tokio::time::sleep(PAUSE).await;
        }
        core::future::pending::<io::Result<()>>().await
    };
    tokio::select! {
        sent = send => sent,
        ended = to_the_end(&mut read) => ended,
    }
}

async fn to_the_end(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut buffer = [0; 512];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn client_hello(config: &ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config.clone()), name).expect("a TLS session");
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("to write into memory");
    bytes
}
