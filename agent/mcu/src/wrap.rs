//! Keys wrapped with AES-128-GCM under a key of the device's own.
//!
//! A wrapped key is: version, nonce, ciphertext, tag. What is authenticated beside it says what the key is for, so
//! that a wrapped key that is moved to another place is of no use there. Nonces are random (NIST SP 800-38D, section
//! 8.2.2): a device wraps some hundred keys in its life, not 2^32.

use core::fmt;

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes128Gcm, Nonce, Tag};
use agent_core::keystore::{KeyUse, KeyWrap, MAX_WRAPPED, WrapNonce};
use agent_core::platform::KeyError;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// AES-GCM with a key that belongs to this one device.
///
/// To implement: use the chip's cipher with a key that software cannot read. Where there is none, [`SoftCipher`]
/// with a secret from wherever the chip hides best.
pub trait DeviceCipher {
    /// Whether the key is this one device's already, and stays so: see [`KeyWrap::is_own`].
    fn is_own(&self) -> bool;

    /// Encrypts `data` in place; returns the tag.
    ///
    /// # Errors
    /// Where the hardware fails.
    fn seal(
        &mut self,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
    ) -> Result<[u8; 16], KeyError>;

    /// Decrypts `data` in place. After an error its content means nothing.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] where the tag is wrong, [`KeyError::Hardware`] where the hardware fails.
    fn open(
        &mut self,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
        tag: &[u8; 16],
    ) -> Result<(), KeyError>;
}

/// Wraps keys with a [`DeviceCipher`].
#[derive(Clone, Copy, Debug)]
pub struct Wrapped<C>(C);

impl<C: DeviceCipher> Wrapped<C> {
    /// Wraps with `cipher`.
    pub const fn new(cipher: C) -> Self {
        Self(cipher)
    }
}

const VERSION: u8 = 1;
/// Bytes of a wrapped key.
const LENGTH: usize = 1 + 12 + 32 + 16;

impl<C: DeviceCipher> KeyWrap for Wrapped<C> {
    fn is_own(&self) -> bool {
        self.0.is_own()
    }

    fn wrap(
        &mut self,
        key: KeyUse,
        secret: &[u8; 32],
        nonce: &WrapNonce,
        out: &mut [u8; MAX_WRAPPED],
    ) -> Result<usize, KeyError> {
        let mut data = Zeroizing::new(*secret);
        let tag = self.0.seal(nonce, key.label(), &mut data)?;
        let fields = [VERSION].into_iter().chain(*nonce).chain(*data).chain(tag);
        for (place, byte) in out.iter_mut().zip(fields) {
            *place = byte;
        }
        Ok(LENGTH)
    }

    fn unwrap(&mut self, key: KeyUse, wrapped: &[u8], secret: &mut [u8; 32]) -> Result<(), KeyError> {
        let fields = || {
            let rest = wrapped.strip_prefix(&[VERSION])?;
            let (nonce, rest) = rest.split_first_chunk::<12>()?;
            let (data, tag) = rest.split_first_chunk::<32>()?;
            Some((nonce, data, <&[u8; 16]>::try_from(tag).ok()?))
        };
        let (nonce, data, tag) = fields().ok_or(KeyError::Damaged)?;
        *secret = *data;
        let opened = self.0.open(nonce, key.label(), secret, tag);
        if opened.is_err() {
            secret.zeroize();
        }
        opened
    }
}

/// AES-128-GCM in software, under a key derived from a secret of the device.
///
/// As good as the place that the secret comes from: fuses that only privileged code reads, or memory that the debug
/// port cannot see.
#[derive(ZeroizeOnDrop)]
pub struct SoftCipher {
    key: [u8; 16],
}

impl SoftCipher {
    /// Derives the key from `secret`, 32 random bytes that no other device has (NIST SP 800-56C, section 4.1: one
    /// step, with SHA-256).
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut digest: Zeroizing<[u8; 32]> = Zeroizing::default();
        let hash = Sha256::new().chain_update(1_u32.to_be_bytes()).chain_update(secret);
        hash.chain_update(b"device key wrapping").finalize_into((&mut *digest).into());
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        Self { key }
    }
}

