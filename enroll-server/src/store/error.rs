//! Why the store did not do it.

use core::time::Duration;

/// Why the store did not do it. Nothing was changed, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the database, or too much is queued: the same call may succeed later.
    #[error("the database is busy")]
    Busy,
    /// Another process brings the database up to date, and did not end.
    #[error(
        "another program has been bringing the database up to date for more than {} minutes: look whether it still runs (a \
         command or a server of this version that started before), and start again when it has ended", limit.as_secs() / 60
    )]
    Migrating {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The database does not answer: it is down, starting, or cut off. Nothing was changed.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The database would lose what it has called durable, or cannot hold what is stored.
    #[error("the database has {setting} = {found}, expected {expected}")]
    Unfit {
        /// Its setting.
        setting: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// No space is left for the database.
    #[error("the database is full: make room on its disk, or raise limits.store_mib (SQLite)")]
    Full,
    /// The medium failed; whether the last change is durable is not known. A repetition of the same request
    /// finds out.
    #[error("the database failed: {0}")]
    Failed(String),
    /// The database was made by a newer version of this program.
    #[error(
        "the database has version {found}, this program knows versions up to {known}; use a newer program"
    )]
    TooNew {
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The database is another one now.
    #[error("the database was moved to PostgreSQL ({to}): set store.postgres")]
    Moved {
        /// Where it is.
        to: String,
    },
    /// A row holds something that this program never writes.
    #[error("the database holds an invalid {field}")]
    Damaged {
        /// Which column.
        field: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
