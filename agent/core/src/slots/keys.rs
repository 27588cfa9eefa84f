//! Keys of the two slots: made where nothing counts, used for a CSR only when durable, erased only when no
//! durable state names them.

use rand_core::CryptoRngCore;

use super::{Stored, identity_record};
use crate::platform::{KeyError, KeyStore, Slot, Storage};

/// A key in a slot that a durable state names as requested. A CSR is made from nothing else, so that no answer
/// of the server can be for a key that a power cut loses.
#[derive(Debug)]
pub struct Persisted<K>(K);

impl<K> Persisted<K> {
    /// The key.
    pub const fn key(&self) -> &K {
        &self.0
    }

    /// Any key, for tests of what is made from it.
    #[cfg(test)]
    pub(crate) const fn for_test(key: K) -> Self {
        Self(key)
    }
}

/// Makes a key in the vacant slot. What lies there is erased first; the state names none of it.
///
/// # Errors
/// Where randomness, storage or the key hardware fails.
pub async fn make_key<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    rng: &mut impl CryptoRngCore,
    stored: &Stored,
) -> Result<Slot, KeyError> {
    let slot = stored.state().vacant();
    keys.erase(slot, storage).await?;
    storage.erase(identity_record(slot)).await?;
    keys.generate(slot, storage, rng).await?;
    Ok(slot)
}

/// Opens the key of the request under way; `None` where there is no such request or no such key.
///
/// # Errors
/// Where the key is there but cannot be used.
pub async fn persisted<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    stored: &Stored,
) -> Result<Option<Persisted<KS::Key>>, KeyError> {
    match stored.state().requested_slot() {
        Some(slot) => Ok(keys.open(slot, storage).await?.map(Persisted)),
        None => Ok(None),
    }
}

/// Opens the key of an issued identity, for use as a TLS client; `None` where the state does not name `slot`
/// as issued, or there is no key.
///
/// # Errors
/// Where the key is there but cannot be used.
pub async fn open_identity_key<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    stored: &Stored,
    slot: Slot,
) -> Result<Option<KS::Key>, KeyError> {
    let state = stored.state();
    let issued =
        state.current().is_some_and(|current| current.slot == slot) || state.candidate() == Some(slot);
    if issued { keys.open(slot, storage).await } else { Ok(None) }
}

/// Erases key and certificate of each slot that the durable state does not name. The key goes first: a
/// certificate without its key is of no use to anyone.
///
/// # Errors
/// Where something is not known to be erased; to be called again.
pub async fn erase_unreferenced<KS: KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    stored: &Stored,
) -> Result<[Option<Slot>; 2], KeyError> {
    let mut erased = [None; 2];
    for (slot, erased) in [Slot::A, Slot::B].into_iter().zip(&mut erased) {
        if stored.state().is_unreferenced(slot) {
            keys.erase(slot, storage).await?;
            storage.erase(identity_record(slot)).await?;
            *erased = Some(slot);
        }
    }
    Ok(erased)
}
