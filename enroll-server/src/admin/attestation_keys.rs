//! What an operator does with attestation keys: registers them, lists them, removes them.

use appraisal::psa::InstanceId;

use super::{Admin, AdminError, not_found};
use crate::attestation_keys::{self, Entry};
use crate::store::{AttestationKey, KeysAdded, Maker, NewAttestationKey, Sha256};

impl Admin {
    /// Registers attestation keys. What is there already is never overwritten: the report names it.
    ///
    /// # Errors
    /// Where a maker is named that the server does not know, or by a name that several have; then nothing is
    /// registered.
    pub async fn add_attestation_keys(&self, entries: Vec<Entry>) -> Result<KeysAdded, AdminError> {
        let makers = self.store.makers().await?;
        let keys: Result<Vec<_>, _> = entries
            .into_iter()
            .map(|entry| {
                let maker = entry.maker.as_deref().map(|name| find_maker(&makers, name)).transpose()?;
                Ok::<_, AdminError>(NewAttestationKey {
                    instance: entry.instance,
                    device: entry.device,
                    spki: entry.key.spki_der().to_vec(),
                    maker,
                    model: entry.model,
                })
            })
            .collect();
        Ok(self.store.add_attestation_keys(keys?, self.clock.now()).await?)
    }

    /// Registers the attestation keys in a file, CSV or JSON lines: all of it or nothing, as far as its form goes.
    ///
    /// # Errors
    /// The first mistake with its line, and as [`add_attestation_keys`](Self::add_attestation_keys).
    pub async fn import_attestation_keys(&self, text: &str) -> Result<KeysAdded, AdminError> {
        self.add_attestation_keys(attestation_keys::parse(text)?).await
    }

    /// All registered attestation keys, by device.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn attestation_keys(&self) -> Result<Vec<AttestationKey>, AdminError> {
        Ok(self.store.attestation_keys().await?)
    }

    /// Removes an attestation key: its device cannot attest with it any more. Certificates that it has stay good.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn remove_attestation_key(&self, instance: InstanceId) -> Result<(), AdminError> {
        let removed = self.store.remove_attestation_key(instance, self.clock.now()).await?;
        removed.map(|_| ()).ok_or_else(|| not_found("attestation key", hex::encode(instance)))
    }
}

/// The maker of this name, or with this fingerprint.
fn find_maker(makers: &[Maker], name: &str) -> Result<Sha256, AdminError> {
    let mut fitting = makers.iter().filter(|m| m.name == name || hex::encode(m.sha256) == name);
    match (fitting.next(), fitting.next()) {
        (Some(maker), None) => Ok(maker.sha256),
        (None, _) => Err(not_found("maker", name)),
        (Some(_), Some(_)) => Err(AdminError::SeveralMakers { name: name.to_owned() }),
    }
}
