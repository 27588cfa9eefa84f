//! What is noted about a request while it is served, and becomes its record at the end: by which policy it is
//! judged, what that one and the other one said.
//!
//! The policies are pinned here: one request is judged by one set of them, whatever is loaded meanwhile.

use std::sync::Arc;

use appraisal::case::{Case, judge};
use appraisal::policy::{BrokerOverride, GroupPolicy, Ruling};
use appraisal::record::rule;
use appraisal::{
    Appraised, CheckedCsr, Decision, Endorsements, GroupName, KnownDevice, Policy, Proof, ReferenceValues,
    Refusal, RuleRecord, TlsIdentity, Verdict,
};
use ca::{IssueError, LdevidProfile, LintError};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject, UnixTime};

use super::Denied;
use super::evidence::{Evidence, stored, token_hash};
use crate::policies::{InForce, Pinned};
use crate::store::{Asked, NewAppraisal, Opinion, Ruled};

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Draft {
    in_force: Arc<InForce>,
    /// What is known to be good: by the files, and by what was imported.
    reference_values: ReferenceValues,
    broker: BrokerOverride,
    /// What was looked at before the appraisal.
    before: Vec<RuleRecord>,
    policy: Option<Policy>,
    record: NewAppraisal,
    evidence: Option<crate::store::StoredEvidence>,
}

/// What came out of an appraisal by one policy.
type Appraisal = Result<Appraised, Refusal>;

impl Draft {
    pub(super) fn new(
        in_force: Arc<InForce>,
        asked: Asked,
        device: &DeviceId,
        evidence: Option<Evidence<'_>>,
        now: UnixTime,
    ) -> Self {
        let record = NewAppraisal {
            at: now,
            device: device.clone(),
            asked,
            group: None,
            ruled: Ruled::Refused,
            reject: None,
            rule: None,
            reason: None,
            policy: None,
            by_candidate: false,
            other: None,
            rules: Arc::default(),
            case: None,
            nonce: evidence.and_then(|evidence| evidence.nonce.copied()),
            evidence_sha256: evidence
                .filter(|evidence| evidence.kind != EvidenceKind::OneTimeToken)
                .map(|evidence| token_hash(evidence.body)),
            evidence: None,
            endorsements: Vec::new(),
        };
        let reference_values = in_force.reference_values.clone();
        let broker = BrokerOverride::default();
        let before = Vec::new();
        let stored = evidence.as_ref().map(stored);
        let mut draft =
            Self { in_force, reference_values, broker, before, policy: None, record, evidence: stored };
        if let Some(evidence) = evidence {
            draft.record.endorsements = evidence.endorsements.iter().map(|der| der.to_vec()).collect();
        }
        draft
    }

    /// What is known to be good besides what the files say, by what was imported until now.
    pub(super) fn know(&mut self, imported: ReferenceValues) {
        self.reference_values = self.in_force.reference_values.clone().with(imported);
    }

    /// The group whose policy is for the request, and that policy.
    pub(super) fn group(
        &mut self,
        known: Option<&KnownDevice>,
        proof: Option<&Proof<'_>>,
    ) -> Result<GroupName, Denied> {
        self.as_group(appraisal::group_for(known, proof))
    }

    /// As [`group`](Self::group), for a group that is given.
    pub(super) fn as_group(&mut self, group: GroupName) -> Result<GroupName, Denied> {
        self.record.group = Some(group.clone());
        if self.in_force.knows(&group) { Ok(group) } else { Err(Denied::NoPolicy(group)) }
    }

    /// Puts a rule that was looked at before the appraisal in front.
    pub(super) fn put_first(&mut self, rule: RuleRecord) {
        self.record.rules = [core::slice::from_ref(&rule), &self.record.rules].concat().into();
    }

    /// Notes a rule that was looked at before the appraisal.
    pub(super) fn noted(&mut self, rule: RuleRecord) {
        self.before.push(rule);
        self.record.rules = self.before.as_slice().into();
    }

