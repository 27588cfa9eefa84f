//! Evidence authenticated with a symmetric key: an EAT (RFC 9711) in COSE_Mac0 (RFC 9052).
//!
//! Holds the device's own key, never its group's: whoever reads out one device must not become all of them.

use core::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use shared::DeviceId;
use shared::evidence::ueid_of_name;
use shared::keytext::{KeyText, KeyTextError, Scope};
use shared::limits::MAX_CHAIN;
use shared::message::latest::{EvidenceKind, Nonce};

use super::eat::{self, Firmware};
use crate::platform::{AttestError, Attester, KeyError, PublicPoint};

/// Attests with a symmetric key. Zeroizes its copy of the key on drop.
pub struct SymmetricAttester<'d> {
    device: DeviceId,
    key: KeyText,
    firmware: Firmware<'d>,
}

/// Why a text is of no use as a device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymmetricKeyError {
    /// It is no key.
    #[error(transparent)]
    Form(#[from] KeyTextError),
    /// It is the key of a whole group.
    #[error("this is the key of a whole group and must not be on a device; derive the device's own from it")]
    Group,
}

impl<'d> SymmetricAttester<'d> {
    /// An attester for `device` with the key in `text`, as [`shared::keytext`] describes it.
    ///
    /// # Errors
    /// Where `text` is no key of a device.
    pub fn new(device: DeviceId, text: &str, firmware: Firmware<'d>) -> Result<Self, SymmetricKeyError> {
        let key = KeyText::parse(text)?;
        match key.scope() {
            Scope::Device => Ok(Self { device, key, firmware }),
            Scope::Group => Err(SymmetricKeyError::Group),
        }
    }
}

impl Attester for SymmetricAttester<'_> {
    fn device_id(&self) -> &DeviceId {
        &self.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::SymmetricKey
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let claims = self.firmware.claims(nonce, csr_key, ueid_of_name(&self.device));
        // HMAC takes keys of every length; an error cannot be.
        let mac = Hmac::<Sha256>::new_from_slice(self.key.key()).map_err(|_| KeyError::Damaged)?;
        eat::authenticated(&claims, self.key.kid(), mac, out)
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        heapless::Vec::new()
    }
}

impl fmt::Debug for SymmetricAttester<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SymmetricAttester({}, key redacted)", self.device)
    }
}
