//! Where operational keys live: in files of the state directory, or in the device's TPM.

mod file;
mod tpm;

use agent_core::platform::{KeyError, KeyStore, PublicPoint, RawSignature, SigningKey, Slot, Storage};
use rand_core::CryptoRngCore;

pub use file::{FileKey, FileKeyStore};
pub(crate) use file::{LENGTH as KEY_RECORD_LENGTH, record as key_record};
pub(crate) use tpm::{MAX_RECORD as MAX_TPM_RECORD, blob, report};
pub use tpm::{TpmKey, TpmKeyStore};

/// A key of whichever store the device has.
#[derive(Clone, Debug)]
pub enum DeviceKey {
    /// In software.
    File(FileKey),
    /// In the TPM.
    Tpm(TpmKey),
}

impl SigningKey for DeviceKey {
    fn public_point(&self) -> PublicPoint {
        match self {
            Self::File(key) => key.public_point(),
            Self::Tpm(key) => key.public_point(),
        }
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<RawSignature, KeyError> {
        match self {
            Self::File(key) => key.sign_digest(digest),
            Self::Tpm(key) => key.sign_digest(digest),
        }
    }
}

/// The key store that the configuration asks for.
#[derive(Clone, Debug)]
pub enum DeviceKeyStore {
    /// In software.
    File(FileKeyStore),
    /// In the TPM.
    Tpm(TpmKeyStore),
}

impl KeyStore for DeviceKeyStore {
    type Key = DeviceKey;

    async fn generate(
        &mut self,
        slot: Slot,
        storage: &mut impl Storage,
        rng: &mut impl CryptoRngCore,
    ) -> Result<DeviceKey, KeyError> {
        match self {
            Self::File(store) => store.generate(slot, storage, rng).await.map(DeviceKey::File),
            Self::Tpm(store) => store.generate(slot, storage, rng).await.map(DeviceKey::Tpm),
        }
    }

    async fn open(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<DeviceKey>, KeyError> {
        match self {
            Self::File(store) => Ok(store.open(slot, storage).await?.map(DeviceKey::File)),
            Self::Tpm(store) => Ok(store.open(slot, storage).await?.map(DeviceKey::Tpm)),
        }
    }

    async fn erase(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<(), KeyError> {
        match self {
            Self::File(store) => store.erase(slot, storage).await,
            Self::Tpm(store) => store.erase(slot, storage).await,
        }
    }
}
