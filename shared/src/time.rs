//! Points in time as the protocol carries them.

use core::fmt;
use core::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// A time from its number of seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// The number of seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// This time and `duration` more; whole seconds, saturating.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// This time less `duration`; whole seconds, never before the epoch.
    #[must_use]
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Year, month, day, hour, minute and second in UTC.
    #[must_use]
    pub const fn to_civil(self) -> (u64, u64, u64, u64, u64, u64) {
        // Days to civil date, proleptic Gregorian calendar, counted from 0000-03-01 in 400-year eras.
        let days = self.0 / 86_400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        let second_of_day = self.0 % 86_400;
        (year, month, day, second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60)
    }

    /// The time of a date in UTC, or `None` where there is no such date or it lies before 1970.
    #[must_use]
    pub const fn from_civil(
        year: u64,
        month: u64,
        day: u64,
        hour: u64,
        minute: u64,
        second: u64,
    ) -> Option<Self> {
        let in_range = year >= 1970 && year <= 9999 && month >= 1 && month <= 12 && day >= 1;
        if !in_range || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let shifted_year = if month <= 2 { year - 1 } else { year };
        let era = shifted_year / 400;
        let year_of_era = shifted_year % 400;
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        Some(Self(days * 86_400 + hour * 3_600 + minute * 60 + second))
    }
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// RFC 3339, to the second, in UTC.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.to_civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::UnixTime;
    use proptest::prelude::*;
    use std::string::ToString as _;

    #[test]
    fn known_dates_are_printed() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_478_400, "2026-11-24T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(UnixTime::from_secs(secs).to_string(), text);
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        assert_eq!(UnixTime::from_civil(2100, 2, 29, 0, 0, 0), None);
        assert_eq!(UnixTime::from_civil(2026, 13, 1, 0, 0, 0), None);
        assert_eq!(UnixTime::from_civil(2026, 1, 0, 0, 0, 0), None);
        assert_eq!(UnixTime::from_civil(2026, 1, 1, 24, 0, 0), None);
        assert_eq!(UnixTime::from_civil(1969, 12, 31, 23, 59, 59), None);
    }

    proptest! {
        #[test]
        fn civil_round_trip(secs in 0_u64..253_402_300_800) {
            let time = UnixTime::from_secs(secs);
            let (y, mo, d, h, mi, s) = time.to_civil();
            prop_assert_eq!(UnixTime::from_civil(y, mo, d, h, mi, s), Some(time));
        }
    }
}
