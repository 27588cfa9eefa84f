//! How a verdict came about: the rules that were looked at, in order, and the refusal that ended the list.

use core::fmt;
use std::borrow::Cow;

use shared::Reject;

use crate::Verified;

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRecord {
    /// Stable name of the rule, one of [`rule`].
    pub rule: &'static str,
    /// What was found; text of the device is quoted and escaped.
    pub found: Cow<'static, str>,
    /// What the rule wants.
    pub wanted: Cow<'static, str>,
    /// How it ended.
    pub verdict: Verdict,
}

/// How one rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// As wanted.
    Passed,
    /// An operator has to decide.
    Held,
    /// Not as wanted.
    Refused,
    /// This evidence says nothing about it, or the policy does not ask.
    Skipped,
}

impl Verdict {
    /// The stable name, as in logs and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Held => "held",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for RuleRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: found {}; wanted {}", self.rule, self.verdict.name(), self.found, self.wanted)
    }
}

/// The stable names of the rules, in the order in which they are looked at.
pub mod rule {
    /// The message can be read, and is no longer than allowed.
    pub const MESSAGE: &str = "message";
    /// The nonce was made here for this device, is in time and not used for another request.
    pub const NONCE: &str = "nonce";
    /// The group of the device has a policy.
    pub const GROUP_POLICY: &str = "group-policy";
    /// The CSR is PKCS#10 with a P-256 key and proves possession.
    pub const CSR: &str = "csr";
    /// What the CSR asks for is what its sender may ask for.
    pub const CSR_NAMES: &str = "csr-names";
    /// Who sent the request, as the connection it came over says.
    pub const CLIENT_AUTHENTICATION: &str = "client-authentication";
    /// The policy accepts this kind of evidence.
    pub const EVIDENCE_KIND: &str = "evidence-kind";
    /// The key that attests leads to a maker the server knows, or is registered.
    pub const ENDORSEMENT: &str = "endorsement";
    /// Every layer of a DICE device says what it measured.
    pub const DICE_LAYERS: &str = "dice-layers";
    /// The maker did not revoke what it endorsed.
    pub const ENDORSEMENT_REVOCATION: &str = "endorsement-revocation";
    /// The evidence can be read.
    pub const EVIDENCE_FORM: &str = "evidence-form";
    /// The evidence is signed with the key that is endorsed.
    pub const EVIDENCE_SIGNATURE: &str = "evidence-signature";
    /// The evidence answers this challenge.
    pub const EVIDENCE_NONCE: &str = "evidence-nonce";
    /// The evidence names the key of this CSR.
    pub const EVIDENCE_KEY: &str = "evidence-key";
    /// The evidence is about the device that asks.
    pub const EVIDENCE_DEVICE: &str = "evidence-device";
    /// The keys of a TPM are its own, cannot leave it, and are good for their purpose.
    pub const TPM_KEY: &str = "tpm-key";
    /// Endorsement key and attestation key are in one TPM.
    pub const TPM_ACTIVATION: &str = "tpm-activation";
    /// The values of a TPM's registers are those that it quotes.
    pub const TPM_REGISTERS: &str = "tpm-registers";
    /// The event log comes to the quoted registers.
    pub const EVENT_LOG: &str = "event-log";
    /// The token may be used by this device, now.
    pub const TOKEN: &str = "token";
    /// The symmetric key, or the batch of the claim certificate, may be used by this device, now.
    pub const CREDENTIAL: &str = "credential";
    /// The credential has not brought in as many devices as it may, and the group has room for one more.
    pub const QUOTA: &str = "quota";
    /// The TLS identity may renew, now.
    pub const TLS_IDENTITY: &str = "tls-identity";
    /// A certificate that has ended renews within the grace of the policy.
    pub const RENEWAL_GRACE: &str = "renewal-grace";
    /// The key is new.
    pub const NEW_KEY: &str = "new-key";
    /// The device is neither revoked nor retired.
    pub const NOT_REVOKED: &str = "not-revoked";
    /// The device is not suspended.
    pub const NOT_SUSPENDED: &str = "not-suspended";
    /// The device is in the inventory.
    pub const INVENTORY: &str = "inventory";
    /// The identity key is the one that is registered for the device.
    pub const PINNED_KEY: &str = "pinned-key";
    /// The policy allows the maker.
    pub const MAKER: &str = "maker";
    /// The policy and the inventory allow the model.
    pub const MODEL: &str = "model";
    /// Debugging is closed.
    pub const DEBUG: &str = "debug";
    /// The root of trust is in a state of its life that the policy allows.
    pub const LIFECYCLE: &str = "lifecycle";
    /// The firmware is new enough.
    pub const FIRMWARE_VERSION: &str = "firmware-version";
    /// Everything measured is known to be good.
    pub const MEASUREMENTS: &str = "measurements";
    /// Fresh evidence came with a renewal.
    pub const RENEWAL_EVIDENCE: &str = "renewal-evidence";
    /// A first enrollment needs no approval, or has it.
    pub const FIRST_ENROLLMENT: &str = "first-enrollment";
    /// A second enrollment is allowed.
    pub const SECOND_ENROLLMENT: &str = "second-enrollment";
    /// The device was not revoked or changed while its request was served.
    pub const UNCHANGED: &str = "unchanged";
    /// The server itself can do what is asked: no fault of the device.
    pub const SERVER: &str = "server";
}

