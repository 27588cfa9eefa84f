//! Operational keys that the TPM made and that never leave it. What lies in the state directory is encrypted by the
//! TPM under its storage root, and of no use elsewhere.
//!
//! Erasing a record makes its key unusable by this agent; whoever copied the record before can use the key on this
//! very TPM. Clearing the TPM ends that.

use core::fmt;

use agent_core::platform::{KeyError, KeyStore, PublicPoint, RawSignature, SigningKey, Slot, Storage};
use rand_core::CryptoRngCore;

use super::key_record;
use tpm_client::objects::KeyBlob;
use tpm_client::{Tpm, TpmError};

/// Tells such a record from one of a software key.
const VERSION: u8 = 2;
/// Longest record of a key in a TPM.
pub(crate) const MAX_RECORD: usize = 1024;

/// A key in the TPM.
#[derive(Clone)]
pub struct TpmKey {
    tpm: Tpm,
    blob: KeyBlob,
    point: PublicPoint,
}

impl TpmKey {
    /// The key as it lies on the disk.
    #[must_use]
    pub const fn blob(&self) -> &KeyBlob {
        &self.blob
    }
}

impl fmt::Debug for TpmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TpmKey(<redacted>)")
    }
}

impl SigningKey for TpmKey {
    fn public_point(&self) -> PublicPoint {
        self.point
    }

    /// Blocks for as long as the TPM takes; a TLS handshake cannot go on without its signature.
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<RawSignature, KeyError> {
        self.tpm.sign(&self.blob, digest).map_err(|error| report("sign", &error))
    }
}

/// Makes and opens [`TpmKey`]s.
#[derive(Clone, Debug)]
pub struct TpmKeyStore {
    tpm: Tpm,
}

impl TpmKeyStore {
    /// Keys in this TPM.
    #[must_use]
    pub const fn new(tpm: Tpm) -> Self {
        Self { tpm }
    }

    fn key(&self, blob: KeyBlob) -> Result<TpmKey, KeyError> {
        let point = blob.point().map_err(|_| KeyError::Damaged)?;
        Ok(TpmKey { tpm: self.tpm.clone(), blob, point })
    }
}

impl KeyStore for TpmKeyStore {
    type Key = TpmKey;

    async fn generate(
        &mut self,
        slot: Slot,
        storage: &mut impl Storage,
        _rng: &mut impl CryptoRngCore,
    ) -> Result<TpmKey, KeyError> {
        storage.erase(key_record(slot)).await?;
        let blob = self.tpm.make_key().map_err(|error| report("make a key", &error))?;
        let record = [&[VERSION], blob.to_bytes().as_slice()].concat();
        let key = self.key(blob)?;
        storage.store(key_record(slot), &record).await?;
        Ok(key)
    }

    async fn open(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<TpmKey>, KeyError> {
        let mut buffer = [0; MAX_RECORD];
        let Some(length) = storage.load(key_record(slot), &mut buffer).await? else { return Ok(None) };
        let blob = buffer.get(..length).and_then(blob).ok_or(KeyError::Damaged)?;
        match self.tpm.check_key(&blob) {
            Ok(()) => self.key(blob).map(Some),
            // The TPM was cleared or exchanged: the key is lost for good.
            Err(error) if error.is_foreign_key() => {
                tracing::error!(%error, "the TPM does not know the device's key any more");
                Err(KeyError::Damaged)
            }
            Err(error) => Err(report("load a key", &error)),
        }
    }

    async fn erase(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<(), KeyError> {
        Ok(storage.erase(key_record(slot)).await?)
    }
}

/// The key in a record; `None` where it is none of a TPM.
pub(crate) fn blob(record: &[u8]) -> Option<KeyBlob> {
    let [VERSION, blob @ ..] = record else { return None };
    KeyBlob::from_bytes(blob).ok()
}

/// The core knows a failure only by its kind; the log has the rest.
pub(crate) fn report(operation: &'static str, error: &TpmError) -> KeyError {
    let cause = core::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "the TPM could not {operation}");
    match error {
        TpmError::Random => KeyError::Random,
        _ => KeyError::Hardware,
    }
}
