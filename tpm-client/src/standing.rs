//! A key that stays in the TPM over one connection, for whoever signs much with it: a CA.

use core::fmt;

use shared::tpm2::ecdsa_signature;

use super::objects::KeyBlob;
use super::session::Session;
use super::{AuthValue, Tpm, TpmError};

/// A key that is ready to sign. When the connection breaks it is of no use any more; it is then opened again.
///
/// A loaded key needs no unloading: the kernel's resource manager does it when the connection ends, and behind a
/// socket the next connection does it.
pub struct StandingKey {
    session: Session,
    handle: u32,
    public: Vec<u8>,
}

impl StandingKey {
    /// Loads a key that lies encrypted outside of the TPM.
    ///
    /// # Errors
    /// Where the TPM fails, or did not make this key.
    pub fn load(tpm: &Tpm, key: &KeyBlob) -> Result<Self, TpmError> {
        let mut session = tpm.open()?;
        let handle = session.with_storage_root(|tpm, root| tpm.load(root, key))?;
        Ok(Self { session, handle, public: key.public.clone() })
    }

    /// Takes a key that lies in the TPM for good, at a persistent handle (0x81000000 and above).
    ///
    /// # Errors
    /// Where the TPM fails, or nothing lies there.
    pub fn persistent(tpm: &Tpm, handle: u32) -> Result<Self, TpmError> {
        let mut session = tpm.open()?;
        let public = session.read_public(handle)?.ok_or(TpmError::NoSuchHandle { handle })?;
        Ok(Self { session, handle, public })
    }

    /// Its public area (TPMT_PUBLIC).
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Signs a SHA-256 digest with ECDSA; the result is r and s, 32 bytes each.
    ///
    /// # Errors
    /// Where the TPM fails, or does not take the authorization value.
    pub fn sign(&mut self, auth: &AuthValue, digest: &[u8; 32]) -> Result<[u8; 64], TpmError> {
        let signature = self.session.sign(self.handle, auth, digest)?;
        Ok(ecdsa_signature(&signature)?)
    }
}

impl fmt::Debug for StandingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StandingKey({:#010x})", self.handle)
    }
}
