//! Operational keys in software, kept in the device's own storage.
//!
//! A key lies in the flash as its [`KeyWrap`] leaves it. [`Unwrapped`] leaves it readable: fit for devices whose
//! flash cannot be read from outside, and for tests.

mod wrap;

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

pub use wrap::{KeyUse, KeyWrap, MAX_WRAPPED, Unwrapped, WrapNonce, wrap_nonce};

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
        self.wrap.unwrap(KeyUse::Operational(slot), stored.wrapped, &mut secret)?;
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
        let nonce = wrap_nonce(rng)?;
        let length = self.wrap.wrap(KeyUse::Operational(slot), &secret, &nonce, &mut wrapped)?;
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

#[cfg(test)]
mod tests {
    extern crate std;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::collections::HashMap;
    use std::vec::Vec;

    use super::{KeyUse, KeyWrap, MAX_WRAPPED, SoftKeyStore, Unwrapped, WrapNonce};
    use crate::platform::{KeyError, KeyStore as _, Record, SigningKey as _, Slot, Storage, StorageError};
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use p256::ecdsa::{Signature, VerifyingKey};
    use rand_core::{CryptoRng, RngCore};

    #[derive(Default)]
    struct Memory(HashMap<u8, Vec<u8>>);

    impl Storage for Memory {
        async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
            let Some(bytes) = self.0.get(&(record as u8)) else { return Ok(None) };
            buffer.get_mut(..bytes.len()).ok_or(StorageError::TooLong)?.copy_from_slice(bytes);
            Ok(Some(bytes.len()))
        }

