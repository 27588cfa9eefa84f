//! Wall-clock time as a thing that is passed in.
//!
//! Deadlines of connections are not measured with it: they use tokio's monotonic clock.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use shared::UnixTime;

/// Tells the time.
pub trait Clock: Send + Sync + core::fmt::Debug + 'static {
    /// The time now.
    fn now(&self) -> UnixTime;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> UnixTime {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // Before 1970 every certificate is not yet valid: nothing is issued, which is the safe side.
        UnixTime::from_secs(since_epoch.map_or(0, |duration| duration.as_secs()))
    }
}

/// A clock that stands still until it is set; for tests and simulations.
#[derive(Clone, Debug)]
pub struct SettableClock(Arc<AtomicU64>);

impl SettableClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: UnixTime) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_secs())))
    }

    /// Sets all copies of this clock.
    pub fn set(&self, now: UnixTime) {
        self.0.store(now.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for SettableClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.load(Ordering::SeqCst))
    }
}
