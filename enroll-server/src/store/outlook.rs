//! What lies ahead and what happened lately, in numbers: for a look at the whole.

use core::time::Duration;

use shared::UnixTime;

use super::Reply;

/// The store as those see it who look at the whole.
///
/// To implement: what is read is bounded, however large the fleet is.
pub trait Outlook: Send + Sync {
    /// How many certificates in force end on which day, by rising day; those that ended are left out.
    fn endings(&self, now: UnixTime) -> Reply<'_, Vec<(Day, u64)>>;

    /// What happened since `since`.
    fn activity(&self, since: UnixTime) -> Reply<'_, Activity>;

    /// The latest time that the newest events say, by the clocks of all servers; `None` before the first one.
    fn latest(&self) -> Reply<'_, Option<UnixTime>>;

    /// How busy the store is; asks no database.
    fn load(&self) -> StoreLoad;
}

/// How busy a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLoad {
    /// Transactions committed since it was opened: fewer than changes, because changes are committed in groups.
    pub commits: u64,
    /// Changes that wait for the writer.
    pub waiting: usize,
    /// How many can wait.
    pub queue: usize,
}

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub u64);

/// An hour in UTC, counted from 1970-01-01T00:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(pub u64);

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Certificates issued, by rising hour; hours without one are left out.
    pub issued: Vec<(Hour, u64)>,
    /// Whether there were more of them than are counted: then the first hours are too small or missing.
    pub issued_cut: bool,
    /// Refusals by the name of their reason, the most frequent first.
    pub refused: Vec<(String, u64)>,
}

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

impl Day {
    /// The day of a time.
    #[must_use]
    pub const fn of(time: UnixTime) -> Self {
        Self(time.as_secs() / DAY)
    }

    /// Its first second.
    #[must_use]
    pub const fn begin(self) -> UnixTime {
        UnixTime::from_secs(self.0.saturating_mul(DAY))
    }

    /// So many days later.
    #[must_use]
    pub const fn after(self, days: u64) -> Self {
        Self(self.0.saturating_add(days))
    }
}

impl Hour {
    /// The hour of a time.
    #[must_use]
    pub const fn of(time: UnixTime) -> Self {
        Self(time.as_secs() / HOUR)
    }

    /// Its first second.
    #[must_use]
    pub const fn begin(self) -> UnixTime {
        UnixTime::from_secs(self.0.saturating_mul(HOUR))
    }

    /// So many hours before.
    #[must_use]
    pub const fn before(self, hours: u64) -> Self {
        Self(self.0.saturating_sub(hours))
    }

    /// How long one is.
    pub const LENGTH: Duration = Duration::from_secs(HOUR);
}
