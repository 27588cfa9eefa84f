//! What an environment has to measure: `measurement-map` (draft-ietf-rats-corim, section 5.1.4.5).
//!
//! A digest says what runs; name, version, security version and signer say more about the same thing. What says
//! something about the state of a device beyond that, and is in no evidence, makes the measurement one that is
//! not taken: it is a condition that would be dropped.

use appraisal::policy::KnownGood;
use appraisal::psa::NO_TYPE;

use super::environment::Environment;
use super::{clean, dotted, is_name, tag, uuid};
use crate::cbor::{Item, Map, Place, Value};
use crate::error::ManifestError;
use crate::manifest::{NoteKind, Notes};

pub(super) fn read(
    item: &Item<'_>,
    place: &Place<'_>,
    environment: &Environment<'_>,
    notes: &mut Notes,
    known: &mut Vec<KnownGood>,
) -> Result<(), ManifestError> {
    let map = item.map(place)?;
    let values_place = place.field("mval");
    let values = map.required(1, place, "mval")?;
    let values_map = values.map(&values_place)?;
    if values_map.entries().is_empty() {
        return Err(values.refuse(&values_place, "an empty map", "at least one measured value"));
    }
    let key = map.get(0).map(|key| read_key(key, &place.field("mkey"))).transpose()?;
    let mut subject = Subject::of(key, &values_map, &values_place, environment)?;
    if let Some(because) = condition(&map, &values_map, environment.psa) {
        notes.add(NoteKind::NotTaken, place, because);
        return Ok(());
    }
    note_names(subject.component.as_deref(), &values_map, place, environment, notes);
    if let Some(keys) = values_map.get(CRYPTOKEYS) {
        subject.signer = Some(psa_signer(keys, &values_place.field("cryptokeys"))?);
    }
    let mut taken = false;
    if let Some(digests) = values_map.get(DIGESTS) {
        taken = true;
        let place = values_place.field("digests");
        match subject.component.clone() {
            Some(component) => {
                for digest in read_digests(digests, &place, notes)? {
                    known.push(subject.known(component.clone(), digest, environment));
                }
            }
            None => {
                let what = "digests without a name: neither mkey, name nor layer says what is measured";
                notes.add(NoteKind::NotTaken, &place, what);
            }
        }
    }
    if let Some(registers) = values_map.get(INTEGRITY_REGISTERS) {
        taken = true;
        let place = values_place.field("integrity-registers");
        for (register, digests) in registers.map(&place)?.entries() {
            let component = register_name(register, &place)?;
            for digest in read_digests(digests, &place, notes)? {
                known.push(subject.known(component.clone(), digest, environment));
            }
        }
    }
    let svn = values_map.get(SVN).map(|svn| read_svn(svn, &values_place)).transpose()?;
    if !taken {
        notes.add(NoteKind::NotTaken, place, "no digest: evidence is held against digests");
    } else if let Some(svn) = svn {
        let what = format!("{svn}: evidence has no such number; the digest decides");
        notes.add(NoteKind::NotCompared, &values_place, what);
    }
    Ok(())
}

/// Tells of names that are there besides the one that counts.
fn note_names(
    component: Option<&str>,
    values: &Map<'_, '_>,
    place: &Place<'_>,
    environment: &Environment<'_>,
    notes: &mut Notes,
) {
    let Some(component) = component else { return };
    if let Some(Value::Text(name)) = values.get(NAME).map(|name| &name.value)
        && *name != component
    {
        let what = format!("name {:?}: the component is {component:?}", clean(name));
        notes.add(NoteKind::NotCompared, place, what);
    }
    if let Some(layer) = environment.layer
        && component != format!("layer-{layer}")
    {
        notes.add(NoteKind::NotCompared, place, format!("layer {layer}: the component is {component:?}"));
    }
}

/// Keys of `measurement-values-map` (section 5.1.4.5.2).
const VERSION: u64 = 0;
const SVN: u64 = 1;
const DIGESTS: u64 = 2;
const NAME: u64 = 11;
const CRYPTOKEYS: u64 = 13;
const INTEGRITY_REGISTERS: u64 = 14;

/// What the digests of one measurement are about.
struct Subject {
    component: Option<String>,
    version: Option<String>,
    signer: Option<Vec<u8>>,
}

