//! Operational keys in software, kept in the device's own storage.
//!
//! A key lies in the flash as its [`KeyWrap`] leaves it. [`Unwrapped`] leaves it readable: fit for devices whose
//! flash cannot be read from outside, and for tests.

use core::fmt;

use p256::ecdsa::SigningKey as P256Key;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::platform::{
    KeyError, KeyStore, PublicPoint, RawSignature, Record, SigningKey, Slot, Storage, StorageError,
};
use crate::slots::record;

/// Longest wrapped key, in bytes.
pub const MAX_WRAPPED: usize = 96;

/// Protects keys at rest.
///
/// To implement: encrypt and authenticate with a key that does not leave the chip, and bind the slot.
pub trait KeyWrap {
    /// Wraps `secret` for `slot` into `out`; returns the length.
    ///
    /// # Errors
    /// Where the hardware fails.
    fn wrap(&mut self, slot: Slot, secret: &[u8; 32], out: &mut [u8; MAX_WRAPPED])
    -> Result<usize, KeyError>;

    /// The reverse.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] where `wrapped` is not what [`wrap`](Self::wrap) made for this slot.
    fn unwrap(&mut self, slot: Slot, wrapped: &[u8], secret: &mut [u8; 32]) -> Result<(), KeyError>;
}

/// No protection at rest: the key lies in storage as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapped;

impl KeyWrap for Unwrapped {
    fn wrap(&mut self, _: Slot, secret: &[u8; 32], out: &mut [u8; MAX_WRAPPED]) -> Result<usize, KeyError> {
        if let Some(place) = out.first_chunk_mut() {
            *place = *secret;
        }
        Ok(secret.len())
    }

    fn unwrap(&mut self, _: Slot, wrapped: &[u8], secret: &mut [u8; 32]) -> Result<(), KeyError> {
        *secret = *<&[u8; 32]>::try_from(wrapped).map_err(|_| KeyError::Damaged)?;
        Ok(())
    }
}

/// A key store in software.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftKeyStore<W> {
    wrap: W,
}

impl<W: KeyWrap> SoftKeyStore<W> {
    /// A key store that protects keys with `wrap`.
    pub const fn new(wrap: W) -> Self {
        Self { wrap }
    }

    async fn load(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<SoftKey>, KeyError> {
        let mut buffer = Zeroizing::new([0; RECORD]);
        let length = match storage.load(key_record(slot), buffer.as_mut()).await {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(None),
            Err(StorageError::TooLong) => return Err(KeyError::Damaged),
            Err(error) => return Err(error.into()),
        };
        let bytes = buffer.get(..length).ok_or(KeyError::Damaged)?;
        let stored: StoredKey<'_> = record::open(key_record(slot), bytes).map_err(|_| KeyError::Damaged)?;
        let mut secret = Zeroizing::new([0; 32]);
        self.wrap.unwrap(slot, stored.wrapped, &mut secret)?;
        let key = P256Key::from_slice(secret.as_ref()).map_err(|_| KeyError::Damaged)?;
        Ok(Some(SoftKey::from(key)))
    }
}

impl<W: KeyWrap> KeyStore for SoftKeyStore<W> {
    type Key = SoftKey;

    async fn generate(
        &mut self,
        slot: Slot,
        storage: &mut impl Storage,
        rng: &mut impl CryptoRngCore,
    ) -> Result<SoftKey, KeyError> {
        let key = SoftKey::from(new_key(rng)?);
        // A generator that begins again at each start would give the other slot's key once more.
        if let Ok(Some(other)) = self.load(slot.other(), storage).await
            && other.public_point() == key.public_point()
        {
            return Err(KeyError::Random);
        }
        let mut wrapped = Zeroizing::new([0; MAX_WRAPPED]);
        let secret = Zeroizing::new(<[u8; 32]>::from(key.key.to_bytes()));
        let length = self.wrap.wrap(slot, &secret, &mut wrapped)?;
        let stored = StoredKey { wrapped: wrapped.get(..length).ok_or(KeyError::Hardware)? };
        let mut buffer = Zeroizing::new([0; RECORD]);
        let length = record::seal(key_record(slot), &stored, buffer.as_mut())?;
        storage.store(key_record(slot), buffer.get(..length).ok_or(StorageError::TooLong)?).await?;
        Ok(key)
    }

    async fn open(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<SoftKey>, KeyError> {
        self.load(slot, storage).await
    }

    async fn erase(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<(), KeyError> {
        Ok(storage.erase(key_record(slot)).await?)
    }
}

/// A P-256 key in RAM; zeroized on drop.
#[derive(Clone)]
pub struct SoftKey {
    key: P256Key,
    point: PublicPoint,
}

impl From<P256Key> for SoftKey {
    fn from(key: P256Key) -> Self {
        let mut point = [0; 65];
        for (to, from) in point.iter_mut().zip(key.verifying_key().to_encoded_point(false).as_bytes()) {
            *to = *from;
        }
        Self { key, point }
    }
}

impl SigningKey for SoftKey {
    fn public_point(&self) -> PublicPoint {
        self.point
    }

    /// Deterministic (RFC 6979): a bad random generator cannot give the key away.
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<RawSignature, KeyError> {
        let signature: p256::ecdsa::Signature =
            self.key.sign_prehash(digest).map_err(|_| KeyError::Hardware)?;
        Ok(signature.to_bytes().into())
    }
}

impl fmt::Debug for SoftKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftKey(..)")
    }
}

#[derive(Serialize, Deserialize)]
struct StoredKey<'b> {
    #[serde(borrow)]
    wrapped: &'b [u8],
}

/// Longest key record: version, length, wrapped key, checksum.
const RECORD: usize = MAX_WRAPPED + 16;

/// Draws a key by rejection sampling (FIPS 186-5, appendix A.2.2).
fn new_key(rng: &mut impl CryptoRngCore) -> Result<P256Key, KeyError> {
    let mut previous = Zeroizing::new([0; 32]);
    let mut candidate = Zeroizing::new([0; 32]);
    rng.try_fill_bytes(previous.as_mut()).map_err(|_| KeyError::Random)?;
    // A draw is out of range about once in 2^32 times; eight in a row mean a broken generator.
    for _ in 0..8 {
        rng.try_fill_bytes(candidate.as_mut()).map_err(|_| KeyError::Random)?;
        let stuck = candidate.iter().all(|byte| Some(byte) == candidate.first());
        if stuck || *candidate == *previous {
            break;
        }
        if let Ok(key) = P256Key::from_slice(candidate.as_ref()) {
            return Ok(key);
        }
        core::mem::swap(&mut *previous, &mut *candidate);
    }
    candidate.zeroize();
    Err(KeyError::Random)
}

const fn key_record(slot: Slot) -> Record {
    match slot {
        Slot::A => Record::KeyA,
        Slot::B => Record::KeyB,
    }
}
