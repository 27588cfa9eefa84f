//! Evidence as it came, for the appraisal, for the record and for events. Looks up in the store what goes with it;
//! judges nothing.

use appraisal::tpm::Tpm2;
use appraisal::{CheckedCsr, ClaimEat, Dice, IdevidEat, Proof, PsaToken, SymmetricEat};
use aws_lc_rs::digest::{SHA256, digest};
use shared::DeviceId;
use shared::message::latest::{EvidenceKind, FreshEvidence};

use super::{Denied, Issuance};
use crate::store::{AttestationKey, Sha256, StoredEvidence};

impl Issuance {
    /// What the evidence is for the appraisal; a token is looked up, and its hash given back.
    pub(super) async fn proof<'e>(
        &'e self,
        device: &DeviceId,
        evidence: &'e FreshEvidence<'_>,
        csr: &CheckedCsr,
    ) -> Result<(Proof<'e>, Option<Sha256>), Denied> {
        let proof = match evidence.kind {
            EvidenceKind::IdevidEat => Proof::IdevidEat(IdevidEat {
                eat: evidence.body,
                endorsements: &evidence.endorsements,
                nonce: &evidence.nonce,
            }),
            EvidenceKind::Dice => Proof::Dice(Dice {
                binding: evidence.body,
                endorsements: &evidence.endorsements,
                nonce: &evidence.nonce,
            }),
            EvidenceKind::Tpm2 => Proof::Tpm2(Tpm2 {
                body: evidence.body,
                nonce: &evidence.nonce,
                activation: self.parts.nonces.activation(),
            }),
            EvidenceKind::OneTimeToken => {
                let sha256 = token_hash(evidence.body);
                let found = self.parts.store.find_token(sha256).await?.ok_or(Denied::UnknownToken)?;
                // The request that used it up may come again for its answer.
                if found.revoked || found.used_by_key.is_some_and(|key| key != *csr.spki_sha256()) {
                    return Err(Denied::UnknownToken);
                }
                return Ok((Proof::OneTimeToken(found.grant), Some(sha256)));
            }
            EvidenceKind::PsaToken => {
                let registered = match appraisal::psa::claimed_instance(evidence.body) {
                    Some(instance) => self.parts.store.attestation_key(instance).await?,
                    None => None,
                };
                Proof::PsaToken(PsaToken {
                    token: evidence.body,
                    endorsements: &evidence.endorsements,
                    nonce: &evidence.nonce,
                    registered: registered.map(AttestationKey::registered).transpose()?,
                })
            }
            EvidenceKind::SymmetricKey => Proof::SymmetricKey(Box::new(SymmetricEat {
                eat: evidence.body,
                nonce: &evidence.nonce,
                credential: self.symmetric_credential(device, evidence.body).await?,
            })),
            EvidenceKind::ClaimCertificate => Proof::ClaimCertificate(Box::new(ClaimEat {
                eat: evidence.body,
                endorsements: &evidence.endorsements,
                nonce: &evidence.nonce,
                batch: self.batch(device, &evidence.endorsements).await?,
            })),
            _ => return Err(Denied::NoKind),
        };
        Ok((proof, None))
    }
}

/// The hash under which a token is kept. Tokens are random with 75 bits at least, so a plain hash is enough. All
/// spellings of one in the short form have the same.
#[must_use]
pub fn token_hash(text: &[u8]) -> Sha256 {
    match shared::tokentext::canonical(text) {
        Ok(symbols) => sha256(&symbols),
        Err(_) => sha256(text),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The hash of evidence as events carry it. That of a token would be as good as the token's record in the store,
/// and is left out.
pub(super) fn evidence_hash(evidence: &FreshEvidence<'_>) -> Option<Sha256> {
    (evidence.kind != EvidenceKind::OneTimeToken).then(|| sha256(evidence.body))
}

pub(super) fn stored(evidence: &FreshEvidence<'_>) -> StoredEvidence {
    let body = match evidence.kind {
        // The text of a token is a secret.
        EvidenceKind::OneTimeToken => Vec::new(),
        _ => evidence.body.to_vec(),
    };
    StoredEvidence { kind: evidence.kind, body }
}
