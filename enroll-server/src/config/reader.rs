//! Takes fields out of TOML tables and gathers every mistake with its line.
//!
//! Knows nothing of which fields there are.

use core::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;

/// Reads one file.
pub(super) struct Reader<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl<'t> Reader<'t> {
    /// Opens `text`; what is no TOML is noted, the rest is read on.
    pub(super) fn open(text: &'t str) -> (Self, Section<'t>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self { text, mistakes: Vec::new() };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.note(at, String::new(), error.message().to_owned());
        }
        let start = document.span().start;
        (reader, Section { name: String::new(), start, table: document.into_inner() })
    }

    /// All mistakes, by line.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by_key(|mistake| mistake.line);
        self.mistakes
    }

    /// The table `name` of the file; empty where it is not there.
    pub(super) fn section(&mut self, root: &mut Section<'t>, name: &str) -> Section<'t> {
        let Some(value) = root.table.remove(name) else {
            return Section { name: root.path(name), start: 0, table: DeTable::new() };
        };
        let start = value.span().start;
        let table = match value.into_inner() {
            DeValue::Table(table) => table,
            other => {
                self.note(start, root.path(name), format!("is a table, here is {}", article(&other)));
                DeTable::new()
            }
        };
        Section { name: root.path(name), start, table }
    }

    /// As [`field`](Self::field), for one that has no default.
    pub(super) fn required<T>(
        &mut self,
        section: &mut Section<'t>,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        if !section.table.contains_key(name) {
            self.missing(section, name, expected);
        }
        self.field(section, name, parse)
    }

    /// Notes a mistake in the name of a table.
    pub(super) fn wrong(&mut self, section: &Section<'t>, problem: String) {
        self.note(section.start, section.name.clone(), problem);
    }

    /// The tables `[[name]]` of the file, in their order.
    pub(super) fn sections(&mut self, root: &mut Section<'t>, name: &str) -> Vec<Section<'t>> {
        let Some(value) = root.table.remove(name) else { return Vec::new() };
        let start = value.span().start;
        let DeValue::Array(list) = value.into_inner() else {
            self.note(start, name.to_owned(), format!("is a list of tables, each headed [[{name}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (number, value) in list.into_iter().enumerate() {
            let (start, name) = (value.span().start, format!("{}[{number}]", root.path(name)));
            match value.into_inner() {
                DeValue::Table(table) => sections.push(Section { name, start, table }),
                other => self.note(start, name, format!("is a table, here is {}", article(&other))),
            }
        }
        sections
    }

    /// Takes a field through `parse`, which says what was expected. `None` where it is missing or wrong.
    pub(super) fn field<T>(
        &mut self,
        section: &mut Section<'t>,
        name: &str,
        parse: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let value: Spanned<DeValue<'t>> = section.table.remove(name)?;
        match parse(value.get_ref()) {
            Ok(parsed) => Some(parsed),
            Err(problem) => {
                self.note(value.span().start, section.path(name), problem);
                None
            }
        }
    }

    /// Notes a field that has no default and is not there.
    pub(super) fn missing(&mut self, section: &Section<'t>, name: &str, expected: &str) {
        self.note(section.start, section.path(name), format!("is missing; expected {expected}"));
    }

    /// Notes a mistake that shows only where fields are held against each other.
    pub(super) fn mistake(&mut self, section: &Section<'t>, name: &str, problem: String) {
        self.note(section.start, section.path(name), problem);
    }

    /// Notes every field of `section` that nobody asked for: a typing error would otherwise be a default.
    pub(super) fn close(&mut self, section: Section<'t>, known: &str) {
        let path = |name: &str| section.path(name);
        for name in section.table.keys() {
            let problem = format!("is no field here; there are {known}");
            self.note(name.span().start, path(name.get_ref()), problem);
        }
    }

    fn note(&mut self, at: usize, field: String, problem: String) {
        let line = 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        self.mistakes.push(Mistake { line, field, problem });
    }
}

/// One table, with the fields that were not asked for yet.
pub(super) struct Section<'t> {
    name: String,
    start: usize,
    table: DeTable<'t>,
}

impl Section<'_> {
    /// The names in this table that were not asked for yet.
    pub(super) fn names(&self) -> Vec<String> {
        self.table.keys().map(|name| name.get_ref().to_string()).collect()
    }

    fn path(&self, field: &str) -> String {
        if self.name.is_empty() { field.to_owned() } else { format!("{}.{field}", self.name) }
    }
}

/// A text that `check` takes.
pub(super) fn text<T>(
    value: &DeValue<'_>,
    expected: &str,
    check: impl FnOnce(&str) -> Option<T>,
) -> Result<T, String> {
    let DeValue::String(found) = value else {
        return Err(format!("expected {expected}, found {}", article(value)));
    };
    check(found).ok_or_else(|| format!("expected {expected}, found \"{}\"", found.escape_debug()))
}

/// A whole number from `low` to `high`.
pub(super) fn number(value: &DeValue<'_>, low: u64, high: u64) -> Result<u64, String> {
    let expected = format!("expected a whole number from {low} to {high}");
    let DeValue::Integer(found) = value else {
        return Err(format!("{expected}, found {}", article(value)));
    };
    u64::from_str_radix(found.as_str(), found.radix())
        .ok()
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| format!("{expected}, found {}", found.as_str()))
}

/// A share, from 0 to 1.
pub(super) fn share(value: &DeValue<'_>) -> Result<f64, String> {
    let found = match value {
        DeValue::Float(found) => found.as_str(),
        DeValue::Integer(found) => found.as_str(),
        _ => return Err(format!("expected a share from 0.0 to 1.0, found {}", article(value))),
    };
    let share = found.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("expected a share from 0.0 to 1.0, found {found}"))
}

/// A flag.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("expected true or false, found {}", article(value)))
}

/// A list of texts.
pub(super) fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let expected = || format!("expected a list of texts, found {}", article(value));
    let list = value.as_array().ok_or_else(expected)?;
    list.iter().map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(expected)).collect()
}

/// A duration such as `90d`, `24h`, `5m`, `30s` or `250ms`, from `low` to `high`.
pub(super) fn duration(value: &DeValue<'_>, low: Duration, high: Duration) -> Result<Duration, String> {
    let expected = format!("a duration from {} to {}, such as \"30s\" or \"90d\"", Shown(low), Shown(high));
    text(value, &expected, |found| parse_duration(found).filter(|duration| (low..=high).contains(duration)))
}

/// Reads a duration such as `90d`, `24h`, `5m`, `30s` or `250ms`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

struct Shown(Duration);

impl core::fmt::Display for Shown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{}ms", self.0.as_millis()),
            secs if secs.is_multiple_of(86_400) => write!(f, "{}d", secs / 86_400),
            secs if secs.is_multiple_of(3_600) => write!(f, "{}h", secs / 3_600),
            secs if secs.is_multiple_of(60) => write!(f, "{}m", secs / 60),
            secs => write!(f, "{secs}s"),
        }
    }
}

fn article(value: &DeValue<'_>) -> String {
    match value.type_str() {
        kind @ ("integer" | "array") => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}
