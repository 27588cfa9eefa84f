//! Puts recorded requests before other policies, and tells which of them would end otherwise.
//!
//! Pure. What was refused for something that no policy decides (a nonce, a signature, a key used twice) stays
//! refused. The inventory is taken as it was then, reference values as they are now; quotas of groups are not
//! counted again.

use appraisal::case::{Case, judge};
use appraisal::record::rule;
use appraisal::{Decision, GroupName, Verdict as RuleVerdict};
use serde::Serialize;
use serde_json::Value;

use super::InForce;
use crate::store::{Appraisal, Ruled};

/// What a policy makes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Ruled,
    /// The rule that refuses or holds.
    pub rule: Option<String>,
    /// Why, where it is refused.
    pub reason: Option<String>,
}

/// A request that would end otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Number of the record.
    pub number: u64,
    /// When it was.
    pub at: String,
    /// Who asked.
    pub device: String,
    /// For what.
    pub asked: &'static str,
    /// The device's group.
    pub group: String,
    /// How it ended.
    pub before: Verdict,
    /// How it would end.
    pub after: Verdict,
}

/// What came of putting requests before other policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Requests that were looked at.
    pub looked_at: u64,
    /// Those whose end no policy decides, or that are of another group.
    pub passed_over: u64,
    /// Those that would end as they did.
    pub unchanged: u64,
    /// Refused then for their kind of evidence, which was therefore never looked at, and would be now.
    pub unknown: u64,
    /// Accepted then, refused now.
    pub now_refused: u64,
    /// Refused then, accepted now.
    pub now_accepted: u64,
    /// All others that would change: held now, or no longer.
    pub now_otherwise: u64,
    /// Each that would change, the newest first.
    pub changes: Vec<Change>,
}

impl Replay {
    /// Puts one record before the policies of `with`. Only those of `group`, where one is given, count.
    pub fn add(&mut self, record: &Appraisal, with: &InForce, group: Option<&GroupName>) {
        self.looked_at += 1;
        let case: Option<Case> = record.case.as_ref().and_then(|case| serde_json::from_str(case).ok());
        let of: Option<GroupName> = record.group.as_ref().and_then(|name| name.parse().ok());
        let (Some(case), Some(of)) = (case, of) else {
            self.passed_over += 1;
            return;
        };
        if group.is_some_and(|group| *group != of) || !is_the_policys(record) {
            self.passed_over += 1;
            return;
        }
        let before =
            Verdict { outcome: record.ruled, rule: record.rule.clone(), reason: record.reason.clone() };
        let Some(after) = judged(&case, &of, with) else {
            // Genuine evidence of a kind that was not accepted: nobody looked whether it is.
            if record.rule.as_deref() == Some(rule::EVIDENCE_KIND) {
                self.unknown += 1;
            } else {
                self.unchanged += 1;
            }
            return;
        };
        if after.outcome == before.outcome {
            self.unchanged += 1;
            return;
        }
        match (before.outcome, after.outcome) {
            (Ruled::Accepted, Ruled::Refused) => self.now_refused += 1,
            (Ruled::Refused, Ruled::Accepted) => self.now_accepted += 1,
            _ => self.now_otherwise += 1,
        }
        self.changes.push(Change {
            number: record.number,
            at: record.at.to_string(),
            device: record.device.to_string(),
            asked: record.asked.name(),
            group: of.to_string(),
            before,
            after,
        });
    }
}

/// Whether the end of this request can depend on a policy: it was accepted or held, or a rule of the appraisal
/// refused it, or its group had no policy.
fn is_the_policys(record: &Appraisal) -> bool {
    if record.ruled != Ruled::Refused || record.rule.as_deref() == Some(rule::GROUP_POLICY) {
        return true;
    }
    let rules: Vec<Value> = serde_json::from_str(&record.rules).unwrap_or_default();
    let last = rules.last().and_then(|last| last.get("verdict")).and_then(Value::as_str);
    last == Some(RuleVerdict::Refused.name())
}

fn judged(case: &Case, group: &GroupName, with: &InForce) -> Option<Verdict> {
    let Some(policy) = with.set.for_group(group) else {
        return Some(Verdict {
            outcome: Ruled::Refused,
            rule: Some(rule::GROUP_POLICY.to_owned()),
            reason: Some(format!("the group {group:?} has no policy")),
        });
    };
    Some(match judge(case, policy.policy(), &with.reference_values)? {
        Ok(judgement) => {
            let held = judgement.rules.iter().rfind(|rule| rule.verdict == RuleVerdict::Held);
            let outcome = if judgement.decision == Decision::Hold { Ruled::Held } else { Ruled::Accepted };
            Verdict {
                outcome,
                rule: held.map(|rule| rule.rule.to_owned()).filter(|_| outcome == Ruled::Held),
                reason: None,
            }
        }
        Err(refusal) => Verdict {
            outcome: Ruled::Refused,
            rule: Some(refusal.rule.to_owned()),
            reason: Some(refusal.explanation),
        },
    })
}
