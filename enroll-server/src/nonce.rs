//! Nonces that need no memory: any replica with the key can tell whether one was made here, for which device,
//! and until when it is good.
//!
//! That a nonce is used once only is for the store to see to, in the issuing transaction.

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};

use appraisal::tpm::ActivationKey;
use aws_lc_rs::hmac;
use shared::message::latest::Nonce;
use shared::{DeviceId, UnixTime};
use subtle::ConstantTimeEq as _;

use crate::failpoint::Hook;
use crate::files::{self, SecretError};
use crate::intent_key::IntentKey;

/// Length of the key, in bytes.
pub const KEY: usize = 32;

/// The key of the nonces; the same on every replica.
pub struct NonceKey {
    key: hmac::Key,
    activation: ActivationKey,
    intents: IntentKey,
}

/// Whether a nonce of ours can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It can.
    Fresh,
    /// It is past its time: good only to get the answer to a request that is known already.
    Stale,
}

/// The nonce was not made here, or for another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the nonce was not made by this server for this device")]
pub struct UnknownNonce;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NonceKeyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] SecretError),
    /// The file holds something else.
    #[error("{}: expected {KEY} bytes in hexadecimal", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl NonceKey {
    /// Takes the key over.
    #[must_use]
    pub fn new(key: &[u8; KEY]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let activation = ActivationKey::new(&derived(&key, ACTIVATION_LABEL));
        let intents = IntentKey::new(&derived(&key, INTENT_LABEL));
        Self { key, activation, intents }
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// Where it is not there, others may read it, or it holds something else.
    pub fn load(path: &Path) -> Result<Self, NonceKeyError> {
        let text = files::read_secret(path)?;
        let mut key = zeroize::Zeroizing::new([0; KEY]);
        hex::decode_to_slice(text.trim(), &mut *key)
            .map_err(|_| NonceKeyError::Malformed { path: path.to_owned() })?;
        Ok(Self::new(&key))
    }

    /// Makes a nonce for `device`, good for `lifetime`, with the time it ends. `None` where the random generator
    /// fails.
    #[must_use]
    pub fn make(&self, device: &DeviceId, now: UnixTime, lifetime: Duration) -> Option<(Nonce, UnixTime)> {
        self.draw(&Hook::default(), device, now, lifetime)
    }

    /// The same out of what `hook` draws.
    pub(crate) fn draw(
        &self,
        hook: &Hook,
        device: &DeviceId,
        now: UnixTime,
        lifetime: Duration,
    ) -> Option<(Nonce, UnixTime)> {
        let mut random = [0; RANDOM];
        hook.draw(&mut random).ok()?;
        let until = now.after(lifetime);
        let expiry = u32::try_from(until.as_secs()).ok()?;
        Some((self.assemble(device, &random, expiry.to_be_bytes()), until))
    }

    /// Looks at a nonce that `device` sent back.
    ///
    /// # Errors
    /// Where it was not made with this key for this device.
    pub fn check(&self, nonce: &Nonce, device: &DeviceId, now: UnixTime) -> Result<Freshness, UnknownNonce> {
        let (expiry, rest) = nonce.split_first_chunk::<EXPIRY>().ok_or(UnknownNonce)?;
        let (random, _) = rest.split_first_chunk::<RANDOM>().ok_or(UnknownNonce)?;
        let expected = self.assemble(device, random, *expiry);
        if !bool::from(expected.ct_eq(nonce)) {
            return Err(UnknownNonce);
        }
        let until = u64::from(u32::from_be_bytes(*expiry));
        Ok(if now.as_secs() <= until { Freshness::Fresh } else { Freshness::Stale })
    }

    /// The key of the secrets in the credentials of TPMs, which belong to a nonce each.
    #[must_use]
    pub const fn activation(&self) -> &ActivationKey {
        &self.activation
    }

    /// The key by which intents to issue are known again.
    #[must_use]
    pub const fn intents(&self) -> &IntentKey {
        &self.intents
    }

    fn assemble(&self, device: &DeviceId, random: &[u8; RANDOM], expiry: [u8; EXPIRY]) -> Nonce {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(LABEL);
        // The two of fixed length first, so that no two inputs run together.
        mac.update(random);
        mac.update(&expiry);
        mac.update(device.as_str().as_bytes());
        let tag = mac.sign();
        let mut nonce = Nonce::default();
        // The time first: those of one moment stand together in the store's index, and are written with one page.
        let parts = expiry.iter().chain(random).chain(tag.as_ref());
        for (to, from) in nonce.iter_mut().zip(parts) {
            *to = *from;
        }
        nonce
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey([redacted])")
    }
}

/// A key of its own for another use.
fn derived(key: &hmac::Key, label: &[u8]) -> zeroize::Zeroizing<[u8; KEY]> {
    let mut derived = zeroize::Zeroizing::new([0; KEY]);
    for (to, from) in derived.iter_mut().zip(hmac::sign(key, label).as_ref()) {
        *to = *from;
    }
    derived
}

const RANDOM: usize = 12;
const EXPIRY: usize = 4;
/// Keeps these values apart from any other use of the key.
const LABEL: &[u8] = b"enroll-server nonce v2\0";
/// As above, for the secrets in credentials.
const ACTIVATION_LABEL: &[u8] = b"enroll-server tpm activation v1\0";
/// As above, for the MACs of intents: HKDF-Expand of one block, whose number comes last (RFC 5869, section 2.3).
const INTENT_LABEL: &[u8] = b"enroll-server intent v1\x01";

#[cfg(test)]
mod tests {
    use super::{Freshness, KEY, NonceKey, UnknownNonce};
    use core::time::Duration;
    use proptest::prelude::*;
    use shared::{DeviceId, UnixTime};

    fn fixture() -> (NonceKey, DeviceId, UnixTime) {
        (NonceKey::new(&[7; KEY]), DeviceId::new("SN-1").unwrap(), UnixTime::from_secs(1_800_000_000))
    }

    #[test]
    fn good_until_its_last_second() {
        let (key, device, now) = fixture();
        let (nonce, until) = key.make(&device, now, Duration::from_secs(60)).unwrap();
        assert_eq!(key.check(&nonce, &device, until), Ok(Freshness::Fresh));
        assert_eq!(key.check(&nonce, &device, until.after(Duration::from_secs(1))), Ok(Freshness::Stale));
    }

    #[test]
    fn another_replica_with_the_key_takes_it_and_others_do_not() {
        let (key, device, now) = fixture();
        let (nonce, _) = key.make(&device, now, Duration::from_secs(60)).unwrap();
        assert_eq!(NonceKey::new(&[7; KEY]).check(&nonce, &device, now), Ok(Freshness::Fresh));
        assert_eq!(NonceKey::new(&[8; KEY]).check(&nonce, &device, now), Err(UnknownNonce));
        let other = DeviceId::new("SN-2").unwrap();
        assert_eq!(key.check(&nonce, &other, now), Err(UnknownNonce));
    }

    proptest! {
        #[test]
        fn any_changed_bit_makes_it_unknown(bit in 0_usize..256) {
            let (key, device, now) = fixture();
            let (mut nonce, _) = key.make(&device, now, Duration::from_secs(60)).unwrap();
            nonce[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.check(&nonce, &device, now), Err(UnknownNonce));
        }
    }
}
