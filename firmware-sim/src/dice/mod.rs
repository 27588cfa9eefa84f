//! A DICE boot, simulated as the Open Profile for DICE has it: each layer measures the next one, derives its secret
//! from the measurement and certifies its key. Changed firmware so gets other keys, and cannot hide it.
//!
//! A stand-in: on a real device the unique device secret never leaves the hardware, and each layer forgets the
//! secret of the one before it.

mod certificate;
mod derive;

use core::fmt;

use p256::SecretKey;
use rand_core::RngCore as _;
use rcgen::Issuer;
use sha2::{Digest as _, Sha512};
use shared::{DeviceId, UnixTime};
use zeroize::Zeroizing;

use crate::factory::{FactoryError, Maker};

pub use derive::Mode;

/// A unique device secret (UDS). Wiped when dropped.
#[derive(Clone)]
pub struct Uds(Zeroizing<[u8; 32]>);

/// One layer of the firmware.
#[derive(Clone, Copy, Debug)]
pub struct Code<'c> {
    /// What it is, for example `bootloader`.
    pub name: &'c str,
    /// Its version.
    pub version: &'c str,
    /// The device's model.
    pub model: &'c str,
    /// The code input: SHA-512 over the image.
    pub hash: [u8; 64],
}

/// What a boot leaves to the firmware.
pub struct Boot {
    /// The layered chain in DER: the alias first, then the layers from the last one up, the device's root last.
    pub chain: Vec<Vec<u8>>,
    /// The alias key.
    pub alias: SecretKey,
}

/// Why a boot went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A certificate could not be made; perhaps the root is another device's.
    #[error("a layer's certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// No key came out of a secret.
    #[error("a layer's key could not be derived")]
    Key,
}

impl Uds {
    /// A new secret.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn random() -> Result<Self, FactoryError> {
        let mut secret = Zeroizing::new([0; 32]);
        rand_core::OsRng.try_fill_bytes(secret.as_mut_slice()).map_err(|_| FactoryError::Random)?;
        Ok(Self(secret))
    }

    /// A secret that was kept.
    #[must_use]
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SubjectPublicKeyInfo of the root key, in DER: what identifies the device.
    ///
    /// # Errors
    /// Where no key can be derived.
    pub fn root_spki(&self) -> Result<Vec<u8>, BootError> {
        let key = derive::for_rcgen(&derive::key_pair(self.as_bytes())?)?;
        Ok(rcgen::PublicKeyData::subject_public_key_info(&key))
    }

    /// What the factory does once: `maker` certifies the key that follows from the secret. Gives the device's root
    /// certificate in DER.
    ///
    /// # Errors
    /// Where it could not be made.
    pub fn endorse(&self, id: &DeviceId, maker: &Maker, now: UnixTime) -> Result<Vec<u8>, BootError> {
        let key = derive::key_pair(self.as_bytes())?;
        Ok(certificate::root(id, &key, now)?
            .signed_by(&derive::for_rcgen(&key)?, maker.issuer())?
            .der()
            .to_vec())
    }
}

impl fmt::Debug for Uds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uds(redacted)")
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boot").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

impl<'c> Code<'c> {
    /// A layer whose image is this.
    #[must_use]
    pub fn of_image(name: &'c str, version: &'c str, model: &'c str, image: &[u8]) -> Self {
        Self { name, version, model, hash: Sha512::digest(image).into() }
    }
}

/// Boots a device with its root certificate, layer by layer.
///
/// # Errors
/// Where a key or a certificate could not be made.
pub fn boot(uds: &Uds, root: &[u8], layers: &[Code<'_>], mode: Mode) -> Result<Boot, BootError> {
    let mut secret = Zeroizing::new(*uds.as_bytes());
    let mut chain = vec![root.to_vec()];
    let authority = derive::for_rcgen(&derive::key_pair(&secret)?)?;
    let mut issuer = Issuer::from_ca_cert_der(&root.into(), authority)?;
    for (number, code) in (1..).zip(layers) {
        let inputs = derive::Inputs::new(code, mode);
        secret = derive::cdi_attest(&secret, &inputs);
        let key = derive::key_pair(&secret)?;
        let params = certificate::layer(&key, number, code, &inputs);
        let pair = derive::for_rcgen(&key)?;
        chain.insert(0, params.signed_by(&pair, &issuer)?.der().to_vec());
        issuer = Issuer::new(params, pair);
    }
    // "CDI_Private should not participate directly in attestation protocols, but should rather certify an
    // attestation key" (Certificate Details).
    let alias = derive::key_pair(&derive::attestation_secret(&secret))?;
    let params = certificate::alias(&alias);
    chain.insert(0, params.signed_by(&derive::for_rcgen(&alias)?, &issuer)?.der().to_vec());
    Ok(Boot { chain, alias })
}
