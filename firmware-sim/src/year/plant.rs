//! Defects that the simulation is there to find. For its own tests: nothing on the command line reaches this.

use agent_core::platform::{KeyError, KeyStore, Slot, Storage};
use rand_core::CryptoRngCore;
use shared::UnixTime;
use shared::message::latest::{Answer, Issued, Outcome};

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Devices erase the key in use as soon as they have made the next one.
    ErasesKeyEarly,
    /// What the server revokes never reaches the broker.
    ForgetsCrl,
    /// Devices take the end of a certificate for the time to renew it.
    IgnoresRenewalWindow,
    /// Devices ask for no trust bundle.
    IgnoresTrustBundles,
    /// An operator forces the retirement of the CA while devices need it.
    ForcesRetirement,
    /// The server forgets the renewals that an operator wanted.
    ForgetsWantedRenewals,
}

/// A key store, with the defect or without.
#[derive(Debug)]
pub(super) struct Keys<K> {
    pub(super) inner: K,
    pub(super) erases_early: bool,
}

impl<K: KeyStore> KeyStore for Keys<K> {
    type Key = K::Key;

    async fn generate(
        &mut self,
        slot: Slot,
        storage: &mut impl Storage,
        rng: &mut impl CryptoRngCore,
    ) -> Result<K::Key, KeyError> {
        let key = self.inner.generate(slot, storage, rng).await?;
        if self.erases_early {
            self.inner.erase(slot.other(), storage).await?;
        }
        Ok(key)
    }

    async fn open(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<K::Key>, KeyError> {
        self.inner.open(slot, storage).await
    }

    async fn erase(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<(), KeyError> {
        self.inner.erase(slot, storage).await
    }
}

/// Puts the time to renew of the answer in the first `length` bytes of `buffer` to `end`; the new length, where that
/// is an answer with a certificate.
pub(super) fn renew_at_the_end(buffer: &mut [u8], length: usize, end: UnixTime) -> Option<usize> {
    let received = buffer.get(..length)?.to_vec();
    let answer = Answer::decode(&received).ok()?;
    let Outcome::Issued(issued) = answer.outcome else { return None };
    let late = Outcome::Issued(Issued { renew_from: end, renew_by: end, ..issued });
    Answer { outcome: late, ..answer }.encode(buffer).ok()
}
