//! A case: everything that a policy's judgement about one request depends on, besides the policy. It can be
//! recorded, and put before another policy later.
//!
//! Holds what the evidence was found to say, not the evidence: a case is judged again without keys, chains and
//! nonces. A request whose evidence was never found genuine has no more to be judged than that.

use serde::{Deserialize, Serialize};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject, UnixTime};

use crate::device::{self, Decision, KnownDevice, Shown};
use crate::key::{SpkiHash, hex};
use crate::policy::{Policy, ReferenceValues};
use crate::record::{Refusal, RuleRecord, Trail, rule};
use crate::renewal::{self, TlsIdentity};
use crate::{Verified, serial};

/// A request as a policy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Who asked.
    #[serde(with = "serial::text")]
    pub device: DeviceId,
    /// SHA-256 of the SubjectPublicKeyInfo in the CSR.
    #[serde(with = "serial::hash")]
    pub csr_key: SpkiHash,
    /// The kind of evidence; `None` for a renewal without any.
    #[serde(with = "serial::kind")]
    pub kind: Option<EvidenceKind>,
    /// What the evidence was found to say; `None` where it was not found genuine, or not looked at.
    pub verified: Option<Verified>,
    /// The device as the inventory had it.
    pub known: Option<KnownDevice>,
    /// The identity of the TLS connection, for a renewal.
    pub renewal: Option<TlsIdentity>,
    /// When.
    #[serde(with = "serial::time")]
    pub at: UnixTime,
}

/// What a policy makes of a case that it does not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the device gets its certificate at once.
    pub decision: Decision,
    /// The rules that were looked at, in order.
    pub rules: Vec<RuleRecord>,
}

/// Judges a case by a policy. `None` where the policy would have to look at evidence that was not found genuine,
/// or not looked at.
#[must_use]
pub fn judge(
    case: &Case,
    policy: &Policy,
    reference: &ReferenceValues,
) -> Option<Result<Judgement, Refusal>> {
    let mut trail = Trail::default();
    let decided = weigh(case, policy, reference, &mut trail)?;
    Some(decided.map(|decision| Judgement { decision, rules: trail.into_rules() }))
}

fn weigh(
    case: &Case,
    policy: &Policy,
    reference: &ReferenceValues,
    trail: &mut Trail,
) -> Option<Result<Decision, Refusal>> {
    if let Some(identity) = &case.renewal
        && let Err(refusal) = check_renewal(case, identity, policy, trail)
    {
        return Some(Err(refusal));
    }
    let known = case.known.as_ref();
    let Some(kind) = case.kind else {
        let device = &case.device;
        let checked = renewal::check_without_evidence(policy, trail)
            .and_then(|()| device::check_known(device, known, Shown::Ldevid, policy, trail));
        return Some(checked.map(|()| Decision::Accept));
    };
    if let Err(refusal) = crate::check_kind(kind, policy, trail) {
        return Some(Err(refusal));
    }
    let verified = case.verified.as_ref()?;
    let judged = crate::judge_verified(&case.device, verified, known, policy, reference, case.at, trail);
    Some(judged.and_then(|()| {
        if case.renewal.is_some() {
            return Ok(Decision::Accept);
        }
        device::decide(known, &case.csr_key, verified.shown, policy, trail)
    }))
}

fn check_renewal(
    case: &Case,
    identity: &TlsIdentity,
    policy: &Policy,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    renewal::check_identity(&case.device, identity, policy.grace, case.at, trail)?;
    trail.require(
        case.csr_key != identity.spki_sha256,
        rule::NEW_KEY,
        Reject::KeyReused,
        format!("a CSR for key {}", hex(&case.csr_key)),
        "another key than that of the current certificate",
    )
}
