//! Requests that wait for an operator: what they show, and since when.

use appraisal::{Appraised, GroupName, Verdict};
use ca::Serial;
use serde_json::{Value, json};
use shared::evidence::DebugStatus;
use shared::{DeviceId, UnixTime};

use super::Sha256;
use super::model::{as_hex, as_optional_text, as_text};

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HeldRequest {
    /// Who asks.
    #[serde(serialize_with = "as_text")]
    pub device: DeviceId,
    /// Its group.
    #[serde(serialize_with = "as_text")]
    pub group: GroupName,
    /// The serial number its certificate would have: names the request.
    #[serde(serialize_with = "as_text")]
    pub serial: Serial,
    /// SHA-256 of the SubjectPublicKeyInfo it asks for.
    #[serde(serialize_with = "as_hex")]
    pub key_sha256: Sha256,
    /// Since when it waits.
    #[serde(serialize_with = "as_text")]
    pub since: UnixTime,
    /// Whether it was approved; the device gets its certificate when it asks again.
    pub approved: bool,
    /// What the device showed: kind of evidence, maker, model, the rule that held it, and its claims.
    pub shown: Value,
}

/// One page of held requests, by device.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct HeldPage {
    /// The requests.
    pub requests: Vec<HeldRequest>,
    /// The `after` of the next page, if there is one.
    #[serde(serialize_with = "as_optional_text")]
    pub next: Option<DeviceId>,
}

/// What an operator has to see of a request, whatever its kind of evidence.
pub(in crate::store) fn shown(appraised: &Appraised) -> Value {
    let rule = appraised.rules().iter().rev().find(|rule| rule.verdict == Verdict::Held);
    let claims = appraised.claims().map(|claims| {
        let measurements: Vec<_> = claims
            .measurements
            .iter()
            .map(|measured| {
                json!({
                    "component": measured.component,
                    "version": measured.version,
                    "digest": hex::encode(&measured.digest),
                })
            })
            .collect();
        json!({
            "model": claims.model,
            "hardware_version": claims.hardware_version,
            "software_name": claims.software_name,
            "software_version": claims.software_version,
            "debug": claims.debug.map(debug),
            "lifecycle": claims.lifecycle.map(appraisal::Lifecycle::name),
            "measurements": measurements,
        })
    });
    json!({
        "kind": appraised.kind().map(|kind| kind.name()),
        "maker": appraised.maker().map(|maker| maker.name.as_str()),
        "model": appraised.model(),
        "token": appraised.token(),
        "identity_sha256": appraised.idevid_spki_sha256().map(hex::encode),
        "rule": rule.map(|rule| rule.rule),
        "claims": claims,
    })
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
