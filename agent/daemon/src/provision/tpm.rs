//! Evidence of the device's TPM: its keys introduce it, its attestation key vouches for the operational key and
//! for what the platform measured.
//!
//! The credential of a challenge is kept as it came, encrypted: only the TPM can read it, also after a restart.

use std::path::PathBuf;

use agent_core::platform::{AttestError, Attester, KeyError, PublicPoint, Slot};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use shared::evidence::{Introduction, PcrValues, TpmEvidence, activation_message};
use shared::limits::{MAX_CREDENTIAL, MAX_TPM_CHAIN, MAX_TPM_EVIDENCE};
use shared::message::latest::{EvidenceKind, Nonce};
use shared::tpm2::{Key, PublicArea};
use shared::{DeviceId, limits};

use super::event_log;
use crate::keystore::{MAX_TPM_RECORD, blob, key_record};
use crate::storage::FileStorage;
use tpm_client::objects::KeyBlob;
use tpm_client::{EkKind, Tpm, TpmError};

/// The file of the state directory with the nonce of a challenge and the credential that came with it.
pub(crate) const CREDENTIAL_FILE: &str = "tpm-credential";

/// What the evidence of a TPM is made of.
#[derive(Clone, Debug)]
pub struct TpmIdentity {
    /// The device's identifier.
    pub device: DeviceId,
    /// The TPM.
    pub tpm: Tpm,
    /// Which of its endorsement keys.
    pub ek: EkKind,
    /// Certificates that were provisioned, in DER: the endorsement key's own first, or only those above it.
    pub certificates: Vec<Vec<u8>>,
    /// The registers to quote.
    pub registers: Vec<u8>,
    /// The firmware's event log, if it is to be shown.
    pub event_log: Option<PathBuf>,
}

/// [`Attester`] over a TPM.
#[derive(Debug)]
pub struct TpmAttester<'p> {
    identity: &'p TpmIdentity,
    storage: FileStorage,
}

impl<'p> TpmAttester<'p> {
    /// An attester that finds the operational keys, and keeps credentials, in `storage`.
    #[must_use]
    pub const fn new(identity: &'p TpmIdentity, storage: FileStorage) -> Self {
        Self { identity, storage }
    }

    /// The key that a CSR is for, in either slot.
    fn operational_key(&mut self, point: &PublicPoint) -> Result<KeyBlob, AttestError> {
        for slot in [Slot::A, Slot::B] {
            let mut buffer = [0; MAX_TPM_RECORD];
            let length = self.storage.read(key_record(slot), &mut buffer).map_err(KeyError::from)?;
            let found = length.and_then(|length| buffer.get(..length)).and_then(blob);
            if let Some(key) = found
                && key.point().is_ok_and(|found| found == *point)
            {
                return Ok(key);
            }
        }
        Err(KeyError::Damaged.into())
    }

    /// The credential that came with this nonce.
    fn credential(&mut self, nonce: &Nonce) -> Result<Vec<u8>, AttestError> {
        let mut buffer = [0; limits::NONCE + MAX_CREDENTIAL];
        let length = self.storage.get(CREDENTIAL_FILE, &mut buffer).map_err(KeyError::from)?;
        let kept = length.and_then(|length| buffer.get(..length)).unwrap_or_default();
        match kept.split_first_chunk::<{ limits::NONCE }>() {
            Some((of, credential)) if of == nonce => Ok(credential.to_vec()),
            _ => {
                tracing::error!("the credential of this challenge is lost; a new challenge is needed");
                Err(AttestError::Kind)
            }
        }
    }

    /// The chain of the endorsement key, its own certificate first.
    fn ek_chain(&self, ek_public: &[u8]) -> Result<Vec<Vec<u8>>, AttestError> {
        let identity = self.identity;
        let provisioned = identity.certificates.as_slice();
        if provisioned.first().is_some_and(|first| is_for(first, ek_public)) {
            return Ok(provisioned.to_vec());
        }
        let own = identity.tpm.ek_certificate(identity.ek).map_err(failed("read the EK certificate"))?;
        let Some(own) = own else {
            tracing::error!(
                "the TPM holds no certificate of its endorsement key; give one as identity.tpm_certificates"
            );
            return Err(KeyError::Hardware.into());
        };
        let above = identity.tpm.ek_certificate_chain().map_err(failed("read the EK certificate's chain"))?;
        whole_chain(own, &above, provisioned)
    }
}

