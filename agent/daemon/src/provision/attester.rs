//! The device's proof of what it is, as the core wants it.

use agent_core::evidence::IdevidAttester;
use agent_core::platform::{AttestError, Attester, PublicPoint};
use shared::message::latest::{EvidenceKind, Kinds, Nonce};
use shared::{DeviceId, limits};

use super::{Proof, Provision, ProvisionError};
use crate::keystore::FileKey;

/// [`Attester`] over whatever was provisioned.
#[derive(Debug)]
pub enum DeviceAttester<'p> {
    /// Signs evidence with the IDevID key.
    Idevid(IdevidAttester<'p, FileKey>),
    /// Shows a one-time token.
    Token(TokenAttester<'p>),
}

/// Shows a one-time token.
pub struct TokenAttester<'p> {
    device: &'p DeviceId,
    token: &'p str,
}

impl core::fmt::Debug for TokenAttester<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TokenAttester").field("device", self.device).finish_non_exhaustive()
    }
}

impl Attester for DeviceAttester<'_> {
    fn device_id(&self) -> &DeviceId {
        match self {
            Self::Idevid(attester) => attester.device_id(),
            Self::Token(attester) => attester.device,
        }
    }

    fn kinds(&self) -> Kinds {
        match self {
            Self::Idevid(attester) => attester.kinds(),
            Self::Token(_) => [EvidenceKind::OneTimeToken].into_iter().collect(),
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
            Self::Token(attester) if kind == EvidenceKind::OneTimeToken => {
                let token = attester.token.as_bytes();
                out.get_mut(..token.len()).ok_or(AttestError::TooLong)?.copy_from_slice(token);
                Ok(token.len())
            }
            Self::Token(_) => Err(AttestError::Kind),
        }
    }

    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }> {
        match self {
            Self::Idevid(attester) => attester.endorsements(),
            Self::Token(_) => heapless::Vec::new(),
        }
    }
}
