//! How values that know nothing of serde are written in a recorded [`Case`](crate::case::Case): names as text,
//! hashes in hexadecimal, times in seconds since 1970.

use core::fmt::Display;
use core::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};
use shared::UnixTime;
use shared::evidence::DebugStatus;
use shared::message::latest::EvidenceKind;

use crate::key::{digest_from_hex, hash_from_hex, hex};

/// What has a text form.
pub(crate) mod text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'d, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'d>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Perhaps something that has a text form.
pub(crate) mod optional_text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<impl Display>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'d, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'d>,
    {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// A time.
pub(crate) mod time {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_secs())
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(from).map(UnixTime::from_secs)
    }
}

/// A hash of 32 bytes.
pub(crate) mod hash {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex(value))
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        hash_from_hex(&text).ok_or_else(|| D::Error::custom("wanted 64 hexadecimal digits"))
    }
}

/// Perhaps a hash of 32 bytes.
pub(crate) mod optional_hash {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_some(&hex(value)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<[u8; 32]>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let hash = hash_from_hex(&text);
        hash.map(Some).ok_or_else(|| D::Error::custom("wanted 64 hexadecimal digits"))
    }
}

/// A digest of 32, 48 or 64 bytes.
pub(crate) mod digest {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex(value))
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        digest_from_hex(&text).ok_or_else(|| D::Error::custom("wanted a digest in hexadecimal"))
    }
}

/// Perhaps bytes.
pub(crate) mod optional_bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_some(&hex(value)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let bytes = crate::key::bytes_from_hex(&text);
        bytes.map(Some).ok_or_else(|| D::Error::custom("wanted hexadecimal digits"))
    }
}

/// Perhaps a kind of evidence, by its name.
pub(crate) mod kind {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<EvidenceKind>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(kind) => to.serialize_some(kind.name()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<EvidenceKind>, D::Error> {
        let Some(name) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let found = EvidenceKind::ALL.iter().find(|kind| kind.name() == name);
        found.copied().map(Some).ok_or_else(|| D::Error::custom("there is no such kind of evidence"))
    }
}

/// Perhaps a debug state, by its number in an EAT (RFC 9711, section 4.2.9).
pub(crate) mod debug {
    use super::*;

    const NUMBERS: [(DebugStatus, u8); 5] = [
        (DebugStatus::Enabled, 0),
        (DebugStatus::Disabled, 1),
        (DebugStatus::DisabledSinceBoot, 2),
        (DebugStatus::DisabledPermanently, 3),
        (DebugStatus::DisabledFullyAndPermanently, 4),
    ];

    pub(crate) fn serialize<S: Serializer>(value: &Option<DebugStatus>, to: S) -> Result<S::Ok, S::Error> {
        let number = value.and_then(|value| NUMBERS.iter().find(|(state, _)| *state == value));
        match number {
            Some((_, number)) => to.serialize_some(number),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<DebugStatus>, D::Error> {
        let Some(found) = Option::<u8>::deserialize(from)? else { return Ok(None) };
        let state = NUMBERS.iter().find(|(_, number)| *number == found);
        state.map(|(state, _)| Some(*state)).ok_or_else(|| D::Error::custom("there is no such debug state"))
    }
}
