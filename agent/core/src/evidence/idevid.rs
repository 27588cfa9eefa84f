//! Evidence signed with the IDevID key: an EAT (RFC 9711) in COSE_Sign1 (RFC 9052).

use sha2::{Digest as _, Sha256};
use shared::evidence::Ueid;
use shared::limits::MAX_CHAIN;
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, id::DeviceIdError};

use super::device_name;
use super::eat::{self, Firmware};
use crate::csr::SPKI_PREFIX;
use crate::platform::{AttestError, Attester, PublicPoint, SigningKey};
use crate::x509::{Certificate, PathError};

/// Attests with an IDevID.
#[derive(Debug)]
pub struct IdevidAttester<'d, K> {
    key: K,
    device: DeviceId,
    chain: heapless::Vec<&'d [u8], MAX_CHAIN>,
    ueid: Ueid,
    firmware: Firmware<'d>,
}

/// Why an IDevID is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdevidError {
    /// The chain is empty or longer than [`MAX_CHAIN`].
    #[error("an IDevID chain has 1 to {MAX_CHAIN} certificates")]
    ChainLength,
    /// The certificate cannot be read.
    #[error("the IDevID certificate cannot be read: {0}")]
    Certificate(#[from] PathError),
    /// The key is not the certificate's.
    #[error("the IDevID certificate is for another key")]
    OtherKey,
    /// Neither a serialNumber in the subject (IEEE 802.1AR, section 8.6) nor a hardwareModuleName.
    #[error("the IDevID's subject has no serialNumber, and no hardwareModuleName stands in its place")]
    NoSerialNumber,
    /// The serial number is no device identifier.
    #[error("the IDevID's serialNumber is no device identifier: {0}")]
    Device(#[from] DeviceIdError),
}

impl<'d, K: SigningKey> IdevidAttester<'d, K> {
    /// An attester for the device that `chain` names. The chain is DER, leaf first, without the maker's trust
    /// anchor.
    ///
    /// # Errors
    /// Where key and chain do not fit, or the leaf names no device.
    pub fn new(key: K, chain: &[&'d [u8]], firmware: Firmware<'d>) -> Result<Self, IdevidError> {
        let chain = heapless::Vec::from_slice(chain).map_err(|_| IdevidError::ChainLength)?;
        let leaf = Certificate::parse(chain.first().ok_or(IdevidError::ChainLength)?)?;
        let point = key.public_point();
        if *leaf.public_point() != point {
            return Err(IdevidError::OtherKey);
        }
        let device = device_name::device(&leaf)?;
        Ok(Self { key, device, chain, ueid: ueid(&point), firmware })
    }
}

impl<K: SigningKey> Attester for IdevidAttester<'_, K> {
    fn device_id(&self) -> &DeviceId {
        &self.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::IdevidEat
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let claims = self.firmware.claims(nonce, csr_key, self.ueid);
        eat::signed(&claims, &self.key, out)
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        self.chain.iter().copied().collect()
    }
}

/// The UEID of a device, of type RAND (RFC 9711, section 4.2.1): 0x01 and SHA-256 over the
/// SubjectPublicKeyInfo of its IDevID key.
fn ueid(point: &PublicPoint) -> Ueid {
    let mut ueid = [0x01; 33];
    let digest = Sha256::new().chain_update(SPKI_PREFIX).chain_update(point).finalize();
    for (to, from) in ueid.iter_mut().skip(1).zip(digest) {
        *to = from;
    }
    ueid
}
