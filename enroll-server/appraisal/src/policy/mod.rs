//! The policy: what the operator demands of a device, read from a TOML file.
//!
//! It holds no keys and no certificates, and decides nothing itself. Every field may be left out; the defaults
//! stand in the commented sample, [`SAMPLE`].

mod broker;
mod index;
mod lint;
mod read;
mod reference;
mod render;
mod rollout;
mod set;
mod version;

use core::time::Duration;

use shared::evidence::DebugStatus;
use shared::message::latest::EvidenceKind;

use crate::lifecycle::Lifecycle;
use crate::maker::{Fingerprint, Maker};

pub use broker::{BrokerOverride, is_host, is_topic};
pub use index::ReferenceValues;
pub use lint::{Surroundings, Warning};
pub use reference::{KnownGood, ReferenceSet, Subject};
pub use render::PolicyDigest;
pub use rollout::{Mode, Rollout};
pub use set::{Candidate, GroupPolicy, PolicySet, Ruling, Source, Sources, group_of};
use toml_places as file;
pub use toml_places::{FileError, FilesError, Problem};
pub use version::{Version, VersionError};

/// A policy file with every field, its default and what it means; a new server starts from it.
pub const SAMPLE: &str = include_str!("../../policy.sample.toml");

/// Longest life of a certificate that any policy may ask for, in days.
pub const MAX_CERTIFICATE_DAYS: u32 = 180;

/// The name of the profile of certificates that holds where no policy names another.
const DEFAULT_PROFILE: &str = "default";

/// What the operator demands. Equal to an empty file by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) kinds: Vec<EvidenceKind>,
    pub(crate) maker_crl: MakerCrlUse,
    pub(crate) token_replaces_attestation: bool,
    pub(crate) inventory_required: bool,
    pub(crate) first_enrollment: FirstEnrollment,
    pub(crate) second_enrollment: SecondEnrollment,
    pub(crate) quota: Option<u32>,
    pub(crate) grace: Duration,
    pub(crate) renewal_evidence: bool,
    pub(crate) certificate_lifetime: Option<Duration>,
    pub(crate) certificate_profile: String,
    pub(crate) certificate_label: Option<String>,
    pub(crate) measurements: Measurements,
    pub(crate) components: Vec<String>,
    pub(crate) debug: DebugStatus,
    pub(crate) lifecycle: Vec<Lifecycle>,
    pub(crate) makers: Option<Vec<MakerRule>>,
    pub(crate) models: Option<Vec<ModelRule>>,
    pub(crate) reference_values: ReferenceValues,
    pub(crate) broker: BrokerOverride,
}

/// What is done with makers' revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MakerCrlUse {
    /// Nothing.
    Ignore,
    /// What a list revokes is refused, whether or not the list is current; no list is no obstacle.
    IfPresent,
    /// Every certificate needs a current list of its issuer that does not revoke it.
    Require,
}

/// What happens at the first enrollment of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstEnrollment {
    /// It is accepted.
    Accept,
    /// It waits for an operator's approval.
    Hold,
}

/// What happens when a device that has an identity enrolls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondEnrollment {
    /// The new identity takes the place of the old one, which is revoked.
    Supersede,
    /// It waits for an operator's approval; then it supersedes.
    Hold,
    /// It is refused.
    Refuse,
}

/// What is done with measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurements {
    /// Everything measured has to be among the reference values.
    KnownGood,
    /// Measurements are recorded and not judged.
    Ignore,
}

/// A maker that is allowed: every field that is there has to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MakerRule {
    pub(crate) name: Option<String>,
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// A model that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelRule {
    pub(crate) name: String,
    pub(crate) maker: Option<String>,
    pub(crate) minimum_firmware: Option<Version>,
    /// The make of root of trust that stands for this model (RFC 9783, section 4.2.2).
    pub(crate) implementation_id: Option<[u8; 32]>,
}