impl Subject {
    fn of(
        key: Option<Key>,
        values: &Map<'_, '_>,
        place: &Place<'_>,
        environment: &Environment<'_>,
    ) -> Result<Self, ManifestError> {
        let name_place = place.field("name");
        let name = values.get(NAME).map(|name| usable(name, &name_place)).transpose()?;
        let version = match values.get(VERSION) {
            Some(version) => Some(read_version(version, &place.field("version"))?),
            None => None,
        };
        let layer = environment.layer.map(|layer| format!("layer-{layer}"));
        Ok(match key {
            Some(Key::PsaComponent) => {
                let component = name.unwrap_or_else(|| NO_TYPE.into());
                Self { component: Some(component), version, signer: None }
            }
            Some(Key::PsaRefval { label, version: of_key, signer }) => {
                Self { component: label.or(name), version: of_key.or(version), signer }
            }
            Some(Key::Name(key)) => Self { component: Some(key), version, signer: None },
            None => Self { component: name.or(layer), version, signer: None },
        })
    }

    fn known(&self, component: String, digest: Vec<u8>, environment: &Environment<'_>) -> KnownGood {
        KnownGood {
            model: environment.model.map(Into::into),
            instance: environment.instance,
            implementation_id: environment.implementation_id,
            component,
            version: self.version.clone(),
            digest,
            signer: self.signer.clone(),
        }
    }
}

/// Why the measurement is good only under a condition that evidence cannot be held against.
fn condition(map: &Map<'_, '_>, values: &Map<'_, '_>, psa: bool) -> Option<String> {
    if map.get(2).is_some() {
        return Some("authorized-by: evidence is not told apart by the keys of its authorities".into());
    }
    if let Some(key) = map.other_keys(&[0, 1, 2]).next() {
        return Some(format!("an extension, {}, that is not known here", key.describe()));
    }
    for (key, name) in [
        (3, "flags"),
        (4, "raw-value"),
        (5, "raw-value-mask"),
        (6, "mac-addr"),
        (7, "ip-addr"),
        (8, "serial-number"),
        (9, "ueid"),
        (10, "uuid"),
        (15, "int-range"),
    ] {
        if values.get(key).is_some() {
            return Some(format!(
                "{name}: no evidence says it, and without it the value would be good for more"
            ));
        }
    }
    if values.get(CRYPTOKEYS).is_some() && !psa {
        return Some("cryptokeys: outside of the PSA profile no evidence says which keys it has".into());
    }
    let all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, NAME, CRYPTOKEYS, INTEGRITY_REGISTERS, 15];
    let other = values.other_keys(&all).next()?;
    Some(format!("a measured value of an extension, {}, that is not known here", other.describe()))
}

/// `measured-element-type-choice` (section 5.1.4.5.1).
enum Key {
    Name(String),
    /// "psa.software-component": the name says which (draft-fdb-rats-psa-endorsements, section 3.3).
    PsaComponent,
    /// `psa.refval-id` of early drafts of the PSA profile.
    PsaRefval {
        label: Option<String>,
        version: Option<String>,
        signer: Option<Vec<u8>>,
    },
}

fn read_key(item: &Item<'_>, place: &Place<'_>) -> Result<Key, ManifestError> {
    let wrong = || item.refuse(place, item.describe(), "text, a number, an object identifier or a UUID");
    match &item.value {
        Value::Text("psa.software-component") => Ok(Key::PsaComponent),
        Value::Text(_) => Ok(Key::Name(usable(item, place)?)),
        Value::Unsigned(number) => Ok(Key::Name(number.to_string())),
        Value::Tag(tag::OID, oid) => Ok(Key::Name(dotted(oid, place)?)),
        Value::Tag(tag::UUID, id) => uuid(id.bytes(place)?).map(Key::Name).ok_or_else(wrong),
        Value::Tag(tag::PSA_REFVAL_ID, id) => read_psa_refval(id, place),
        _ => Err(wrong()),
    }
}

fn read_psa_refval(item: &Item<'_>, place: &Place<'_>) -> Result<Key, ManifestError> {
    let map = item.map(place)?;
    let label = map.get(1).map(|label| usable(label, &place.field("label"))).transpose()?;
    let version = map.get(4).map(|version| usable(version, &place.field("version"))).transpose()?;
    let signer = match map.get(5) {
        Some(signer) => Some(signer_hash(signer, &place.field("signer-id"))?),
        None => None,
    };
    Ok(Key::PsaRefval { label, version, signer })
}

