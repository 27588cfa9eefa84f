//! Bad rows, and the file that names all of them.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

/// A row that was not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("line {line}{}: {reason}", In(column))]
pub struct BadRow {
    /// Line it begins on, from 1.
    pub line: u64,
    /// The column; empty where it is the row as a whole.
    pub column: &'static str,
    /// What was expected, and what was found.
    pub reason: String,
}

impl BadRow {
    pub(super) const fn new(line: u64, column: &'static str, reason: String) -> Self {
        Self { line, column, reason }
    }
}

struct In<'a>(&'a str);

impl core::fmt::Display for In<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", {}", self.0) }
    }
}

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be written", path.display())]
pub struct ReportError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Writes bad rows as they are found: CSV, or one JSON object a line where the file's name ends in `.json`,
/// `.jsonl` or `.ndjson`. Keeps none in memory.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    out: Out,
}

#[derive(Debug)]
enum Out {
    Csv(Box<csv::Writer<std::fs::File>>),
    Json(BufWriter<std::fs::File>),
}

impl Report {
    /// Begins a report; a file of this name is replaced.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create(path: &Path) -> Result<Self, ReportError> {
        let failed = |source| ReportError { path: path.to_owned(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let out = if matches!(extension, "json" | "jsonl" | "ndjson") {
            Out::Json(BufWriter::new(file))
        } else {
            let mut csv = csv::Writer::from_writer(file);
            csv.write_record(["line", "column", "reason"]).map_err(|error| failed(error.into()))?;
            Out::Csv(Box::new(csv))
        };
        Ok(Self { path: path.to_owned(), out })
    }

    pub(super) fn add(&mut self, bad: &BadRow) -> Result<(), ReportError> {
        let written = match &mut self.out {
            Out::Csv(csv) => {
                csv.write_record([&bad.line.to_string(), bad.column, &bad.reason]).map_err(io::Error::from)
            }
            Out::Json(out) => {
                let row = json!({ "line": bad.line, "column": bad.column, "reason": bad.reason });
                writeln!(out, "{row}")
            }
        };
        self.failed(written)
    }

    pub(super) fn end(mut self) -> Result<(), ReportError> {
        let written = match &mut self.out {
            Out::Csv(csv) => csv.flush(),
            Out::Json(out) => out.flush(),
        };
        self.failed(written)
    }

    fn failed<T>(&self, done: io::Result<T>) -> Result<T, ReportError> {
        done.map_err(|source| ReportError { path: self.path.clone(), source })
    }
}
