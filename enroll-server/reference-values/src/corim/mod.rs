//! Concise reference integrity manifests (draft-ietf-rats-corim): the manifest itself. What its tags say is in
//! [`comid`], who signed it in [`signed`].

mod comid;
mod environment;
mod measurement;
pub(crate) mod signed;

use aws_lc_rs::digest::{SHA256, digest};
use shared::UnixTime;

use crate::MAX_CORIM;
use crate::cbor::{self, Item, Place, Value};
use crate::error::ManifestError;
use crate::manifest::{Format, Manifest, NoteKind, Notes, Validity, Versioned};

/// CBOR tags (draft-ietf-rats-corim, section 12.2).
pub(crate) mod tag {
    /// Epoch-based time (RFC 8949, section 3.4.2).
    pub(crate) const TIME: u64 = 1;
    /// COSE_Sign1 (RFC 9052).
    pub(crate) const SIGN1: u64 = 18;
    pub(crate) const URI: u64 = 32;
    pub(crate) const UUID: u64 = 37;
    pub(crate) const OID: u64 = 111;
    pub(crate) const CORIM: u64 = 501;
    pub(crate) const COSWID: u64 = 505;
    pub(crate) const COMID: u64 = 506;
    pub(crate) const COTL: u64 = 508;
    pub(crate) const UEID: u64 = 550;
    pub(crate) const SVN: u64 = 552;
    pub(crate) const MIN_SVN: u64 = 553;
    pub(crate) const BYTES: u64 = 560;
    /// PSA implementation identifier, in early drafts of the PSA profile.
    pub(crate) const PSA_IMPLEMENTATION_ID: u64 = 600;
    /// PSA reference value identifier, in early drafts of the PSA profile.
    pub(crate) const PSA_REFVAL_ID: u64 = 601;
}

/// Reads an unsigned CoRIM (tag 501), or a bare CoMID (tag 506).
///
/// # Errors
/// Says what is wrong and where; nothing of the file is to be used then.
pub(crate) fn read(bytes: &[u8], base: usize) -> Result<Manifest, ManifestError> {
    if bytes.len() > MAX_CORIM {
        return Err(ManifestError::TooLong { found: bytes.len(), limit: MAX_CORIM });
    }
    let item = cbor::parse(bytes, base)?;
    let place = Place::root("corim");
    let mut manifest = Manifest { format: Format::Corim, ..Manifest::default() };
    if item.tagged(tag::COMID).is_some() {
        read_tag(&item, &Place::root("comid"), &mut manifest)?;
        return Ok(manifest);
    }
    let inner = item.tagged(tag::CORIM);
    let inner =
        inner.ok_or_else(|| item.refuse(&place, item.describe(), "tag 501 (CoRIM) or 506 (CoMID)"))?;
    read_map(inner, &place, &mut manifest)?;
    Ok(manifest)
}

/// `corim-map` (section 4.1).
fn read_map(item: &Item<'_>, place: &Place<'_>, manifest: &mut Manifest) -> Result<(), ManifestError> {
    let map = item.map(place)?;
    manifest.id = Some(identifier(map.required(0, place, "id")?, &place.field("id"))?);
    if let Some(profile) = map.get(3) {
        manifest.profile = Some(read_profile(profile, &place.field("profile"))?);
    }
    if let Some(validity) = map.get(4) {
        manifest.validity = read_validity(validity, &place.field("rim-validity"))?;
    }
    if let Some(entities) = map.get(5) {
        manifest.entities = read_entities(entities, &place.field("entities"))?;
    }
    if let Some(dependent) = map.get(2) {
        read_dependent(dependent, &place.field("dependent-rims"), &mut manifest.notes)?;
    }
    for key in map.other_keys(&[0, 1, 2, 3, 4, 5]) {
        let what = format!("an extension, {}, that is not known here", key.describe());
        manifest.notes.add(NoteKind::NotTaken, place, what);
    }
    let tags = place.field("tags");
    for (at, item) in map.required(1, place, "tags")?.array(&tags)?.iter().enumerate() {
        read_tag(item, &tags.index(at), manifest)?;
    }
    Ok(())
}

/// `concise-tag-type-choice` (section 4.1.2).
fn read_tag(item: &Item<'_>, place: &Place<'_>, manifest: &mut Manifest) -> Result<(), ManifestError> {
    let Some(inner) = item.tagged(tag::COMID) else {
        let what = match &item.value {
            Value::Tag(tag::COSWID, _) => "a CoSWID tag: its software identifiers are in no evidence".into(),
            Value::Tag(tag::COTL, _) => "a CoTL tag: which tags are active is decided by versions".into(),
            Value::Tag(tag, _) => format!("a tag of kind {tag}; only CoMID tags (506) have reference values"),
            _ => return Err(item.refuse(place, item.describe(), "a tag: 505, 506 or 508")),
        };
        manifest.notes.add(NoteKind::NotTaken, place, what);
        return Ok(());
    };
    let encoded = inner.bytes(place)?;
    let comid = inner.embedded(place)?;
    let (name, version) = comid::identity(&comid, place)?;
    if manifest.sets.iter().any(|set| set.name.as_ref() == Some(&name)) {
        return Err(ManifestError::TagTwice { place: place.to_string(), name });
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, encoded).as_ref());
    let known = comid::read(&comid, place, manifest)?;
    manifest.sets.push(Versioned { name: Some(name), version: Some(version), sha256, known });
    Ok(())
}

