//! The audit trail: names of its events, and the counting of refusals.
//!
//! What changes the store writes its event in the same transaction. Refusals change nothing, and anyone on the
//! network can cause them: they are counted in memory and written as one row a reason now and then, so that
//! nobody fills the disk.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use shared::{Reject, UnixTime};

use crate::store::{NewEvent, Store, StoreError};

/// A certificate was issued.
pub const ISSUED: &str = "issued";
/// Certificates were revoked because a newer one took their place.
pub const SUPERSEDED: &str = "superseded";
/// A device was revoked.
pub const REVOKED: &str = "revoked";
/// An intent was given up.
pub const VOIDED: &str = "voided";
/// A request waits for an operator.
pub const HELD: &str = "held";
/// An operator approved a device.
pub const APPROVED: &str = "approved";
/// Another identity key came under the name of a known device.
pub const CLONE_SUSPECTED: &str = "clone-suspected";
/// A maker was added.
pub const MAKER_ADDED: &str = "maker-added";
/// An inventory was imported.
pub const IMPORTED: &str = "imported";
/// A token was made.
pub const TOKEN_CREATED: &str = "token-created";
/// A token was revoked.
pub const TOKEN_REVOKED: &str = "token-revoked";
/// Requests were refused, so many for one reason.
pub const REFUSED: &str = "refused";

/// For how long a suspicion about one device is not repeated in the trail.
pub const QUIET: Duration = Duration::from_secs(3_600);

/// Refusals since they were last written to the trail.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    /// Counts one.
    pub fn count(&self, reject: Reject) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reject.name()).or_insert(0) += 1;
    }

    /// Writes what was counted to the trail and begins anew. What cannot be written is counted on.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &dyn Store, now: UnixTime) -> Result<(), StoreError> {
        let counts = core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, count) in counts {
            let detail = format!("{name}: {count}");
            let event = NewEvent { at: now, kind: REFUSED, device: None, detail };
            if let Err(error) = store.add_event(event, Duration::ZERO).await {
                let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(name).or_insert(0) += count;
                return Err(error);
            }
        }
        Ok(())
    }
}
