//! Requests that wait for an operator: what they show, and since when.

use appraisal::{Appraised, GroupName, Verdict};
use ca::Serial;
use serde_json::Value;
use shared::evidence::DebugStatus;
use shared::{DeviceId, UnixTime};

use super::Sha256;
use crate::written::{Hex, OptionalHex, OptionalText, Text};

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct HeldRequest {
    /// Who asks.
    #[serde(with = "Text::<DeviceId>")]
    pub device: DeviceId,
    /// Its group.
    #[serde(with = "Text::<GroupName>")]
    pub group: GroupName,
    /// The serial number its certificate would have: names the request.
    #[serde(with = "Text::<Serial>")]
    pub serial: Serial,
    /// SHA-256 of the SubjectPublicKeyInfo it asks for.
    #[serde(with = "Hex")]
    pub key_sha256: Sha256,
    /// Since when it waits.
    #[serde(with = "Text::<UnixTime>")]
    pub since: UnixTime,
    /// Whether it was approved; the device gets its certificate when it asks again.
    pub approved: bool,
    /// What the device showed, as it was recorded.
    #[schemars(with = "Shown<'_>")]
    pub shown: Value,
}

/// What the device showed.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Shown<'a> {
    /// Kind of its evidence.
    kind: Option<&'a str>,
    /// Its maker.
    maker: Option<&'a str>,
    /// Its model.
    model: Option<&'a str>,
    /// Public name of the one-time token that it used.
    token: Option<&'a str>,
    /// SHA-256 of its identity key.
    #[serde(with = "OptionalHex")]
    identity_sha256: Option<Sha256>,
    /// The rule that held it.
    rule: Option<&'a str>,
    /// What it claims of itself.
    claims: Option<ShownClaims<'a>>,
}

/// What a device claims of itself.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ShownClaims<'a> {
    /// Its model.
    model: Option<&'a str>,
    /// Version of its hardware.
    hardware_version: Option<&'a str>,
    /// Name of its software.
    software_name: Option<&'a str>,
    /// Version of its software.
    software_version: Option<&'a str>,
    /// How open its debug port is.
    debug: Option<&'a str>,
    /// Where in its life it is.
    lifecycle: Option<&'a str>,
    /// What was measured.
    measurements: Vec<ShownMeasurement<'a>>,
}

/// One measurement.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ShownMeasurement<'a> {
    /// Of what.
    component: &'a str,
    /// Its version.
    version: Option<&'a str>,
    /// In hexadecimal digits.
    digest: String,
}

/// One page of held requests, by device.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct HeldPage {
    /// The requests.
    pub requests: Vec<HeldRequest>,
    /// The `after` of the next page, if there is one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub next: Option<DeviceId>,
}

/// What an operator has to see of a request, whatever its kind of evidence.
pub(in crate::store) fn shown(appraised: &Appraised) -> Value {
    let rule = appraised.rules().iter().rev().find(|rule| rule.verdict == Verdict::Held);
    let claims = appraised.claims().map(|claims| {
        let measurements = claims.measurements.iter().map(|measured| ShownMeasurement {
            component: &measured.component,
            version: measured.version.as_deref(),
            digest: hex::encode(&measured.digest),
        });
        ShownClaims {
            model: claims.model.as_deref(),
            hardware_version: claims.hardware_version.as_deref(),
            software_name: claims.software_name.as_deref(),
            software_version: claims.software_version.as_deref(),
            debug: claims.debug.map(debug),
            lifecycle: claims.lifecycle.map(appraisal::Lifecycle::name),
            measurements: measurements.collect(),
        }
    });
    let shown = Shown {
        kind: appraised.kind().map(|kind| kind.name()),
        maker: appraised.maker().map(|maker| maker.name.as_str()),
        model: appraised.model(),
        token: appraised.token(),
        identity_sha256: appraised.idevid_spki_sha256().copied(),
        rule: rule.map(|rule| rule.rule),
        claims,
    };
    // Names, texts and digits: nothing that could not be written.
    serde_json::to_value(shown).unwrap_or_default()
}

/// What of [`Shown`] says on which proof a request is held. A credential is part of the identity, or counted for the device.
const PROOF: [&str; 3] = ["kind", "token", "identity_sha256"];

/// Whether a request that was recorded with `recorded` as what it showed has the proof of `appraised`. What cannot be read has
/// another one.
pub(in crate::store) fn same_proof(recorded: &str, appraised: &Appraised) -> bool {
    let Ok(recorded) = serde_json::from_str::<Value>(recorded) else { return false };
    let now = shown(appraised);
    PROOF.iter().all(|name| now.get(name).is_some_and(|value| recorded.get(name) == Some(value)))
}

const fn debug(status: DebugStatus) -> &'static str {
    match status {
        DebugStatus::Enabled => "enabled",
        DebugStatus::Disabled => "disabled",
        DebugStatus::DisabledSinceBoot => "disabled-since-boot",
        DebugStatus::DisabledPermanently => "disabled-permanently",
        DebugStatus::DisabledFullyAndPermanently => "disabled-fully-and-permanently",
    }
}
