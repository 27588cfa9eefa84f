//! How far a run has come that takes minutes to hours.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// From one line to the next. A run of `cargo test` is over before the first.
const EVERY: Duration = Duration::from_secs(60);

/// Says now and then how far a run has come.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    begun: Instant,
    told: Mutex<Instant>,
}

impl Progress {
    /// Of something called `what`, which begins now.
    pub(super) fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self { what, begun: now, told: Mutex::new(now) }
    }

    /// It has come to `done`, of `all` where that is known.
    pub(super) fn at(&self, done: u64, all: Option<u64>) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(*told) < EVERY {
            return;
        }
        *told = now;
        let minutes = now.duration_since(self.begun).as_secs() / 60;
        let of = all.map(|all| format!(" of {all}")).unwrap_or_default();
        #[expect(clippy::print_stdout, reason = "for whoever waits; without --nocapture nobody sees it")]
        {
            println!("{}: {done}{of} after {minutes} min", self.what);
        }
    }
}
