//! The device's proof of what it is, as the core wants it: by IDevID, DICE, PSA token, one-time token or TPM.

use agent_core::evidence::{
    ClaimAttester, DiceAttester, IdevidAttester, PsaAttester, SymmetricAttester, TokenAttester,
};
use agent_core::platform::{AttestError, Attester, PublicPoint};
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, limits};

use super::{ServiceCommand, TpmAttester};
use crate::keystore::FileKey;

/// [`Attester`] over whatever was provisioned.
#[derive(Debug)]
pub enum DeviceAttester<'p> {
    /// Signs evidence with the IDevID key.
    Idevid(Box<IdevidAttester<'p, FileKey>>),
    /// Signs a binding with the alias key of this boot.
    Dice(Box<DiceAttester<'p, FileKey>>),
    /// Shows tokens of the PSA attestation service.
    Psa(Box<PsaAttester<'p, ServiceCommand>>),
    /// Authenticates evidence with a symmetric key.
    Symmetric(Box<SymmetricAttester<'p>>),
    /// Signs evidence with the key of its batch.
    Claim(Box<ClaimAttester<'p, FileKey>>),
    /// Shows a one-time token.
    Token(TokenAttester),
    /// Lets the TPM speak.
    Tpm(Box<TpmAttester<'p>>),
}

impl Attester for DeviceAttester<'_> {
    fn device_id(&self) -> &DeviceId {
        match self {
            Self::Idevid(attester) => attester.device_id(),
            Self::Dice(attester) => attester.device_id(),
            Self::Psa(attester) => attester.device_id(),
            Self::Symmetric(attester) => attester.device_id(),
            Self::Claim(attester) => attester.device_id(),
            Self::Token(attester) => attester.device_id(),
            Self::Tpm(attester) => attester.device_id(),
        }
    }

    fn kind(&self) -> EvidenceKind {
        match self {
            Self::Idevid(attester) => attester.kind(),
            Self::Dice(attester) => attester.kind(),
            Self::Psa(attester) => attester.kind(),
            Self::Symmetric(attester) => attester.kind(),
            Self::Claim(attester) => attester.kind(),
            Self::Token(attester) => attester.kind(),
            Self::Tpm(attester) => attester.kind(),
        }
    }

    fn introduce(&mut self, out: &mut [u8]) -> Result<usize, AttestError> {
        match self {
            Self::Idevid(attester) => attester.introduce(out),
            Self::Dice(attester) => attester.introduce(out),
            Self::Psa(attester) => attester.introduce(out),
            Self::Symmetric(attester) => attester.introduce(out),
            Self::Claim(attester) => attester.introduce(out),
            Self::Token(attester) => attester.introduce(out),
            Self::Tpm(attester) => attester.introduce(out),
        }
    }

    fn take_credential(&mut self, nonce: &Nonce, credential: &[u8]) -> Result<(), AttestError> {
        match self {
            Self::Idevid(attester) => attester.take_credential(nonce, credential),
            Self::Dice(attester) => attester.take_credential(nonce, credential),
            Self::Psa(attester) => attester.take_credential(nonce, credential),
            Self::Symmetric(attester) => attester.take_credential(nonce, credential),
            Self::Claim(attester) => attester.take_credential(nonce, credential),
            Self::Token(attester) => attester.take_credential(nonce, credential),
            Self::Tpm(attester) => attester.take_credential(nonce, credential),
        }
    }

    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError> {
        match self {
            Self::Idevid(attester) => attester.attest(nonce, csr_key, out),
            Self::Dice(attester) => attester.attest(nonce, csr_key, out),
            Self::Psa(attester) => attester.attest(nonce, csr_key, out),
            Self::Symmetric(attester) => attester.attest(nonce, csr_key, out),
            Self::Claim(attester) => attester.attest(nonce, csr_key, out),
            Self::Token(attester) => attester.attest(nonce, csr_key, out),
            Self::Tpm(attester) => attester.attest(nonce, csr_key, out),
        }
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }> {
        match self {
            Self::Idevid(attester) => attester.endorsements(),
            Self::Dice(attester) => attester.endorsements(),
            Self::Psa(attester) => attester.endorsements(),
            Self::Symmetric(attester) => attester.endorsements(),
            Self::Claim(attester) => attester.endorsements(),
            Self::Token(attester) => attester.endorsements(),
            Self::Tpm(attester) => attester.endorsements(),
        }
    }
}
