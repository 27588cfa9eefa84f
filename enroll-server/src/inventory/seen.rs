//! Which devices and identities stood in a file before: kept in a private temporary database on disk, so that
//! memory does not grow with the file.

use rusqlite::{Connection, params};

use super::bad::BadRow;
use crate::store::{InventoryEntry, StoreError};

/// Memory the temporary database takes at most, in KiB.
const CACHE_KIB: i64 = 32 * 1024;
/// Rows of one transaction.
const GROUP: u64 = 50_000;

/// What a file said until now.
#[derive(Debug)]
pub(super) struct Seen {
    rows: Connection,
    count: u64,
}

impl Seen {
    pub(super) fn new() -> Result<Self, StoreError> {
        // An empty name is a temporary file of SQLite's own, which is gone when the connection is closed.
        let rows = Connection::open("")?;
        rows.pragma_update(None, "cache_size", -CACHE_KIB)?;
        rows.pragma_update(None, "journal_mode", "off")?;
        rows.pragma_update(None, "synchronous", "off")?;
        rows.execute_batch(
            "CREATE TABLE devices (device TEXT PRIMARY KEY, line INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE identities (sha256 BLOB PRIMARY KEY, line INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             BEGIN",
        )?;
        Ok(Self { rows, count: 0 })
    }

    /// Notes a row; says where its device or its identity stood before, if it did.
    pub(super) fn note(&mut self, line: u64, entry: &InventoryEntry) -> Result<Option<BadRow>, StoreError> {
        self.count += 1;
        if self.count.is_multiple_of(GROUP) {
            self.rows.execute_batch("COMMIT; BEGIN")?;
        }
        let number = i64::try_from(line).unwrap_or(i64::MAX);
        let device = entry.device.as_str();
        let sql = "INSERT INTO devices (device, line) VALUES (?, ?) ON CONFLICT DO NOTHING";
        if self.rows.prepare_cached(sql)?.execute(params![device, number])? == 0 {
            let before = self.line("SELECT line FROM devices WHERE device = ?", device)?;
            return Ok(Some(BadRow::new(
                line,
                "device",
                format!("{device} stands on line {before} already"),
            )));
        }
        let Some(identity) = &entry.idevid_sha256 else { return Ok(None) };
        let sql = "INSERT INTO identities (sha256, line) VALUES (?, ?) ON CONFLICT DO NOTHING";
        if self.rows.prepare_cached(sql)?.execute(params![identity, number])? == 0 {
            let before = self.line("SELECT line FROM identities WHERE sha256 = ?", identity)?;
            let reason = format!("the same identity stands on line {before} already");
            return Ok(Some(BadRow::new(line, "idevid_sha256", reason)));
        }
        Ok(None)
    }

    fn line(&self, sql: &str, key: impl rusqlite::ToSql) -> Result<i64, StoreError> {
        Ok(self.rows.prepare_cached(sql)?.query_row([key], |row| row.get(0))?)
    }
}
