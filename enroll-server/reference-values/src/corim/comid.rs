//! Concise module identifiers (draft-ietf-rats-corim, section 5): identity and triples. Only reference-value
//! triples become values; every other one is named.

use appraisal::policy::KnownGood;

use super::environment::{self, Scope};
use super::{clean, identifier, measurement, read_entities};
use crate::cbor::{Item, Place, Value};
use crate::error::ManifestError;
use crate::manifest::{Manifest, NoteKind, Notes};

/// `tag-identity-map` (section 5.1.1): the identifier and the version, which is 0 where it is not said.
pub(super) fn identity(comid: &Item<'_>, place: &Place<'_>) -> Result<(String, u64), ManifestError> {
    let at = place.field("tag-identity");
    let identity = comid.map(place)?.required(1, place, "tag-identity")?.map(&at)?;
    let id = identifier(identity.required(0, &at, "tag-id")?, &at.field("tag-id"))?;
    let version = match identity.get(1) {
        Some(version) => version.unsigned(&at.field("tag-version"))?,
        None => 0,
    };
    if version > MAX_VERSION {
        return Err(comid.refuse(&at, format!("version {version}"), "a version below 2^63"));
    }
    Ok((id, version))
}

/// What a database can hold.
const MAX_VERSION: u64 = i64::MAX.unsigned_abs();

/// `concise-mid-tag` (section 5.1). Gives its reference values.
pub(super) fn read(
    comid: &Item<'_>,
    place: &Place<'_>,
    manifest: &mut Manifest,
) -> Result<Vec<KnownGood>, ManifestError> {
    let map = comid.map(place)?;
    if let Some(entities) = map.get(2) {
        for name in read_entities(entities, &place.field("entities"))? {
            if !manifest.entities.contains(&name) {
                manifest.entities.push(name);
            }
        }
    }
    if let Some(linked) = map.get(3) {
        read_linked(linked, &place.field("linked-tags"), &mut manifest.notes)?;
    }
    for key in map.other_keys(&[0, 1, 2, 3, 4]) {
        let what = format!("an extension, {}, that is not known here", key.describe());
        manifest.notes.add(NoteKind::NotTaken, place, what);
    }
    let triples_place = place.field("triples");
    let triples = map.required(4, place, "triples")?.map(&triples_place)?;
    let mut known = Vec::new();
    for (key, records) in triples.entries() {
        if key.value == Value::Unsigned(REFERENCE_TRIPLES) {
            let place = triples_place.field("reference-triples");
            for (at, record) in records.array(&place)?.iter().enumerate() {
                read_triple(record, &place.index(at), manifest, &mut known)?;
            }
        } else {
            let count = records.array(&triples_place)?.len();
            let what = format!("{count} {}", triples_name(key));
            manifest.notes.add(NoteKind::NotTaken, &triples_place, what);
        }
    }
    Ok(known)
}

/// Key of the reference-value triples in `triples-map` (section 5.1.4).
const REFERENCE_TRIPLES: u64 = 0;

fn triples_name(key: &Item<'_>) -> String {
    let name = match key.value {
        Value::Unsigned(1) => "endorsed-value triples: they add claims, they are not held against evidence",
        Value::Unsigned(2) => "device identity triples: register device keys with `device import`",
        Value::Unsigned(3) => "attestation key triples: register those keys with `attestation-key add`",
        Value::Unsigned(4) => "trust dependency triples",
        Value::Unsigned(5) => "domain membership triples",
        Value::Unsigned(6) => "CoMID-CoSWID linking triples",
        Value::Unsigned(8) => "conditional endorsement series triples",
        Value::Unsigned(10) => "conditional endorsement triples",
        _ => return format!("triples of an extension, {}, that is not known here", key.describe()),
    };
    name.into()
}

/// `linked-tag-map` (section 5.1.3).
fn read_linked(item: &Item<'_>, place: &Place<'_>, notes: &mut Notes) -> Result<(), ManifestError> {
    for (at, link) in item.array(place)?.iter().enumerate() {
        let place = place.index(at);
        let map = link.map(&place)?;
        let target = identifier(map.required(0, &place, "linked-tag-id")?, &place.field("linked-tag-id"))?;
        let (kind, what) = match map.required(1, &place, "tag-rel")?.value {
            Value::Unsigned(0) => (NoteKind::Information, format!("supplements the tag {target:?}")),
            Value::Unsigned(1) => {
                let what = format!("replaces the tag {target:?}: withdraw that with `reference withdraw`");
                (NoteKind::NotTaken, what)
            }
            _ => (NoteKind::NotTaken, format!("an unknown relation to the tag {target:?}")),
        };
        notes.add(kind, &place, what);
    }
    Ok(())
}

/// `reference-triple-record` (section 5.1.5).
fn read_triple(
    record: &Item<'_>,
    place: &Place<'_>,
    manifest: &mut Manifest,
    known: &mut Vec<KnownGood>,
) -> Result<(), ManifestError> {
    let [environment, measurements] = record.array(place)? else {
        return Err(record.refuse(place, record.describe(), "an environment and its measurements"));
    };
    let psa = manifest.profile.as_deref().is_some_and(is_psa);
    let scope = environment::read(environment, &place.field("environment"), psa, &mut manifest.notes)?;
    let place = place.field("measurements");
    let measurements = measurements.array(&place)?;
    match scope {
        Scope::NotComparable { because } => {
            let what = format!("{} measurements of an environment {because}", measurements.len());
            manifest.notes.add(NoteKind::NotTaken, &place, what);
        }
        Scope::Of(environment) => {
            if let Some(vendor) = environment.vendor.map(clean)
                && !manifest.vendors.contains(&vendor)
            {
                manifest.vendors.push(vendor);
            }
            for (at, measurement) in measurements.iter().enumerate() {
                measurement::read(measurement, &place.index(at), &environment, &mut manifest.notes, known)?;
            }
        }
    }
    Ok(())
}

/// Whether this is the PSA profile (draft-fdb-rats-psa-endorsements, section 3.1), or what early drafts called it.
fn is_psa(profile: &str) -> bool {
    profile.starts_with("tag:arm.com,2025:psa#")
        || profile.starts_with("tag:psacertified.org,2023:psa#")
        || profile.starts_with("http://arm.com/psa/iot/")
        || profile.starts_with("http://arm.com/psa/2.")
}