/// `cryptokeys` in the PSA profile: one signer identifier in tagged bytes.
fn psa_signer(item: &Item<'_>, place: &Place<'_>) -> Result<Vec<u8>, ManifestError> {
    let wrong = || item.refuse(place, item.describe(), "one signer identifier, in tagged bytes (560)");
    let [key] = item.array(place)? else { return Err(wrong()) };
    signer_hash(key.tagged(tag::BYTES).ok_or_else(wrong)?, place)
}

/// `psa-hash-type` (RFC 9783, section 4.4.1).
fn signer_hash(item: &Item<'_>, place: &Place<'_>) -> Result<Vec<u8>, ManifestError> {
    let bytes = item.bytes(place)?;
    match bytes.len() {
        32 | 48 | 64 => Ok(bytes.into()),
        _ => Err(item.refuse(place, item.describe(), "a hash of 32, 48 or 64 bytes")),
    }
}

/// `version-map` (section 5.1.4.5.3). Versions are compared as texts: no scheme but semver has an order, and
/// none is needed to know one again.
fn read_version(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    usable(item.map(place)?.required(0, place, "version")?, place)
}

/// `svn-type-choice` (section 5.1.4.5.4), in words.
fn read_svn(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    let place = place.field("svn");
    if let Some(least) = item.tagged(tag::MIN_SVN) {
        return Ok(format!("security version {} or higher", least.unsigned(&place)?));
    }
    Ok(format!("security version {}", item.tagged(tag::SVN).unwrap_or(item).unsigned(&place)?))
}

/// An identifier of `integrity-registers` (section 5.1.4.7): a number is that of a TPM's register.
fn register_name(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    match item.value {
        Value::Unsigned(number) => Ok(format!("pcr-{number}")),
        _ => usable(item, place),
    }
}

/// `digests-type` (section 7.7): each algorithm once; each digest is good by itself, because evidence has one.
fn read_digests(
    item: &Item<'_>,
    place: &Place<'_>,
    notes: &mut Notes,
) -> Result<Vec<Vec<u8>>, ManifestError> {
    let (mut digests, mut seen) = (Vec::new(), Vec::new());
    for (at, entry) in item.array(place)?.iter().enumerate() {
        let place = place.index(at);
        let [algorithm, value] = entry.array(&place)? else {
            return Err(entry.refuse(&place, entry.describe(), "an algorithm and a value"));
        };
        let bytes = value.bytes(&place)?;
        if !matches!(algorithm.value, Value::Unsigned(_) | Value::Negative(_) | Value::Text(_)) {
            return Err(entry.refuse(&place, algorithm.describe(), "an algorithm: a number or text"));
        }
        let Some((name, length)) = hash(algorithm) else {
            let what = format!("a digest of algorithm {}, which is not supported", algorithm.describe());
            notes.add(NoteKind::NotTaken, &place, what);
            continue;
        };
        if bytes.len() != length {
            let found = format!("a {name} digest of {} bytes", bytes.len());
            return Err(entry.refuse(&place, found, "a digest as long as its algorithm makes it"));
        }
        if seen.contains(&name) {
            return Err(entry.refuse(&place, format!("a second {name} digest"), "each algorithm once"));
        }
        seen.push(name);
        digests.push(bytes.to_vec());
    }
    Ok(digests)
}

/// Algorithms by the Named Information registry (RFC 6920), as in the draft's examples, and by COSE (RFC 9054).
fn hash(algorithm: &Item<'_>) -> Option<(&'static str, usize)> {
    match algorithm.value {
        Value::Unsigned(1) | Value::Negative(15) | Value::Text("sha-256") => Some(("SHA-256", 32)),
        Value::Unsigned(7) | Value::Negative(42) | Value::Text("sha-384") => Some(("SHA-384", 48)),
        Value::Unsigned(8) | Value::Negative(43) | Value::Text("sha-512") => Some(("SHA-512", 64)),
        _ => None,
    }
}

/// Longest name and version that is compared, in bytes.
const MAX_NAME: usize = 128;

/// Text that evidence can be held against.
fn usable(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    let text = item.text(place)?;
    if is_name(text, MAX_NAME) {
        Ok(text.into())
    } else {
        let found = format!("text {:?}", clean(text));
        Err(item.refuse(place, found, "text of 1 to 128 bytes without control characters"))
    }
}
