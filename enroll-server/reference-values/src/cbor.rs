//! A whole CBOR item (RFC 8949) as a tree, read under limits: size, depth, number of items and of map entries.
//!
//! A manifest need not be in deterministic encoding, so it is not asked for; keys that come twice and lengths
//! that are not known beforehand are refused all the same. Knows nothing of manifests.

use core::fmt;

use minicbor::Decoder;
use minicbor::data::Type;

use crate::error::{CborProblem, ManifestError};

/// Deepest nesting inside one item.
pub(crate) const MAX_DEPTH: usize = 16;
/// Most items in one tree.
pub(crate) const MAX_ITEMS: usize = 1_000_000;
/// Most entries of one map.
pub(crate) const MAX_ENTRIES: usize = 256;

/// One item and where it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Item<'b> {
    /// Offset of its first byte.
    pub(crate) at: usize,
    /// Offset behind its last byte.
    pub(crate) end: usize,
    pub(crate) value: Value<'b>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'b> {
    Unsigned(u64),
    /// -1 - n.
    Negative(u64),
    Bytes(&'b [u8]),
    Text(&'b str),
    Array(Vec<Item<'b>>),
    Map(Vec<(Item<'b>, Item<'b>)>),
    Tag(u64, Box<Item<'b>>),
    Bool(bool),
    Null,
    /// A floating-point number or another simple value: nothing here wants one.
    Other,
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Reads exactly one item. `base` is the offset of `bytes` in the file, for errors.
pub(crate) fn parse(bytes: &[u8], base: usize) -> Result<Item<'_>, ManifestError> {
    let mut reader = Reader { decoder: Decoder::new(bytes), base, left: MAX_ITEMS };
    let item = reader.item(MAX_DEPTH)?;
    if reader.decoder.position() == bytes.len() {
        Ok(item)
    } else {
        Err(reader.problem(reader.decoder.position(), CborProblem::TrailingBytes))
    }
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    base: usize,
    left: usize,
}

impl<'b> Reader<'b> {
    fn item(&mut self, depth: usize) -> Result<Item<'b>, ManifestError> {
        let start = self.decoder.position();
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.problem(start, CborProblem::TooDeep { limit: MAX_DEPTH }));
        };
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| self.problem(start, CborProblem::TooManyItems { limit: MAX_ITEMS }))?;
        let value = self.value(start, depth)?;
        Ok(Item { at: self.base + start, end: self.base + self.decoder.position(), value })
    }

    fn value(&mut self, start: usize, depth: usize) -> Result<Value<'b>, ManifestError> {
        let kind = self.decoder.datatype().map_err(|error| self.broken(start, &error))?;
        let read = match kind {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => self.decoder.u64().map(Value::Unsigned),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                self.decoder.int().map(|int| Value::Negative(negative(int.into())))
            }
            Type::Bytes => self.decoder.bytes().map(Value::Bytes),
            Type::String => self.decoder.str().map(Value::Text),
            Type::Bool => self.decoder.bool().map(Value::Bool),
            Type::Null => self.decoder.null().map(|()| Value::Null),
            Type::Array => return self.array(start, depth),
            Type::Map => return self.map(start, depth),
            Type::Tag => {
                let tag = self.decoder.tag().map_err(|error| self.broken(start, &error))?;
                return Ok(Value::Tag(tag.as_u64(), Box::new(self.item(depth)?)));
            }
            Type::BytesIndef | Type::StringIndef | Type::ArrayIndef | Type::MapIndef | Type::Break => {
                return Err(self.problem(start, CborProblem::IndefiniteLength));
            }
            Type::F16 | Type::F32 | Type::F64 | Type::Simple | Type::Undefined => {
                self.decoder.skip().map(|()| Value::Other)
            }
            Type::Unknown(_) => return Err(self.problem(start, CborProblem::NotWellFormed)),
        };
        read.map_err(|error| self.broken(start, &error))
    }

    fn array(&mut self, start: usize, depth: usize) -> Result<Value<'b>, ManifestError> {
        let count = self.decoder.array().map_err(|error| self.broken(start, &error))?;
        let count = self.count(start, count)?;
        let mut items = Vec::with_capacity(count.min(CAPACITY));
        for _ in 0..count {
            items.push(self.item(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, start: usize, depth: usize) -> Result<Value<'b>, ManifestError> {
        let count = self.decoder.map().map_err(|error| self.broken(start, &error))?;
        let count = self.count(start, count)?;
        if count > MAX_ENTRIES {
            return Err(self.problem(start, CborProblem::TooManyEntries { limit: MAX_ENTRIES }));
        }
        let mut entries: Vec<(Item<'b>, Item<'b>)> = Vec::with_capacity(count.min(CAPACITY));
        for _ in 0..count {
            let key = self.item(depth)?;
            if matches!(key.value, Value::Array(_) | Value::Map(_) | Value::Tag(..)) {
                return Err(self.problem(key.at - self.base, CborProblem::Key));
            }
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(self.problem(key.at - self.base, CborProblem::KeyTwice));
            }
            entries.push((key, self.item(depth)?));
        }
        Ok(Value::Map(entries))
    }

    /// A count that the bytes that are left can hold.
    fn count(&self, start: usize, count: Option<u64>) -> Result<usize, ManifestError> {
        let count = count.ok_or_else(|| self.problem(start, CborProblem::IndefiniteLength))?;
        let left = self.decoder.input().len().saturating_sub(self.decoder.position());
        let count = usize::try_from(count).ok().filter(|count| *count <= left);
        count.ok_or_else(|| self.problem(start, CborProblem::Truncated))
    }

    fn broken(&self, start: usize, error: &minicbor::decode::Error) -> ManifestError {
        let ended = error.is_end_of_input();
        self.problem(start, if ended { CborProblem::Truncated } else { CborProblem::NotWellFormed })
    }

    const fn problem(&self, at: usize, problem: CborProblem) -> ManifestError {
        ManifestError::Cbor { at: self.base + at, problem }
    }
}

