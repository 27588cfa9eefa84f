//! Prints: tables and sentences for people, JSON for programs.
//!
//! What cannot be written is kept until the end of the command: only what runs commands tells failures.

use core::cell::{Cell, RefCell};
use core::fmt::Display;
use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::json;

use super::failure::Failure;
use crate::issuance::chain;

/// Where a command's result goes.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    /// Whether standard output holds the document that the command promises.
    answered: Cell<bool>,
    /// Why a result was not written, or not all of it: the first reason.
    problem: RefCell<Option<io::Error>>,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, answered: Cell::new(false), problem: RefCell::new(None) }
    }

    /// One result: as JSON, or as `text`.
    pub(super) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let json = || serde_json::to_string_pretty(value).map_err(io::Error::from);
        let text = if self.json { json() } else { Ok(text()) };
        if text.is_ok() {
            self.answered.set(true);
        }
        self.put(text);
    }

    /// A document in a format of its own, with or without `--json`.
    pub(super) fn document(&self, text: &str) {
        self.answered.set(true);
        self.put(Ok(text.trim_end().to_owned()));
    }

    /// A list: as a JSON array, or as a table with a line for an empty one.
    pub(super) fn list<T: Serialize, const N: usize>(
        &self,
        items: &[T],
        none: &str,
        header: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) {
        self.table(&items, items, none, header, row, None);
    }

    /// As [`list`](Self::list), where the JSON is more than the list, and with a line below the table.
    pub(super) fn table<T, const N: usize>(
        &self,
        value: &impl Serialize,
        items: &[T],
        none: &str,
        header: [&str; N],
        row: impl Fn(&T) -> [String; N],
        below: Option<String>,
    ) {
        self.result(value, || {
            if items.is_empty() {
                return none.to_owned();
            }
            let mut table = Table::new();
            table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
            for item in items {
                table.add_row(row(item));
            }
            match below {
                Some(below) => format!("{table}\n{below}"),
                None => table.to_string(),
            }
        });
    }

    /// One of many that come one by one: as JSON in a line, or as `text`. `false` where nobody reads any more.
    pub(super) fn line(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> bool {
        let json = || serde_json::to_string(value).map_err(io::Error::from);
        self.put(if self.json { json() } else { Ok(text()) })
    }

    /// A failure, with all its causes. With `--json` it is an object on standard output too, unless that has a result: two
    /// documents behind each other are none.
    pub(super) fn error(&self, failure: &Failure) {
        let text = chain(failure);
        if self.json && !self.answered.get() {
            let _read = write(io::stdout(), &json!({ "error": text }).to_string());
        }
        let _read = write(io::stderr(), &format!("error: {text}"));
    }

    /// Why not all of the results was written. Asked again it says nothing.
    pub(super) fn problem(&self) -> Option<Failure> {
        let unwritable = |source| Failure::Unwritable { path: "standard output".into(), source };
        self.problem.take().map(unwritable)
    }

    /// Whether the text was written. A reader that has seen enough, such as `head`, is no problem.
    fn put(&self, text: io::Result<String>) -> bool {
        match text.and_then(|text| write(io::stdout(), &text)) {
            Ok(()) => true,
            Err(error) => {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    self.problem.borrow_mut().get_or_insert(error);
                }
                false
            }
        }
    }
}

fn write(mut out: impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// The line below a page behind which there is another one.
pub(super) fn more(next: Option<&impl Display>) -> Option<String> {
    next.map(|next| format!("There are more: --after {next}"))
}

/// A dash where there is nothing.
pub(super) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}
