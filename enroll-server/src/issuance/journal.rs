//! Records of refusals, on their way to the store.
//!
//! A refusal changes nothing and anyone can cause one, so its record is written later, many at once, and may be
//! lost: when too many wait, new ones are dropped.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::DeviceId;

use super::chain;
use crate::store::{NewAppraisal, Store};

/// Most records that wait.
const MOST: usize = 512;

/// Records that wait to be written.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<NewAppraisal>>);

impl Journal {
    /// Adds one, if there is room.
    pub fn add(&self, record: NewAppraisal) {
        let mut waiting = self.waiting();
        if waiting.len() < MOST {
            waiting.push(record);
        } else {
            tracing::debug!("too many refusals at once: one is not recorded");
        }
    }

    /// Writes what waits, where a refusal of `device` does: of a device that is refused, does what it was told to, and is
    /// granted in the same second, the newest record is that of the grant.
    pub async fn write_before_granting(&self, device: &DeviceId, store: &dyn Store) {
        let waits = self.waiting().iter().any(|record| record.device == *device);
        if waits {
            self.write(store).await;
        }
    }

    /// Writes what waits. Where the store fails, what waited is lost, and the log says so.
    pub async fn write(&self, store: &dyn Store) {
        let waiting = core::mem::take(&mut *self.waiting());
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = store.add_appraisals(waiting).await {
            tracing::warn!(error = chain(&error), "refusals could not be recorded");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<NewAppraisal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