/// What an array or a map is given room for before its content is seen.
const CAPACITY: usize = 64;

/// n of -1 - n.
fn negative(int: i128) -> u64 {
    u64::try_from(-1 - int).unwrap_or(u64::MAX)
}

/// Where an item stands, as people name it: `tags[0].triples.reference-triples[3]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'p> {
    parent: Option<&'p Self>,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Field(&'static str),
    Index(usize),
}

impl<'p> Place<'p> {
    pub(crate) const fn root(name: &'static str) -> Self {
        Self { parent: None, step: Step::Field(name) }
    }

    pub(crate) const fn field(&'p self, name: &'static str) -> Self {
        Self { parent: Some(self), step: Step::Field(name) }
    }

    pub(crate) const fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Field(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl<'b> Item<'b> {
    fn wrong(&self, place: &Place<'_>, wanted: &'static str) -> ManifestError {
        ManifestError::Form { place: place.to_string(), at: self.at, found: self.describe(), wanted }
    }

    /// As [`wrong`](Self::wrong), for a value that has the right type.
    pub(crate) fn refuse(
        &self,
        place: &Place<'_>,
        found: impl Into<String>,
        wanted: &'static str,
    ) -> ManifestError {
        ManifestError::Form { place: place.to_string(), at: self.at, found: found.into(), wanted }
    }

    /// What it is, without its content.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Unsigned(n) => n.to_string(),
            Value::Negative(n) => format!("-{}", u128::from(*n) + 1),
            Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Value::Text(text) if text.len() <= 64 => format!("text {text:?}"),
            Value::Text(text) => format!("text of {} bytes", text.len()),
            Value::Array(items) => format!("an array of {}", items.len()),
            Value::Map(entries) => format!("a map of {}", entries.len()),
            Value::Tag(tag, _) => format!("tag {tag}"),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => "null".into(),
            Value::Other => "a floating-point number or simple value".into(),
        }
    }

    pub(crate) fn text(&self, place: &Place<'_>) -> Result<&'b str, ManifestError> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(place, "text")),
        }
    }

    pub(crate) fn bytes(&self, place: &Place<'_>) -> Result<&'b [u8], ManifestError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong(place, "a byte string")),
        }
    }

    pub(crate) fn unsigned(&self, place: &Place<'_>) -> Result<u64, ManifestError> {
        match self.value {
            Value::Unsigned(n) => Ok(n),
            _ => Err(self.wrong(place, "an unsigned integer")),
        }
    }

    /// An array with at least one item.
    pub(crate) fn array(&self, place: &Place<'_>) -> Result<&[Self], ManifestError> {
        match &self.value {
            Value::Array(items) if !items.is_empty() => Ok(items),
            _ => Err(self.wrong(place, "an array with at least one entry")),
        }
    }

    pub(crate) fn map(&self, place: &Place<'_>) -> Result<Map<'_, 'b>, ManifestError> {
        match &self.value {
            Value::Map(entries) => Ok(Map { at: self.at, entries }),
            _ => Err(self.wrong(place, "a map")),
        }
    }

    /// What the tag `tag` is on.
    pub(crate) fn tagged(&self, tag: u64) -> Option<&Self> {
        match &self.value {
            Value::Tag(found, item) if *found == tag => Some(item),
            _ => None,
        }
    }

    /// Reads the item that is encoded inside this byte string.
    pub(crate) fn embedded(&self, place: &Place<'_>) -> Result<Self, ManifestError> {
        let bytes = self.bytes(place)?;
        parse(bytes, self.end.saturating_sub(bytes.len()))
    }
}

/// A map whose keys are integers or, for extensions, something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'i, 'b> {
    at: usize,
    entries: &'i [(Item<'b>, Item<'b>)],
}

impl<'i, 'b> Map<'i, 'b> {
    pub(crate) fn get(&self, key: u64) -> Option<&'i Item<'b>> {
        self.entries.iter().find(|(found, _)| found.value == Value::Unsigned(key)).map(|(_, value)| value)
    }

    pub(crate) fn required(
        &self,
        key: u64,
        place: &Place<'_>,
        field: &'static str,
    ) -> Result<&'i Item<'b>, ManifestError> {
        let missing = || ManifestError::Missing { place: place.to_string(), at: self.at, field };
        self.get(key).ok_or_else(missing)
    }

    pub(crate) const fn entries(&self) -> &'i [(Item<'b>, Item<'b>)] {
        self.entries
    }

    /// The keys that are not among `known`.
    pub(crate) fn other_keys(&self, known: &[u64]) -> impl Iterator<Item = &'i Item<'b>> {
        self.entries
            .iter()
            .map(|(key, _)| key)
            .filter(move |key| !matches!(key.value, Value::Unsigned(n) if known.contains(&n)))
    }
}
