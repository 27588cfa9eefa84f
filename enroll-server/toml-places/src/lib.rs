//! Reads TOML with a memory for places: every problem has its line and field, and all are found at once.
//!
//! Knows nothing of what the fields mean: whoever reads a table takes its fields out, and what is left is a mistake.

#![forbid(unsafe_code)]

use core::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why a file was not taken: everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// Name of the file.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// The field, for example `certificate.days`; empty where the file is not TOML.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { line, field, message }) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            let colon = if field.is_empty() { "" } else { ": " };
            write!(f, "{separator}{}:{line}: {field}{colon}{message}", self.file)?;
        }
        Ok(())
    }
}

/// Why several files were not taken together: everything that is wrong with any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilesError {
    /// At least one.
    pub files: Vec<FileError>,
}

impl From<FileError> for FilesError {
    fn from(error: FileError) -> Self {
        Self { files: vec![error] }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, file) in self.files.iter().enumerate() {
            write!(f, "{}{file}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Collects what is wrong with one file.
#[derive(Debug)]
pub struct Problems<'t> {
    text: &'t str,
    found: Vec<Problem>,
}

impl<'t> Problems<'t> {
    /// Adds a problem at a byte of the text.
    pub fn add(&mut self, at: usize, field: String, message: impl Into<String>) {
        let line = 1 + self.text.bytes().take(at).filter(|b| *b == b'\n').count();
        self.found.push(Problem { line, field, message: message.into() });
    }
}

/// Parses `text` and hands its top table to `read`; then every field that was not asked for is a problem.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn read<'t, T>(
    file: &str,
    text: &'t str,
    read: impl FnOnce(&mut Table<'t>, &mut Problems<'t>) -> T,
) -> Result<T, FileError> {
    let mut problems = Problems { text, found: Vec::new() };
    let mut value = None;
    if text.len() > MAX_FILE {
        problems.add(0, String::new(), format!("{} bytes; {MAX_FILE} are allowed", text.len()));
    } else {
        match DeTable::parse(text) {
            Ok(table) => {
                let mut table = Table { path: String::new(), at: 0, entries: table.into_inner() };
                value = Some(read(&mut table, &mut problems));
                table.finish(&mut problems);
            }
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                problems.add(at, String::new(), error.message());
            }
        }
    }
    match value {
        Some(value) if problems.found.is_empty() => Ok(value),
        _ => {
            problems.found.sort_by_key(|problem| problem.line);
            Err(FileError { file: file.into(), problems: problems.found })
        }
    }
}

/// A table; fields are taken out as they are read.
#[derive(Debug)]
pub struct Table<'t> {
    path: String,
    at: usize,
    entries: DeTable<'t>,
}

impl<'t> Table<'t> {
    /// Takes a field out. `read` gives the value, or what is wanted instead.
    pub fn take<T>(
        &mut self,
        key: &str,
        problems: &mut Problems<'t>,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.entries.remove(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(wanted) => {
                let found = describe(value.get_ref());
                problems.add(value.span().start, self.field(key), format!("found {found}; wanted {wanted}"));
                None
            }
        }
    }

    /// As [`take`](Self::take), and a problem where the field is missing.
    pub fn required<T>(
        &mut self,
        key: &str,
        problems: &mut Problems<'t>,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.entries.contains_key(key) {
            problems.add(self.at, self.field(key), "is missing");
            return None;
        }
        self.take(key, problems, read)
    }

    /// Reads a table of its own under `key`, where there is one.
    pub fn table<T>(
        &mut self,
        key: &str,
        problems: &mut Problems<'t>,
        read: impl FnOnce(&mut Self, &mut Problems<'t>) -> T,
    ) -> Option<T> {
        let value = self.entries.remove(key)?;
        self.open(key, value, problems, read)
    }

    /// Reads each table of the array under `key`; `None` where there is no such array.
    pub fn tables<T>(
        &mut self,
        key: &str,
        problems: &mut Problems<'t>,
        mut read: impl FnMut(&mut Self, &mut Problems<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.entries.remove(key)?;
        let at = value.span().start;
        let DeValue::Array(array) = value.into_inner() else {
            problems.add(at, self.field(key), format!("wanted tables, each under [[{key}]]"));
            return None;
        };
        Some(array.into_iter().filter_map(|value| self.open(key, value, problems, &mut read)?).collect())
    }

    /// Takes a field out where it holds this very word.
    pub fn take_word(&mut self, key: &str, word: &str) -> bool {
        let there = self.entries.get(key).is_some_and(|value| value.get_ref().as_str() == Some(word));
        there && self.entries.remove(key).is_some()
    }

    /// Whether the field is there and was not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where the table stands, for problems that concern several fields.
    pub fn problem(&self, problems: &mut Problems<'t>, key: &str, message: impl Into<String>) {
        problems.add(self.at, self.field(key), message);
    }

    fn open<T>(
        &self,
        key: &str,
        value: Spanned<DeValue<'t>>,
        problems: &mut Problems<'t>,
        read: impl FnOnce(&mut Self, &mut Problems<'t>) -> T,
    ) -> Option<T> {
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Table(entries) => {
                let mut table = Self { path: self.field(key), at, entries };
                let value = read(&mut table, problems);
                table.finish(problems);
                Some(value)
            }
            other => {
                let found = describe(&other);
                problems.add(at, self.field(key), format!("found {found}; wanted a table"));
                None
            }
        }
    }

    fn finish(self, problems: &mut Problems<'t>) {
        for key in self.entries.keys() {
            problems.add(key.span().start, self.field(key.get_ref()), "there is no such field");
        }
    }

    fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }
}

