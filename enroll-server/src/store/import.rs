//! Imports of inventory files, chunk by chunk.

use super::Sha256;
use super::model::InventoryEntry;
use crate::inventory::Position;

/// A part of a file, to be stored together with the position that is reached by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportChunk {
    /// SHA-256 of the file.
    pub file: Sha256,
    /// The rows.
    pub entries: Vec<InventoryEntry>,
    /// Where the file goes on behind them.
    pub at: Position,
    /// What was counted before them, the bad rows up to here included.
    pub before: ImportCounts,
    /// Whether these are the last ones.
    pub finished: bool,
}

/// How many rows of each sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ImportCounts {
    /// New devices.
    pub added: u64,
    /// Devices that were there and have more now.
    pub completed: u64,
    /// Devices that were there already, with the same content.
    pub unchanged: u64,
    /// Devices that are there with something else; nothing was changed for them.
    pub conflicting: u64,
    /// Rows that mean nothing.
    pub bad: u64,
}

impl ImportCounts {
    /// Counts one row.
    pub const fn add(&mut self, outcome: RowOutcome) {
        match outcome {
            RowOutcome::Added => self.added += 1,
            RowOutcome::Completed => self.completed += 1,
            RowOutcome::Unchanged => self.unchanged += 1,
            RowOutcome::Conflict { .. } => self.conflicting += 1,
        }
    }
}

/// What becomes of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// The device is new.
    Added,
    /// The device was there and has more now.
    Completed,
    /// The device was there already, with the same content.
    Unchanged,
    /// The device is there with something else; nothing was changed.
    Conflict {
        /// The column.
        column: &'static str,
        /// What is there.
        reason: &'static str,
    },
}

/// How far the import of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportState {
    /// Where it goes on.
    pub at: Position,
    /// What was counted until there.
    pub counts: ImportCounts,
    /// Whether it reached its end.
    pub finished: bool,
}
