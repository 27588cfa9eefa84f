//! A request for a certificate as the issuance works on it, whatever protocol it came by.

use appraisal::record::rule;
use appraisal::{
    Appraised, Basis, CheckedCsr, GroupName, IdevidTls, KnownDevice, Presented, Proof, Refusal, RuleRecord,
    Verdict,
};
use shared::{DeviceId, UnixTime};

use super::Denied;
use super::draft::Draft;
use super::evidence::Evidence;
use crate::nonce::Freshness;
use crate::store::Via;

/// A request that can be read, with a CSR that proves possession of its key.
#[derive(Clone, Debug)]
pub(super) struct Application<'a> {
    pub(super) device: &'a DeviceId,
    pub(super) csr: CheckedCsr,
    pub(super) evidence: Option<Evidence<'a>>,
    /// How the evidence's nonce stands; fresh where it has none.
    pub(super) freshness: Freshness,
    pub(super) via: Via,
    /// The client of the TLS connection, where that has to be the device besides what the evidence says.
    pub(super) client: Option<IdevidTls<'a>>,
    /// Number of the trust bundle that the device says it holds, where it says it.
    pub(super) trust: Option<u64>,
    /// The group that the client says it is in: it has to be.
    pub(super) label: Option<&'a GroupName>,
}

impl<'a> Application<'a> {
    /// One of the native protocol.
    pub(super) const fn native(
        device: &'a DeviceId,
        csr: CheckedCsr,
        evidence: Option<Evidence<'a>>,
        freshness: Freshness,
        trust: Option<u64>,
    ) -> Self {
        Self { device, csr, evidence, freshness, via: Via::Native, client: None, trust, label: None }
    }

    /// The group whose policy is for it.
    ///
    /// # Errors
    /// Where that group has no policy, or is not the one that the client names.
    pub(super) fn group(
        &self,
        draft: &mut Draft,
        known: Option<&KnownDevice>,
        proof: Option<&Proof<'_>>,
    ) -> Result<GroupName, Denied> {
        let group = draft.group(known, proof)?;
        match self.label {
            // Who asks does not choose the rules: a label is a claim, and the inventory or the token decides.
            Some(label) if *label != group => Err(Denied::OtherGroup { label: label.clone(), group }),
            _ => Ok(group),
        }
    }

    pub(super) fn appraise(
        &self,
        proof: &Proof<'_>,
        basis: &Basis<'_>,
        known: Option<&KnownDevice>,
        now: UnixTime,
    ) -> Result<Appraised, Refusal> {
        let presented = Presented { device: self.device, csr: &self.csr, proof };
        match &self.client {
            Some(client) => appraisal::appraise_over_tls(&presented, client, basis, known, now),
            None => appraisal::appraise(&presented, basis, known, now),
        }
    }

    /// Notes how the request came, where that is not as usual.
    pub(super) fn note_way(&self, draft: &mut Draft) {
        if self.via == Via::Native {
            return;
        }
        draft.noted(RuleRecord {
            rule: rule::CLIENT_AUTHENTICATION,
            found: self.via.phrase().into(),
            wanted: "a client that is authenticated as the device whose certificate it is".into(),
            verdict: Verdict::Passed,
        });
    }
}