impl DeviceCipher for SoftCipher {
    /// The secret is the device's from the beginning.
    fn is_own(&self) -> bool {
        true
    }

    fn seal(
        &mut self,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
    ) -> Result<[u8; 16], KeyError> {
        let cipher = Aes128Gcm::new(&self.key.into());
        let tag = cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), associated_data, data);
        Ok(tag.map_err(|_| KeyError::Hardware)?.into())
    }

    fn open(
        &mut self,
        nonce: &WrapNonce,
        associated_data: &[u8],
        data: &mut [u8; 32],
        tag: &[u8; 16],
    ) -> Result<(), KeyError> {
        let cipher = Aes128Gcm::new(&self.key.into());
        let tag = Tag::from_slice(tag);
        cipher
            .decrypt_in_place_detached(Nonce::from_slice(nonce), associated_data, data, tag)
            .map_err(|_| KeyError::Damaged)
    }
}

impl fmt::Debug for SoftCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftCipher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::platform::Slot;

    const SECRET: [u8; 32] = [0xa5; 32];
    const USES: [KeyUse; 3] = [KeyUse::Operational(Slot::A), KeyUse::Operational(Slot::B), KeyUse::Idevid];

    fn wrapped(device: u8, key: KeyUse) -> [u8; LENGTH] {
        let mut out = [0; MAX_WRAPPED];
        let length = Wrapped::new(SoftCipher::new(&[device; 32])).wrap(key, &SECRET, &[7; 12], &mut out);
        assert_eq!(length, Ok(LENGTH));
        out[..LENGTH].try_into().unwrap()
    }

    fn unwrap(device: u8, key: KeyUse, wrapped: &[u8]) -> Result<[u8; 32], KeyError> {
        let mut secret = [0; 32];
        let outcome = Wrapped::new(SoftCipher::new(&[device; 32])).unwrap(key, wrapped, &mut secret);
        assert!(outcome.is_ok() || secret == [0; 32], "something is left of a key that was refused");
        outcome.map(|()| secret)
    }

    #[test]
    fn a_key_opens_for_its_own_use_on_its_own_device_only() {
        for key in USES {
            let one = wrapped(1, key);
            assert!(!one.windows(8).any(|window| window == [0xa5; 8]), "the key is readable");
            for other in USES {
                let expected = if key == other { Ok(SECRET) } else { Err(KeyError::Damaged) };
                assert_eq!(unwrap(1, other, &one), expected, "{key:?} as {other:?}");
            }
            assert_eq!(unwrap(2, key, &one), Err(KeyError::Damaged), "on another device");
        }
    }

    #[test]
    fn each_flipped_bit_and_each_other_length_is_found() {
        let mut one = wrapped(1, KeyUse::Idevid);
        for bit in 0..LENGTH * 8 {
            one[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unwrap(1, KeyUse::Idevid, &one), Err(KeyError::Damaged), "bit {bit}");
            one[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..LENGTH {
            assert_eq!(unwrap(1, KeyUse::Idevid, &one[..length]), Err(KeyError::Damaged));
        }
        assert_eq!(unwrap(1, KeyUse::Idevid, &[0; 96]), Err(KeyError::Damaged));
    }

    /// The same bytes from Python's `cryptography`: what this makes is AES-GCM, and stays so over versions.
    #[test]
    fn the_form_does_not_change() {
        assert_eq!(wrapped(1, KeyUse::Idevid), KNOWN);
    }

    const KNOWN: [u8; LENGTH] = [
        0x01, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0xae, 0xd5, 0x54, 0xff,
        0xed, 0xfb, 0x3c, 0xb2, 0x2b, 0x22, 0xbf, 0xa6, 0xf8, 0xad, 0xe3, 0x42, 0x7a, 0xfa, 0x20, 0x35, 0x06,
        0xe1, 0x68, 0xe1, 0x59, 0x97, 0x47, 0x18, 0x15, 0xe4, 0x32, 0xa5, 0xf8, 0xd5, 0x7a, 0x3e, 0x11, 0x30,
        0x05, 0x9c, 0x19, 0xb1, 0x88, 0xc9, 0xa4, 0x5e, 0x11, 0x91,
    ];
}
