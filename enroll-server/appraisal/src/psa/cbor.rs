//! CBOR as RFC 9783, section 5.1.1, allows it: valid (RFC 8949, section 5.3), of definite lengths, and otherwise in
//! any serialization, since an attester need not write the preferred one.
//!
//! Bounded in depth; the size is the caller's to bound. Knows nothing of claims.

use core::fmt;

use minicbor::Decoder;
use minicbor::data::Type;
use shared::limits::MAX_DEPTH;

/// Why bytes are not such CBOR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CborError {
    /// Not CBOR, cut short, or text that is not UTF-8.
    #[error("bytes that are not valid CBOR, or are cut short")]
    Malformed,
    /// Something follows.
    #[error("{found} bytes after the item; nothing may follow")]
    Trailing {
        /// Bytes found.
        found: usize,
    },
    /// A string, array or map without its length at the front.
    #[error("an item of indefinite length; RFC 9783 allows definite lengths only")]
    Indefinite,
    /// Too deep.
    #[error("items nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A key twice in one map.
    #[error("the key {key} twice in one map")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A key that is neither number nor string.
    #[error("a map key that is neither a number nor a string")]
    Key,
    /// Another type than a map.
    #[error("an item that is not a map")]
    NotAMap,
}

/// A key of a map, so that two spellings of one number are one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'b> {
    Number(i128),
    Text(&'b str),
    Bytes(&'b [u8]),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "h'{}'", crate::key::hex(bytes)),
        }
    }
}

/// A map that was checked as a whole, with the bytes of each value.
#[derive(Clone, Debug)]
pub(super) struct Map<'b>(Vec<(Key<'b>, &'b [u8])>);

impl<'b> Map<'b> {
    /// Reads `bytes` as one map and nothing else, and checks all that is in it.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, CborError> {
        Self::read_at(bytes, 1)
    }

    fn read_at(bytes: &'b [u8], depth: usize) -> Result<Self, CborError> {
        let mut d = Decoder::new(bytes);
        let map = Self::open(&mut d, depth)?;
        end(&d)?;
        Ok(map)
    }

    fn open(d: &mut Decoder<'b>, depth: usize) -> Result<Self, CborError> {
        match kind(d)? {
            Type::Map => {}
            Type::MapIndef => return Err(CborError::Indefinite),
            _ => return Err(CborError::NotAMap),
        }
        let length = d.map().map_err(malformed)?.ok_or(CborError::Indefinite)?;
        let mut entries: Vec<(Key<'b>, &'b [u8])> = Vec::new();
        // The length is what someone claims; the bytes run out first.
        for _ in 0..length {
            let key = key(d)?;
            if entries.iter().any(|(there, _)| *there == key) {
                return Err(CborError::Duplicate { key: key.to_string() });
            }
            let start = d.position();
            item(d, depth + 1)?;
            entries.push((key, d.input().get(start..d.position()).ok_or(CborError::Malformed)?));
        }
        Ok(Self(entries))
    }

    /// A reader at the value of `key`.
    pub(super) fn get(&self, key: i64) -> Option<Decoder<'b>> {
        let found = self.0.iter().find(|(there, _)| *there == Key::Number(i128::from(key)));
        found.map(|(_, value)| Decoder::new(value))
    }
}

/// Reads the maps of an array, one after the other. The array was checked with the map it stands in.
pub(super) fn maps<'b>(d: &mut Decoder<'b>) -> Result<Vec<Map<'b>>, CborError> {
    let length = d.array().map_err(malformed)?.ok_or(CborError::Indefinite)?;
    (0..length).map(|_| Map::open(d, 1)).collect()
}

/// Checks that nothing is left.
pub(super) fn end(d: &Decoder<'_>) -> Result<(), CborError> {
    match d.input().len().saturating_sub(d.position()) {
        0 => Ok(()),
        found => Err(CborError::Trailing { found }),
    }
}

