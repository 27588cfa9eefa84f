//! Pauses between attempts: exponential, with full jitter.

use core::time::Duration;

use crate::random;

/// Bounds of the pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the pause after the first failure; it doubles with each further one.
    pub first: Duration,
    /// Highest bound.
    pub most: Duration,
}

/// No receiver can ask for a longer pause.
const MOST_ASKED: Duration = Duration::from_secs(3_600);

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(900) }
    }
}

impl Backoff {
    /// The pause after so many failures, this one included: at least what the receiver asks for, and a random time
    /// below the bound on top. `random` is fresh each time.
    #[must_use]
    pub fn pause(&self, failures: u32, asked: Option<Duration>, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(factor).min(self.most);
        asked.unwrap_or_default().min(MOST_ASKED).saturating_add(random::part(bound, random))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, MOST_ASKED};
    use core::time::Duration;
    use proptest::prelude::*;

    #[test]
    fn the_bound_doubles_up_to_its_highest() {
        let backoff = Backoff::default();
        let almost = |secs| Duration::from_secs(secs) - Duration::from_millis(1);
        for (failures, bound) in [(1, 1), (2, 2), (3, 4), (10, 512), (11, 900), (1_000, 900)] {
            assert_eq!(backoff.pause(failures, None, u64::MAX), almost(bound), "{failures}");
            assert_eq!(backoff.pause(failures, None, 0), Duration::ZERO, "full jitter begins at zero");
        }
    }

    proptest! {
        #[test]
        fn what_the_receiver_asks_for_is_kept_and_bounded(failures: u32, asked in 0_u64..1 << 40, random: u64) {
            let pause = Backoff::default().pause(failures, Some(Duration::from_secs(asked)), random);
            prop_assert!(pause >= Duration::from_secs(asked).min(MOST_ASKED));
            prop_assert!(pause < MOST_ASKED + Backoff::default().most);
        }
    }
}
