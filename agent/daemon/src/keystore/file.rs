//! Operational keys in software, kept as records of the state directory (mode 0600), zeroized in memory.
//!
//! A record is a version, the private scalar and the public point: a damaged record is noticed because the two
//! do not belong together any more.

use core::fmt;
use std::sync::Arc;

use agent_core::platform::{
    KeyError, KeyStore, PublicPoint, RawSignature, Record, SigningKey, Slot, Storage, StorageError,
};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const SCALAR: usize = 32;
const POINT: usize = 65;
/// Length of a key record, in bytes.
pub(crate) const LENGTH: usize = 1 + SCALAR + POINT;

/// A P-256 key in memory. Cloning shares the one copy; it is zeroized when the last clone is dropped.
#[derive(Clone)]
pub struct FileKey(Arc<p256::ecdsa::SigningKey>);

impl FileKey {
    /// The key as PKCS#8 in PEM, for the export to other programs.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] where it cannot be encoded.
    pub fn private_key_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let secret = p256::SecretKey::from(self.0.as_ref());
        secret.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Damaged)
    }

    /// Reads a P-256 key from PKCS#8 in PEM; `None` where it is something else.
    #[must_use]
    pub fn from_private_key_pem(pem: &str) -> Option<Self> {
        let secret = p256::SecretKey::from_pkcs8_pem(pem).ok()?;
        Some(Self(Arc::new(p256::ecdsa::SigningKey::from(&secret))))
    }

    /// Takes a record apart.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] where it is no key record, or public and private half do not belong together.
    pub fn from_record(record: &[u8]) -> Result<Self, KeyError> {
        let [VERSION, halves @ ..] = record else { return Err(KeyError::Damaged) };
        let (scalar, point) = halves.split_at_checked(SCALAR).ok_or(KeyError::Damaged)?;
        let key = p256::ecdsa::SigningKey::from_slice(scalar).map_err(|_| KeyError::Damaged)?;
        let key = Self(Arc::new(key));
        if key.public_point().as_slice() == point { Ok(key) } else { Err(KeyError::Damaged) }
    }

    fn to_record(&self) -> Zeroizing<[u8; LENGTH]> {
        let mut record = Zeroizing::new([0; LENGTH]);
        let scalar = Zeroizing::new(<[u8; SCALAR]>::from(self.0.to_bytes()));
        let parts = [VERSION].into_iter().chain(*scalar).chain(self.public_point());
        for (to, from) in record.iter_mut().zip(parts) {
            *to = from;
        }
        record
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(<redacted>)")
    }
}

impl SigningKey for FileKey {
    fn public_point(&self) -> PublicPoint {
        let mut point = [0; POINT];
        let encoded = self.0.verifying_key().as_affine().to_encoded_point(false);
        // An uncompressed point always has this length.
        for (to, from) in point.iter_mut().zip(encoded.as_bytes()) {
            *to = *from;
        }
        point
    }

    fn sign_digest(&self, digest: &[u8; 32]) -> Result<RawSignature, KeyError> {
        let signature: p256::ecdsa::Signature =
            self.0.sign_prehash(digest).map_err(|_| KeyError::Hardware)?;
        Ok(signature.to_bytes().into())
    }
}

/// Makes and opens [`FileKey`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileKeyStore;

impl KeyStore for FileKeyStore {
    type Key = FileKey;

    async fn generate(
        &mut self,
        slot: Slot,
        storage: &mut impl Storage,
        rng: &mut impl CryptoRngCore,
    ) -> Result<FileKey, KeyError> {
        // The old key goes first: a rename over its file would leave its blocks readable.
        storage.erase(record(slot)).await?;
        let key = FileKey(Arc::new(draw(rng)?));
        // A generator that begins again at each start would give the other slot's key once more.
        if let Ok(Some(other)) = self.open(slot.other(), storage).await
            && other.public_point() == key.public_point()
        {
            return Err(KeyError::Random);
        }
        storage.store(record(slot), key.to_record().as_slice()).await?;
        Ok(key)
    }