/// `corim-locator-map` (section 4.1.3): other manifests that this one builds on.
fn read_dependent(item: &Item<'_>, place: &Place<'_>, notes: &mut Notes) -> Result<(), ManifestError> {
    for (at, locator) in item.array(place)?.iter().enumerate() {
        let place = place.index(at);
        let href = locator.map(&place)?.required(0, &place, "href")?;
        let hrefs = match &href.value {
            Value::Array(list) => list.iter().collect(),
            _ => vec![href],
        };
        for href in hrefs {
            let uri = uri(href, &place.field("href"))?;
            notes.add(NoteKind::Information, &place, format!("builds on {uri:?}, which is not fetched"));
        }
    }
    Ok(())
}

/// The names in a list of `entity-map` (section 7.2).
fn read_entities(item: &Item<'_>, place: &Place<'_>) -> Result<Vec<String>, ManifestError> {
    let read = |(at, entity): (usize, &Item<'_>)| {
        let place = place.index(at);
        let name = entity.map(&place)?.required(0, &place, "entity-name")?;
        Ok(clean(name.text(&place.field("entity-name"))?))
    };
    item.array(place)?.iter().enumerate().map(read).collect()
}

/// `profile-type-choice` (section 4.1.4).
fn read_profile(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    match item.tagged(tag::OID) {
        Some(oid) => dotted(oid, place),
        None => uri(item, place),
    }
}

/// `validity-map` (section 7.3).
pub(crate) fn read_validity(item: &Item<'_>, place: &Place<'_>) -> Result<Validity, ManifestError> {
    let map = item.map(place)?;
    let not_before = map.get(0).map(|item| time(item, &place.field("not-before"))).transpose()?;
    let not_after = time(map.required(1, place, "not-after")?, &place.field("not-after"))?;
    Ok(Validity { not_before, not_after: Some(not_after) })
}

/// A time in whole seconds, with or without its tag.
pub(crate) fn time(item: &Item<'_>, place: &Place<'_>) -> Result<UnixTime, ManifestError> {
    let inner = item.tagged(tag::TIME).unwrap_or(item);
    match inner.value {
        Value::Unsigned(secs) if secs <= MAX_TIME => Ok(UnixTime::from_secs(secs)),
        _ => Err(item.refuse(place, inner.describe(), "whole seconds since 1970, up to the year 9999")),
    }
}

/// The last second of the year 9999.
const MAX_TIME: u64 = 253_402_300_799;

/// `tag-id-type-choice` and `corim-id-type-choice`: text, or the 16 bytes of a UUID.
fn identifier(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    let wanted = "text of 1 to 256 bytes, or the 16 bytes of a UUID";
    match item.tagged(tag::UUID).unwrap_or(item).value {
        Value::Text(text) if is_name(text, MAX_IDENTIFIER) => Ok(text.into()),
        Value::Bytes(bytes) => uuid(bytes).ok_or_else(|| item.refuse(place, item.describe(), wanted)),
        _ => Err(item.refuse(place, item.describe(), wanted)),
    }
}

fn uri(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    Ok(clean(item.tagged(tag::URI).unwrap_or(item).text(place)?))
}

/// Longest identifier, in bytes.
const MAX_IDENTIFIER: usize = 256;

/// Whether `text` can be shown and typed: 1 to `limit` bytes, no control characters.
fn is_name(text: &str, limit: usize) -> bool {
    !text.is_empty() && text.len() <= limit && !text.contains(char::is_control)
}

/// Text for people, which nothing is compared with.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_IDENTIFIER).collect()
}

/// A UUID as text (RFC 9562, section 4).
fn uuid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let mut text = String::with_capacity(36);
    for (at, digits) in hex::encode(bytes).chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digits);
    }
    Some(text)
}

/// An object identifier in its dotted form (X.690, section 8.19).
fn dotted(item: &Item<'_>, place: &Place<'_>) -> Result<String, ManifestError> {
    let bytes = item.bytes(place)?;
    oid_text(bytes).ok_or_else(|| item.refuse(place, item.describe(), "an object identifier in BER"))
}

fn oid_text(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() || bytes.len() > 64 {
        return None;
    }
    let (mut arcs, mut value, mut fresh) = (Vec::new(), 0_u64, true);
    for byte in bytes {
        // A leading 0x80 would be a second spelling.
        if (fresh && *byte == 0x80) || value > u64::MAX >> 7 {
            return None;
        }
        value = value << 7 | u64::from(byte & 0x7f);
        fresh = byte & 0x80 == 0;
        if fresh {
            arcs.push(core::mem::take(&mut value));
        }
    }
    if !fresh {
        return None;
    }
    let (first, rest) = arcs.split_first()?;
    let root = (*first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for arc in rest {
        text.push('.');
        text.push_str(&arc.to_string());
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{oid_text, uuid};

    #[test]
    fn identifiers_have_their_usual_text() {
        // Examples of draft-ietf-rats-corim, appendix A: 2.5.4.999... is not among them, so X.690, section 8.19.
        assert_eq!(oid_text(&[0x88, 0x37, 0x03]).as_deref(), Some("2.999.3"));
        let sgx = hex::decode("6086480186f84d010f046301").unwrap();
        assert_eq!(oid_text(&sgx).as_deref(), Some("2.16.840.1.113741.1.15.4.99.1"));
        assert_eq!(oid_text(&[0x2a, 0x86]), None, "ends in the middle");
        assert_eq!(oid_text(&[0x2a, 0x80, 0x01]), None, "a second spelling");
        assert_eq!(oid_text(&[0xff; 12]), None);
        assert_eq!(oid_text(&[]), None);
        let id = hex::decode("67b28b6c34cc40a19117ab5b05911e37").unwrap();
        assert_eq!(uuid(&id).as_deref(), Some("67b28b6c-34cc-40a1-9117-ab5b05911e37"));
        assert_eq!(uuid(&id[1..]), None);
    }
}
