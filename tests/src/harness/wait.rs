//! Waiting for something to be seen, time, and ports.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::net::TcpListener;

use shared::UnixTime;

/// How long a test waits for anything: far more than a slow machine needs, so that passing it means "never".
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks `seen` again and again until it gives something.
///
/// # Panics
/// After [`LIMIT`], naming `what` was waited for.
pub fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(waited < LIMIT, "waited {LIMIT:?} in vain for: {what}");
        pause(STEP);
        waited += STEP;
    }
}

/// The time of this machine.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now() -> UnixTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests are the outside world: nobody passes them a clock"
    )]
    let now = std::time::SystemTime::now();
    UnixTime::from_secs(now.duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970").as_secs())
}

/// A TCP port on the loopback interface that nobody listens on, for peers that cannot take port 0.
///
/// From below the range out of which the system serves port 0 and outgoing connections (32768 and up on Linux), and
/// never the same twice in one process: between this look and the peer's own, nobody else is given it.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let next = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
        let port = u16::try_from(FIRST_PORT + next % PORTS).expect("a port below 32768");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST_PORT} on");
}

const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 20_000;
const STEP: Duration = Duration::from_millis(20);

/// Waits so long, for what sends no event.
pub fn pause(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "between two looks at another process, which sends no event"
    )]
    std::thread::sleep(time);
}
