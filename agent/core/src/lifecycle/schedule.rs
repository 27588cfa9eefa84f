//! Delays: exponential backoff with full jitter, the server's retry time, and the point of renewal.

use core::time::Duration;

use shared::UnixTime;

/// A thing that is tried again after failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lifecycle) struct Retry {
    at: Duration,
    failures: u32,
}

impl Retry {
    /// Not to be tried before `at`, in uptime.
    #[must_use]
    pub(in crate::lifecycle) const fn at(at: Duration) -> Self {
        Self { at, failures: 0 }
    }

    /// When it may be tried, in uptime.
    #[must_use]
    pub(in crate::lifecycle) const fn due(&self) -> Duration {
        self.at
    }

    /// Whether it may be tried.
    #[must_use]
    pub(in crate::lifecycle) fn is_due(&self, uptime: Duration) -> bool {
        self.at <= uptime
    }

    /// It failed at `uptime`: waits at least `least`, and a random time below a bound that doubles with each
    /// failure from `first` to `most` on top (full jitter).
    pub(in crate::lifecycle) fn fail(
        &mut self,
        uptime: Duration,
        least: Duration,
        first: Duration,
        most: Duration,
        random: u64,
    ) {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let bound = first.saturating_mul(factor).min(most);
        self.at = uptime.saturating_add(least).saturating_add(fraction(bound, random));
        self.failures = self.failures.saturating_add(1).min(MAX_COUNTED);
    }

    /// It succeeded; the next time is not before `at`.
    pub(in crate::lifecycle) const fn succeed(&mut self, at: Duration) {
        *self = Self::at(at);
    }

    /// Moves the next time, keeping the count of failures.
    pub(in crate::lifecycle) const fn set(&mut self, at: Duration) {
        self.at = at;
    }
}

/// More doublings change nothing: the bound is long reached.
const MAX_COUNTED: u32 = 31;

/// A random part of `whole`: from zero to just below it, in milliseconds.
#[must_use]
pub(in crate::lifecycle) fn fraction(whole: Duration, random: u64) -> Duration {
    let millis = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(scale(millis, random))
}

/// The random point from `renew_from` to `renew_by` at which a device renews a certificate issued at
/// `issued` that ends at `not_after`.
///
/// Held between a quarter of the lifetime and its end, so that a server that names a window in the past does
/// not make a device renew without pause.
#[must_use]
pub fn renewal_point(
    renew_from: UnixTime,
    renew_by: UnixTime,
    issued: UnixTime,
    not_after: UnixTime,
    random: u64,
) -> UnixTime {
    let window = renew_by.since(renew_from).as_secs();
    let point = renew_from.as_secs().saturating_add(scale(window.saturating_add(1), random));
    let earliest = issued.as_secs().saturating_add(not_after.since(issued).as_secs() / 4);
    UnixTime::from_secs(point.max(earliest).min(not_after.as_secs()))
}

/// `random` brought evenly into zero to just below `whole`.
fn scale(whole: u64, random: u64) -> u64 {
    // The high half of a 128-bit product: the bias is below whole / 2^64.
    u64::try_from((u128::from(whole) * u128::from(random)) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Retry, fraction, renewal_point};
    use core::time::Duration;
    use proptest::prelude::*;
    use shared::UnixTime;

    const FIRST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(3600);

    #[test]
    fn the_bound_doubles_and_stays_at_its_highest() {
        let mut retry = Retry::default();
        for seconds in [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600] {
            retry.fail(Duration::ZERO, Duration::ZERO, FIRST, MOST, u64::MAX);
            let almost = Duration::from_secs(seconds) - Duration::from_millis(1);
            assert_eq!(retry.due(), almost);
        }
        for _ in 0..100 {
            retry.fail(Duration::ZERO, Duration::ZERO, FIRST, MOST, u64::MAX);
        }
        assert!(retry.due() < MOST);
        retry.fail(Duration::ZERO, Duration::ZERO, FIRST, MOST, 0);
        assert_eq!(retry.due(), Duration::ZERO, "full jitter begins at zero");
    }

    #[test]
    fn a_window_in_the_past_does_not_make_a_device_renew_at_once() {
        let at = UnixTime::from_secs;
        assert_eq!(renewal_point(at(0), at(0), at(1000), at(5000), 7), at(2000));
        assert_eq!(renewal_point(at(9000), at(9000), at(1000), at(5000), 7), at(5000));
    }

    proptest! {
        #[test]
        fn delays_stay_within_their_bounds(failures in 0_u32..40, least in 0_u64..90_000, random: u64, uptime in 0_u64..1 << 40) {
            let mut retry = Retry::default();
            for _ in 0..failures {
                retry.fail(Duration::ZERO, Duration::ZERO, FIRST, MOST, 0);
            }
            let (uptime, least) = (Duration::from_secs(uptime), Duration::from_secs(least));
            retry.fail(uptime, least, FIRST, MOST, random);
            prop_assert!(retry.due() >= uptime + least);
            prop_assert!(retry.due() < uptime + least + MOST);
        }

        #[test]
        fn the_renewal_point_lies_in_its_window(from in 0_u64..1 << 40, length in 0_u64..1 << 30, rest in 0_u64..1 << 30, random: u64) {
            // As a server should have it: the window in the second half of the lifetime.
            let issued = from.saturating_sub(length + rest);
            let at = UnixTime::from_secs;
            let point = renewal_point(at(from), at(from + length), at(issued), at(from + length + rest), random);
            if issued > 0 {
                prop_assert!(point >= at(from) && point <= at(from + length));
            }
        }

        #[test]
        fn a_fraction_is_smaller_than_the_whole(millis in 1_u64.., random: u64) {
            prop_assert!(fraction(Duration::from_millis(millis), random) < Duration::from_millis(millis));
        }
    }

    /// A hundred devices with evenly spread randomness spread evenly: no half of the window is left empty.
    #[test]
    fn jitter_uses_the_whole_range() {
        let early = (0..100_u64).filter(|i| fraction(MOST, i * (u64::MAX / 100)) < MOST / 2).count();
        assert!((49..=51).contains(&early), "{early} of 100 in the first half");
    }
}
