//! The answer to a challenge request, credentials for TPMs included.

use shared::message::latest::{Challenge, ChallengeRequest, EvidenceKind, Nonce};
use shared::{DeviceId, UnixTime};

use super::draft::Draft;
use super::{Denied, Issuance, Parts};
use crate::store::Asked;
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
    /// Makes a challenge, and remembers nothing of it.
    ///
    /// # Errors
    /// Where the device offers no evidence that the policy accepts, or a TPM does not introduce itself.
    pub async fn challenge(&self, request: &ChallengeRequest<'_>) -> Result<Challenged, Denied> {
        let now = self.now();
        let mut draft = self.draft(Asked::Challenge, &request.device, None, now);
        let kind = self.kind_for(request, &mut draft, now).await;
        let (kind, renewal_wanted) = self.closed(draft, kind)?;
        let (nonce, valid_until) = self.nonce_for(&request.device, now)?;
        let credential = match kind {
            EvidenceKind::Tpm2 => Some(self.tpm_credential(request.introduction, &nonce)?),
            _ => None,
        };
        Ok(Challenged { server_time: now, nonce, valid_until, kind, credential, renewal_wanted })
    }

    /// A nonce for a device, with the time it ends.
    pub(super) fn nonce_for(&self, device: &DeviceId, now: UnixTime) -> Result<(Nonce, UnixTime), Denied> {
        let Parts { nonces, hook, nonce_lifetime, .. } = &self.parts;
        nonces.draw(hook, device, now, *nonce_lifetime).ok_or(Denied::Random)
    }

    /// The kind of evidence to ask for.
    async fn kind_for(
        &self,
        request: &ChallengeRequest<'_>,
        draft: &mut Draft,
        now: UnixTime,
    ) -> Result<(EvidenceKind, bool), Denied> {
        let snapshot = self.parts.store.snapshot(&request.device, now).await?;
        Ok((draft.kind_for(&request.kinds, snapshot.known.as_ref())?, snapshot.renewal_wanted))
    }

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
