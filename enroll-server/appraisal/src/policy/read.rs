//! From a TOML file to a [`Policy`], over another policy whose values hold where the file says nothing.

use core::time::Duration;

use shared::evidence::DebugStatus;
use shared::limits::{MAX_CLAIM_TEXT, MAX_MEASUREMENTS};
use shared::message::latest::EvidenceKind;

use super::broker::{self, BrokerOverride};
use super::file::{self, Problems, Table};
use super::rollout::{Mode, Rollout};
use super::{
    FirstEnrollment, MAX_CERTIFICATE_DAYS, MakerCrlUse, MakerRule, Measurements, ModelRule, Policy,
    SecondEnrollment, days, reference,
};
use crate::group::GroupName;
use crate::key::hash_from_hex;
use crate::lifecycle::Lifecycle;

/// Reads the whole file. Whatever is missing keeps its value in `base`; a list that is there takes the place of
/// the whole list of `base`.
pub(super) fn policy<'t>(
    base: &Policy,
    top: &mut Table<'t>,
    problems: &mut Problems<'t>,
) -> (Policy, Rollout) {
    let mut policy = base.clone();
    top.table("evidence", problems, |t, p| evidence(&mut policy, t, p));
    top.table("inventory", problems, |t, p| {
        set(&mut policy.inventory_required, t.take("required", p, file::flag));
    });
    top.table("enrollment", problems, |t, p| {
        set(&mut policy.first_enrollment, t.take("first", p, file::one_of(FIRST)));
        set(&mut policy.second_enrollment, t.take("second", p, file::one_of(SECOND)));
        set(&mut policy.quota, t.take("quota", p, quota));
    });
    top.table("renewal", problems, |t, p| {
        set(&mut policy.grace, t.take("grace_days", p, file::number(0, MAX_GRACE_DAYS)).map(days));
        set(&mut policy.renewal_evidence, t.take("evidence", p, file::flag));
    });
    top.table("certificate", problems, |t, p| {
        set(&mut policy.certificate_lifetime, t.take("days", p, certificate_days));
        set(&mut policy.certificate_profile, t.take("profile", p, profile_name));
        set(&mut policy.certificate_label, t.take("label", p, label));
    });
    top.table("firmware", problems, |t, p| firmware(&mut policy, t, p));
    set(&mut policy.makers, rules(top, "maker", problems, maker));
    set(&mut policy.models, rules(top, "model", problems, model));
    set(&mut policy.reference_values, reference::read(top, problems).map(Into::into));
    top.table("broker", problems, |t, p| broker(&mut policy.broker, t, p));
    (policy, top.table("rollout", problems, rollout).unwrap_or_default())
}

/// A list of rules, or `any`, which takes back the list of the base.
fn rules<'t, T>(
    top: &mut Table<'t>,
    key: &str,
    problems: &mut Problems<'t>,
    read: impl FnMut(&mut Table<'t>, &mut Problems<'t>) -> Option<T>,
) -> Option<Option<Vec<T>>> {
    if top.take_word(key, "any") {
        return Some(None);
    }
    top.tables(key, problems, read).map(Some)
}

fn quota(value: &toml::de::DeValue<'_>) -> Result<Option<u32>, String> {
    if value.as_str() == Some("none") {
        return Ok(None);
    }
    file::number(0, u32::MAX)(value).map(Some).map_err(|wanted| format!("{wanted}, or \"none\""))
}

fn certificate_days(value: &toml::de::DeValue<'_>) -> Result<Option<Duration>, String> {
    if value.as_str() == Some("profile") {
        return Ok(None);
    }
    let days = file::number(1, MAX_CERTIFICATE_DAYS)(value).map(|number| Some(days(number)));
    days.map_err(|wanted| format!("{wanted}, or \"profile\""))
}

/// A name as that of a group: it is part of a file's name.
fn profile_name(value: &toml::de::DeValue<'_>) -> Result<String, String> {
    let name = value.as_str().filter(|name| name.parse::<GroupName>().is_ok());
    name.map(ToOwned::to_owned)
        .ok_or_else(|| "the name of a profile: 1 to 32 lower-case letters, digits and hyphens".into())
}

/// It may become part of a DNS name.
fn label(value: &toml::de::DeValue<'_>) -> Result<Option<String>, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match value.as_str() {
        Some("none") => Ok(None),
        Some(text)
            if (1..=32).contains(&text.len())
                && text.bytes().all(allowed)
                && !text.starts_with('-')
                && !text.ends_with('-')
                && text.get(2..4) != Some("--") =>
        {
            Ok(Some(text.to_owned()))
        }
        _ => {
            Err("1 to 32 lower-case letters, digits and inner hyphens, as in a host name, or \"none\"".into())
        }
    }
}

fn rollout<'t>(table: &mut Table<'t>, problems: &mut Problems<'t>) -> Rollout {
    let mode = table.take("mode", problems, file::one_of(Mode::NAMES)).unwrap_or_default();
    let written = table.has("percent");
    let percent = table.take("percent", problems, file::number(0, 100));
    if mode == Mode::Enforce && !written {
        // How many devices a candidate decides for is never a default.
        table.problem(problems, "percent", "is missing; mode = \"enforce\" needs it, 0 to 100");
    }
    Rollout { mode, percent: percent.and_then(|p| u8::try_from(p).ok()).unwrap_or(0) }
}

