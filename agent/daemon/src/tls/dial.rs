//! From a server's name to a TCP connection, where some of its addresses may lead nowhere.
//!
//! As in RFC 8305: an address that does not answer soon is not given up, the next one is tried beside it, and the
//! first that takes the connection is the one. The order is the resolver's.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Most addresses that are tried, as many as `agent doctor` tries.
const MAX_ADDRESSES: usize = 8;
/// How long an address has for itself. RFC 8305, section 8: the most that is recommended, since a slow mobile network is
/// more common here than a dead address, and a connection that nobody uses is the server's burden.
const STAGGER: Duration = Duration::from_secs(2);

/// A connection to `host` within `limit`, the question for its addresses included.
///
/// # Errors
/// What the last address said; [`io::ErrorKind::TimedOut`] where the time ran out before.
pub(super) async fn dial(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + limit;
    let dialled = timeout_at(end, async {
        let addresses: Vec<_> = lookup_host((host, port)).await?.take(MAX_ADDRESSES).collect();
        first(&addresses, end, TcpStream::connect::<SocketAddr>).await
    });
    dialled.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The first connection that is there. Each address is tried before `end`, whatever becomes of the others.
async fn first<C, F, T>(addresses: &[SocketAddr], end: Instant, connect: C) -> io::Result<T>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let stagger = stagger(end.saturating_duration_since(Instant::now()), addresses.len());
    let mut attempts = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        attempts.spawn(connect(*address));
        // Before its time is over only where it failed.
        if let Ok(Some(outcome)) = timeout(stagger, attempts.join_next()).await {
            match outcome? {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
    }
    while let Some(outcome) = attempts.join_next().await {
        match outcome? {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// How long after an address the next one is tried: soon enough that the last has its share of what is left.
fn stagger(left: Duration, addresses: usize) -> Duration {
    let addresses = u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    STAGGER.min(left / addresses)
}

#[cfg(test)]
mod tests {
    use super::{STAGGER, dial, first, stagger};
    use core::net::SocketAddr;
    use core::time::Duration;
    use std::io;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    /// An address whose port says how it behaves.
    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// Swallows what is sent to it.
    const HOLE: u16 = 1;
    /// Refuses at once.
    const CLOSED: u16 = 2;
    /// Answers, more slowly than its turn lasts.
    const SLOW: u16 = 3;
    /// Answers.
    const GOOD: u16 = 4;

    async fn connect(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            HOLE => core::future::pending().await,
            CLOSED => return Err(io::ErrorKind::ConnectionRefused.into()),
            SLOW => tokio::time::sleep(STAGGER * 2).await,
            _ => {}
        }
        Ok(address.port())
    }

    /// Which address took the connection, and after how long.
    async fn tried(ports: &[u16]) -> (io::Result<u16>, Duration) {
        let begin = Instant::now();
        let addresses: Vec<_> = ports.iter().copied().map(address).collect();
        let end = begin + LIMIT;
        let tried = tokio::time::timeout_at(end, first(&addresses, end, connect)).await;
        (tried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_everything_hides_no_other() {
        for (ports, taken) in [
            (&[GOOD, HOLE][..], GOOD),
            (&[HOLE, GOOD], GOOD),
            (&[HOLE, CLOSED, GOOD], GOOD),
            (&[CLOSED, HOLE, HOLE, GOOD], GOOD),
            (&[HOLE, HOLE, HOLE, HOLE, HOLE, HOLE, HOLE, GOOD], GOOD),
            // It is still listened to while the others are tried.
            (&[SLOW, HOLE, HOLE], SLOW),
        ] {
            let (outcome, after) = tried(ports).await;
            assert_eq!(outcome.unwrap(), taken, "{ports:?}");
            assert!(after < LIMIT, "{ports:?}: {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_address_answers_the_end_says_how() {
        let (outcome, after) = tried(&[CLOSED, CLOSED]).await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(after, Duration::ZERO, "a refusal is not waited out");
        let (outcome, after) = tried(&[HOLE, CLOSED]).await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(after >= LIMIT);
        assert_eq!(tried(&[]).await.0.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn every_address_has_a_turn_within_the_time() {
        for left in [Duration::from_millis(10), Duration::from_secs(1), LIMIT, Duration::from_secs(60)] {
            for addresses in 0..=8 {
                let turn = stagger(left, addresses);
                assert!(turn <= STAGGER && !turn.is_zero());
                assert!(turn * u32::try_from(addresses).unwrap() <= left, "{left:?} for {addresses}");
            }
        }
    }

    /// A listener that nobody asks for its connections swallows what comes after the first ones, as a route that leads
    /// nowhere does.
    #[tokio::test]
    async fn real_addresses_are_dialled_past_a_dead_one() {
        let dead = tokio::net::TcpSocket::new_v4().unwrap();
        dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dead = dead.listen(1).unwrap();
        let hole = dead.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(taken) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(hole)).await
        {
            waiting.push(taken.unwrap());
        }
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [hole, good.local_addr().unwrap()];
        let end = Instant::now() + Duration::from_millis(500);
        let stream = first(&addresses, end, TcpStream::connect::<SocketAddr>).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }

    #[tokio::test]
    async fn a_name_is_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Most systems have an IPv6 address for it too, where nobody listens.
        let stream = dial("localhost", port, LIMIT).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }
}