    /// What would be recorded, whoever is at fault.
    pub(super) fn explained(self, done: Result<Ruled, Denied>) -> NewAppraisal {
        match done {
            Ok(ruled) => NewAppraisal { ruled, ..self.record },
            Err(denied) => NewAppraisal {
                ruled: Ruled::Refused,
                reject: Some(denied.reject()),
                rule: Some(denied.rule().to_owned()),
                reason: Some(super::chain(&denied)),
                ..self.record
            },
        }
    }

    /// The kind of evidence to ask for: the best of those the device offers that its group accepts. A device that is
    /// in no group is asked for what any group accepts, because its token may put it into that one.
    pub(super) fn kind_for(
        &mut self,
        offered: &[EvidenceKind],
        known: Option<&KnownDevice>,
    ) -> Result<EvidenceKind, Denied> {
        let group = self.group(known, None)?;
        let ruling = self.in_force.set.for_group(&group).map(|policy| policy.ruling(&self.record.device));
        self.record.policy = ruling.map(|ruling| ruling.digest);
        let chosen = ruling.and_then(|ruling| ruling.policy.choose(offered));
        let any = || self.in_force.set.choose_for_stranger(offered).filter(|_| group.is_default());
        chosen.or_else(any).ok_or(Denied::NoKind)
    }

    /// The facts that a policy judges by, as far as they are known before the evidence is looked at.
    pub(super) fn facts(
        &mut self,
        csr: &CheckedCsr,
        kind: Option<EvidenceKind>,
        known: Option<&KnownDevice>,
        renewal: Option<&TlsIdentity>,
    ) {
        self.record.case = Some(Case {
            device: self.record.device.clone(),
            csr_key: *csr.spki_sha256(),
            kind,
            verified: None,
            known: known.cloned(),
            renewal: renewal.cloned(),
            at: self.record.at,
        });
    }