impl Policy {
    /// Reads a policy file; `file` is its name in errors.
    ///
    /// # Errors
    /// Names everything that is wrong with it, with file, line and field.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        Self::parse_over(&Self::default(), file, text)
    }

    /// Reads the policy file of a group: where it says nothing, the values of `base` hold. A list that it has
    /// (`evidence.kinds`, `firmware.components`, `[[maker]]`, `[[model]]`, `[[measurement]]`) takes the place of
    /// the whole list of `base`; every other field stands for itself. `[rollout]` is checked and has no effect.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_over(base: &Self, file: &str, text: &str) -> Result<Self, FileError> {
        Self::parse_candidate(base, file, text).map(|(policy, _)| policy)
    }

    /// Reads the file of a candidate: as [`parse_over`](Self::parse_over), and how it is rolled out.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_candidate(base: &Self, file: &str, text: &str) -> Result<(Self, Rollout), FileError> {
        file::read(file, text, |top, problems| read::policy(base, top, problems))
    }

    /// The kinds of evidence that are accepted, best first.
    #[must_use]
    pub fn kinds(&self) -> &[EvidenceKind] {
        &self.kinds
    }

    /// The best kind that is accepted and among `offered`; what the server asks for in its challenge.
    #[must_use]
    pub fn choose(&self, offered: &[EvidenceKind]) -> Option<EvidenceKind> {
        self.kinds.iter().copied().find(|kind| offered.contains(kind))
    }

    /// The models that a make of root of trust stands for, in the order of the rules that name it.
    pub(crate) fn models_of(&self, implementation_id: &[u8; 32]) -> impl Iterator<Item = &str> {
        let rules = self.models.iter().flatten();
        let named = rules.filter(|rule| rule.implementation_id.as_ref() == Some(implementation_id));
        named.map(|rule| rule.name.as_str())
    }

    /// Whether a device has to be in the inventory before it enrolls.
    #[must_use]
    pub const fn inventory_required(&self) -> bool {
        self.inventory_required
    }

    /// What happens at the first enrollment.
    #[must_use]
    pub const fn first_enrollment(&self) -> FirstEnrollment {
        self.first_enrollment
    }

    /// What happens at a second enrollment.
    #[must_use]
    pub const fn second_enrollment(&self) -> SecondEnrollment {
        self.second_enrollment
    }

    /// Most devices of a group that may hold an identity at one time.
    #[must_use]
    pub const fn quota(&self) -> Option<u32> {
        self.quota
    }

    /// What the devices of the group are told of the broker instead of the server's settings.
    #[must_use]
    pub const fn broker(&self) -> &BrokerOverride {
        &self.broker
    }

    /// How long after its end a certificate still renews.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether a renewal needs fresh evidence.
    #[must_use]
    pub const fn renewal_evidence(&self) -> bool {
        self.renewal_evidence
    }

    /// How long certificates live; `None`: as long as the profile says.
    #[must_use]
    pub const fn certificate_lifetime(&self) -> Option<Duration> {
        self.certificate_lifetime
    }

    /// The name of the profile that says what certificates contain.
    #[must_use]
    pub fn certificate_profile(&self) -> &str {
        &self.certificate_profile
    }

    /// What the profile puts where it says `{label}`.
    #[must_use]
    pub fn certificate_label(&self) -> Option<&str> {
        self.certificate_label.as_deref()
    }

    /// Reference values that stand in the policy file itself.
    #[must_use]
    pub const fn reference_values(&self) -> &ReferenceValues {
        &self.reference_values
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            kinds: vec![EvidenceKind::IdevidEat, EvidenceKind::OneTimeToken],
            maker_crl: MakerCrlUse::IfPresent,
            token_replaces_attestation: false,
            inventory_required: true,
            first_enrollment: FirstEnrollment::Accept,
            second_enrollment: SecondEnrollment::Supersede,
            quota: None,
            grace: days(30),
            renewal_evidence: false,
            certificate_lifetime: None,
            certificate_profile: DEFAULT_PROFILE.to_owned(),
            certificate_label: None,
            measurements: Measurements::KnownGood,
            components: Vec::new(),
            debug: DebugStatus::Disabled,
            lifecycle: vec![Lifecycle::Secured],
            makers: None,
            models: None,
            reference_values: ReferenceValues::default(),
            broker: BrokerOverride::default(),
        }
    }
}

impl MakerRule {
    pub(crate) fn fits(&self, maker: &Maker) -> bool {
        self.name.as_ref().is_none_or(|name| *name == maker.name)
            && self.fingerprint.is_none_or(|fingerprint| fingerprint == maker.fingerprint)
    }
}

impl ModelRule {
    /// Whether this rule is about `model` of `maker`; a rule with a maker fits none that is not known.
    /// Evidence that names the make of its root of trust has to name the one in the rule.
    pub(crate) fn fits(
        &self,
        model: &str,
        maker: Option<&Maker>,
        implementation_id: Option<&[u8; 32]>,
    ) -> bool {
        let implementation = match (&self.implementation_id, implementation_id) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        self.name == model
            && implementation
            && self.maker.as_ref().is_none_or(|wanted| maker.is_some_and(|maker| *wanted == maker.name))
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}
