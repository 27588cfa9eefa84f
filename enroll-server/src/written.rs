//! How things that are more than a text are written and read in JSON, and what a description of the API says of that
//! form. One home for each form: what a type takes is tested against what its description says.
//!
//! Decides nothing of what is a good name or time: that is each type's own.

use core::fmt::Display;
use core::marker::PhantomData;
use core::str::FromStr;
use std::borrow::Cow;

use appraisal::GroupName;
use ca::Serial;
use ca::crl::Reason;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer};
use shared::limits::MAX_DEVICE_ID;
use shared::{DeviceId, UnixTime};

use crate::admin::AdminError;
use crate::audit::{EventKind, Severity};
use crate::store::{
    DeviceState, Find, ListPlace, MAX_FIND, MAX_PLACE_NAME, MAX_PLACE_TIME, MAX_TAG, Rate, Sha256, Tag,
};

/// A type whose values are texts in JSON.
pub(crate) trait Written {
    /// What the description calls it.
    const NAME: &'static str;

    /// Which texts are values of it.
    fn form() -> Schema;
}

/// A type whose values are read out of texts.
pub(crate) trait Read: Written + Sized {
    /// The value of this text.
    ///
    /// # Errors
    /// Says what was expected.
    fn read(text: &str) -> Result<Self, String>;
}

/// A value that is written as its Display, and read as its type says. For fields: `#[serde(with = "Text::<T>")]` where it
/// is only written, or the field's type where it is read.
#[derive(Clone, Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Display> Text<T> {
    pub(crate) fn serialize<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }
}

impl<'de, T: Read> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        T::read(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl<T: Written> JsonSchema for Text<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::form()
    }
}

/// As [`Text`], or null.
pub(crate) struct OptionalText<T>(PhantomData<T>);

impl<T: Display> OptionalText<T> {
    pub(crate) fn serialize<S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }
}

impl<T: Written> JsonSchema for OptionalText<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<Text<T>>::schema_name()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        Option::<Text<T>>::json_schema(schemas)
    }
}

/// A SHA-256 as hexadecimal digits.
pub(crate) struct Hex;

impl Hex {
    pub(crate) fn serialize<S: Serializer>(value: &impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(value))
    }
}

impl JsonSchema for Hex {
    fn schema_name() -> Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A SHA-256, in hexadecimal digits.",
            "pattern": "^[0-9a-f]{64}$",
        })
    }
}

/// As [`Hex`], or null.
pub(crate) struct OptionalHex;

impl OptionalHex {
    pub(crate) fn serialize<S: Serializer>(value: &Option<Sha256>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(hash) => to.serialize_str(&hex::encode(hash)),
            None => to.serialize_none(),
        }
    }
}

impl JsonSchema for OptionalHex {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<Hex>::schema_name()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        Option::<Hex>::json_schema(schemas)
    }
}

fn one_of(description: &str, names: impl IntoIterator<Item = &'static str>) -> Schema {
    let names: Vec<_> = names.into_iter().collect();
    json_schema!({ "type": "string", "description": description, "enum": names })
}

impl Written for DeviceId {
    const NAME: &'static str = "DeviceId";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "description": "The identifier of a device: letters, digits, '.' and '-', with a letter or digit at both ends.",
            "minLength": 1,
            "maxLength": MAX_DEVICE_ID,
            "pattern": "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
            "examples": ["SN-0001"],
        })
    }
}

impl Written for GroupName {
    const NAME: &'static str = "GroupName";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "description": "The name of a device group: its policy is for its devices.",
            "pattern": "^[a-z0-9][a-z0-9-]{0,31}$",
            "examples": [Self::DEFAULT],
        })
    }
}

impl Written for Tag {
    const NAME: &'static str = "Tag";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "description": "An operator's own word on a device.",
            "pattern": format!("^[A-Za-z0-9][A-Za-z0-9._:=/-]{{0,{}}}$", MAX_TAG - 1),
            "examples": ["site:berlin"],
        })
    }
}

impl Written for ListPlace {
    const NAME: &'static str = "ListPlace";

    fn form() -> Schema {
        let time = MAX_PLACE_TIME - 1;
        json_schema!({
            "type": "string",
            "description": "A place in the list of tokens: the `next` of a page.",
            "pattern": format!("^(0|[1-9][0-9]{{0,{time}}})-[0-9a-f]{{1,{MAX_PLACE_NAME}}}$"),
            "examples": ["1795564800-0a1b2c3d4e5f"],
        })
    }
}

impl Written for Find {
    const NAME: &'static str = "Find";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "description": "A text that stands somewhere in the identifier, model, group or a tag (capitals and small \
                letters are alike), or at least four hexadecimal digits with which the identity's hash, a certificate's \
                serial number or its key's hash begins.",
            "pattern": format!("^[^\\u0000-\\u001f\\u007f-\\u009f]{{1,{MAX_FIND}}}$"),
            "examples": ["SN-00"],
        })
    }
}

impl Written for Rate {
    const NAME: &'static str = "Rate";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "description": "So many in a second, a minute or an hour.",
            "pattern": "^([1-9][0-9]{0,5}|1000000)/[smh]$",
            "examples": ["5/s"],
        })
    }
}

impl Written for Serial {
    const NAME: &'static str = "Serial";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "description": "The serial number of a certificate, in hexadecimal digits.",
            "pattern": "^(0[1-9a-f]|[1-9a-f][0-9a-f])[0-9a-f]{30}$",
        })
    }
}

