//! SQLite: write-ahead log, `synchronous=FULL`.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ParamsFromIter, RowIndex, params_from_iter};

use super::bind::Value;
use super::row::Cell;
use super::{Bind, SqliteOptions};
use crate::store::StoreError;

/// Pages of the log after which it is folded into the database: 32 MiB. At SQLite's own 1,000 every chunk of an
/// import would write its pages twice.
const CHECKPOINT: i64 = 8_192;
/// Statements that a connection keeps prepared: more than there are on the way of any request, so that none is
/// prepared twice.
const STATEMENTS: usize = 256;
/// How often another one may be found that opens a new file: more than programs open one at once.
const TRIES: usize = 100;

/// Prepares a connection for much writing.
pub(super) fn for_writing(connection: &Connection, cache_kib: u32) -> Result<(), StoreError> {
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    Ok(())
}

/// Opens the file, and makes it where there is none.
pub(super) fn connect(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    keep_a_log(&connection)?;
    // NORMAL may lose commits at a power loss: a certificate would be out that the store does not know.
    connection.pragma_update(None, "synchronous", "full")?;
    #[cfg(any(test, feature = "plants"))]
    if options.commits_without_sync {
        connection.pragma_update(None, "synchronous", "normal")?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if let Some(mib) = options.max_mib {
        let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = u64::from(mib) * 1024 * 1024 / u64::from(page.max(512));
        connection.pragma_update(None, "max_page_count", i64::try_from(pages).unwrap_or(i64::MAX))?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Has changes written to a log first. A file in which that is not set is changed for it, and who finds another at that is
/// told so at once, whatever its patience: it waits here until the other has done it.
fn keep_a_log(connection: &Connection) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        match connection.pragma_update(None, "journal_mode", "wal").map_err(StoreError::from) {
            Err(StoreError::Busy) => connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?,
            done => return done,
        }
    }
    Err(StoreError::Busy)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Integer(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Blob(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Integer(None) | Self::Text(None) | Self::Blob(None) => ValueRef::Null,
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// Parameters as rusqlite takes them.
pub(super) fn bound<'a>(values: &'a [&'a dyn Bind]) -> ParamsFromIter<impl Iterator<Item = Value<'a>>> {
    params_from_iter(values.iter().map(|value| value.value()))
}

/// What stands in a column.
pub(in crate::store) fn cell<'a>(
    row: &'a rusqlite::Row<'_>,
    column: impl RowIndex,
) -> Result<Cell<'a>, StoreError> {
    let damaged = StoreError::Damaged { field: "column" };
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Text(text) => Cell::Text(core::str::from_utf8(text).map_err(|_| damaged)?),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
        // No column is of this type.
        ValueRef::Real(_) => return Err(damaged),
    })
}
