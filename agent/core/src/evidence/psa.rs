//! A PSA attestation token as evidence (RFC 9783), made by the platform's attestation service.
//!
//! The core makes the challenge and bounds the token; keys, claims and COSE are the root of trust's.

use shared::DeviceId;
use shared::evidence::key_thumbprint;
use shared::limits::{MAX_CHAIN, MAX_EVIDENCE, NONCE};
use shared::message::latest::{EvidenceKind, Nonce};

use crate::platform::{AttestError, Attester, PublicPoint};

/// What a token is asked for with: the server's nonce, then the thumbprint (RFC 9679) of the CSR's key. 64 bytes is
/// one of the three sizes that the PSA attestation API takes.
pub type PsaChallenge = [u8; 64];

/// The platform's attestation service.
///
/// To implement: call `psa_initial_attest_get_token` of the PSA Certified Attestation API with the challenge; a
/// token is as long as `psa_initial_attest_get_token_size` says. It must be a COSE_Sign1 of the profile
/// `tag:psacertified.org,2023:psa#tfm` or `PSA_IOT_PROFILE_1`.
pub trait AttestationService {
    /// Writes a token over `challenge` into `out`; returns its length.
    ///
    /// # Errors
    /// Where the service fails ([`AttestError::Service`]) or the token does not fit.
    fn token(&mut self, challenge: &PsaChallenge, out: &mut [u8]) -> Result<usize, AttestError>;
}

/// Attests with PSA tokens.
#[derive(Debug)]
pub struct PsaAttester<'d, S> {
    device: DeviceId,
    chain: heapless::Vec<&'d [u8], MAX_CHAIN>,
    service: S,
}

impl<'d, S: AttestationService> PsaAttester<'d, S> {
    /// An attester for `device`. `chain` is that of the attestation key's certificate in DER, leaf first, without
    /// the maker's trust anchor; empty where the server has the key registered, or the token carries its chain.
    ///
    /// # Errors
    /// Where the chain is longer than [`MAX_CHAIN`].
    pub fn new(device: DeviceId, chain: &[&'d [u8]], service: S) -> Result<Self, PsaError> {
        let chain = heapless::Vec::from_slice(chain).map_err(|_| PsaError::ChainLength)?;
        Ok(Self { device, chain, service })
    }
}

/// Why an attestation service is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PsaError {
    /// The chain is longer than [`MAX_CHAIN`].
    #[error("the chain of an attestation key has {MAX_CHAIN} certificates at most")]
    ChainLength,
}

impl<S: AttestationService> Attester for PsaAttester<'_, S> {
    fn device_id(&self) -> &DeviceId {
        &self.device
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::PsaToken
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        let length = self.service.token(&challenge(nonce, csr_key), out)?;
        if length == 0 {
            return Err(AttestError::Service);
        }
        if length > out.len().min(MAX_EVIDENCE) { Err(AttestError::TooLong) } else { Ok(length) }
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], MAX_CHAIN> {
        self.chain.iter().copied().collect()
    }
}

fn challenge(nonce: &Nonce, csr_key: &PublicPoint) -> PsaChallenge {
    let mut challenge = [0; 2 * NONCE];
    let (front, back) = challenge.split_at_mut(NONCE);
    front.copy_from_slice(nonce);
    back.copy_from_slice(&key_thumbprint(csr_key));
    challenge
}

#[cfg(test)]
mod tests {
    use super::{AttestationService, PsaAttester, PsaChallenge, PsaError};
    use crate::platform::{AttestError, Attester as _};
    use shared::DeviceId;
    use shared::evidence::key_thumbprint;

    /// Gives the challenge back as the token, and says that it is as long as it was told to say.
    struct Echo(usize);

    impl AttestationService for Echo {
        fn token(&mut self, challenge: &PsaChallenge, out: &mut [u8]) -> Result<usize, AttestError> {
            out[..64].copy_from_slice(challenge);
            Ok(self.0)
        }
    }

    fn attest(length: usize) -> Result<heapless::Vec<u8, 100>, AttestError> {
        let mut attester =
            PsaAttester::new(DeviceId::new("SN-1").unwrap(), &[b"leaf"], Echo(length)).unwrap();
        assert_eq!(attester.endorsements().as_slice(), [b"leaf"]);
        let mut out = [0; 100];
        let length = attester.attest(&[7; 32], &[4; 65], &mut out)?;
        Ok(heapless::Vec::from_slice(&out[..length]).unwrap())
    }

    #[test]
    fn the_challenge_is_the_nonce_and_the_thumbprint_of_the_key() {
        let token = attest(64).unwrap();
        assert_eq!((&token[..32], &token[32..]), ([7; 32].as_slice(), key_thumbprint(&[4; 65]).as_slice()));
    }

    #[test]
    fn what_the_service_says_is_bounded() {
        assert_eq!(attest(0), Err(AttestError::Service));
        assert_eq!(attest(101), Err(AttestError::TooLong));
        let five =
            PsaAttester::new(DeviceId::new("SN-1").unwrap(), &[b"x"; 5].map(|x| x.as_slice()), Echo(0));
        assert_eq!(five.err(), Some(PsaError::ChainLength));
    }
}