/// Why a device gets no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {explanation}")]
pub struct Refusal {
    /// What the device is told.
    pub reject: Reject,
    /// The rule that decided, one of [`rule`].
    pub rule: &'static str,
    /// For the operator: what was found, and what was wanted. Never goes to the device, which could learn from
    /// it how to get past the rule.
    pub explanation: String,
    /// All rules that were looked at, the one that decided last.
    pub rules: Vec<RuleRecord>,
    /// What the evidence says, where it was found genuine before the refusal.
    pub verified: Option<Box<Verified>>,
}

impl From<crate::csr::CsrError> for Refusal {
    fn from(error: crate::csr::CsrError) -> Self {
        Trail::default().refuse(
            rule::CSR,
            error.reject(),
            error.to_string(),
            "PKCS#10 with a P-256 key, signed with that key",
        )
    }
}

/// Collects the rules while an appraisal goes on.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    rules: Vec<RuleRecord>,
    verified: Option<Box<Verified>>,
}

impl Trail {
    pub(crate) fn note(
        &mut self,
        verdict: Verdict,
        rule: &'static str,
        found: impl Into<Cow<'static, str>>,
        wanted: impl Into<Cow<'static, str>>,
    ) {
        self.rules.push(RuleRecord { rule, found: found.into(), wanted: wanted.into(), verdict });
    }

    /// Notes a rule and ends the appraisal unless `ok`.
    pub(crate) fn require(
        &mut self,
        ok: bool,
        rule: &'static str,
        reject: Reject,
        found: impl Into<Cow<'static, str>>,
        wanted: impl Into<Cow<'static, str>>,
    ) -> Result<(), Refusal> {
        if ok {
            self.note(Verdict::Passed, rule, found, wanted);
            Ok(())
        } else {
            Err(self.refuse(rule, reject, found, wanted))
        }
    }

    /// Notes the rule that ends the appraisal. What was collected goes with the refusal.
    pub(crate) fn refuse(
        &mut self,
        rule: &'static str,
        reject: Reject,
        found: impl Into<Cow<'static, str>>,
        wanted: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        let (found, wanted) = (found.into(), wanted.into());
        let explanation = format!("found {found}; wanted {wanted}");
        self.note(Verdict::Refused, rule, found, wanted);
        let (rules, verified) = (core::mem::take(&mut self.rules), self.verified.take());
        Refusal { reject, rule, explanation, rules, verified }
    }

    /// Keeps what the evidence was found to say, for a refusal that may follow.
    pub(crate) fn keep(&mut self, verified: &Verified) {
        self.verified = Some(Box::new(verified.clone()));
    }

    pub(crate) fn into_rules(self) -> Vec<RuleRecord> {
        self.rules
    }
}
