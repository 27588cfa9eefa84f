//! Claims against the policy: maker, model, debug state, firmware. One set of claims, whatever kind of evidence
//! they came in.

use serde::{Deserialize, Serialize};
use shared::Reject;
use shared::evidence::{Claims, DebugStatus};

use crate::lifecycle::Lifecycle;
use crate::maker::Maker;
use crate::policy::{KnownGood, Measurements, ModelRule, Policy, ReferenceValues, Subject, Version};
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::serial;

/// What a device's evidence says about it. What a kind of evidence does not speak of is `None`, and a policy
/// that asks for it is not satisfied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceClaims {
    /// The maker's private enterprise number.
    pub oemid: Option<u32>,
    /// Model.
    pub model: Option<String>,
    /// Version of the hardware.
    pub hardware_version: Option<String>,
    /// Name of the firmware.
    pub software_name: Option<String>,
    /// Version of the firmware.
    pub software_version: Option<String>,
    /// Debug state.
    #[serde(with = "serial::debug")]
    pub debug: Option<DebugStatus>,
    /// Where the root of trust stands in its life.
    pub lifecycle: Option<Lifecycle>,
    /// Which make of root of trust it has (RFC 9783, section 4.2.2).
    #[serde(with = "serial::optional_hash")]
    pub implementation_id: Option<[u8; 32]>,
    /// Differs from boot to boot, 8 to 32 bytes (RFC 9783, section 4.3.2).
    #[serde(with = "serial::optional_bytes")]
    pub boot_seed: Option<Vec<u8>>,
    /// Everything that was measured.
    pub measurements: Vec<Measured>,
}

/// A measured component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Its name, for example `application`, `layer-1` or `pcr-7`.
    pub component: String,
    /// Its version, where the evidence has one; else it is that of the reference value that fits.
    pub version: Option<String>,
    /// Digest of what runs: SHA-256, SHA-384 or SHA-512, told apart by their length.
    #[serde(with = "serial::digest")]
    pub digest: Vec<u8>,
    /// Who signed it, most often the hash of a public key, where the evidence says so.
    #[serde(with = "serial::optional_bytes")]
    pub signer: Option<Vec<u8>>,
}

impl From<&Claims<'_>> for DeviceClaims {
    fn from(claims: &Claims<'_>) -> Self {
        Self {
            oemid: Some(claims.oemid),
            model: Some(claims.hwmodel.into()),
            hardware_version: Some(claims.hwversion.into()),
            software_name: Some(claims.swname.into()),
            software_version: Some(claims.swversion.into()),
            debug: Some(claims.dbgstat),
            measurements: claims
                .measurements
                .iter()
                .map(|m| Measured {
                    component: m.component.into(),
                    version: Some(m.version.into()),
                    digest: m.digest.to_vec(),
                    signer: None,
                })
                .collect(),
            ..Self::default()
        }
    }
}

/// Checks what the device of `registered` claims; the model there is the one in the inventory.
pub(crate) fn check(
    claims: &DeviceClaims,
    registered: &Subject<'_>,
    policy: &Policy,
    reference: &ReferenceValues,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    check_maker(registered.maker, policy, trail)?;
    let implementation = claims.implementation_id.as_ref();
    let claimed = check_implementation(claims, registered.model, policy, trail)?;
    let model = check_model(claimed, registered.model, registered.maker, implementation, policy, trail)?;
    check_debug(claims, policy, trail)?;
    check_lifecycle(claims, policy, trail)?;
    let minimum = model.and_then(|model| model.minimum_firmware);
    let subject =
        Subject { model: claimed.or(registered.model), implementation_id: implementation, ..*registered };
    match claims.software_version.as_deref() {
        Some(version) => {
            check_version(version, claims.software_name.as_deref(), minimum, trail)?;
            let _fitting = check_measurements(claims, &subject, policy, reference, trail)?;
            Ok(())
        }
        None => {
            let fitting = check_measurements(claims, &subject, policy, reference, trail)?;
            check_derived_version(&fitting, minimum, trail)
        }
    }
}

