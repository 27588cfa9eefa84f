//! Claims against the policy: maker, model, debug state, firmware.

use shared::Reject;
use shared::evidence::{Claims, DebugStatus, Digest};

use crate::maker::Maker;
use crate::policy::{Measurements, ModelRule, Policy, ReferenceValues, Version};
use crate::record::{Refusal, Trail, Verdict, rule};

/// What a device said about itself, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimsSummary {
    /// The maker's private enterprise number.
    pub oemid: u32,
    /// Model.
    pub model: String,
    /// Version of the hardware.
    pub hardware_version: String,
    /// Name of the firmware.
    pub software_name: String,
    /// Version of the firmware.
    pub software_version: String,
    /// Debug state.
    pub debug: DebugStatus,
    /// Component, version and digest of everything measured.
    pub measurements: Vec<(String, String, Digest)>,
}

impl From<&Claims<'_>> for ClaimsSummary {
    fn from(claims: &Claims<'_>) -> Self {
        Self {
            oemid: claims.oemid,
            model: claims.hwmodel.into(),
            hardware_version: claims.hwversion.into(),
            software_name: claims.swname.into(),
            software_version: claims.swversion.into(),
            debug: claims.dbgstat,
            measurements: claims
                .measurements
                .iter()
                .map(|m| (m.component.into(), m.version.into(), m.digest))
                .collect(),
        }
    }
}

/// Checks what a device claims.
pub(crate) fn check(
    claims: &Claims<'_>,
    maker: &Maker,
    registered_model: Option<&str>,
    policy: &Policy,
    reference: &ReferenceValues,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    check_maker(maker, policy, trail)?;
    let model = check_model(Some(claims.hwmodel), registered_model, Some(maker), policy, trail)?;
    trail.require(
        claims.dbgstat >= policy.debug,
        rule::DEBUG,
        Reject::DebugOpen,
        format!("debug state {:?}", claims.dbgstat),
        format!("{:?} or stricter", policy.debug),
    )?;
    check_version(claims, model, trail)?;
    check_measurements(claims, policy, reference, trail)
}

fn check_maker(maker: &Maker, policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let allowed = policy.makers.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.fits(maker)));
    trail.require(
        allowed,
        rule::MAKER,
        Reject::ModelNotAllowed,
        format!("maker {:?}, fingerprint {}", maker.name, maker.fingerprint_hex()),
        if policy.makers.is_some() { "a maker listed in the policy" } else { "any maker the server knows" },
    )
}

/// Checks the model, which the device claims, the inventory has, or both; gives the policy's rule for it.
pub(crate) fn check_model<'p>(
    claimed: Option<&str>,
    registered: Option<&str>,
    maker: Option<&Maker>,
    policy: &'p Policy,
    trail: &mut Trail,
) -> Result<Option<&'p ModelRule>, Refusal> {
    if let (Some(claimed), Some(registered)) = (claimed, registered) {
        trail.require(
            claimed == registered,
            rule::MODEL,
            Reject::ModelNotAllowed,
            format!("model {claimed:?}"),
            format!("{registered:?}, as registered"),
        )?;
    }
    let model = claimed.or(registered);
    let found = model.map_or_else(|| "no model".into(), |model| format!("model {model:?}"));
    let Some(rules) = &policy.models else {
        trail.note(Verdict::Passed, rule::MODEL, found, "any model");
        return Ok(None);
    };
    let fitting = model.and_then(|model| rules.iter().find(|rule| rule.fits(model, maker)));
    trail.require(
        fitting.is_some(),
        rule::MODEL,
        Reject::ModelNotAllowed,
        found,
        "a model listed in the policy, of the maker listed with it",
    )?;
    Ok(fitting)
}

fn check_version(claims: &Claims<'_>, model: Option<&ModelRule>, trail: &mut Trail) -> Result<(), Refusal> {
    let found = format!("version {:?} of {:?}", claims.swversion, claims.swname);
    let Ok(version) = claims.swversion.parse::<Version>() else {
        let wanted = "swversion as MAJOR.MINOR.PATCH";
        return Err(trail.refuse(rule::FIRMWARE_VERSION, Reject::BadEvidence, found, wanted));
    };
    match model.and_then(|model| model.minimum_firmware) {
        Some(minimum) => {
            let wanted = format!("{minimum} or newer");
            trail.require(version >= minimum, rule::FIRMWARE_VERSION, Reject::FirmwareTooOld, found, wanted)
        }
        None => {
            trail.note(Verdict::Passed, rule::FIRMWARE_VERSION, found, "any version");
            Ok(())
        }
    }
}

fn check_measurements(
    claims: &Claims<'_>,
    policy: &Policy,
    reference: &ReferenceValues,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    if policy.measurements == Measurements::Ignore {
        let found = format!("{} measured components", claims.measurements.len());
        trail.note(
            Verdict::Skipped,
            rule::MEASUREMENTS,
            found,
            "nothing (firmware.measurements = \"ignore\")",
        );
        return Ok(());
    }
    let wanted = "measurements that are all among the reference values";
    let refuse = |trail: &mut Trail, found: String, wanted: String| {
        Err(trail.refuse(rule::MEASUREMENTS, Reject::FirmwareUnknown, found, wanted))
    };
    for measurement in &claims.measurements {
        if !reference.contains(claims.hwmodel, measurement)
            && !policy.reference_values.contains(claims.hwmodel, measurement)
        {
            let digest = crate::key::hex(&measurement.digest);
            let found = format!("{:?} {:?} with digest {digest}", measurement.component, measurement.version);
            return refuse(trail, found, wanted.into());
        }
    }
    for component in &policy.components {
        if !claims.measurements.iter().any(|m| m.component == component) {
            let found = format!("no measurement of {component:?}");
            return refuse(trail, found, "all components that the policy names".into());
        }
    }
    // Otherwise a version that nobody measured would satisfy the rule for the least version.
    if !claims.measurements.iter().any(|m| m.version == claims.swversion) {
        let found = format!("no measured component of version {:?}, which is claimed", claims.swversion);
        return refuse(trail, found, "a measured component of the claimed version".into());
    }
    let found = format!("{} measured components, all known", claims.measurements.len());
    trail.note(Verdict::Passed, rule::MEASUREMENTS, found, wanted);
    Ok(())
}