fn broker<'t>(over: &mut BrokerOverride, table: &mut Table<'t>, problems: &mut Problems<'t>) {
    let host = table.take("host", problems, |value| {
        let host = value.as_str().filter(|text| broker::is_host(text));
        host.map(|text| Some(text.to_owned())).ok_or_else(|| "a host name or an IP address".into())
    });
    set(&mut over.host, host);
    let port = table.take("port", problems, file::number(1, 65_535));
    set(&mut over.port, port.map(|port| u16::try_from(port).ok()));
    let mut topic = |key: &str, over: &mut Option<String>| {
        let topic = table.take(key, problems, |value| {
            let topic = value.as_str().filter(|text| broker::is_topic(text));
            let wanted = "a topic with \"{id}\", without \"+\" and \"#\"";
            topic.map(|text| Some(text.to_owned())).ok_or_else(|| wanted.into())
        });
        set(over, topic);
    };
    topic("telemetry_topic", &mut over.telemetry_topic);
    topic("status_topic", &mut over.status_topic);
    topic("command_topic", &mut over.command_topic);
}

pub(super) const FIRST: &[(&str, FirstEnrollment)] =
    &[("accept", FirstEnrollment::Accept), ("hold", FirstEnrollment::Hold)];
pub(super) const SECOND: &[(&str, SecondEnrollment)] = &[
    ("supersede", SecondEnrollment::Supersede),
    ("hold", SecondEnrollment::Hold),
    ("refuse", SecondEnrollment::Refuse),
];
pub(super) const MAKER_CRL: &[(&str, MakerCrlUse)] = &[
    ("ignore", MakerCrlUse::Ignore),
    ("if-present", MakerCrlUse::IfPresent),
    ("require", MakerCrlUse::Require),
];
pub(super) const MEASUREMENTS: &[(&str, Measurements)] =
    &[("known-good", Measurements::KnownGood), ("ignore", Measurements::Ignore)];
pub(super) const DEBUG: &[(&str, DebugStatus)] = &[
    ("enabled", DebugStatus::Enabled),
    ("disabled", DebugStatus::Disabled),
    ("disabled-since-boot", DebugStatus::DisabledSinceBoot),
    ("disabled-permanently", DebugStatus::DisabledPermanently),
    ("disabled-fully-and-permanently", DebugStatus::DisabledFullyAndPermanently),
];
/// Ten years, the longest a device is thought to lie in a warehouse.
const MAX_GRACE_DAYS: u32 = 3650;

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn evidence<'t>(policy: &mut Policy, table: &mut Table<'t>, problems: &mut Problems<'t>) {
    let kinds = table.take(
        "kinds",
        problems,
        file::list(|value| {
            let found = EvidenceKind::ALL.iter().find(|kind| value.as_str() == Some(kind.name()));
            found.copied().ok_or_else(|| {
                let names: Vec<_> = EvidenceKind::ALL.iter().map(|k| format!("{:?}", k.name())).collect();
                names.join(" or ")
            })
        }),
    );
    set(&mut policy.kinds, kinds);
    let replaces = table.take("token_replaces_attestation", problems, file::flag);
    set(&mut policy.token_replaces_attestation, replaces);
    set(&mut policy.maker_crl, table.take("crl", problems, file::one_of(MAKER_CRL)));
}

fn firmware<'t>(policy: &mut Policy, table: &mut Table<'t>, problems: &mut Problems<'t>) {
    set(&mut policy.measurements, table.take("measurements", problems, file::one_of(MEASUREMENTS)));
    set(&mut policy.debug, table.take("debug", problems, file::one_of(DEBUG)));
    let lifecycle = table.take(
        "lifecycle",
        problems,
        file::list(|value| {
            let found = Lifecycle::ALL.into_iter().find(|state| value.as_str() == Some(state.name()));
            found.ok_or_else(|| {
                let names: Vec<_> =
                    Lifecycle::ALL.iter().map(|state| format!("{:?}", state.name())).collect();
                names.join(" or ")
            })
        }),
    );
    set(&mut policy.lifecycle, lifecycle);
    let components = if table.take_word("components", "any") {
        Some(Vec::new())
    } else {
        table.take("components", problems, file::list(file::text(MAX_CLAIM_TEXT)))
    };
    if components.as_ref().is_some_and(|list| list.len() > MAX_MEASUREMENTS) {
        let message = format!("evidence has at most {MAX_MEASUREMENTS} measured components");
        table.problem(problems, "components", message);
    }
    set(&mut policy.components, components);
}

fn maker<'t>(table: &mut Table<'t>, problems: &mut Problems<'t>) -> Option<MakerRule> {
    let name = table.take("name", problems, file::text(MAX_CLAIM_TEXT));
    let fingerprint = table.take("fingerprint", problems, |value| {
        let fingerprint = value.as_str().and_then(hash_from_hex);
        fingerprint.ok_or_else(|| "the SHA-256 of the maker CA's certificate, 64 hexadecimal digits".into())
    });
    if name.is_none() && fingerprint.is_none() {
        table.problem(problems, "name", "a maker needs a name, a fingerprint or both");
        return None;
    }
    Some(MakerRule { name, fingerprint })
}

fn model<'t>(table: &mut Table<'t>, problems: &mut Problems<'t>) -> Option<ModelRule> {
    let name = table.required("name", problems, file::text(MAX_CLAIM_TEXT));
    let maker = table.take("maker", problems, file::text(MAX_CLAIM_TEXT));
    let minimum_firmware = table.take("minimum_firmware", problems, |value| {
        let version = value.as_str().and_then(|text| text.parse().ok());
        version.ok_or_else(|| "a version, MAJOR.MINOR.PATCH".into())
    });
    let implementation_id = table.take("implementation_id", problems, |value| {
        let id = value.as_str().and_then(hash_from_hex);
        id.ok_or_else(|| "the PSA implementation identifier, 64 hexadecimal digits".into())
    });
    Some(ModelRule { name: name?, maker, minimum_firmware, implementation_id })
}