        async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
            self.0.insert(record as u8, content.to_vec());
            Ok(())
        }

        async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
            self.0.remove(&(record as u8));
            Ok(())
        }
    }

    /// Gives the same blocks over and over, 32 bytes each.
    struct Loop(Vec<[u8; 32]>, usize);

    impl RngCore for Loop {
        fn next_u32(&mut self) -> u32 {
            panic!("keys are made of try_fill_bytes only")
        }

        fn next_u64(&mut self) -> u64 {
            panic!("keys are made of try_fill_bytes only")
        }

        fn fill_bytes(&mut self, _: &mut [u8]) {
            panic!("keys are made of try_fill_bytes only")
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
            let block = self.0.get(self.1 % self.0.len().max(1)).ok_or(core::num::NonZeroU32::MIN)?;
            self.1 += 1;
            out.copy_from_slice(&block[..out.len()]);
            Ok(())
        }
    }

    impl CryptoRng for Loop {}

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    fn block(seed: u8) -> [u8; 32] {
        core::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(u8::try_from(i).unwrap()))
    }

    #[test]
    fn a_key_is_made_opened_and_erased() {
        let (mut store, mut memory) = (SoftKeyStore::new(Unwrapped), Memory::default());
        let mut rng = Loop([1, 2, 3, 4].map(block).to_vec(), 0);
        let made = now(store.generate(Slot::A, &mut memory, &mut rng)).unwrap();
        let opened = now(store.open(Slot::A, &mut memory)).unwrap().unwrap();
        assert_eq!(made.public_point(), opened.public_point());
        let signature = Signature::from_slice(&opened.sign_digest(&[7; 32]).unwrap()).unwrap();
        let verifier = VerifyingKey::from_sec1_bytes(&made.public_point()).unwrap();
        verifier.verify_prehash(&[7; 32], &signature).unwrap();
        assert!(now(store.open(Slot::B, &mut memory)).unwrap().is_none());
        now(store.erase(Slot::A, &mut memory)).unwrap();
        assert!(now(store.open(Slot::A, &mut memory)).unwrap().is_none());
        assert!(memory.0.is_empty());
        assert_eq!(std::format!("{made:?}"), "SoftKey(..)");
    }

    #[test]
    fn a_generator_that_is_stuck_makes_no_key() {
        let (mut store, mut memory) = (SoftKeyStore::new(Unwrapped), Memory::default());
        for blocks in [
            Vec::new(),
            [[0; 32]].to_vec(),
            [[0xff; 32]].to_vec(),
            [block(1)].to_vec(),
            [block(1), [5; 32]].to_vec(),
        ] {
            let result = now(store.generate(Slot::A, &mut memory, &mut Loop(blocks.clone(), 0)));
            assert_eq!(result.unwrap_err(), KeyError::Random, "{blocks:?}");
            assert!(memory.0.is_empty());
        }
    }

    #[test]
    fn a_generator_that_begins_again_does_not_give_both_slots_one_key() {
        let (mut store, mut memory) = (SoftKeyStore::new(Unwrapped), Memory::default());
        let blocks = [1, 2].map(block).to_vec();
        now(store.generate(Slot::A, &mut memory, &mut Loop(blocks.clone(), 0))).unwrap();
        let again = now(store.generate(Slot::B, &mut memory, &mut Loop(blocks, 0)));
        assert_eq!(again.unwrap_err(), KeyError::Random);
    }

    #[test]
    fn draws_out_of_range_are_drawn_again() {
        // The order of P-256 begins with ffffffff 00000000 ffffffff: this number lies above it.
        let mut above = [0xff; 32];
        above[31] = 0;
        let (mut store, mut memory) = (SoftKeyStore::new(Unwrapped), Memory::default());
        let mut rng = Loop([block(1), above, block(2)].to_vec(), 0);
        now(store.generate(Slot::A, &mut memory, &mut rng)).unwrap();
        // The other one is the nonce of the wrapping.
        assert_eq!(rng.1, 4);
    }

    #[test]
    fn damaged_keys_are_told_from_missing_ones() {
        let (mut store, mut memory) = (SoftKeyStore::new(Unwrapped), Memory::default());
        now(store.generate(Slot::A, &mut memory, &mut Loop([1, 2].map(block).to_vec(), 0))).unwrap();
        let whole = memory.0[&(Record::KeyA as u8)].clone();
        for bit in 0..whole.len() * 8 {
            memory.0.get_mut(&(Record::KeyA as u8)).unwrap()[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(now(store.open(Slot::A, &mut memory)).unwrap_err(), KeyError::Damaged);
            memory.0.insert(Record::KeyA as u8, whole.clone());
        }
        memory.0.insert(Record::KeyA as u8, [0; 500].to_vec());
        assert_eq!(now(store.open(Slot::A, &mut memory)).unwrap_err(), KeyError::Damaged);
        // A key in the other slot's place is not taken.
        memory.0.insert(Record::KeyB as u8, whole);
        assert_eq!(now(store.open(Slot::B, &mut memory)).unwrap_err(), KeyError::Damaged);
    }

    /// Turns every bit, for a test of what lies in storage.
    struct Inverted;

    impl KeyWrap for Inverted {
        fn is_own(&self) -> bool {
            true
        }

        fn wrap(
            &mut self,
            _: KeyUse,
            secret: &[u8; 32],
            _: &WrapNonce,
            out: &mut [u8; MAX_WRAPPED],
        ) -> Result<usize, KeyError> {
            for (to, from) in out.iter_mut().zip(secret) {
                *to = !from;
            }
            Ok(32)
        }

        fn unwrap(&mut self, _: KeyUse, wrapped: &[u8], secret: &mut [u8; 32]) -> Result<(), KeyError> {
            for (to, from) in secret.iter_mut().zip(wrapped) {
                *to = !from;
            }
            Ok(())
        }
    }

    #[test]
    fn what_lies_in_storage_is_wrapped() {
        let blocks = [1, 2].map(block).to_vec();
        let found = |memory: &Memory| memory.0[&(Record::KeyA as u8)].windows(32).any(|w| w == block(2));
        let mut memory = Memory::default();
        let mut store = SoftKeyStore::new(Inverted);
        let made = now(store.generate(Slot::A, &mut memory, &mut Loop(blocks.clone(), 0))).unwrap();
        assert!(!found(&memory));
        assert_eq!(
            now(store.open(Slot::A, &mut memory)).unwrap().unwrap().public_point(),
            made.public_point()
        );
        // The search can find: unwrapped, the key lies there.
        now(SoftKeyStore::new(Unwrapped).generate(Slot::A, &mut memory, &mut Loop(blocks, 0))).unwrap();
        assert!(found(&memory));
    }
}
