//! The nonce that evidence in a CSR answers, so that the server can say whether it made that one.
//!
//! Nothing is verified: whether the evidence is genuine, and says this nonce, comes later. Kinds that cannot travel in
//! a CSR have none: a token is no evidence, and a TPM has to be sent a credential first.

use shared::cose::{Content, Sign1};
use shared::evidence::{Binding, Claims};
use shared::limits::MAX_EVIDENCE;
use shared::message::latest::{EvidenceKind, Nonce};

use super::EvidenceInCsr;

impl EvidenceInCsr {
    /// The kinds that can travel in a CSR: those that answer a nonce and need nothing else of the server's.
    pub const KINDS: &'static [EvidenceKind] =
        &[EvidenceKind::IdevidEat, EvidenceKind::PsaToken, EvidenceKind::Dice];

    /// The nonce that the evidence names; `None` where it cannot be read, or its kind does not travel in a CSR.
    #[must_use]
    pub fn claimed_nonce(&self) -> Option<Nonce> {
        let payload = |content| {
            let sign1 = Sign1::decode(&self.body, content, MAX_EVIDENCE).ok()?;
            Some(sign1.unverified_payload().to_vec())
        };
        match self.kind {
            EvidenceKind::IdevidEat => {
                Claims::decode(&payload(Content::Eat)?).ok().map(|claims| claims.nonce)
            }
            EvidenceKind::Dice => {
                Binding::decode(&payload(Content::DiceBinding)?).ok().map(|binding| binding.nonce)
            }
            EvidenceKind::PsaToken => crate::psa::claimed_nonce(&self.body),
            _ => None,
        }
    }
}
