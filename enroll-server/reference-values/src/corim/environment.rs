//! What a reference value is about: `environment-map` (draft-ietf-rats-corim, section 5.1.4.1). What evidence
//! cannot be held against makes the whole environment one that is not taken: a value that is for fewer devices
//! must not become one for more.

use super::{clean, is_name, oid_text, tag, uuid};
use crate::cbor::{Item, Place, Value};
use crate::error::ManifestError;
use crate::manifest::{NoteKind, Notes};

/// An environment, as far as evidence speaks of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment<'b> {
    pub(super) vendor: Option<&'b str>,
    pub(super) model: Option<&'b str>,
    pub(super) implementation_id: Option<[u8; 32]>,
    pub(super) instance: Option<[u8; 32]>,
    pub(super) layer: Option<u64>,
    /// Whether it follows the PSA profile.
    pub(super) psa: bool,
}

/// Whether values of an environment can be used.
#[derive(Clone, Debug)]
pub(super) enum Scope<'b> {
    Of(Environment<'b>),
    NotComparable { because: String },
}

pub(super) fn read<'b>(
    item: &Item<'b>,
    place: &Place<'_>,
    psa: bool,
    notes: &mut Notes,
) -> Result<Scope<'b>, ManifestError> {
    let map = item.map(place)?;
    if map.entries().is_empty() {
        return Err(item.refuse(place, "an empty map", "a class, an instance or a group"));
    }
    let mut environment = Environment { psa, ..Environment::default() };
    let not_comparable = |because: String| Ok(Scope::NotComparable { because });
    if map.get(2).is_some() {
        return not_comparable(
            "that is a group of devices: groups are the operator's, not the maker's".into(),
        );
    }
    if let Some(key) = map.other_keys(&[0, 1, 2]).next() {
        return not_comparable(format!("with an extension, {}, that is not known here", key.describe()));
    }
    if let Some(instance) = map.get(1) {
        match instance_hash(instance, &place.field("instance"))? {
            Some(hash) => environment.instance = Some(hash),
            None => return not_comparable("that is one device, named by something no evidence has".into()),
        }
    }
    if let Some(class) = map.get(0)
        && let Some(because) = read_class(class, &place.field("class"), &mut environment, notes)?
    {
        return not_comparable(because);
    }
    Ok(Scope::Of(environment))
}

/// `class-map` (section 5.1.4.2). Gives why it cannot be used, where it cannot.
fn read_class<'b>(
    item: &Item<'b>,
    place: &Place<'_>,
    environment: &mut Environment<'b>,
    notes: &mut Notes,
) -> Result<Option<String>, ManifestError> {
    let map = item.map(place)?;
    if map.entries().is_empty() {
        return Err(item.refuse(place, "an empty map", "a class-id, vendor, model, layer or index"));
    }
    environment.vendor = map.get(1).map(|vendor| vendor.text(&place.field("vendor"))).transpose()?;
    environment.model = map.get(2).map(|model| model.text(&place.field("model"))).transpose()?;
    environment.layer = map.get(3).map(|layer| layer.unsigned(&place.field("layer"))).transpose()?;
    let index = map.get(4).map(|index| index.unsigned(&place.field("index"))).transpose()?;
    if let Some(key) = map.other_keys(&[0, 1, 2, 3, 4]).next() {
        return Ok(Some(format!("with an extension, {}, that is not known here", key.describe())));
    }
    if let Some(model) = environment.model
        && !is_name(model, MAX_MODEL)
    {
        return Ok(Some(format!("of a model {:?} that no evidence can name", clean(model))));
    }
    if let Some(index) = index.filter(|index| *index > 0) {
        let what = format!("index {index} of the class: evidence tells environments apart by name and layer");
        notes.add(NoteKind::NotCompared, place, what);
    }
    let Some(class_id) = map.get(0) else { return Ok(None) };
    let id = class_id_of(class_id, &place.field("class-id"))?;
    if let ClassId::Bytes(bytes) = id
        && (environment.psa || class_id.tagged(tag::PSA_IMPLEMENTATION_ID).is_some())
    {
        let id = <[u8; 32]>::try_from(bytes);
        let id =
            id.map_err(|_| class_id.refuse(place, class_id.describe(), "32 bytes of implementation id"))?;
        (environment.implementation_id, environment.psa) = (Some(id), true);
        return Ok(None);
    }
    let shown = id.text();
    if environment.model.is_none() {
        return Ok(Some(format!("of class {shown} without a model: no evidence names such a class")));
    }
    notes.add(NoteKind::NotCompared, place, format!("class-id {shown}: the model decides"));
    Ok(None)
}

/// Longest model that evidence can name, in bytes.
const MAX_MODEL: usize = shared::limits::MAX_CLAIM_TEXT;

enum ClassId<'b> {
    Bytes(&'b [u8]),
    Text(String),
}

impl ClassId<'_> {
    fn text(self) -> String {
        match self {
            Self::Bytes(bytes) if bytes.len() <= 64 => hex::encode(bytes),
            Self::Bytes(bytes) => format!("of {} bytes", bytes.len()),
            Self::Text(text) => text,
        }
    }
}

/// `class-id-type-choice`: an object identifier, a UUID or bytes.
fn class_id_of<'b>(item: &Item<'b>, place: &Place<'_>) -> Result<ClassId<'b>, ManifestError> {
    let wrong =
        || item.refuse(place, item.describe(), "an object identifier (111), UUID (37) or bytes (560)");
    let Value::Tag(tag, inner) = &item.value else { return Err(wrong()) };
    let bytes = inner.bytes(place)?;
    match *tag {
        tag::OID => oid_text(bytes).map(ClassId::Text).ok_or_else(wrong),
        tag::UUID => uuid(bytes).map(ClassId::Text).ok_or_else(wrong),
        tag::BYTES | tag::PSA_IMPLEMENTATION_ID => Ok(ClassId::Bytes(bytes)),
        _ => Err(wrong()),
    }
}

/// The hash inside a UEID of type RAND (RFC 9711, section 4.2.1; RFC 9783, section 4.2.1): that of the key that
/// identifies the device. Other instances are of no use here: `None`.
fn instance_hash(item: &Item<'_>, place: &Place<'_>) -> Result<Option<[u8; 32]>, ManifestError> {
    let Value::Tag(tag, inner) = &item.value else {
        return Err(item.refuse(place, item.describe(), "an instance with its tag, such as a UEID (550)"));
    };
    if *tag != tag::UEID {
        return Ok(None);
    }
    let ueid = inner.bytes(place)?;
    if !(7..=33).contains(&ueid.len()) {
        return Err(item.refuse(place, inner.describe(), "a UEID of 7 to 33 bytes"));
    }
    Ok(ueid.strip_prefix(&[1]).and_then(|hash| hash.try_into().ok()))
}
