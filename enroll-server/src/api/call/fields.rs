//! Types of fields in queries and bodies: what each takes is what its description says.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};

use crate::written::{Read, Text};

/// Most rows of one page.
const MAX_PAGE: u32 = 1_000;
/// Rows of a page where nothing is said.
pub(in crate::api) const PAGE: u32 = 100;

/// The greatest whole number that every reader of JSON keeps exact (RFC 8259, section 6).
pub(in crate::api) const MAX_EXACT: u64 = (1 << 53) - 1;

/// Rows of a page.
pub(in crate::api) type PageSize = Bounded<1, { MAX_PAGE as u64 }>;

/// A field that may be left out. `null` is no value of it, as a query could not say it either.
#[derive(Clone, Debug)]
pub(in crate::api) struct Maybe<T>(pub(in crate::api) Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Maybe<Text<T>> {
    /// The value that was read.
    pub(in crate::api) fn value(self) -> Option<T> {
        self.0.map(|Text(value)| value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(from).map(|value| Self(Some(value)))
    }
}

impl<T: JsonSchema> JsonSchema for Maybe<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        T::json_schema(schemas)
    }
}

/// A whole number within limits.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    pub(in crate::api) const fn get(self) -> u64 {
        self.0
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // A hint that lets all forms of a number in: 7.0 is a whole number in JSON Schema.
        from.deserialize_f64(Whole).and_then(|number| {
            let expected = || D::Error::custom(format_args!("expected a whole number from {MIN} to {MAX}"));
            let number = number.filter(|number| (MIN..=MAX).contains(number));
            number.map(Self).ok_or_else(expected)
        })
    }
}

/// Reads a number; `None` where it is no whole one that every reader keeps exact.
struct Whole;

impl Visitor<'_> for Whole {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).ok())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        // Exact: the text of a float that is whole, and in the range of exact ones, is its digits.
        Ok(Some(number)
            .filter(|number| number.fract() == 0.0)
            .and_then(|number| format!("{number}").parse().ok()))
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Bounded<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("From{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// Several values in a query, with commas between.
#[derive(Clone, Debug)]
pub(in crate::api) struct Commas<T>(pub(in crate::api) Vec<T>);

impl<T> Default for Commas<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Read> Deserialize<'de> for Commas<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        text.split(',').map(T::read).collect::<Result<_, _>>().map(Self).map_err(D::Error::custom)
    }
}

impl<T: Read> JsonSchema for Commas<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}List", T::NAME).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let item = schemas.subschema_for::<Text<T>>();
        json_schema!({ "type": "array", "items": item, "minItems": 1 })
    }
}

/// A text of a line: 1 to [`Plain::MAX`] characters, none of them a control character.
#[derive(Clone, Debug)]
pub(in crate::api) struct Plain(pub(in crate::api) String);

impl Plain {
    const MAX: usize = 200;
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let good = (1..=Self::MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
        if good {
            Ok(Self(text))
        } else {
            let max = Self::MAX;
            Err(D::Error::custom(format_args!(
                "expected 1 to {max} characters, none of them a control character"
            )))
        }
    }
}

impl JsonSchema for Plain {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Plain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = format!("^[^\\u0000-\\u001f\\u007f-\\u009f]{{1,{}}}$", Self::MAX);
        json_schema!({ "type": "string", "pattern": pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounded, Commas, Maybe, Plain};
    use crate::store::Tag;
    use serde_json::{Value, from_value, json};

    #[test]
    fn numbers_and_texts_keep_their_limits() {
        for (number, good) in
            [(json!(0), false), (json!(1), true), (json!(9), true), (json!(10), false), (json!(7.0), true)]
        {
            assert_eq!(from_value::<Bounded<1, 9>>(number.clone()).is_ok(), good, "{number}");
        }
        for bad in [json!(-1), json!("1"), json!(1.5), Value::Null] {
            from_value::<Maybe<Bounded<1, 9>>>(bad).unwrap_err();
        }
        for (text, good) in
            [("", false), ("ü", true), ("a\n", false), (&*"ü".repeat(200), true), (&*"x".repeat(201), false)]
        {
            assert_eq!(from_value::<Plain>(json!(text)).is_ok(), good, "{text}");
        }
    }

    /// In a query all is text, and in a tagged enum all has been read once before.
    #[test]
    fn numbers_are_read_out_of_every_form() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(tag = "tag", deny_unknown_fields)]
        enum Tagged {
            A { number: Maybe<Bounded<1, 9>> },
        }
        let query = |text: &str| {
            let uri = format!("/?{text}").parse().unwrap();
            axum::extract::Query::<std::collections::BTreeMap<String, Bounded<1, 9>>>::try_from_uri(&uri)
        };
        for (text, good) in [
            ("a=7", true),
            ("a=10", false),
            ("a=", false),
            ("a=x", false),
            ("a=NaN", false),
            ("a=inf", false),
        ] {
            assert_eq!(query(text).is_ok(), good, "{text}");
        }
        for number in [json!(7), json!(7.0)] {
            let Tagged::A { number } = from_value(json!({ "tag": "A", "number": number })).unwrap();
            assert_eq!(number.0.unwrap().get(), 7);
        }
        from_value::<Tagged>(json!({ "tag": "A", "number": "7" })).unwrap_err();
        from_value::<Tagged>(json!({ "tag": "A", "number": 1e300 })).unwrap_err();
    }

    #[test]
    fn a_list_has_no_empty_places() {
        let read = |text: &str| from_value::<Commas<Tag>>(json!(text)).map(|Commas(tags)| tags.len());
        assert_eq!(read("a,site:berlin").unwrap(), 2);
        for bad in ["", ",", "a,", "a b"] {
            read(bad).unwrap_err();
        }
    }
}
