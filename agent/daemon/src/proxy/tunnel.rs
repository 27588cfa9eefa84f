//! One connection of a program: its first bytes are looked at, the broker is called, then bytes go both ways until
//! there is a reason to end.
//!
//! Nothing of MQTT is understood but the first byte: a program that speaks something else, such as a web page that was
//! made to call this port, never causes a call to the broker.

use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use shared::UnixTime;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::gate::Gate;
use super::listener::Stream;
use super::source::{Clock, Fingerprint, NoUpstream, Source, Upstream};

/// How long a program may take until it says something (MQTT 5, section 3.1: the first packet is CONNECT).
const FIRST_WORD: Duration = Duration::from_secs(10);
/// The first byte of CONNECT: type 1, flags 0 (MQTT 5, section 3.1.1; MQTT 3.1.1 has the same).
const CONNECT: u8 = 0x10;
/// Most bytes that are under way in each direction, beside those in the kernel and in one TLS record.
pub(super) const BUFFER: usize = 8 * 1024;
/// How often the end of a certificate is held against the clock, which may be set meanwhile.
const GLANCE: Duration = Duration::from_secs(30);

/// What a connection may do, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) idle: Duration,
    pub(super) drain: Option<Duration>,
    /// The certificate in use, as it changes.
    pub(super) in_use: watch::Receiver<Option<Fingerprint>>,
}

/// Why a connection was not carried to the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the program left before it said anything")]
    Left,
    #[error("the program said nothing for {} s", FIRST_WORD.as_secs())]
    Silent,
    #[error("the first byte is {0:#04x} and not 0x10: this is no MQTT client, or one that expects TLS here")]
    NotMqtt(u8),
    #[error("the last call to the broker failed a moment ago: {0}")]
    Moment(String),
    #[error(transparent)]
    NoUpstream(#[from] NoUpstream),
    #[error("the broker ended the connection at once: {0}")]
    Dropped(io::Error),
}

/// How a connection that was carried ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("both sides had said everything")]
    Done,
    #[error("the connection failed: {0}")]
    Failed(io::Error),
    #[error("nothing was said, or nothing could be handed on, for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("the certificate it was opened with ended")]
    CertificateEnded,
    #[error("another certificate is in use since {} s", .0.as_secs())]
    Drained(Duration),
    #[error("the device's identity was erased")]
    Erased,
}

/// How much went which way.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// When the last byte moved, in milliseconds since the start.
    last: AtomicU64,
}

/// Opens the way to the broker; returns it with the first bytes already under way.
pub(super) async fn open(
    client: &mut Box<dyn Stream>,
    source: &Source,
    gate: &Gate,
    moved: &Moved,
) -> Result<Upstream, Refusal> {
    let mut first = vec![0; BUFFER];
    let read = timeout(FIRST_WORD, client.read(&mut first)).await.map_err(|_| Refusal::Silent)?;
    let first = match read {
        Ok(length) => first.get(..length).unwrap_or_default(),
        Err(_) => return Err(Refusal::Left),
    };
    match first {
        [] => return Err(Refusal::Left),
        [CONNECT, ..] => {}
        [other, ..] => return Err(Refusal::NotMqtt(*other)),
    }
    gate.check().map_err(Refusal::Moment)?;
    let mut upstream = match source.connect().await {
        Ok(upstream) => upstream,
        Err(error) => {
            gate.failed(error.to_string());
            return Err(error.into());
        }
    };
    let send = async {
        upstream.stream.write_all(first).await?;
        upstream.stream.flush().await
    };
    let sent = timeout(source.timeouts().exchange, send).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Refusal::Dropped)?;
    moved.sent.fetch_add(first.len() as u64, Ordering::Relaxed);
    Ok(upstream)
}

/// Carries bytes both ways. What one side does not take stays with the other one: at most [`BUFFER`] bytes each way wait
/// here. The end of one direction is passed on, and the other one goes on.
pub(super) async fn carry<U: AsyncRead + AsyncWrite + Unpin>(
    client: Box<dyn Stream>,
    upstream: &mut U,
    of: (Fingerprint, UnixTime),
    terms: &Terms,
    clock: Clock,
    moved: &Moved,
) -> End {
    let start = Instant::now();
    let mut client = Counted { stream: client, moved, start };
    let copy = copy_bidirectional_with_sizes(&mut client, upstream, BUFFER, BUFFER);
    tokio::select! {
        biased;
        done = copy => done.map_or_else(End::Failed, |_| End::Done),
        () = idle(moved, start, terms.idle) => End::Idle(terms.idle),
        () = ended(of.1, clock) => End::CertificateEnded,
        end = outdated(of.0, terms) => end,
    }
}

/// Returns when nothing has moved for `limit`.
async fn idle(moved: &Moved, start: Instant, limit: Duration) {
    loop {
        let quiet_since = start + Duration::from_millis(moved.last.load(Ordering::Relaxed));
        if quiet_since.elapsed() >= limit {
            return;
        }
        sleep_until(quiet_since + limit).await;
    }
}

/// Returns when the certificate has ended.
async fn ended(ends: UnixTime, clock: Clock) {
    loop {
        let now = clock();
        if now > ends {
            return;
        }
        let left = Duration::from_secs(ends.as_secs().saturating_sub(now.as_secs()).saturating_add(1));
        sleep(left.min(GLANCE)).await;
    }
}

/// Returns when the certificate was replaced long enough ago, or erased.
async fn outdated(mine: Fingerprint, terms: &Terms) -> End {
    let mut in_use = terms.in_use.clone();
    loop {
        let current = *in_use.borrow_and_update();
        match (current, terms.drain) {
            (None, _) => return End::Erased,
            (Some(other), Some(drain)) if other != mine => {
                sleep(drain).await;
                return End::Drained(drain);
            }
            _ => {}
        }
        // The sender goes with the proxy, which takes this task along.
        if in_use.changed().await.is_err() {
            core::future::pending::<()>().await;
        }
    }
}

/// Counts what goes through: every byte of a tunnel is read from the program or written to it.
struct Counted<'m> {
    stream: Box<dyn Stream>,
    moved: &'m Moved,
    start: Instant,
}

impl Counted<'_> {
    fn count(&self, counter: &AtomicU64, bytes: usize) {
        if bytes > 0 {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
            let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.moved.last.store(now, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Counted<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.count(&self.moved.sent, buffer.filled().len().saturating_sub(before));
        polled
    }
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.count(&self.moved.received, written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