    async fn open(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<FileKey>, KeyError> {
        let mut buffer = Zeroizing::new([0; LENGTH]);
        match storage.load(record(slot), buffer.as_mut_slice()).await {
            Ok(Some(LENGTH)) => FileKey::from_record(buffer.as_slice()).map(Some),
            // The record of another kind of key, perhaps, where the settings name another store now.
            Ok(Some(_)) | Err(StorageError::TooLong) => Err(KeyError::Damaged),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn erase(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<(), KeyError> {
        Ok(storage.erase(record(slot)).await?)
    }
}

/// The record of a slot's key.
pub(crate) const fn record(slot: Slot) -> Record {
    match slot {
        Slot::A => Record::KeyA,
        Slot::B => Record::KeyB,
    }
}

/// Draws scalars until one is in range: a failing generator is an error, never a key.
fn draw(rng: &mut impl CryptoRngCore) -> Result<p256::ecdsa::SigningKey, KeyError> {
    // A draw is out of range with a probability of 2^-32; a generator that fails eight times is broken.
    for _ in 0..8 {
        let mut scalar = Zeroizing::new([0; SCALAR]);
        rng.try_fill_bytes(scalar.as_mut_slice()).map_err(|_| KeyError::Random)?;
        if let Ok(key) = p256::ecdsa::SigningKey::from_slice(scalar.as_slice()) {
            return Ok(key);
        }
    }
    Err(KeyError::Random)
}

#[cfg(test)]
mod tests {
    use super::{FileKey, FileKeyStore, LENGTH, VERSION};
    use crate::state_dir::StateDir;
    use crate::storage::FileStorage;
    use agent_core::platform::{KeyError, KeyStore as _, Record, SigningKey as _, Slot, Storage as _};
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use rand_core::{CryptoRng, OsRng, RngCore};

    fn storage() -> (tempfile::TempDir, FileStorage) {
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        (parent, FileStorage::new(dir))
    }

    #[tokio::test]
    async fn a_key_comes_back_signs_and_is_erased() {
        let (_parent, mut storage) = storage();
        let mut keys = FileKeyStore;
        assert!(keys.open(Slot::A, &mut storage).await.unwrap().is_none());
        let made = keys.generate(Slot::A, &mut storage, &mut OsRng).await.unwrap();
        let opened = keys.open(Slot::A, &mut storage).await.unwrap().unwrap();
        assert_eq!(made.public_point(), opened.public_point());

        let signature = opened.sign_digest(&[9; 32]).unwrap();
        let public = p256::ecdsa::VerifyingKey::from_sec1_bytes(&made.public_point()).unwrap();
        public.verify_prehash(&[9; 32], &p256::ecdsa::Signature::from_slice(&signature).unwrap()).unwrap();

        let other = keys.generate(Slot::A, &mut storage, &mut OsRng).await.unwrap();
        assert_ne!(other.public_point(), made.public_point());
        keys.erase(Slot::A, &mut storage).await.unwrap();
        assert!(keys.open(Slot::A, &mut storage).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn any_damage_is_noticed() {
        let (_parent, mut storage) = storage();
        FileKeyStore.generate(Slot::B, &mut storage, &mut OsRng).await.unwrap();
        let mut record = [0; LENGTH];
        storage.load(Record::KeyB, &mut record).await.unwrap();
        for at in 0..LENGTH {
            let mut damaged = record;
            damaged[at] ^= 1;
            assert_eq!(FileKey::from_record(&damaged).unwrap_err(), KeyError::Damaged, "byte {at}");
            assert_eq!(FileKey::from_record(&record[..at]).unwrap_err(), KeyError::Damaged, "length {at}");
        }
        // As the key of a TPM is, whose device was told to keep its keys in files.
        storage.store(Record::KeyB, &[VERSION; LENGTH * 3]).await.unwrap();
        assert_eq!(FileKeyStore.open(Slot::B, &mut storage).await.unwrap_err(), KeyError::Damaged);
    }

    #[tokio::test]
    async fn the_exported_form_is_pkcs8_and_debug_shows_nothing() {
        let (_parent, mut storage) = storage();
        let key = FileKeyStore.generate(Slot::A, &mut storage, &mut OsRng).await.unwrap();
        let pem = key.private_key_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(FileKey::from_private_key_pem(&pem).unwrap().public_point(), key.public_point());
        assert_eq!(format!("{key:?}"), "FileKey(<redacted>)");
    }

    /// Gives the same byte for ever.
    struct Stuck(u8);

    impl RngCore for Stuck {
        fn next_u32(&mut self) -> u32 {
            self.0.into()
        }
        fn next_u64(&mut self) -> u64 {
            self.0.into()
        }
        fn fill_bytes(&mut self, dest: &mut [u8]) {
            dest.fill(self.0);
        }
        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
            dest.fill(self.0);
            Ok(())
        }
    }
    impl CryptoRng for Stuck {}

    #[tokio::test]
    async fn a_broken_generator_makes_no_key() {
        let (_parent, mut storage) = storage();
        let mut keys = FileKeyStore;
        let zeros = keys.generate(Slot::A, &mut storage, &mut Stuck(0)).await;
        assert_eq!(zeros.unwrap_err(), KeyError::Random);
        assert!(keys.open(Slot::A, &mut storage).await.unwrap().is_none());
        // One that repeats itself is noticed at the second key.
        keys.generate(Slot::A, &mut storage, &mut Stuck(7)).await.unwrap();
        let again = keys.generate(Slot::B, &mut storage, &mut Stuck(7)).await;
        assert_eq!(again.unwrap_err(), KeyError::Random);
        assert!(keys.open(Slot::B, &mut storage).await.unwrap().is_none());
    }
}
