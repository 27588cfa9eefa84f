//! Prints: tables and sentences for people, JSON for programs.

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
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// One result: as JSON, or as `text`.
    pub(super) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string_pretty(value) {
                Ok(json) => put(io::stdout(), &json),
                Err(error) => {
                    put(io::stderr(), &format!("error: the result cannot be written as JSON: {error}"))
                }
            }
        } else {
            put(io::stdout(), &text());
        }
    }

    /// A document in a format of its own, with or without `--json`.
    pub(super) fn document(&self, text: &str) {
        put(io::stdout(), text.trim_end());
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
        let line = if self.json { serde_json::to_string(value).unwrap_or_default() } else { text() };
        let mut out = io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }

    /// A failure, with all its causes. With `--json` it is an object on standard output too.
    pub(super) fn error(&self, failure: &Failure) {
        let text = chain(failure);
        if self.json {
            put(io::stdout(), &json!({ "error": text }).to_string());
        }
        put(io::stderr(), &format!("error: {text}"));
    }
}

/// Writes a line as far as somebody reads: a reader that has seen enough, such as `head`, is no failure.
fn put(mut out: impl Write, text: &str) {
    let _read = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A dash where there is nothing.
pub(super) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}
