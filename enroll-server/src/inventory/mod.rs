//! Inventory files: what a maker's rows mean, reading them as a stream, and importing a million of them.
//!
//! CSV (RFC 4180) with a header in any order, or one JSON object a line. What is known is never overwritten.

mod bad;
mod cell;
mod import;
mod reader;
mod row;
mod seen;

#[cfg(test)]
mod tests;

pub use bad::{BadRow, Report, ReportError};
pub(crate) use cell::guarded;
pub(crate) use import::run;
pub use import::{CHUNK, ImportError, ImportOptions, ImportSummary, Progress};
pub use reader::{MAX_ROW, Position, Read, Reader};

use std::io::Cursor;

use crate::store::InventoryEntry;

/// The first line of the plainest inventory file.
pub const HEADER: &str = "device,model,idevid_sha256";

/// Reads a whole text, as tests and simulations have it.
///
/// # Errors
/// The first bad row.
pub fn parse(text: &str) -> Result<Vec<InventoryEntry>, BadRow> {
    let broken = |error: std::io::Error| BadRow::new(1, "", error.to_string());
    let mut reader = Reader::open(Cursor::new(text.as_bytes()), None).map_err(broken)??;
    let mut seen = std::collections::HashSet::new();
    let mut entries = Vec::new();
    while let Some(row) = reader.next_row().map_err(broken)? {
        let (line, entry) = (row.line, row.entry?);
        if !seen.insert(entry.device.clone()) {
            return Err(BadRow::new(line, "device", format!("{} stands here twice", entry.device)));
        }
        entries.push(entry);
    }
    Ok(entries)
}
