//! The sign of life that the flow gives whenever it gets on: no timer of its own, so that an agent that hangs
//! falls silent.

use core::time::Duration;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::time::Instant;

use crate::systemd::Notifier;

/// Passes signs of life on to the service manager's watchdog, at most every half of its period. Clones share
/// one state.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    notifier: Notifier,
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl Heartbeat {
    /// A heartbeat that nobody listens to.
    #[must_use]
    pub const fn silent() -> Self {
        Self(None)
    }

    /// A heartbeat for a watchdog that strikes after `period`.
    #[must_use]
    pub fn new(notifier: Notifier, period: Duration) -> Self {
        Self(Some(Arc::new(Inner { notifier, every: period / 2, last: Mutex::new(None) })))
    }

    /// The flow got on. Cheap; call it often.
    pub fn beat(&self) {
        let Some(inner) = &self.0 else { return };
        let now = Instant::now();
        let mut last = inner.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.duration_since(last) >= inner.every) {
            inner.notifier.notify("WATCHDOG=1");
            *last = Some(now);
        }
    }

    /// The longest that the flow may wait without a beat.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        self.0.as_ref().map_or(Duration::MAX, |inner| inner.every)
    }
}