/// Judges evidence that claims nothing: by the maker, where one vouches for the device, and by the model.
pub(crate) fn check_silent(
    model: Option<&str>,
    registered: Option<&str>,
    maker: Option<&Maker>,
    policy: &Policy,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    if maker.is_some() {
        check_maker(maker, policy, trail)?;
    }
    check_model(model, registered, maker, None, policy, trail)?;
    Ok(())
}

/// Gives the model, claimed or by the policy's rules for the make of root of trust; where there are such rules, the
/// model has to be one of theirs.
fn check_implementation<'c>(
    claims: &'c DeviceClaims,
    registered: Option<&str>,
    policy: &'c Policy,
    trail: &mut Trail,
) -> Result<Option<&'c str>, Refusal> {
    let claimed = claims.model.as_deref();
    let Some(id) = &claims.implementation_id else { return Ok(claimed) };
    let Some(first) = policy.models_of(id).next() else { return Ok(claimed) };
    let Some(model) = claimed.or(registered) else { return Ok(Some(first)) };
    let names: Vec<_> = policy.models_of(id).collect();
    trail.require(
        names.contains(&model),
        rule::MODEL,
        Reject::ModelNotAllowed,
        format!("model {model:?} with implementation {}", crate::key::hex(id)),
        format!("{}, which that implementation stands for", names.join(" or ")),
    )?;
    Ok(claimed)
}

fn check_debug(claims: &DeviceClaims, policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let found = match claims.debug {
        Some(state) => format!("debug state {state:?}"),
        None => "evidence that says nothing of the debug port".into(),
    };
    trail.require(
        claims.debug.unwrap_or(DebugStatus::Enabled) >= policy.debug,
        rule::DEBUG,
        Reject::DebugOpen,
        found,
        format!("{:?} or stricter", policy.debug),
    )
}

fn check_lifecycle(claims: &DeviceClaims, policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let wanted: Vec<_> = policy.lifecycle.iter().map(|state| state.name()).collect();
    let wanted = wanted.join(" or ");
    let Some(found) = claims.lifecycle else {
        trail.note(Verdict::Skipped, rule::LIFECYCLE, "evidence that says nothing of the lifecycle", wanted);
        return Ok(());
    };
    let good = policy.lifecycle.contains(&found);
    trail.require(good, rule::LIFECYCLE, Reject::DebugOpen, format!("lifecycle state {found}"), wanted)
}

fn check_maker(maker: Option<&Maker>, policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let allowed = policy
        .makers
        .as_ref()
        .is_none_or(|rules| maker.is_some_and(|maker| rules.iter().any(|rule| rule.fits(maker))));
    trail.require(
        allowed,
        rule::MAKER,
        Reject::ModelNotAllowed,
        maker.map_or_else(
            || "evidence that no maker vouches for".into(),
            |maker| format!("maker {:?}, fingerprint {}", maker.name, maker.fingerprint_hex()),
        ),
        if policy.makers.is_some() { "a maker listed in the policy" } else { "any maker the server knows" },
    )
}

/// Checks the model, which the device claims, the inventory has, or both; gives the policy's rule for it.
pub(crate) fn check_model<'p>(
    claimed: Option<&str>,
    registered: Option<&str>,
    maker: Option<&Maker>,
    implementation_id: Option<&[u8; 32]>,
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
    let fitting =
        model.and_then(|model| rules.iter().find(|rule| rule.fits(model, maker, implementation_id)));
    trail.require(
        fitting.is_some(),
        rule::MODEL,
        Reject::ModelNotAllowed,
        found,
        "a model listed in the policy, of the maker listed with it",
    )?;
    Ok(fitting)
}

