//! Evidence as it came, for the appraisal, for the record and for events. Looks up in the store what goes with it;
//! judges nothing.

use appraisal::tpm::Tpm2;
use appraisal::{CheckedCsr, ClaimEat, Dice, IdevidEat, IdevidTls, Proof, PsaToken, SymmetricEat};
use aws_lc_rs::digest::{SHA256, digest};
use shared::DeviceId;
use shared::message::latest::{EvidenceKind, FreshEvidence, Nonce};

use super::{Denied, Issuance};
use crate::nonce::UnknownNonce;
use crate::store::{AttestationKey, Sha256, StoredEvidence};

/// Evidence as it came, by whatever protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) kind: EvidenceKind,
    /// In the form of its kind; the client's certificate where TLS client authentication is the evidence.
    pub(super) body: &'a [u8],
    /// The chain that came with it, leaf first.
    pub(super) endorsements: &'a [&'a [u8]],
    /// The nonce it answers; `None` where the protocol around it has none for this kind.
    pub(super) nonce: Option<&'a Nonce>,
}

impl<'a> From<&'a FreshEvidence<'a>> for Evidence<'a> {
    fn from(evidence: &'a FreshEvidence<'a>) -> Self {
        Self {
            kind: evidence.kind,
            body: evidence.body,
            endorsements: &evidence.endorsements,
            nonce: Some(&evidence.nonce),
        }
    }
}

impl Issuance {
    /// What the evidence is for the appraisal; a token is looked up, and its hash given back.
    pub(super) async fn proof<'e>(
        &'e self,
        device: &DeviceId,
        evidence: &Evidence<'e>,
        csr: &CheckedCsr,
    ) -> Result<(Proof<'e>, Option<Sha256>), Denied> {
        // Kinds that are bound to the request by a nonce are none without one.
        let nonce = || evidence.nonce.ok_or(UnknownNonce);
        let endorsements = evidence.endorsements;
        let proof = match evidence.kind {
            EvidenceKind::IdevidEat => {
                Proof::IdevidEat(IdevidEat { eat: evidence.body, endorsements, nonce: nonce()? })
            }
            EvidenceKind::Dice => Proof::Dice(Dice { binding: evidence.body, endorsements, nonce: nonce()? }),
            EvidenceKind::Tpm2 => Proof::Tpm2(Tpm2 {
                body: evidence.body,
                nonce: nonce()?,
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
                    endorsements,
                    nonce: nonce()?,
                    registered: registered.map(AttestationKey::registered).transpose()?,
                })
            }
            EvidenceKind::SymmetricKey => Proof::SymmetricKey(Box::new(SymmetricEat {
                eat: evidence.body,
                nonce: nonce()?,
                credential: self.symmetric_credential(device, evidence.body).await?,
            })),
            EvidenceKind::ClaimCertificate => Proof::ClaimCertificate(Box::new(ClaimEat {
                eat: evidence.body,
                endorsements,
                nonce: nonce()?,
                batch: self.batch(device, endorsements).await?,
            })),
            // The native protocol's evidence has a nonce always, and so never passes for this.
            EvidenceKind::IdevidTls if evidence.nonce.is_none() => {
                Proof::IdevidTls(IdevidTls { chain: endorsements })
            }
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
pub(super) fn evidence_hash(evidence: &Evidence<'_>) -> Option<Sha256> {
    (evidence.kind != EvidenceKind::OneTimeToken).then(|| sha256(evidence.body))
}

pub(super) fn stored(evidence: &Evidence<'_>) -> StoredEvidence {
    let body = match evidence.kind {
        // The text of a token is a secret.
        EvidenceKind::OneTimeToken => Vec::new(),
        _ => evidence.body.to_vec(),
    };
    StoredEvidence { kind: evidence.kind, body }
}
