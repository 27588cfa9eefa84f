//! Release lists in JSON: an object with `values`, an array of objects, and what is said about the list.
//!
//! Fields are kept as the pieces of text they are until each is looked at, so that a problem has its place.

use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Field, List, Position, Row, position};
use crate::MAX_VALUES;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'t> {
    #[serde(borrow)]
    name: Option<&'t RawValue>,
    #[serde(borrow)]
    release: Option<&'t RawValue>,
    #[serde(borrow)]
    maker: Option<&'t RawValue>,
    #[serde(borrow, rename = "not-before")]
    not_before: Option<&'t RawValue>,
    #[serde(borrow, rename = "not-after")]
    not_after: Option<&'t RawValue>,
    #[serde(borrow)]
    values: Values<'t>,
}

/// The rows, not more than are allowed.
struct Values<'t>(Vec<&'t RawValue>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Value<'t> {
    #[serde(borrow)]
    model: Option<&'t RawValue>,
    #[serde(borrow)]
    component: Option<&'t RawValue>,
    #[serde(borrow)]
    version: Option<&'t RawValue>,
    #[serde(borrow)]
    digest: Option<&'t RawValue>,
    #[serde(borrow)]
    maker: Option<&'t RawValue>,
}

impl<'de: 't, 't> Deserialize<'de> for Values<'t> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Values<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(row) = rows.next_element()? {
                    if values.len() >= MAX_VALUES {
                        return Err(A::Error::custom(format_args!("more than {MAX_VALUES} values")));
                    }
                    values.push(row);
                }
                Ok(Values(values))
            }
        }
        from.deserialize_seq(Rows)
    }
}

pub(super) fn read(text: &str, list: &mut List) {
    let document: Document<'_> = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => return list.problem((error.line(), error.column().max(1)), message(&error)),
    };
    let mut places = Places { text, offset: 0, at: (1, 1) };
    let about = [
        ("name", document.name),
        ("release", document.release),
        ("maker", document.maker),
        ("not-before", document.not_before),
        ("not-after", document.not_after),
    ];
    for (field, raw) in about {
        let Some(raw) = raw else { continue };
        let place = position(text.as_bytes(), offset(text, raw));
        match if field == "release" { Ok(raw.get().into()) } else { string(raw) } {
            Ok(value) => list.about(field, &value, place),
            Err(wrong) => list.problem(place, wrong),
        }
    }
    if document.values.0.is_empty() {
        list.problem((1, 1), "found no values; wanted at least one in \"values\"");
    }
    for raw in document.values.0 {
        read_value(raw, &mut places, list);
    }
}

fn read_value(raw: &RawValue, places: &mut Places<'_>, list: &mut List) {
    let start = places.of(raw);
    let value: Value<'_> = match serde_json::from_str(raw.get()) {
        Ok(value) => value,
        Err(error) => {
            let (line, column) = (error.line().max(1), error.column().max(1));
            let place =
                if line == 1 { (start.0, start.1 + column - 1) } else { (start.0 + line - 1, column) };
            return list.problem(place, message(&error));
        }
    };
    let mut texts = Vec::with_capacity(5);
    for field in [value.model, value.component, value.version, value.digest, value.maker] {
        let (place, text) = match field {
            Some(field) => (places.within(raw, start, field), string(field)),
            None => (start, Ok(String::new())),
        };
        match text {
            Ok(text) => texts.push((text, place)),
            Err(wrong) => return list.problem(place, wrong),
        }
    }
    let mut fields = texts.iter().map(|(text, place)| Field { text, place: *place });
    let mut next = || fields.next().unwrap_or_default();
    let row = Row { model: next(), component: next(), version: next(), digest: next(), maker: next() };
    list.row(&row);
}

fn string(raw: &RawValue) -> Result<String, String> {
    serde_json::from_str(raw.get()).map_err(|_| {
        let shown: String = raw.get().chars().take(40).collect();
        format!("found {shown}; wanted text in quotes")
    })
}

/// The parser's message without the place, which is told apart from it.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or_else(|| text.clone(), |(message, _)| message.to_owned())
}

/// Offset of a piece in the text it was borrowed from.
fn offset(text: &str, piece: &RawValue) -> usize {
    (piece.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Finds places one after the other, so that a long file is counted through once.
struct Places<'t> {
    text: &'t str,
    offset: usize,
    at: Position,
}

impl Places<'_> {
    fn of(&mut self, piece: &RawValue) -> Position {
        let offset = offset(self.text, piece);
        for c in self.text.get(self.offset..offset).unwrap_or_default().chars() {
            self.at = if c == '\n' { (self.at.0 + 1, 1) } else { (self.at.0, self.at.1 + 1) };
        }
        self.offset = offset;
        self.at
    }

    /// The place of a field inside of a row that begins at `start`.
    fn within(&self, row: &RawValue, start: Position, field: &RawValue) -> Position {
        let from = offset(self.text, row);
        let between = self.text.get(from..offset(self.text, field)).unwrap_or_default();
        between.chars().fold(start, |at, c| if c == '\n' { (at.0 + 1, 1) } else { (at.0, at.1 + 1) })
    }
}
