//! Evidence of a DICE device: the chain that its layers made at boot, and a binding signed with the alias key.

use shared::DeviceId;
use shared::cose::Content;
use shared::evidence::{Binding, key_thumbprint};
use shared::id::DeviceIdError;
use shared::limits::MAX_CHAIN;
use shared::message::latest::{EvidenceKind, Nonce};

use super::eat;
use crate::csr::SPKI_PREFIX;
use crate::platform::{AttestError, Attester, PublicPoint, SigningKey};
use crate::x509::{PathError, Summary};

/// Attests with the alias key and the layered chain that this boot made. A new boot may have others.
#[derive(Debug)]
pub struct DiceAttester<'d, K> {
    key: K,
    device: DeviceId,
    chain: heapless::Vec<&'d [u8], MAX_CHAIN>,
}

/// Why a layered chain is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiceError {
    /// Fewer than two certificates, or more than [`MAX_CHAIN`].
    #[error("a DICE chain has 2 to {MAX_CHAIN} certificates: the alias, layers, the device's root")]
    ChainLength,
    /// A certificate cannot be read.
    #[error("a certificate of the DICE chain cannot be read: {0}")]
    Certificate(#[from] PathError),
    /// The key is not the alias certificate's.
    #[error("the alias certificate is for another key")]
    OtherKey,
    /// No certificate names a device.
    #[error("no certificate of the DICE chain has a serialNumber in its subject")]
    NoSerialNumber,
    /// The serial number is no device identifier.
    #[error("the serialNumber in the DICE root is no device identifier: {0}")]
    Device(#[from] DeviceIdError),
}

impl<'d, K: SigningKey> DiceAttester<'d, K> {
    /// An attester with the alias key and the chain, DER, alias first, the device's root last. Certificates of the
    /// maker's CAs may follow.
    ///
    /// # Errors
    /// Where key and chain do not fit, or the chain names no device.
    pub fn new(key: K, chain: &[&'d [u8]]) -> Result<Self, DiceError> {
        let chain: heapless::Vec<_, MAX_CHAIN> =
            heapless::Vec::from_slice(chain).map_err(|_| DiceError::ChainLength)?;
        if chain.len() < 2 {
            return Err(DiceError::ChainLength);
        }
        let alias = Summary::parse(chain.first().ok_or(DiceError::ChainLength)?)?;
        if alias.spki().strip_prefix(&SPKI_PREFIX[..]) != Some(&key.public_point()) {
            return Err(DiceError::OtherKey);
        }
        // The topmost name is the root's: CAs above it name no device.
        let mut device = None;
        for der in chain.iter().rev() {
            if let Some(serial) = Summary::parse(der)?.subject_serial_number() {
                device = Some(DeviceId::new(serial)?);
                break;
            }
        }
        Ok(Self { key, device: device.ok_or(DiceError::NoSerialNumber)?, chain })
    }
}

impl<K: SigningKey> Attester for DiceAttester<'_, K> {
    fn device_id(&self) -> &DeviceId {
        &self.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Dice
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let binding = Binding { confirmation: key_thumbprint(csr_key), nonce: *nonce };
        let mut payload = [0; 96];
        let length = binding.encode(&mut payload).map_err(|_| AttestError::TooLong)?;
        let payload = payload.get(..length).ok_or(AttestError::TooLong)?;
        eat::sign1(Content::DiceBinding, payload, &self.key, out)
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        self.chain.iter().copied().collect()
    }
}
