//! What is allowed in a policy and yet hardly meant: warnings for the operator who writes it.

use shared::message::latest::EvidenceKind;

use super::{Measurements, Policy};
use crate::maker::Maker;

/// What a policy is looked at against.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The makers that the server knows; `None` where that is not known.
    pub makers: Option<Vec<Maker>>,
    /// How many devices the group has; `None` where that is not known.
    pub devices: Option<u64>,
    /// Whether reference values come from elsewhere than the policy.
    pub other_reference_values: bool,
}

/// One thing that is hardly meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field.
    pub field: &'static str,
    /// What will happen.
    pub message: String,
}

impl Policy {
    /// Looks for what is hardly meant.
    #[must_use]
    pub fn warnings(&self, around: &Surroundings) -> Vec<Warning> {
        let mut found = Found(Vec::new());
        self.look_at_makers(around, &mut found);
        self.look_at_models(around, &mut found);
        self.look_at_firmware(around, &mut found);
        if around.devices == Some(0) {
            found.add("group", "no device is in this group".into());
        }
        match (self.quota, around.devices) {
            (Some(0), _) => found.add("enrollment.quota", "with a quota of 0 no device can enroll".into()),
            (Some(quota), Some(devices)) if u64::from(quota) < devices => {
                let message = format!("the group has {devices} devices, {quota} can hold an identity");
                found.add("enrollment.quota", message);
            }
            _ => {}
        }
        found.0
    }

    fn look_at_makers(&self, around: &Surroundings, found: &mut Found) {
        if self.makers.as_ref().is_some_and(Vec::is_empty) {
            found.add("maker", "the list is empty: no maker is allowed; \"any\" allows all".into());
        }
        let Some(makers) = &around.makers else { return };
        for kind in self.kinds.iter().filter(|kind| needs_maker(**kind)) {
            if makers.is_empty() {
                let message = format!("{:?} is accepted, but no maker was added to the server", kind.name());
                found.add("evidence.kinds", message);
            }
        }
        for rule in self.makers.iter().flatten() {
            if !makers.iter().any(|maker| rule.fits(maker)) {
                let name = rule.name.as_deref().unwrap_or("the one with this fingerprint");
                found.add("maker", format!("{name:?}: the server knows no such maker"));
            }
        }
    }

    fn look_at_models(&self, around: &Surroundings, found: &mut Found) {
        if self.models.as_ref().is_some_and(Vec::is_empty) {
            found.add("model", "the list is empty: no model is allowed; \"any\" allows all".into());
        }
        let rules = self.models.as_deref().unwrap_or_default();
        for (index, rule) in rules.iter().enumerate() {
            let name = &rule.name;
            let earlier = rules.iter().take(index).find(|earlier| {
                earlier.name == *name
                    && (earlier.maker.is_none() || earlier.maker == rule.maker)
                    && (earlier.implementation_id.is_none()
                        || earlier.implementation_id == rule.implementation_id)
            });
            if earlier.is_some() {
                found.add("model", format!("{name:?}: never looked at, an earlier rule fits all it fits"));
            }
            let Some(maker) = &rule.maker else { continue };
            let unknown = around.makers.as_ref().is_some_and(|all| all.iter().all(|m| m.name != *maker));
            let excluded = self.makers.as_ref().is_some_and(|allowed| {
                !allowed.iter().any(|rule| rule.name.as_ref().is_none_or(|name| name == maker))
            });
            if unknown || excluded {
                let why = if unknown { "the server does not know" } else { "[[maker]] does not allow" };
                found.add("model", format!("{name:?} can never fit: {why} the maker {maker:?}"));
            }
        }
    }

    fn look_at_firmware(&self, around: &Surroundings, found: &mut Found) {
        let values = around.other_reference_values || !self.reference_values.is_empty();
        let attests = self.kinds.iter().any(|kind| speaks_of_firmware(*kind));
        if self.measurements == Measurements::KnownGood && attests && !values {
            let message =
                "\"known-good\", but no reference values are there: evidence about firmware is refused";
            found.add("firmware.measurements", message.into());
        }
        if self.measurements == Measurements::Ignore && !self.components.is_empty() {
            let message = "has no effect with firmware.measurements = \"ignore\"";
            found.add("firmware.components", message.into());
        }
        if self.renewal_evidence && !self.kinds.iter().any(|kind| speaks_of_firmware(*kind)) {
            let message = "asks for evidence, but no kind is accepted that a device can give again and again";
            found.add("renewal.evidence", message.into());
        }
    }
}

struct Found(Vec<Warning>);

impl Found {
    fn add(&mut self, field: &'static str, message: String) {
        self.0.push(Warning { field, message });
    }
}

/// Whether evidence of this kind leads to a maker's CA always.
const fn needs_maker(kind: EvidenceKind) -> bool {
    matches!(
        kind,
        EvidenceKind::IdevidEat
            | EvidenceKind::Tpm2
            | EvidenceKind::Dice
            | EvidenceKind::ClaimCertificate
            | EvidenceKind::IdevidTls
    )
}

const fn speaks_of_firmware(kind: EvidenceKind) -> bool {
    !matches!(kind, EvidenceKind::OneTimeToken | EvidenceKind::IdevidTls)
}
