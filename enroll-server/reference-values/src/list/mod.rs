//! Release lists: one line a component, as CSV or JSON.
//!
//! Every problem is told, with line and column, and one is enough for nothing to be taken. A list may say its
//! own name, number, maker and time, so that a signature over the file is over those too.

mod csv;
mod json;

use core::fmt;
use std::collections::HashMap;

use appraisal::policy::KnownGood;
use aws_lc_rs::digest::{SHA256, digest};
use shared::UnixTime;

use crate::manifest::{Format, Manifest, Validity, Versioned};
use crate::{MAX_LIST, MAX_VALUES};

/// Why a list is not taken: everything that is wrong with it, as far as it fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ListError {
    /// At least one.
    pub problems: Vec<Problem>,
    /// How many there are beyond those.
    pub more: usize,
}

/// One thing that is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found, and what is wanted.
    pub message: String,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Problem { line, column, message }) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}line {line}, column {column}: {message}")?;
        }
        if self.more > 0 { write!(f, "\nand {} more", self.more) } else { Ok(()) }
    }
}

/// Most problems that are told; the rest is counted.
const MAX_PROBLEMS: usize = 100;

/// Reads a list; it is JSON where it begins with a brace, else CSV.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<Manifest, ListError> {
    let mut list = List::default();
    if bytes.len() > MAX_LIST {
        list.problem((1, 1), format!("{} bytes; {MAX_LIST} are allowed", bytes.len()));
        return list.finish(Format::Csv, bytes);
    }
    let text = match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let place = position(bytes, error.valid_up_to());
            list.problem(place, "found bytes that are not UTF-8; wanted text");
            return list.finish(Format::Csv, bytes);
        }
    };
    let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Csv };
    match format {
        Format::Json => json::read(text, &mut list),
        _ => csv::read(text.strip_prefix('\u{feff}').unwrap_or(text), &mut list),
    }
    list.finish(format, bytes)
}

/// Line and column, from 1; the column counts characters.
pub(crate) type Position = (usize, usize);

/// Where the byte at `offset` stands.
fn position(bytes: &[u8], offset: usize) -> Position {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    // Continuation bytes of UTF-8 are no characters of their own.
    let column = before.iter().skip(start).filter(|b| **b & 0xc0 != 0x80).count() + 1;
    (line, column)
}

/// A list while it is read.
#[derive(Debug, Default)]
struct List {
    name: Option<String>,
    release: Option<u64>,
    maker: Option<String>,
    validity: Validity,
    known: Vec<KnownGood>,
    /// Where each value stood first.
    seen: HashMap<KnownGood, usize>,
    problems: Vec<Problem>,
    more: usize,
}

impl List {
    fn problem(&mut self, (line, column): Position, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { line, column, message: message.into() });
        } else {
            self.more += 1;
        }
    }

    /// Takes what is said about the list as a whole.
    fn about(&mut self, field: &str, text: &str, place: Position) {
        let wrong = match field {
            "name" => set(&mut self.name, name(text).map(Into::into)),
            "maker" => set(&mut self.maker, name(text).map(Into::into)),
            "release" => set(&mut self.release, release(text)),
            "not-before" => set(&mut self.validity.not_before, time(text)),
            "not-after" => set(&mut self.validity.not_after, time(text)),
            _ => Some(format!("found {field:?}; wanted {}", ABOUT.join(", "))),
        };
        if let Some(wrong) = wrong {
            self.problem(place, wrong);
        }
    }

    /// Takes one row; a field that is not there is empty.
    fn row(&mut self, row: &Row<'_>) {
        let before = self.problems.len() + self.more;
        let model = self.field(&row.model, "a model", true);
        let component = self.field(&row.component, "a component", false);
        let version = self.field(&row.version, "a version", true);
        let digest = match digest_of(row.digest.text) {
            Ok(digest) => Some(digest),
            Err(wrong) => {
                self.problem(row.digest.place, wrong);
                None
            }
        };
        if !row.maker.text.is_empty() {
            self.row_maker(&row.maker);
        }
        let (Some(component), Some(digest)) = (component, digest) else { return };
        if self.problems.len() + self.more > before {
            return;
        }
        let value = KnownGood { model, component, version, digest, ..KnownGood::default() };
        if let Some(first) = self.seen.insert(value.clone(), row.component.place.0) {
            self.problem(row.component.place, format!("this value stands in line {first} already"));
            return;
        }
        if self.known.len() >= MAX_VALUES {
            // One problem says it; the rows after it are counted.
            self.problem(row.component.place, format!("more than {MAX_VALUES} values"));
            return;
        }
        self.known.push(value);
    }

    fn field(&mut self, field: &Field<'_>, wanted: &str, may_be_empty: bool) -> Option<String> {
        if field.text.is_empty() && may_be_empty {
            return None;
        }
        match name(field.text) {
            Ok(text) => Some(text.into()),
            Err(wrong) => {
                self.problem(field.place, format!("{wrong} as {wanted}"));
                None
            }
        }
    }

    /// One list is for the devices of one maker.
    fn row_maker(&mut self, field: &Field<'_>) {
        match (&self.maker, name(field.text)) {
            (_, Err(wrong)) => self.problem(field.place, format!("{wrong} as a maker")),
            (None, Ok(name)) => self.maker = Some(name.into()),
            (Some(maker), Ok(name)) if maker != name => {
                let message =
                    format!("found maker {name:?}; wanted {maker:?}, as before: one list, one maker");
                self.problem(field.place, message);
            }
            (Some(_), Ok(_)) => {}
        }
    }

    fn finish(self, format: Format, bytes: &[u8]) -> Result<Manifest, ListError> {
        if !self.problems.is_empty() {
            return Err(ListError { problems: self.problems, more: self.more });
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
        let set = Versioned { name: self.name, version: self.release, sha256, known: self.known };
        Ok(Manifest {
            format,
            maker: self.maker,
            validity: self.validity,
            sets: vec![set],
            ..Manifest::default()
        })
    }
}