/// Longest file, in bytes.
const MAX_FILE: usize = 1024 * 1024;

/// The line of a field, from 1: where `table.key` stands in `text`, else where the table stands, else 1. For mistakes
/// that show only when several files are looked at together.
#[must_use]
pub fn line_of(text: &str, table: &str, key: &str) -> usize {
    let Ok(top) = DeTable::parse(text) else { return 1 };
    let Some((name, value)) = top.get_ref().get_key_value(table) else { return 1 };
    let field = value.get_ref().as_table().and_then(|entries| entries.get_key_value(key));
    let at = field.map_or_else(|| name.span().start, |(key, _)| key.span().start);
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

/// Most characters of a text, and most values of a list, that an error repeats.
const TOLD: usize = 64;

/// What was found, so that its writer finds it again.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().nth(TOLD).is_none() => format!("{text:?}"),
        DeValue::String(text) => format!("{:?}...", text.chars().take(TOLD).collect::<String>()),
        DeValue::Integer(number) => number.as_str().into(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Array(values) if values.iter().all(|value| !value.get_ref().is_array()) => {
            let told: Vec<_> = values.iter().take(TOLD).map(|value| describe(value.get_ref())).collect();
            format!("[{}]", told.join(", "))
        }
        other => format!("a value of type {}", other.type_str()),
    }
}

/// Text of 1 to `limit` characters without control characters.
pub fn text(limit: usize) -> impl Fn(&DeValue<'_>) -> Result<String, String> {
    move |value| match value.as_str() {
        Some(text)
            if !text.is_empty() && text.chars().count() <= limit && !text.contains(char::is_control) =>
        {
            Ok(text.into())
        }
        _ => Err(format!("text of 1 to {limit} characters")),
    }
}

/// True or false.
pub fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "true or false".into())
}

/// A whole number from `least` to `most`.
pub fn number(least: u32, most: u32) -> impl Fn(&DeValue<'_>) -> Result<u32, String> {
    move |value| {
        let number = value.as_integer().and_then(|i| u32::from_str_radix(i.as_str(), i.radix()).ok());
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("a whole number from {least} to {most}"))
    }
}

/// One of several names.
pub fn one_of<T: Copy>(names: &'static [(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let found = value.as_str().and_then(|text| names.iter().find(|(name, _)| *name == text));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
            names.join(" or ")
        })
    }
}

/// A list of what `read` takes, not empty.
pub fn list<T>(
    read: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> impl Fn(&DeValue<'_>) -> Result<Vec<T>, String> {
    move |value| match value.as_array() {
        Some(array) if !array.is_empty() => array
            .iter()
            .map(|item| read(item.get_ref()).map_err(|wanted| format!("a list, each {wanted}")))
            .collect(),
        _ => Err("a list with at least one entry".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{line_of, number, read, text};

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let file = "[a]\nb = 300\nc = \"\"\n\n[d]\n";
        let error = read("x.toml", file, |top, problems| {
            top.table("a", problems, |table, problems| {
                table.take("b", problems, number(1, 9));
                table.take("c", problems, text(5));
            });
        });
        let told = error.unwrap_err().to_string();
        assert_eq!(
            told,
            "x.toml:2: a.b: found 300; wanted a whole number from 1 to 9\n\
             x.toml:3: a.c: found \"\"; wanted text of 1 to 5 characters\n\
             x.toml:5: d: there is no such field"
        );
    }

    #[test]
    fn fields_are_found_again() {
        let file = "x = 1\n\n[a]\nb = 2\nc.d = 3\n";
        assert_eq!((line_of(file, "a", "b"), line_of(file, "a", "z"), line_of(file, "y", "b")), (4, 3, 1));
        assert_eq!(line_of("= 1", "a", "b"), 1);
    }
}
