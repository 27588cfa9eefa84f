//! The device's proof of what it is, as the core wants it: by IDevID or by token.

use agent_core::evidence::{IdevidAttester, TokenAttester};
use agent_core::platform::{AttestError, Attester, PublicPoint};
use shared::message::latest::{EvidenceKind, Kinds, Nonce};
use shared::{DeviceId, limits};

use crate::keystore::FileKey;

/// [`Attester`] over whatever was provisioned.
#[derive(Debug)]
pub enum DeviceAttester<'p> {
    /// Signs evidence with the IDevID key.
    Idevid(Box<IdevidAttester<'p, FileKey>>),
    /// Shows a one-time token.
    Token(TokenAttester),
}

impl Attester for DeviceAttester<'_> {
    fn device_id(&self) -> &DeviceId {
        match self {
            Self::Idevid(attester) => attester.device_id(),
            Self::Token(attester) => attester.device_id(),
        }
    }

    fn kinds(&self) -> Kinds {
        match self {
            Self::Idevid(attester) => attester.kinds(),
            Self::Token(attester) => attester.kinds(),
        }
    }

    fn attest(
        &mut self,
        kind: EvidenceKind,
        nonce: &Nonce,
        csr_key: &PublicPoint,
        out: &mut [u8],
    ) -> Result<usize, AttestError> {
        match self {
            Self::Idevid(attester) => attester.attest(kind, nonce, csr_key, out),
            Self::Token(attester) => attester.attest(kind, nonce, csr_key, out),
        }
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }> {
        match self {
            Self::Idevid(attester) => attester.endorsements(),
            Self::Token(attester) => attester.endorsements(),
        }
    }
}
