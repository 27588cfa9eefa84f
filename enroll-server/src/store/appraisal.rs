//! Records of appraisals: what was decided about a request, why, and all it takes to judge it again.

use core::time::Duration;

use std::sync::Arc;

use appraisal::case::Case;
use appraisal::policy::PolicyDigest;
use appraisal::{GroupName, RuleRecord};
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime};

use super::{Sha256, StoredEvidence};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// A challenge.
    Challenge,
    /// A first certificate, or one in its place.
    Enroll,
    /// A renewal.
    Renew,
}

impl Asked {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Challenge, Self::Enroll, Self::Renew];

    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Enroll => "enroll",
            Self::Renew => "renew",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruled {
    /// The device gets a certificate.
    Accepted,
    /// An operator has to approve it.
    Held,
    /// It gets nothing.
    Refused,
}

impl Ruled {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Held, Self::Refused];

    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

/// What the policy that did not decide would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// That policy.
    pub policy: PolicyDigest,
    /// What it would have done.
    pub ruled: Ruled,
    /// The rule by which it would have refused or held.
    pub rule: Option<String>,
}

/// An appraisal to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAppraisal {
    /// When.
    pub at: UnixTime,
    /// Who asked, as the request says.
    pub device: DeviceId,
    /// For what.
    pub asked: Asked,
    /// The group whose policy was for it; `None` where it did not come that far.
    pub group: Option<GroupName>,
    /// What was decided.
    pub ruled: Ruled,
    /// What the device was told, where it was refused.
    pub reject: Option<Reject>,
    /// The rule that refused or held.
    pub rule: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// The policy that decided.
    pub policy: Option<PolicyDigest>,
    /// Whether that was a candidate.
    pub by_candidate: bool,
    /// What the other policy would have done, where there were two.
    pub other: Option<Opinion>,
    /// Every rule that was looked at.
    pub rules: Arc<[RuleRecord]>,
    /// What a policy needs to judge it again; `None` where it did not come that far.
    pub case: Option<Case>,
    /// The nonce it answered.
    pub nonce: Option<Nonce>,
    /// SHA-256 of the evidence.
    pub evidence_sha256: Option<Sha256>,
    /// The evidence itself, where it was not found genuine: else the case says what it said. Never a token's text.
    pub evidence: Option<StoredEvidence>,
    /// The chain that came with it.
    pub endorsements: Vec<Vec<u8>>,
}

/// A recorded appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// Number, rising.
    pub number: u64,
    /// When.
    pub at: UnixTime,
    /// Who asked, as the request says.
    pub device: DeviceId,
    /// For what.
    pub asked: Asked,
    /// The group whose policy was for it.
    pub group: Option<String>,
    /// What was decided.
    pub ruled: Ruled,
    /// What the device was told, where it was refused.
    pub reject: Option<Reject>,
    /// The rule that refused or held.
    pub rule: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// The policy that decided.
    pub policy: Option<PolicyDigest>,
    /// Whether that was a candidate.
    pub by_candidate: bool,
    /// What the other policy would have done.
    pub other: Option<Opinion>,
    /// Every rule that was looked at, as JSON: an array of `rule`, `found`, `wanted`, `verdict`.
    pub rules: String,
    /// The case as JSON, as [`Case`] is written.
    pub case: Option<String>,
    /// The nonce it answered.
    pub nonce: Option<Nonce>,
    /// SHA-256 of the evidence.
    pub evidence_sha256: Option<Sha256>,
    /// The evidence, where it was not found genuine.
    pub evidence: Option<StoredEvidence>,
    /// The chain that came with it.
    pub endorsements: Vec<Vec<u8>>,
}

/// Which appraisals to read, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppraisalFilter {
    /// Of this device only.
    pub device: Option<DeviceId>,
    /// Of this group only.
    pub group: Option<GroupName>,
    /// Not older than this.
    pub since: UnixTime,
    /// Before the one with this number, for the next page.
    pub before: Option<u64>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// How often two policies came to different ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The group.
    pub group: String,
    /// The policy that decided, and whether that was the candidate.
    pub policy: PolicyDigest,
    /// Whether that was the candidate.
    pub by_candidate: bool,
    /// What it did.
    pub ruled: Ruled,
    /// By which rule.
    pub rule: Option<String>,
    /// What the other would have done.
    pub other: Opinion,
    /// How often.
    pub count: u64,
}

/// What is kept of appraisals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// Of each device: so many that were accepted or held, so many that were refused though the evidence was
    /// genuine, and so many that were refused otherwise.
    pub per_device: u32,
    /// Refusals of known devices without genuine evidence, all devices together: anyone can cause them.
    pub unproved: u32,
    /// Refusals of devices that nobody knows.
    pub strangers: u32,
    /// How long any of them is kept.
    pub retention: Duration,
}

impl Default for RecordLimits {
    fn default() -> Self {
        let retention = Duration::from_secs(90 * 86_400);
        Self { per_device: 16, unproved: 10_000, strangers: 1_000, retention }
    }
}