impl Written for UnixTime {
    const NAME: &'static str = "Time";

    fn form() -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A time in UTC, to the second (RFC 3339).",
            "examples": ["2026-11-24T00:00:00Z"],
        })
    }
}

impl Written for DeviceState {
    const NAME: &'static str = "DeviceState";

    fn form() -> Schema {
        // As in answers, with what each of them means.
        Self::json_schema(&mut SchemaGenerator::default())
    }
}

impl Written for EventKind {
    const NAME: &'static str = "EventKind";

    fn form() -> Schema {
        one_of(
            "What happened: docs/events.md has what each kind means.",
            Self::ALL.iter().map(|kind| kind.name()),
        )
    }
}

impl Written for Severity {
    const NAME: &'static str = "Severity";

    fn form() -> Schema {
        one_of("How much an event matters.", Self::ALL.map(Self::name))
    }
}

impl Written for Reason {
    const NAME: &'static str = "RevocationReason";

    fn form() -> Schema {
        let last = Self::ALL.into_iter().filter(|reason| reason.is_final());
        one_of("Why a certificate is revoked for good (RFC 5280, section 5.3.1).", last.map(Self::name))
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

macro_rules! read_by_from_str {
    ($($name:ident)+) => {
        $(impl Read for $name {
            fn read(text: &str) -> Result<Self, String> {
                parsed(text)
            }
        })+
    };
}

read_by_from_str! { DeviceId GroupName Tag ListPlace Find Rate Serial }

fn among<T>(found: Option<T>, names: &[&str]) -> Result<T, String> {
    found.ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

impl Read for DeviceState {
    fn read(text: &str) -> Result<Self, String> {
        among(Self::from_name(text), &Self::ALL.map(Self::name))
    }
}

impl Read for Severity {
    fn read(text: &str) -> Result<Self, String> {
        among(Self::from_name(text), &Self::ALL.map(Self::name))
    }
}

impl Read for EventKind {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_name(text).ok_or_else(|| format!("there is no kind {text:?}; docs/events.md has them all"))
    }
}

impl Read for Reason {
    fn read(text: &str) -> Result<Self, String> {
        match Self::from_name(text) {
            Some(reason) if !reason.is_final() => Err(AdminError::NotFinal.to_string()),
            Some(reason) => Ok(reason),
            None => Err("it is none of the reasons that a revocation list knows".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::string::string_regex;

    /// Texts of a form, with their length no greater than it says.
    fn texts<T: Written>() -> BoxedStrategy<String> {
        let form = T::form().to_value();
        let named = form["enum"].as_array().into_iter().flatten();
        let consts = form["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
        let names: Vec<String> = named.chain(consts).map(|name| name.as_str().unwrap().to_owned()).collect();
        if !names.is_empty() {
            return proptest::sample::select(names).boxed();
        }
        let pattern = form["pattern"].as_str().unwrap();
        let pattern = pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap();
        let longest = form["maxLength"].as_u64().unwrap_or(u64::MAX);
        let fits = move |text: &String| text.chars().count() as u64 <= longest;
        string_regex(pattern).unwrap().prop_filter("too long", fits).boxed()
    }

    macro_rules! every_text_of_the_form_is_read {
        ($($name:ident $type:ty;)+) => {
            proptest! {
                $(
                    #[test]
                    fn $name(text in texts::<$type>()) {
                        let read = <$type>::read(&text);
                        prop_assert!(read.is_ok(), "{text:?}: {read:?}");
                    }
                )+
            }
        };
    }

    every_text_of_the_form_is_read! {
        device_ids DeviceId;
        group_names GroupName;
        tags Tag;
        list_places ListPlace;
        finds Find;
        rates Rate;
        serial_numbers Serial;
        states DeviceState;
        kinds EventKind;
        severities Severity;
        reasons Reason;
    }

    proptest! {
        /// What is written is of its form: RFC 3339 for times, digits for serial numbers.
        #[test]
        fn times_and_serial_numbers_are_written_in_their_form(seconds in 0_u64..253_402_300_800, bytes: [u8; 16]) {
            let time = UnixTime::from_secs(seconds).to_string();
            prop_assert!(time.len() == 20 && time.ends_with('Z') && time.is_char_boundary(10), "{time}");
            if let Some(serial) = Serial::from_bytes(bytes) {
                let text = serial.to_string();
                prop_assert!(text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
            }
        }
    }

    #[test]
    fn what_is_outside_of_a_form_is_not_read() {
        for (what, read) in [
            ("an edge", DeviceId::read("-a").is_ok()),
            ("too long", DeviceId::read(&"a".repeat(MAX_DEVICE_ID + 1)).is_ok()),
            ("a capital", GroupName::read("A").is_ok()),
            ("a space", Tag::read("a b").is_ok()),
            ("a control character", Find::read("a\u{85}").is_ok()),
            ("a zero in front", Rate::read("05/s").is_ok()),
            ("no state", DeviceState::read("Enrolled").is_ok()),
            ("no kind", EventKind::read("").is_ok()),
            ("no severity", Severity::read("error").is_ok()),
            ("a reason that is not for good", Reason::read("certificate-hold").is_ok()),
        ] {
            assert!(!read, "{what}");
        }
    }
}
