//! The makers, as the appraisal wants them: read once, and again when one was added.

use std::sync::{Arc, PoisonError, RwLock};

use appraisal::{Endorsements, MakerCa};

use crate::store::{Store, StoreError};

/// The set of makers and its number.
#[derive(Debug, Default)]
pub(super) struct Makers(RwLock<Option<(u64, Arc<Endorsements>)>>);

impl Makers {
    /// The set with this number, or a newer one.
    pub(super) async fn get(&self, store: &dyn Store, number: u64) -> Result<Arc<Endorsements>, StoreError> {
        {
            let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((held, makers)) = held.as_ref()
                && *held == number
            {
                return Ok(Arc::clone(makers));
            }
        }
        let makers: Result<Vec<_>, _> =
            store.makers().await?.iter().map(|maker| MakerCa::new(&maker.name, &maker.der)).collect();
        // Every maker was checked when it was added.
        let makers = makers.map_err(|_| StoreError::Damaged { field: "maker" })?;
        let makers = Arc::new(Endorsements::new(makers));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((number, Arc::clone(&makers)));
        Ok(makers)
    }
}
