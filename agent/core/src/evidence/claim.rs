//! Evidence signed with the key of a claim certificate, which a whole batch of devices shares: it shows which batch
//! a device is of, not which device it is.

use shared::DeviceId;
use shared::evidence::ueid_of_name;
use shared::limits::MAX_CHAIN;
use shared::message::latest::{EvidenceKind, Nonce};

use super::eat::{self, Firmware};
use super::idevid::IdevidError;
use crate::platform::{AttestError, Attester, PublicPoint, SigningKey};
use crate::x509::Certificate;

/// Attests with a claim certificate.
#[derive(Debug)]
pub struct ClaimAttester<'d, K> {
    key: K,
    device: DeviceId,
    chain: heapless::Vec<&'d [u8], MAX_CHAIN>,
    firmware: Firmware<'d>,
}

impl<'d, K: SigningKey> ClaimAttester<'d, K> {
    /// An attester for `device`, with the batch's key and its chain: DER, leaf first, without the trust anchor.
    ///
    /// # Errors
    /// Where key and chain do not fit.
    pub fn new(
        key: K,
        device: DeviceId,
        chain: &[&'d [u8]],
        firmware: Firmware<'d>,
    ) -> Result<Self, IdevidError> {
        let chain = heapless::Vec::from_slice(chain).map_err(|_| IdevidError::ChainLength)?;
        let leaf = Certificate::parse(chain.first().ok_or(IdevidError::ChainLength)?)?;
        if *leaf.public_point() != key.public_point() {
            return Err(IdevidError::OtherKey);
        }
        Ok(Self { key, device, chain, firmware })
    }
}

impl<K: SigningKey> Attester for ClaimAttester<'_, K> {
    fn device_id(&self) -> &DeviceId {
        &self.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::ClaimCertificate
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let claims = self.firmware.claims(nonce, csr_key, ueid_of_name(&self.device));
        eat::signed(&claims, &self.key, out)
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        self.chain.iter().copied().collect()
    }
}
