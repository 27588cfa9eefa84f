//! Token buckets that are one number each.

use core::time::Duration;

use crate::store::Rate;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// The time in which one token comes.
    interval: Duration,
    /// So many at most.
    holds: u32,
}

impl Fill {
    /// All of `rate` at once where nothing was taken for its time, and `rate` in the long run.
    pub(super) fn all_at_once(rate: Rate) -> Self {
        Self { interval: each(rate), holds: rate.count().get() }
    }

    /// Never more than `rate` in its [`window`]: nine tenths come evenly, one tenth at once.
    pub(super) fn evenly(rate: Rate) -> Self {
        let interval = each(rate).saturating_mul(10) / 9;
        let holds = window(rate).as_nanos() / each(rate).as_nanos().max(1);
        Self { interval, holds: u32::try_from(holds / 10).unwrap_or(u32::MAX).max(1) }
    }

    /// The same with bookings in mind: so far apart are devices told to come again, that there is room for others.
    pub(super) fn spacing(self) -> Duration {
        self.interval.saturating_mul(9) / 8
    }

    /// A part of what a bucket holds.
    pub(super) const fn half(self) -> u32 {
        self.holds / 2
    }
}

/// The time over which a rate is kept: a second, or that of a hundred requests where it is lower than a hundred a
/// second.
#[must_use]
pub fn window(rate: Rate) -> Duration {
    let hundred = rate.period().saturating_mul(100) / rate.count().get();
    hundred.max(Duration::from_secs(1))
}

/// The time of one request, at an even pace.
fn each(rate: Rate) -> Duration {
    rate.period() / rate.count().get()
}

/// A bucket. Full at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// When it is full again.
    full_at: Duration,
}

impl Bucket {
    /// Takes a token where that leaves `rest` in it.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(super) fn take(&mut self, fill: Fill, rest: u32, now: Duration) -> Result<(), Duration> {
        let full_at = self.full_at.max(now).saturating_add(fill.interval);
        let room = fill.interval.saturating_mul(fill.holds.saturating_sub(rest).max(1));
        match full_at.checked_sub(now.saturating_add(room)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.full_at = full_at;
                Ok(())
            }
        }
    }

    /// Takes a token that may not be there: others wait the longer.
    pub(super) fn overdraw(&mut self, fill: Fill, now: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(fill.interval);
    }

    /// Since when it is full; `None` where it is not.
    pub(super) fn full_for(&self, now: Duration) -> Option<Duration> {
        now.checked_sub(self.full_at)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::{Bucket, Fill, window};
    use crate::store::Rate;

    fn taken(fill: Fill, rest: u32, times: impl Iterator<Item = Duration>) -> Vec<Duration> {
        let mut bucket = Bucket::default();
        times.filter(|now| bucket.take(fill, rest, *now).is_ok()).collect()
    }

    #[test]
    fn all_at_once_and_then_at_the_rate() {
        let fill = Fill::all_at_once("60/m".parse().unwrap());
        let times = || (0..3_600_u64).map(|tenth| Duration::from_millis(tenth * 100));
        assert_eq!(taken(fill, 0, times()).iter().filter(|at| **at < Duration::from_secs(1)).count(), 6 + 4);
        // Six minutes: sixty that were there, and one a second.
        assert_eq!(taken(fill, 0, times()).len(), 60 + 359);
    }

    #[test]
    fn the_wait_is_the_time_until_there_is_one() {
        let fill = Fill::all_at_once("1/m".parse().unwrap());
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(fill, 0, Duration::ZERO), Ok(()));
        let wait = bucket.take(fill, 0, Duration::from_secs(10)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(50));
        assert_eq!(bucket.take(fill, 0, Duration::from_secs(10) + wait), Ok(()));
    }

    proptest! {
        /// However requests come, no window sees more than the rate.
        #[test]
        fn no_window_has_more_than_the_rate(
            count in 1_u32..5_000,
            per in prop::sample::select(vec!["s", "m", "h"]),
            pauses in prop::collection::vec(0_u64..40, 200..2_000),
        ) {
            let rate: Rate = format!("{count}/{per}").parse().unwrap();
            let (window, each) = (window(rate), rate.period() / count);
            let mut now = Duration::ZERO;
            // From many at once to a little slower than the rate.
            let times = pauses.iter().map(|pause| { now += each * u32::try_from(*pause).unwrap() / 30; now });
            let taken = taken(Fill::evenly(rate), 0, times);
            let most = window.as_nanos() / each.as_nanos();
            for (index, begin) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|at| **at < *begin + window).count();
                prop_assert!(within as u128 <= most, "{within} in {window:?} at {rate}");
            }
        }
    }
}
