//! The makers, what they revoked, and the reference values that were imported, as the appraisal wants them: read
//! once, and again when something changed.

use std::sync::{Arc, PoisonError, RwLock};

use appraisal::{Endorsements, MakerCa, MakerCrl, ReferenceValues};

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
        let makers = Arc::new(endorsements(store).await?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((number, Arc::clone(&makers)));
        Ok(makers)
    }
}

/// The makers with their revocation lists.
pub(crate) async fn endorsements(store: &dyn Store) -> Result<Endorsements, StoreError> {
    let makers: Result<Vec<_>, _> =
        store.makers().await?.iter().map(|maker| MakerCa::new(&maker.name, &maker.der)).collect();
    // Every maker was checked when it was added.
    let makers = makers.map_err(|_| StoreError::Damaged { field: "maker" })?;
    let crls = crls(store, &makers).await?;
    Ok(Endorsements::new(makers).with_crls(crls))
}

/// The reference values that were imported, and the number of their set.
#[derive(Debug, Default)]
pub(super) struct Imported {
    held: RwLock<Option<(u64, ReferenceValues)>>,
    /// Held while they are read: there may be many, and many requests that want them at once.
    reading: tokio::sync::Mutex<()>,
}

impl Imported {
    /// The values with this number, or what is there now. A copy costs nothing.
    pub(super) async fn get(&self, store: &dyn Store, number: u64) -> Result<ReferenceValues, StoreError> {
        if let Some(values) = self.held(number) {
            return Ok(values);
        }
        let _reading = self.reading.lock().await;
        if let Some(values) = self.held(number) {
            return Ok(values);
        }
        let (found, values) = store.active_reference().await?;
        let held = Some((found, values.clone()));
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(values)
    }

    fn held(&self, number: u64) -> Option<ReferenceValues> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(held, _)| *held == number).map(|(_, values)| values.clone())
    }
}

/// All revocation lists, verified again: a list in the database is believed no more than one in a file.
async fn crls(store: &dyn Store, makers: &[MakerCa]) -> Result<Vec<MakerCrl>, StoreError> {
    let damaged = || StoreError::Damaged { field: "maker_crl" };
    let mut crls = Vec::new();
    for stored in store.maker_crls().await? {
        let maker = makers.iter().find(|ca| ca.maker().fingerprint == stored.maker).ok_or_else(damaged)?;
        let chain = match stored.chain.as_bytes() {
            [] => Vec::new(),
            pem => ca::pem::read_certificates(pem).map_err(|_| damaged())?,
        };
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        crls.push(MakerCrl::new(&stored.der, &chain, maker).map_err(|_| damaged())?);
    }
    Ok(crls)
}
