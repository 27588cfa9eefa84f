//! The counting of refusals.
//!
//! They change nothing, and anyone on the network can cause them: they are counted in memory and written as one
//! row a reason now and then, so that nobody fills the disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use shared::{Reject, UnixTime};

use super::{EventKind, Guesses};
use crate::store::{NewEvent, Store, StoreError};

/// Refusals since they were last written to the trail.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    guesses: Guesses,
}

impl Refusals {
    /// Counts one.
    pub fn count(&self, reject: Reject) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reject.name()).or_insert(0) += 1;
    }

    /// Attempts to come in as an administrator, which are no refusals of devices and written with them.
    #[must_use]
    pub const fn guesses(&self) -> &Guesses {
        &self.guesses
    }

    /// How many there are in a row with this detail; `None` where it is no row that [`write`](Self::write) made.
    #[must_use]
    pub fn counted(detail: &str) -> Option<u64> {
        detail.rsplit_once(": ")?.1.parse().ok()
    }

    /// Writes what was counted to the trail and begins anew. What cannot be written is counted on.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &dyn Store, now: UnixTime) -> Result<(), StoreError> {
        let counts = core::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        let mut written = Ok(());
        for (name, count) in counts {
            if written.is_ok() {
                let event = NewEvent::new(now, EventKind::Refused, format!("{name}: {count}")).because(name);
                written = store.add_event(event, core::time::Duration::ZERO).await;
            }
            if written.is_err() {
                let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(name).or_insert(0) += count;
            }
        }
        written.and(self.guesses.write(store, now).await)
    }
}
