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
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes,
};
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
    /// The certificate in use, as far as is known. Told anew before a connection is carried.
    pub(super) in_use: watch::Sender<Option<Fingerprint>>,
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

/// Returns when the certificate was replaced long enough ago, or the identity erased.
async fn outdated(mine: Fingerprint, terms: &Terms) -> End {
    let mut in_use = terms.in_use.subscribe();
    // Of the first sight of another certificate; a further renewal gives no more time.
    let mut since = None;
    loop {
        let current = *in_use.borrow_and_update();
        match current {
            None => return End::Erased,
            // What was known may have been older than this one, where the records could not be read as it was opened.
            Some(current) if current == mine => since = None,
            Some(_) => since = since.or_else(|| Some(Instant::now())),
        }
        tokio::select! {
            biased;
            // Never an error: the terms hold a sender.
            Ok(()) = in_use.changed() => {}
            drain = drained(since, terms.drain) => return End::Drained(drain),
        }
    }
}

/// Returns when `drain` has passed since then; never where one of them is missing.
async fn drained(since: Option<Instant>, drain: Option<Duration>) -> Duration {
    match since.zip(drain) {
        Some((since, drain)) => {
            sleep_until(since + drain).await;
            drain
        }
        None => core::future::pending().await,
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
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
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

#[cfg(test)]
mod tests {
    use super::{BUFFER, End, Fingerprint, Moved, Terms, carry};
    use core::sync::atomic::{AtomicU64, Ordering};
    use core::time::Duration;
    use shared::UnixTime;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::watch;
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, timeout};

    const MINE: Fingerprint = [1; 32];
    const NEXT: Fingerprint = [2; 32];
    const OTHER: Fingerprint = [3; 32];
    /// What the pipes of these tests hold, in bytes.
    const PIPE: usize = 1024;

    struct Carried {
        program: DuplexStream,
        broker: DuplexStream,
        in_use: watch::Sender<Option<Fingerprint>>,
        end: JoinHandle<(End, u64, u64)>,
    }

    fn start(idle: Duration, drain: Option<Duration>) -> Carried {
        start_until(idle, drain, UnixTime::from_secs(u64::MAX), || UnixTime::from_secs(1))
    }

    fn start_until(idle: Duration, drain: Option<Duration>, ends: UnixTime, clock: super::Clock) -> Carried {
        let (program, inner) = duplex(PIPE);
        let (mut outer, broker) = duplex(PIPE);
        let in_use = watch::Sender::new(Some(MINE));
        let known = in_use.clone();
        let end = tokio::spawn(async move {
            let terms = Terms { idle, drain, in_use: known };
            let moved = Moved::default();
            let end = carry(Box::new(inner), &mut outer, (MINE, ends), &terms, clock, &moved).await;
            (end, moved.sent.load(Ordering::Relaxed), moved.received.load(Ordering::Relaxed))
        });
        Carried { program, broker, in_use, end }
    }

    const HOUR: Duration = Duration::from_secs(3_600);
    const DRAIN: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn each_direction_ends_by_itself() {
        let Carried { mut program, mut broker, in_use: _in_use, end } = start(HOUR, None);
        program.write_all(b"last words").await.unwrap();
        program.shutdown().await.unwrap();
        let mut heard = Vec::new();
        broker.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        // The broker still answers a program that has said all it had to say.
        broker.write_all(b"an answer").await.unwrap();
        drop(broker);
        let mut heard = Vec::new();
        program.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"an answer");
        let (end, sent, received) = end.await.unwrap();
        assert!(matches!(end, End::Done), "{end}");
        assert_eq!((sent, received), (10, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_read_stops_the_other_and_is_closed_in_the_end() {
        let idle = Duration::from_secs(60);
        let Carried { program: _silent, mut broker, in_use: _in_use, end } = start(idle, None);
        let flood = async {
            let mut written = 0;
            while let Ok(more) = broker.write(&[7; 512]).await {
                written += more;
                if more == 0 {
                    break;
                }
            }
            written
        };
        let written = timeout(HOUR, flood).await.expect("the tunnel ends");
        assert!(written <= BUFFER + 2 * PIPE, "{written} bytes were taken for one that reads none");
        assert!(matches!(end.await.unwrap().0, End::Idle(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_keeps_it_open() {
        let idle = Duration::from_secs(60);
        let Carried { mut program, mut broker, in_use: _in_use, end } = start(idle, None);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(59)).await;
            broker.write_all(b".").await.unwrap();
            program.read_u8().await.unwrap();
        }
        let begin = Instant::now();
        assert!(matches!(end.await.unwrap().0, End::Idle(_)));
        assert!((59..62).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_is_waited_out_as_long_as_the_settings_say() {
        for (drain, expected) in [(Some(Duration::from_secs(600)), 600), (Some(Duration::ZERO), 0)] {
            let Carried { program: _program, broker: _broker, in_use, end } = start(HOUR, drain);
            tokio::time::sleep(Duration::from_secs(5)).await;
            let begin = Instant::now();
            in_use.send_replace(Some(NEXT));
            assert!(matches!(end.await.unwrap().0, End::Drained(_)));
            assert_eq!(begin.elapsed().as_secs(), expected);
        }
        let Carried { program: _program, broker: _broker, in_use, end } = start(HOUR, None);
        in_use.send_replace(Some(NEXT));
        assert!(matches!(end.await.unwrap().0, End::Idle(_)), "without a limit a renewal ends nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn an_erased_identity_ends_it_at_once() {
        let Carried { program: _program, broker: _broker, in_use, end } = start(HOUR, None);
        let begin = Instant::now();
        in_use.send_replace(None);
        assert!(matches!(end.await.unwrap().0, End::Erased));
        assert_eq!(begin.elapsed().as_secs(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_erased_identity_ends_it_at_once_also_while_a_renewal_is_waited_out() {
        let Carried { program: _program, broker: _broker, in_use, end } = start(HOUR, Some(DRAIN));
        in_use.send_replace(Some(NEXT));
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begin = Instant::now();
        in_use.send_replace(None);
        assert!(matches!(end.await.unwrap().0, End::Erased));
        assert_eq!(begin.elapsed().as_secs(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_certificate_turns_out_to_be_in_use_is_not_drained() {
        let Carried { program: _program, broker: _broker, in_use, end } = start(HOUR, Some(DRAIN));
        // What was known was older than what it was opened with.
        in_use.send_replace(Some(OTHER));
        tokio::time::sleep(Duration::from_secs(2)).await;
        in_use.send_replace(Some(MINE));
        assert!(matches!(end.await.unwrap().0, End::Idle(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_renewal_gives_no_more_time() {
        let Carried { program: _program, broker: _broker, in_use, end } = start(HOUR, Some(DRAIN));
        let begin = Instant::now();
        in_use.send_replace(Some(NEXT));
        tokio::time::sleep(DRAIN / 2).await;
        in_use.send_replace(Some(OTHER));
        assert!(matches!(end.await.unwrap().0, End::Drained(_)));
        assert_eq!(begin.elapsed().as_secs(), DRAIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_outlives_its_certificate_whatever_the_clock_does() {
        static NOW: AtomicU64 = AtomicU64::new(1_000);
        let clock = || UnixTime::from_secs(NOW.load(Ordering::Relaxed));
        let Carried { program: _program, broker: _broker, in_use: _in_use, end } =
            start_until(HOUR, None, UnixTime::from_secs(5_000), clock);
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_secs(45)).await;
        // The clock is set, and the certificate turns out to have ended.
        NOW.store(5_001, Ordering::Relaxed);
        assert!(matches!(end.await.unwrap().0, End::CertificateEnded));
        assert!(begin.elapsed() <= Duration::from_secs(75), "{:?}", begin.elapsed());
    }
}
