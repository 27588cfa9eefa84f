//! Lays flags over environment variables over the file, field by field, and remembers where each value stood.
//!
//! Knows which fields exist, not what their values mean; that is `build`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin, Problem};
use super::fields::{FIELDS, Field, Kind, find};

/// Longest configuration file, in bytes.
pub(super) const MAX_FILE: u64 = 64 * 1024;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Switch(bool),
    List(Vec<Self>),
    Table(BTreeMap<String, Self>),
    /// A kind of value that no field has.
    Other(&'static str),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The values that were given, at most one for each field.
pub(super) type Values = BTreeMap<&'static str, Located>;

/// Reads the file; one that is missing counts as empty unless it is `required`.
pub(super) fn read_file(path: &Path, required: bool) -> Result<String, ConfigError> {
    let fail =
        |problem| ConfigError { origin: Origin::Configuration, field: path.display().to_string(), problem };
    let unreadable = |e: std::io::Error| fail(Problem::Unreadable(e.kind()));
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => return Ok(String::new()),
        other => other.map_err(unreadable)?,
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE { Err(fail(Problem::TooLong(MAX_FILE))) } else { Ok(text) }
}

/// Takes the fields out of the text of a file.
pub(super) fn from_file(text: &str, path: &Path, values: &mut Values, errors: &mut Vec<ConfigError>) {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let at = |offset| Origin::File { path: path.to_owned(), line: line(text, offset) };
    // The first one of each line: those after it are most often its consequences.
    let mut lines = BTreeMap::new();
    for error in &syntax {
        let origin = at(error.span().map_or(text.len(), |span| span.start));
        lines.entry(origin).or_insert_with(|| Problem::Syntax(error.message().to_owned()));
    }
    errors.extend(lines.into_iter().map(|(origin, problem)| ConfigError {
        origin,
        field: "syntax".to_owned(),
        problem,
    }));
    walk("", table.get_ref(), &mut |key, offset, value| match find(&key) {
        Some(field) => {
            let located = Located { value: convert(value), origin: at(offset) };
            values.insert(field.key, located);
        }
        None => errors.push(ConfigError {
            origin: at(offset),
            problem: Problem::Unknown { hint: nearest(&key) },
            field: key,
        }),
    });
}

/// Lays one text over whatever there was: a flag or an environment variable.
pub(super) fn lay_over(
    field: &'static Field,
    text: &str,
    origin: Origin,
    values: &mut Values,
    errors: &mut Vec<ConfigError>,
) {
    let value = match field.kind {
        Kind::Text | Kind::Path | Kind::Duration | Kind::Choice(_) => Value::Text(text.to_owned()),
        Kind::Number | Kind::Switch | Kind::Words | Kind::Numbers | Kind::Measurements => {
            match DeValue::parse(text) {
                Ok(parsed) => convert(parsed.get_ref()),
                Err(_) if matches!(field.kind, Kind::Number | Kind::Switch) => Value::Text(text.to_owned()),
                Err(error) => {
                    let problem = Problem::Syntax(error.message().to_owned());
                    errors.push(ConfigError { origin, field: field.key.to_owned(), problem });
                    return;
                }
            }
        }
    };
    values.insert(field.key, Located { value, origin });
}

/// Visits every field below `table`; a table that is itself a section is entered.
fn walk<'t>(prefix: &str, table: &'t DeTable<'t>, visit: &mut impl FnMut(String, usize, &'t DeValue<'t>)) {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let is_section = FIELDS.iter().any(|f| f.key.split_once('.').is_some_and(|(s, _)| s == name));
        match value.get_ref() {
            DeValue::Table(inner) if is_section => walk(&name, inner, visit),
            value => visit(name, key.span().start, value),
        }
    }
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Array(list) => Value::List(list.iter().map(Spanned::get_ref).map(convert).collect()),
        DeValue::Table(table) => {
            Value::Table(table.iter().map(|(k, v)| (k.get_ref().to_string(), convert(v.get_ref()))).collect())
        }
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The field whose name, or whose last part, is so similar to `key` that it must be meant.
fn nearest(key: &str) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let similar = |a: &str, b: &str| Some(distance(a, b)).filter(|distance| distance * 3 < a.len());
    FIELDS
        .iter()
        .filter_map(|field| {
            let whole = similar(key, field.key);
            let part = similar(&last(key), &last(field.key)).map(|distance| distance + 1);
            Some((whole.into_iter().chain(part).min()?, field.key))
        })
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Edit distance: insertions, deletions and exchanges of one character.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(from != to)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances_are_right() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("port", "prot", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_gets_a_hint_and_nonsense_none() {
        assert_eq!(nearest("server.prot").as_deref(), Some("server.port"));
        assert_eq!(nearest("host").as_deref(), Some("server.host"));
        assert_eq!(nearest("colour.of.the.sky"), None);
    }
}
