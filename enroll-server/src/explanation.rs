//! Why a request was decided as it was, as operators read it: one form for what was recorded and for what is
//! worked out again.
//!
//! Decides nothing.

use serde::Serialize;
use serde_json::{Value, json};
use shared::Reject;

use crate::store::{Appraisal, NewAppraisal, Opinion, Ruled};

/// Why a request was decided as it was.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Number of the record, where there is one.
    pub number: Option<u64>,
    /// When it was decided.
    pub at: String,
    /// Who asked; `None` where the request cannot be read.
    pub device: Option<String>,
    /// For what: `challenge`, `enroll` or `renew`.
    pub asked: &'static str,
    /// The group whose policy was for it.
    pub group: Option<String>,
    /// The kind of evidence.
    pub kind: Option<String>,
    /// What was decided.
    pub outcome: Ruled,
    /// The rule that refused or held; `None` where all were satisfied.
    pub rule: Option<String>,
    /// What the device was told, where it was refused.
    pub refusal: Option<&'static str>,
    /// Why, in words.
    pub reason: Option<String>,
    /// What the operator can do about a refusal.
    pub action: Option<&'static str>,
    /// Digest of the policy that decided.
    pub policy: Option<String>,
    /// Whether that was a candidate.
    pub by_candidate: bool,
    /// What the other policy would have done, where there were two.
    pub other: Option<Value>,
    /// Every rule that was looked at, in order: `rule`, `verdict`, `found`, `wanted`.
    pub rules: Vec<Value>,
    /// What the evidence says; `None` where it was not found genuine.
    pub claims: Option<Value>,
    /// SHA-256 of the evidence.
    pub evidence_sha256: Option<String>,
}

impl Explanation {
    /// Of a request that cannot be read.
    #[must_use]
    pub fn unreadable(at: String, reject: Reject, reason: &str) -> Self {
        let rule = crate::issuance::rule_of(reject);
        Self {
            number: None,
            at,
            device: None,
            asked: "enroll",
            group: None,
            kind: None,
            outcome: Ruled::Refused,
            rule: Some(rule.to_owned()),
            refusal: Some(reject.name()),
            reason: Some(reason.to_owned()),
            action: Some(reject.operator_action()),
            policy: None,
            by_candidate: false,
            other: None,
            rules: vec![decisive(rule, reason)],
            claims: None,
            evidence_sha256: None,
        }
    }

    /// Of a record.
    #[must_use]
    pub fn recorded(record: &Appraisal) -> Self {
        let case: Option<Value> = record.case.as_ref().and_then(|case| serde_json::from_str(case).ok());
        let rules: Vec<Value> = serde_json::from_str(&record.rules).unwrap_or_default();
        let mut explanation = Self {
            number: Some(record.number),
            at: record.at.to_string(),
            device: Some(record.device.to_string()),
            asked: record.asked.name(),
            group: record.group.clone(),
            kind: None,
            outcome: record.ruled,
            rule: record.rule.clone(),
            refusal: record.reject.map(Reject::name),
            reason: record.reason.clone(),
            action: record.reject.map(Reject::operator_action),
            policy: record.policy.map(|digest| digest.to_string()),
            by_candidate: record.by_candidate,
            other: record.other.as_ref().map(opinion),
            rules,
            claims: None,
            evidence_sha256: record.evidence_sha256.map(hex::encode),
        };
        explanation.complete(case.as_ref());
        explanation
    }

    /// Of what would be recorded.
    #[must_use]
    pub fn new(record: &NewAppraisal) -> Self {
        let case = record.case.as_ref().and_then(|case| serde_json::to_value(case).ok());
        let rules = record.rules.iter().map(|rule| {
            let verdict = rule.verdict.name();
            json!({ "rule": rule.rule, "verdict": verdict, "found": rule.found, "wanted": rule.wanted })
        });
        let mut explanation = Self {
            number: None,
            at: record.at.to_string(),
            device: Some(record.device.to_string()),
            asked: record.asked.name(),
            group: record.group.as_ref().map(ToString::to_string),
            kind: None,
            outcome: record.ruled,
            rule: record.rule.clone(),
            refusal: record.reject.map(Reject::name),
            reason: record.reason.clone(),
            action: record.reject.map(Reject::operator_action),
            policy: record.policy.map(|digest| digest.to_string()),
            by_candidate: record.by_candidate,
            other: record.other.as_ref().map(opinion),
            rules: rules.collect(),
            claims: None,
            evidence_sha256: record.evidence_sha256.map(hex::encode),
        };
        explanation.complete(case.as_ref());
        explanation
    }

    /// Adds what stands in the case, and the rule that decided where the appraisal did not look at it.
    fn complete(&mut self, case: Option<&Value>) {
        if let Some(case) = case {
            self.kind = case.get("kind").and_then(Value::as_str).map(str::to_owned);
            self.claims = case.get("verified").filter(|verified| !verified.is_null()).cloned();
        }
        let refuses = |rule: &Value| rule.get("verdict").and_then(Value::as_str) == Some("refused");
        if self.outcome == Ruled::Refused
            && !self.rules.iter().any(refuses)
            && let Some(rule) = &self.rule
        {
            self.rules.push(decisive(rule, self.reason.as_deref().unwrap_or_default()));
        }
    }

    /// As text, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let mut text = format!(
            "{} of {} at {}: {}",
            self.asked,
            dash(self.device.as_deref()),
            self.at,
            self.outcome.name()
        );
        if let Some(rule) = &self.rule {
            text += &format!(" by the rule \"{rule}\"");
        }
        if let Some(refusal) = self.refusal {
            text += &format!(" ({refusal})");
        }
        for (name, value) in [
            ("Why", self.reason.as_deref()),
            ("To do", self.action),
            ("Group", self.group.as_deref()),
            ("Evidence", self.kind.as_deref()),
            ("Policy", self.policy.as_deref()),
        ] {
            if let Some(value) = value {
                text += &format!("\n  {name:<9} {value}");
            }
        }
        if self.by_candidate {
            text += ", a candidate";
        }
        if let Some(other) = &self.other {
            let field = |name: &str| other.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
            let which = if self.by_candidate { "policy in force" } else { "candidate" };
            let rule = other.get("rule").and_then(Value::as_str);
            let rule = rule.map_or_else(String::new, |rule| format!(" by the rule \"{rule}\""));
            text += &format!(
                "\n  {:<9} the {which} {} would have {} it{rule}",
                "",
                field("policy"),
                field("outcome")
            );
        }
        text += "\n  Rules:";
        for rule in &self.rules {
            let field = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            text += &format!("\n    {:<8} {:<19} found {}", field("verdict"), field("rule"), field("found"));
            if !field("wanted").is_empty() {
                text += &format!("; wanted {}", field("wanted"));
            }
        }
        if let Some(claims) = &self.claims {
            let claims = serde_json::to_string_pretty(claims).unwrap_or_default();
            text += &format!("\n  Claims:\n    {}", claims.replace('\n', "\n    "));
        }
        text
    }
}

fn decisive(rule: &str, reason: &str) -> Value {
    json!({ "rule": rule, "verdict": "refused", "found": reason, "wanted": "" })
}

fn opinion(opinion: &Opinion) -> Value {
    json!({
        "policy": opinion.policy.to_string(),
        "outcome": opinion.ruled.name(),
        "rule": opinion.rule,
    })
}
