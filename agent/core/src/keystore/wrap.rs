//! Protection of keys at rest, by whatever the chip has for it.

use rand_core::CryptoRngCore;

use crate::platform::{KeyError, Slot};

/// Longest wrapped key, in bytes.
pub const MAX_WRAPPED: usize = 96;

/// What a key is for. A wrapped key is good for its own use only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// The operational key of a slot.
    Operational(Slot),
    /// The IDevID key.
    Idevid,
}

impl KeyUse {
    /// What is authenticated beside the key.
    #[must_use]
    pub const fn label(self) -> &'static [u8] {
        match self {
            Self::Operational(Slot::A) => b"ldevid-a",
            Self::Operational(Slot::B) => b"ldevid-b",
            Self::Idevid => b"idevid",
        }
    }
}

/// Random bytes that are used for one wrapping and no other: a nonce of AES-GCM (NIST SP 800-38D, section 8.2.2).
pub type WrapNonce = [u8; 12];

/// Protects keys at rest.
///
/// To implement: encrypt and authenticate with a key that does not leave the chip, and bind the
/// [label](KeyUse::label).
pub trait KeyWrap {
    /// Whether the key it wraps with is this chip's alone, and stays so. Some chips give a key of their own only when they are
    /// closed, and before that one which all of their kind have: what is wrapped under that is lost at the closing.
    fn is_own(&self) -> bool;

    /// Wraps `secret` into `out`; returns the length.
    ///
    /// # Errors
    /// Where the hardware fails.
    fn wrap(
        &mut self,
        key: KeyUse,
        secret: &[u8; 32],
        nonce: &WrapNonce,
        out: &mut [u8; MAX_WRAPPED],
    ) -> Result<usize, KeyError>;

    /// The reverse.
    ///
    /// # Errors
    /// [`KeyError::Damaged`] where `wrapped` is not what [`wrap`](Self::wrap) made for this use.
    fn unwrap(&mut self, key: KeyUse, wrapped: &[u8], secret: &mut [u8; 32]) -> Result<(), KeyError>;
}

/// No protection at rest: the key lies in storage as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapped;

impl KeyWrap for Unwrapped {
    /// Nothing changes for what is not wrapped.
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
        if let Some(place) = out.first_chunk_mut() {
            *place = *secret;
        }
        Ok(secret.len())
    }

    fn unwrap(&mut self, _: KeyUse, wrapped: &[u8], secret: &mut [u8; 32]) -> Result<(), KeyError> {
        *secret = *<&[u8; 32]>::try_from(wrapped).map_err(|_| KeyError::Damaged)?;
        Ok(())
    }
}

/// Draws a nonce for a wrapping.
///
/// # Errors
/// [`KeyError::Random`] where the generator gives nothing.
pub fn wrap_nonce(rng: &mut impl CryptoRngCore) -> Result<WrapNonce, KeyError> {
    let mut nonce = [0; 12];
    rng.try_fill_bytes(&mut nonce).map_err(|_| KeyError::Random)?;
    Ok(nonce)
}
