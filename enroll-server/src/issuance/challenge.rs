//! The answer to a challenge request, credentials for TPMs included.

use shared::UnixTime;
use shared::message::latest::{Challenge, EvidenceKind, Nonce};

use super::Issuance;
use crate::tpm_credential::{CredentialError, Introduced};

/// A challenge that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenged {
    pub(super) server_time: UnixTime,
    pub(super) nonce: Nonce,
    pub(super) valid_until: UnixTime,
    pub(super) kind: EvidenceKind,
    pub(super) credential: Option<Vec<u8>>,
    pub(super) renewal_wanted: bool,
}

impl Challenged {
    /// As it goes over the wire.
    #[must_use]
    pub fn message(&self) -> Challenge<'_> {
        Challenge {
            server_time: self.server_time,
            nonce: self.nonce,
            valid_until: self.valid_until,
            kind: self.kind,
            credential: self.credential.as_deref(),
            renewal_wanted: self.renewal_wanted,
        }
    }
}

impl Issuance {
    /// The credential for the TPM that introduces itself: its secret can be computed again from the nonce.
    pub(super) fn tpm_credential(
        &self,
        introduction: Option<&[u8]>,
        nonce: &Nonce,
    ) -> Result<Vec<u8>, CredentialError> {
        let introduced = Introduced::read(introduction.ok_or(CredentialError::Missing)?)?;
        let secret = self.parts.nonces.activation().secret(nonce, introduced.ek(), introduced.ak());
        introduced.credential(&secret)
    }
}