/// What a list can say about itself.
const ABOUT: [&str; 5] = ["name", "release", "maker", "not-before", "not-after"];
/// The columns of a list; model, version and maker may be left out.
const COLUMNS: [&str; 5] = ["model", "component", "version", "digest", "maker"];

/// A row, field by field.
#[derive(Debug, Default)]
struct Row<'t> {
    model: Field<'t>,
    component: Field<'t>,
    version: Field<'t>,
    digest: Field<'t>,
    maker: Field<'t>,
}

/// A field and where it stands.
#[derive(Clone, Copy, Debug, Default)]
struct Field<'t> {
    text: &'t str,
    place: Position,
}

/// Sets what is not set yet; gives what is wrong.
fn set<T>(field: &mut Option<T>, value: Result<T, String>) -> Option<String> {
    match value {
        Err(wrong) => Some(wrong),
        Ok(_) if field.is_some() => Some("this was said before".into()),
        Ok(value) => {
            *field = Some(value);
            None
        }
    }
}

/// Longest text, in bytes.
const MAX_TEXT: usize = 128;

fn name(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        Err("found nothing; wanted text".into())
    } else if text.len() > MAX_TEXT || text.contains(char::is_control) {
        let shown: String = text.chars().take(40).collect();
        Err(format!("found {shown:?}; wanted text of at most {MAX_TEXT} bytes without control characters"))
    } else {
        Ok(text)
    }
}

fn release(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number <= MAX_RELEASE && !text.starts_with('+'));
    number.ok_or_else(|| format!("found {text:?}; wanted the number of the release"))
}

/// What a database can hold.
pub(crate) const MAX_RELEASE: u64 = i64::MAX.unsigned_abs();

/// A digest in hexadecimal: SHA-256, SHA-384 or SHA-512, told apart by their length.
fn digest_of(text: &str) -> Result<Vec<u8>, String> {
    let wanted = "a SHA-256, SHA-384 or SHA-512 digest, 64, 96 or 128 hexadecimal digits";
    if text.is_empty() {
        return Err(format!("found nothing; wanted {wanted}"));
    }
    if !matches!(text.len(), 64 | 96 | 128) {
        return Err(format!("found {} characters; wanted {wanted}", text.chars().count()));
    }
    hex::decode(text).map_err(|_| format!("found something else than hexadecimal digits; wanted {wanted}"))
}

/// `YYYY-MM-DD`, the first second of that day, or `YYYY-MM-DDTHH:MM:SSZ` (RFC 3339, in UTC).
fn time(text: &str) -> Result<UnixTime, String> {
    parse_time(text).ok_or_else(|| format!("found {text:?}; wanted YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ"))
}

fn parse_time(text: &str) -> Option<UnixTime> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, clock.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let mut date = date.split('-').zip([4, 2, 2]).map(|(digits, length)| number(digits, length));
    let mut clock = clock.split(':').map(|digits| number(digits, 2));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if clock.next().is_some() || text.len() != if text.contains('T') { 20 } else { 10 } {
        return None;
    }
    UnixTime::from_civil(year, month, day, hour, minute, second)
}

fn number(digits: &str, length: usize) -> Option<u64> {
    let plain = digits.len() == length && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}
