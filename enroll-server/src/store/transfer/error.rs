//! Why a store was not moved.

use std::path::PathBuf;

use crate::store::StoreError;

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// There is no file to move.
    #[error("{}: there is no such database", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the SQLite database cannot be read; is a server running on it?")]
    Source(#[source] StoreError),
    /// It cannot be written in the file that it was moved.
    #[error("the SQLite database cannot be marked as moved, so nothing was moved")]
    Mark(#[source] StoreError),
    /// All is in PostgreSQL, and the file does not say so.
    #[error(
        "all was moved, but the SQLite database could not be marked: set store.postgres and take {} away, or a server that \
         is started on it goes on with a second truth",
        path.display()
    )]
    Unmarked {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// PostgreSQL failed. Nothing is there unless it was the commit that failed; then the target is empty or complete.
    #[error("the PostgreSQL database cannot be written")]
    Target(#[source] StoreError),
    /// Something is there already.
    #[error("the PostgreSQL database is not empty: {table} has rows; name an empty database")]
    NotEmpty {
        /// A table with rows.
        table: &'static str,
    },
    /// This program does not know all tables, or what was read back is not what was written.
    #[error("{table}: what was read back is not what was written; nothing was moved")]
    Differs {
        /// Which table.
        table: String,
    },
}
