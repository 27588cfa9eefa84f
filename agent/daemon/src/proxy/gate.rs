//! Spares the broker: after a call that failed, the next one waits a moment, however often programs knock.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// How long no call goes out after one that failed.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// Whether the broker may be called.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Option<(Instant, String)>>);

impl Gate {
    /// # Errors
    /// Why the last call failed, where that was a moment ago.
    pub(super) fn check(&self) -> Result<(), String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((when, why)) if when.elapsed() < MOMENT => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// A call failed.
    pub(super) fn failed(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why));
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, MOMENT};

    #[tokio::test(start_paused = true)]
    async fn closed_for_a_moment_after_a_failure() {
        let gate = Gate::default();
        gate.check().unwrap();
        gate.failed("away".to_owned());
        assert_eq!(gate.check(), Err("away".to_owned()));
        tokio::time::advance(MOMENT).await;
        gate.check().unwrap();
    }
}