/// Checks one item and goes past it.
pub(super) fn item(d: &mut Decoder<'_>, depth: usize) -> Result<(), CborError> {
    match kind(d)? {
        Type::BytesIndef | Type::StringIndef | Type::ArrayIndef | Type::MapIndef => {
            Err(CborError::Indefinite)
        }
        Type::Array => {
            within(depth)?;
            let length = d.array().map_err(malformed)?.ok_or(CborError::Indefinite)?;
            for _ in 0..length {
                item(d, depth + 1)?;
            }
            Ok(())
        }
        Type::Map => {
            within(depth)?;
            Map::open(d, depth).map(|_| ())
        }
        Type::Tag => {
            within(depth)?;
            d.tag().map_err(malformed)?;
            item(d, depth + 1)
        }
        // Says by itself whether it is UTF-8.
        Type::String => d.str().map(|_| ()).map_err(malformed),
        Type::Bytes => d.bytes().map(|_| ()).map_err(malformed),
        Type::Break | Type::Unknown(_) => Err(CborError::Malformed),
        _ => d.skip().map_err(malformed),
    }
}

fn within(depth: usize) -> Result<(), CborError> {
    #[cfg(feature = "plants")]
    if shared::plant::has(shared::plant::Plant::UnboundedDepth) {
        return Ok(());
    }
    if depth > MAX_DEPTH { Err(CborError::Depth) } else { Ok(()) }
}

fn key<'b>(d: &mut Decoder<'b>) -> Result<Key<'b>, CborError> {
    Ok(match kind(d)? {
        Type::String => Key::Text(d.str().map_err(malformed)?),
        Type::Bytes => Key::Bytes(d.bytes().map_err(malformed)?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Key::Number(d.int().map_err(malformed)?.into()),
        Type::StringIndef | Type::BytesIndef => return Err(CborError::Indefinite),
        _ => return Err(CborError::Key),
    })
}

fn kind(d: &Decoder<'_>) -> Result<Type, CborError> {
    d.datatype().map_err(malformed)
}

fn malformed(_: minicbor::decode::Error) -> CborError {
    CborError::Malformed
}

#[cfg(test)]
mod tests {
    use super::{CborError, Map};
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Map<'static>, CborError> {
        Map::read(hex::decode(text).unwrap().leak())
    }

    #[test]
    fn any_serialization_of_definite_length_will_do() {
        // {1: 2}, with the number 1 in one, two, three, five and nine bytes.
        for text in
            ["a10102", "a1180102", "b801190001 02", "b900011a00000001 02", "a11b0000000000000001 1802"]
        {
            let map = read(&text.replace(' ', "")).unwrap();
            assert_eq!(map.get(1).unwrap().u8().unwrap(), 2, "{text}");
            assert!(map.get(2).is_none());
        }
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let duplicate = CborError::Duplicate { key: "1".into() };
        for (text, wanted) in [
            ("", CborError::Malformed),
            ("a1", CborError::Malformed),
            ("a101", CborError::Malformed),
            ("bf0102ff", CborError::Indefinite),
            ("a1015f4101ff", CborError::Indefinite),
            ("a1017f6161ff", CborError::Indefinite),
            ("a1019f01ff", CborError::Indefinite),
            ("a101bf0102ff", CborError::Indefinite),
            ("a17f6161ff01", CborError::Indefinite),
            ("a2010201 02", duplicate.clone()),
            ("a20102180103", duplicate.clone()),
            ("a101a2010101 02", duplicate),
            ("a1010200", CborError::Trailing { found: 1 }),
            ("a1800102", CborError::Key),
            ("a1f501", CborError::Key),
            ("a10161ff", CborError::Malformed),
            ("a161ff01", CborError::Malformed),
            ("a101ff", CborError::Malformed),
            ("8101", CborError::NotAMap),
            ("bbffffffffffffffff0101", CborError::Malformed),
            ("a1019bffffffffffffffff01", CborError::Malformed),
            ("a1015bffffffffffffffff01", CborError::Malformed),
        ] {
            assert_eq!(read(&text.replace(' ', "")).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |count| ["a101".into(), "81".repeat(count), "00".into()].concat();
        assert!(read(&nested(7)).is_ok());
        for head in ["81", "c1", "a100"] {
            let deep = ["a101".into(), head.repeat(100_000), "00".into()].concat();
            assert_eq!(read(&deep).unwrap_err(), CborError::Depth, "{head}");
        }
        assert_eq!(read(&nested(8)).unwrap_err(), CborError::Depth);
    }

    proptest! {
        #[test]
        fn never_panics_on_noise(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            bytes.insert(0, 0xa3);
            if let Ok(map) = Map::read(&bytes) {
                prop_assert_eq!(map.0.len(), 3);
            }
        }
    }
}
