//! A handle with which another task or an interrupt tells a running agent something.

use core::sync::atomic::{AtomicBool, Ordering};

/// Requests to a running agent. May stand in a `static` or behind an `Arc`; setting a flag never blocks.
///
/// The agent looks at it between two steps, in each wait and in each step of a broker session, so within
/// [`Settings::poll`](super::Settings::poll); a step that is under way is finished first.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    renew: AtomicBool,
    status: AtomicBool,
}

impl Control {
    /// Nothing is asked yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { stop: AtomicBool::new(false), renew: AtomicBool::new(false), status: AtomicBool::new(false) }
    }

    /// Asks the agent to leave the broker in order and return. Stays asked.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Asks for a renewal now.
    pub fn renew(&self) {
        self.renew.store(true, Ordering::Relaxed);
    }

    /// Asks to publish the status now.
    pub fn publish_status(&self) {
        self.status.store(true, Ordering::Relaxed);
    }

    /// Whether a stop is asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn has_renew(&self) -> bool {
        self.renew.load(Ordering::Relaxed)
    }

    // Load and store rather than swap: some microcontrollers have no compare-and-swap. There is one reader.
    pub(crate) fn take_renew(&self) -> bool {
        let asked = self.renew.load(Ordering::Relaxed);
        if asked {
            self.renew.store(false, Ordering::Relaxed);
        }
        asked
    }

    pub(crate) fn take_status(&self) -> bool {
        let asked = self.status.load(Ordering::Relaxed);
        if asked {
            self.status.store(false, Ordering::Relaxed);
        }
        asked
    }
}