impl Attester for TpmAttester<'_> {
    fn device_id(&self) -> &DeviceId {
        &self.identity.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Tpm2
    }

    fn introduce(&mut self, out: &mut [u8]) -> Result<usize, AttestError> {
        let identity = self.identity;
        let (ek_public, ak_public) =
            identity.tpm.identity(identity.ek).map_err(failed("introduce itself"))?;
        let introduction = Introduction { ek_public: &ek_public, ak_public: &ak_public };
        introduction.encode(out).map_err(|_| AttestError::TooLong)
    }

    fn take_credential(&mut self, nonce: &Nonce, credential: &[u8]) -> Result<(), AttestError> {
        let kept = [nonce.as_slice(), credential].concat();
        Ok(self.storage.put(CREDENTIAL_FILE, &kept).map_err(KeyError::from)?)
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let (key, credential) = (self.operational_key(csr_key)?, self.credential(nonce)?);
        let TpmIdentity { tpm, ek, registers, event_log: log, .. } = self.identity;
        let (ek_public, ak_public) = tpm.identity(*ek).map_err(failed("introduce itself"))?;
        let chain = self.ek_chain(&ek_public)?;
        let secret = tpm.activate(*ek, &credential).map_err(failed("activate the credential"))?;
        let certify = tpm.certify(&key, nonce).map_err(failed("certify the key"))?;
        let quote = tpm.quote(registers, nonce).map_err(failed("quote its registers"))?;
        let log = log.as_deref().map(|path| event_log::read(path, registers)).transpose()?;
        let mut activation = Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| KeyError::Hardware)?;
        for part in activation_message(nonce, &key.public) {
            activation.update(part);
        }
        let evidence = TpmEvidence {
            ek_chain: chain.iter().map(Vec::as_slice).collect(),
            ek_public: &ek_public,
            ak_public: &ak_public,
            activation: activation.finalize().into_bytes().into(),
            key_public: &key.public,
            certify: &certify.attest,
            certify_signature: &certify.signature,
            quote: &quote.signed.attest,
            quote_signature: &quote.signed.signature,
            pcrs: quote
                .values
                .iter()
                .map(|(register, value)| (*register, value.as_slice()))
                .collect::<PcrValues<'_>>(),
            event_log: log.as_deref(),
        };
        match evidence.encode(out) {
            Ok(length) if length <= MAX_TPM_EVIDENCE => Ok(length),
            _ => {
                tracing::error!(
                    event_log = log.as_deref().map_or(0, <[u8]>::len),
                    certificates = chain.iter().map(Vec::len).sum::<usize>(),
                    allowed = MAX_TPM_EVIDENCE,
                    "the TPM's evidence is too long; most of it is event log and certificates, these bytes each"
                );
                Err(AttestError::TooLong)
            }
        }
    }

    /// The endorsement key's chain is part of the evidence.
    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }> {
        heapless::Vec::new()
    }
}

/// The endorsement key's own certificate, those that the maker left in the TPM above it, and those that were
/// provisioned; each once.
fn whole_chain(
    own: Vec<u8>,
    in_tpm: &[Vec<u8>],
    provisioned: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, AttestError> {
    let mut chain = vec![own];
    for der in in_tpm.iter().chain(provisioned) {
        if !chain.contains(der) {
            chain.push(der.clone());
        }
    }
    if chain.len() <= MAX_TPM_CHAIN {
        return Ok(chain);
    }
    tracing::error!(
        found = chain.len(),
        allowed = MAX_TPM_CHAIN,
        in_tpm = in_tpm.len(),
        provisioned = provisioned.len(),
        "the endorsement key's chain has too many certificates; with the key's own certificate first in \
         identity.tpm_certificates, and what leads from it to the maker's root behind it, those in the TPM are not read"
    );
    Err(AttestError::TooLong)
}

fn failed(operation: &'static str) -> impl Fn(TpmError) -> AttestError {
    move |error| crate::keystore::report(operation, &error).into()
}

/// Whether a certificate is for this key: whether the key itself, a modulus or a coordinate, stands in it. The
/// server looks closer.
fn is_for(der: &[u8], ek_public: &[u8]) -> bool {
    let Ok(area) = PublicArea::parse(ek_public) else { return false };
    let key = match &area.key {
        Key::Rsa { modulus, .. } => modulus,
        Key::P256 { x, .. } => x.as_slice(),
    };
    der.windows(key.len()).any(|window| window == key)
}

#[cfg(test)]
mod tests {
    use super::{AttestError, MAX_TPM_CHAIN, whole_chain};

    #[test]
    fn a_chain_has_each_certificate_once_and_none_is_dropped() {
        let certificates =
            |names: &[u8]| -> Vec<Vec<u8>> { names.iter().map(|name| vec![*name; 300]).collect() };
        let own = || vec![0; 300];
        let chain = whole_chain(own(), &certificates(&[1, 2, 3]), &certificates(&[3, 4, 1])).unwrap();
        assert_eq!(chain, certificates(&[0, 1, 2, 3, 4]));
        let most = certificates(&[1, 2, 3, 4, 5]);
        assert_eq!(whole_chain(own(), &[], &most).unwrap().len(), MAX_TPM_CHAIN);
        let one_more = certificates(&[6]);
        assert_eq!(whole_chain(own(), &one_more, &most), Err(AttestError::TooLong));
    }
}