fn check_version(
    version: &str,
    name: Option<&str>,
    minimum: Option<Version>,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let found = format!("version {version:?} of {:?}", name.unwrap_or_default());
    let Ok(version) = version.parse::<Version>() else {
        let wanted = "swversion as MAJOR.MINOR.PATCH";
        return Err(trail.refuse(rule::FIRMWARE_VERSION, Reject::BadEvidence, found, wanted));
    };
    require_version(Some(version), minimum, found, trail)
}

/// Where the evidence has no version of its own, the reference values that fit say which version runs: the
/// lowest counts.
fn check_derived_version(
    fitting: &[&KnownGood],
    minimum: Option<Version>,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let versions: Option<Vec<Version>> =
        fitting.iter().map(|known| known.version.as_deref()?.parse().ok()).collect();
    let lowest = versions.and_then(|versions| versions.into_iter().min());
    let found = match lowest {
        Some(version) => format!("version {version}, by the reference values that fit"),
        None => "no version, neither claimed nor in the reference values".into(),
    };
    require_version(lowest, minimum, found, trail)
}

fn require_version(
    version: Option<Version>,
    minimum: Option<Version>,
    found: String,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let Some(minimum) = minimum else {
        trail.note(Verdict::Passed, rule::FIRMWARE_VERSION, found, "any version");
        return Ok(());
    };
    let good = version.is_some_and(|version| version >= minimum);
    let wanted = format!("{minimum} or newer");
    trail.require(good, rule::FIRMWARE_VERSION, Reject::FirmwareTooOld, found, wanted)
}

/// Gives the reference values that fit.
fn check_measurements<'r>(
    claims: &DeviceClaims,
    subject: &Subject<'_>,
    policy: &'r Policy,
    reference: &'r ReferenceValues,
    trail: &mut Trail,
) -> Result<Vec<&'r KnownGood>, Refusal> {
    if policy.measurements == Measurements::Ignore {
        let found = format!("{} measured components", claims.measurements.len());
        let wanted = "nothing (firmware.measurements = \"ignore\")";
        trail.note(Verdict::Skipped, rule::MEASUREMENTS, found, wanted);
        return Ok(Vec::new());
    }
    let wanted = "measurements that are all among the reference values";
    let refuse = |trail: &mut Trail, found: String, wanted: String| {
        Err(trail.refuse(rule::MEASUREMENTS, Reject::FirmwareUnknown, found, wanted))
    };
    let mut fitting = Vec::new();
    for measured in &claims.measurements {
        let known =
            reference.find(subject, measured).or_else(|| policy.reference_values.find(subject, measured));
        let Some(known) = known else {
            let digest = crate::key::hex(&measured.digest);
            let version = measured.version.as_deref().unwrap_or("without a version");
            let near = reference
                .near_miss(subject, measured)
                .or_else(|| policy.reference_values.near_miss(subject, measured))
                .map_or_else(String::new, |mismatch| format!(", which is {}", mismatch.text()));
            let found = format!("{:?} {version:?} with digest {digest}{near}", measured.component);
            return refuse(trail, found, wanted.into());
        };
        fitting.push(known);
    }
    if fitting.is_empty() {
        return refuse(trail, "no measured component".into(), wanted.into());
    }
    for component in &policy.components {
        if !claims.measurements.iter().any(|m| m.component == *component) {
            let found = format!("no measurement of {component:?}");
            return refuse(trail, found, "all components that the policy names".into());
        }
    }
    // Otherwise a version that nobody measured would satisfy the rule for the least version.
    if let Some(version) = &claims.software_version
        && !fitting.iter().any(|known| known.version.as_ref() == Some(version))
    {
        let found = format!("no measured component of version {version:?}, which is claimed");
        return refuse(trail, found, "a measured component of the claimed version".into());
    }
    let found = format!("{} measured components, all known", claims.measurements.len());
    trail.note(Verdict::Passed, rule::MEASUREMENTS, found, wanted);
    Ok(fitting)
}