    /// Has the request appraised by the policy that decides about it, and judged by the other one.
    pub(super) fn appraise(
        &mut self,
        group: &GroupName,
        makers: &Endorsements,
        appraise: impl Fn(&appraisal::Basis<'_>) -> Appraisal,
    ) -> Result<Appraised, Denied> {
        let in_force = Arc::clone(&self.in_force);
        let of_group = in_force.set.for_group(group);
        let ruling = of_group.map(|policy: &GroupPolicy| policy.ruling(&self.record.device));
        let Some(Ruling { policy, digest, by_candidate, other }) = ruling else {
            return Err(Denied::NoPolicy(group.clone()));
        };
        let reference_values = self.reference_values.clone();
        let with = |policy: &Policy| {
            appraise(&appraisal::Basis { makers, policy, reference_values: &reference_values })
        };
        self.broker = policy.broker().clone();
        self.policy = Some(policy.clone());
        let appraised = with(policy);
        self.record.policy = Some(digest);
        self.record.by_candidate = by_candidate;
        self.note(&appraised);
        self.record.other = other.map(|(policy, digest)| {
            let (ruled, rule) = self.opinion(&appraised, policy, &with);
            Opinion { policy: digest, ruled, rule: rule.map(str::to_owned) }
        });
        Ok(appraised?)
    }

    /// What the certificate is to be like, by the policy that decided and the profile that it names. Both were pinned
    /// with the request.
    pub(super) fn certificate(
        &self,
        group: &GroupName,
        known: Option<&KnownDevice>,
        appraised: &Appraised,
        server: &LdevidProfile,
    ) -> Result<Pinned, Denied> {
        // What the inventory says of the model counts before what the evidence does.
        let model = known.and_then(|known| known.model.as_deref()).or_else(|| appraised.model());
        let policy = self.policy.as_ref().ok_or_else(|| Denied::NoPolicy(group.clone()))?;
        let pinned = self.in_force.profiles.pin(policy, group, model, server);
        let pinned = pinned.map_err(LintError::from).map_err(IssueError::from)?;
        pinned.bound.check(&self.record.device).map_err(LintError::from).map_err(IssueError::from)?;
        Ok(pinned)
    }

    /// What the policy that decided says of the broker.
    pub(super) fn broker(&self) -> BrokerOverride {
        self.broker.clone()
    }

    fn note(&mut self, appraised: &Appraisal) {
        let (rules, verified) = match appraised {
            Ok(appraised) => (Arc::clone(appraised.rules()), appraised.verified()),
            Err(refusal) => (refusal.rules.as_slice().into(), refusal.verified.as_deref()),
        };
        // The rule by which it is held, if it is.
        self.record.rule =
            rules.iter().rfind(|rule| rule.verdict == Verdict::Held).map(|rule| rule.rule.to_owned());
        self.record.rules = match self.before.as_slice() {
            [] => rules,
            before => [before, &rules].concat().into(),
        };
        if let Some(case) = &mut self.record.case {
            case.verified = verified.cloned();
        }
    }

    /// What the policy that does not decide makes of the request.
    fn opinion(
        &self,
        appraised: &Appraisal,
        policy: &Policy,
        with: &impl Fn(&Policy) -> Appraisal,
    ) -> (Ruled, Option<&'static str>) {
        let case = self.record.case.as_ref();
        match case.and_then(|case| judge(case, policy, &self.reference_values)) {
            Some(judged) => end(judged.map(|judgement| (judgement.decision, judgement.rules))),
            None => match appraised {
                // Nobody looked at the evidence yet, because the policy that decides accepts no such kind.
                Err(refusal) if refusal.rule == rule::EVIDENCE_KIND => {
                    end(with(policy).map(|done| (done.decision(), done.rules().to_vec())))
                }
                // What is not genuine is so for every policy.
                Err(refusal) => (Ruled::Refused, Some(refusal.rule)),
                Ok(_) => (Ruled::Accepted, None),
            },
        }
    }

    /// The record of a request that is about to be recorded itself.
    pub(super) fn record(&self) -> Box<NewAppraisal> {
        let mut record = self.record.clone();
        // What the evidence says stands in the case, and the evidence with the certificate.
        record.endorsements.clear();
        Box::new(record)
    }

    /// The record of a request that was refused before any policy was asked.
    pub(super) fn turned_away(self, reject: Reject, reason: &str) -> NewAppraisal {
        NewAppraisal {
            reject: Some(reject),
            rule: Some(super::rule_of(reject).to_owned()),
            reason: Some(reason.to_owned()),
            ..self.record
        }
    }

    /// The record of a request that was refused; `None` where the server was at fault, not the request.
    pub(super) fn refused(self, denied: &Denied) -> Option<NewAppraisal> {
        let reject = denied.reject();
        if denied.rule() == rule::SERVER || matches!(denied, Denied::Contended) {
            return None;
        }
        let mut record = self.record;
        record.ruled = Ruled::Refused;
        record.reject = Some(reject);
        record.rule = Some(denied.rule().to_owned());
        record.reason = Some(super::chain(denied));
        // Who has no nonce of ours can fill the records, and what it sent was not looked at.
        let asked_for = !matches!(denied, Denied::Nonce(_));
        if !asked_for || record.case.as_ref().is_some_and(|case| case.verified.is_some()) {
            record.endorsements.clear();
        } else {
            // A token's text was left out when it was stored.
            record.evidence = self.evidence;
        }
        Some(record)
    }
}

/// How a judgement ends, and by which rule where it does not accept.
fn end(judged: Result<(Decision, Vec<RuleRecord>), Refusal>) -> (Ruled, Option<&'static str>) {
    match judged {
        Ok((Decision::Accept, _)) => (Ruled::Accepted, None),
        Ok((Decision::Hold, rules)) => {
            (Ruled::Held, rules.iter().rfind(|rule| rule.verdict == Verdict::Held).map(|rule| rule.rule))
        }
        Err(refusal) => (Ruled::Refused, Some(refusal.rule)),
    }
}
