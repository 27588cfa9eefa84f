//! How often one address may try to sign in to the dashboard.

use std::sync::{Mutex, PoisonError};

use core::time::Duration;

use super::bucket::{Bucket, Fill};
use super::source::Source;
use super::table::{Table, Worth};
use crate::store::Rate;

/// Most addresses that are remembered.
const SOURCES: usize = 4_096;

/// Counts attempts by address.
#[derive(Debug)]
pub struct SignIns {
    fill: Fill,
    sources: Mutex<Table<Source, Bucket>>,
}

impl SignIns {
    /// Lets so many in from each address.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { fill: Fill::all_at_once(rate), sources: Mutex::new(Table::new(SOURCES)) }
    }

    /// Counts an attempt. `now` is the time since any fixed moment; it never goes backwards.
    ///
    /// # Errors
    /// How long to wait, where there were too many.
    pub fn attempt(&self, source: Source, now: Duration) -> Result<(), Duration> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let worth =
            |bucket: &Bucket| if bucket.full_for(now).is_some() { Worth::Nothing } else { Worth::Some };
        match sources.entry(source, worth) {
            Some(bucket) => bucket.take(self.fill, 0, now),
            None => Err(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use core::time::Duration;

    use super::{SignIns, Source};

    #[test]
    fn each_address_has_its_own_attempts() {
        let limit = SignIns::new("3/m".parse().unwrap());
        let source = |last: u8| Source::from(IpAddr::from([192, 0, 2, last]));
        let attempts = |last: u8, at: u64| {
            (0..5).filter(|_| limit.attempt(source(last), Duration::from_secs(at)).is_ok()).count()
        };
        assert_eq!((attempts(1, 0), attempts(2, 0), attempts(1, 0)), (3, 3, 0));
        assert_eq!(attempts(1, 20), 1, "one comes back in a third of the minute");
    }
}
