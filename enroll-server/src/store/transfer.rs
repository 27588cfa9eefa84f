//! Moves a store from SQLite to PostgreSQL: every row, in one transaction, and read back before it is committed.
//!
//! The file stays as it is, except that it says that it was moved: nothing is added to it any more, so that a server
//! which was forgotten does not go on with a second truth.

mod content;
mod error;

#[cfg(test)]
mod tests;

use rusqlite::types::ValueRef;

use super::StoreError;
use super::database::{
    Bind, Cell, Connection, Intent, PostgresOptions, Row, Session, SqliteOptions, Value, storable,
};

use content::{Content, Hasher};
pub use error::TransferError;

/// Every table, those that others refer to before them.
const TABLES: &[&str] = &[
    "makers",
    "devices",
    "device_tags",
    "certificates",
    "tokens",
    "events",
    "counters",
    "device_claims",
    "attestation_keys",
    "appraisals",
    "notes",
    "maker_crls",
    "credentials",
    "credential_devices",
    "imports",
    "webhooks",
    "webhook_parked",
    "release_keys",
    "reference_sets",
    "reference_values",
    "issuers",
    "log_leaves",
    "log_head",
    "crl_partitions",
    "revocation_changes",
    "peer_revocations",
    "wanted_renewals",
    "leases",
    "profiles",
    "trust_bundles",
    "rollovers",
    "dashboard_links",
    "dashboard_sessions",
    // Last: what its triggers count on the way gives way to the same from the file.
    "counts",
];
/// Tables that have rows from the start.
const NEVER_EMPTY: &[&str] = &["counters", "log_head", "counts"];
/// Rows that are on their way at once.
const AT_ONCE: u64 = 500;

/// What was moved of one table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MovedTable {
    /// Its name.
    pub table: &'static str,
    /// How many rows.
    pub rows: u64,
}

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Whether nothing was changed, as was asked.
    pub dry_run: bool,
    /// Table by table.
    pub tables: Vec<MovedTable>,
    /// The last checkpoint of the log, which is the same in both.
    pub checkpoint: Option<String>,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct MoveProgress {
    /// The table under way.
    pub table: &'static str,
    /// Rows that were written or read back.
    pub done: u64,
    /// Of how many.
    pub of: u64,
}

/// Moves the store in the file of `from` to the empty database `to`. Blocks; not to be called inside a runtime.
///
/// # Errors
/// Says why nothing was moved.
pub fn transfer(
    from: &SqliteOptions,
    to: PostgresOptions,
    dry_run: bool,
    progress: &mut dyn FnMut(MoveProgress),
) -> Result<Moved, TransferError> {
    if !from.path.exists() {
        return Err(TransferError::Missing { path: from.path.clone() });
    }
    let source = Connection::sqlite(from, Intent::Write).map_err(TransferError::Source)?;
    // Nobody writes to it meanwhile.
    source.begin(Intent::Write).map_err(TransferError::Source)?;
    let target =
        Connection::postgres(std::sync::Arc::new(to), Intent::Write).map_err(TransferError::Target)?;
    target.begin(Intent::Write).map_err(TransferError::Target)?;
    let moved = carry(&source, &target, dry_run, progress);
    match moved {
        Ok(moved) if !dry_run => {
            if let Err(error) = close(&source, &target) {
                target.roll_back();
                source.roll_back();
                return Err(TransferError::Mark(error));
            }
            // Where this fails, the file's transaction ends with its connection, and changes nothing.
            target.commit().map_err(TransferError::Target)?;
            source
                .commit()
                .map_err(|error| TransferError::Unmarked { path: from.path.clone(), source: error })?;
            Ok(moved)
        }
        done => {
            target.roll_back();
            source.roll_back();
            done
        }
    }
}

/// Says in the file that it was moved, and lets nothing be added to it, from the commit on. Before the target's commit:
/// whatever can fail has to fail while nothing was moved.
fn close(source: &Connection, target: &Connection) -> Result<(), StoreError> {
    let place = match target {
        Connection::Postgres(session) => session.place(),
        Connection::Sqlite(_) => String::new(),
    };
    let sql =
        "INSERT INTO notes (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text";
    source.prepare_cached(sql)?.execute(super::database::params![MOVED, place])?;
    for table in ["certificates", "events"] {
        let sql = format!(
            "CREATE TRIGGER {table}_were_moved BEFORE INSERT ON {table} BEGIN \
             SELECT RAISE(ABORT, 'this database was moved to PostgreSQL'); END"
        );
        source.prepare_cached(&sql)?.execute(&[])?;
    }
    Ok(())
}

/// The note by which a file says where it was moved to.
pub(super) const MOVED: &str = "moved";

fn carry(
    source: &Connection,
    target: &Connection,
    dry_run: bool,
    progress: &mut dyn FnMut(MoveProgress),
) -> Result<Moved, TransferError> {
    let (Connection::Sqlite(file), Connection::Postgres(session)) = (source, target) else {
        return Err(TransferError::Target(StoreError::Closed));
    };
    // To count the rows of a large table, or to put them into their order, takes minutes in one statement, on either side:
    // while the file is read the other one's session is idle.
    let carried = session.unhurried(|| {
        session.batch("SET LOCAL idle_in_transaction_session_timeout = 0")?;
        Ok(count_and_copy(file, session, dry_run, progress))
    });
    carried.map_err(TransferError::Target)?
}

fn count_and_copy(
    file: &rusqlite::Connection,
    session: &Session,
    dry_run: bool,
    progress: &mut dyn FnMut(MoveProgress),
) -> Result<Moved, TransferError> {
    let unread = |error: rusqlite::Error| TransferError::Source(error.into());
    check_tables(file)?;
    let mut tables = Vec::new();
    let mut total = 0;
    for &table in TABLES {
        let filled = format!("SELECT 1 FROM {table} LIMIT 1");
        let rows = session.query(&filled, &[]).map_err(TransferError::Target)?;
        if !rows.is_empty() && !NEVER_EMPTY.contains(&table) {
            return Err(TransferError::NotEmpty { table });
        }
        let rows: i64 =
            file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).map_err(unread)?;
        let rows = u64::try_from(rows).unwrap_or(0);
        total += rows;
        tables.push(MovedTable { table, rows });
    }
    let checkpoint = file.query_row("SELECT note FROM log_head", [], |row| row.get(0)).map_err(unread)?;
    if dry_run {
        return Ok(Moved { dry_run, tables, checkpoint });
    }
    let mut done = 0;
    let mut watch = |table, rows: u64| {
        done += rows;
        progress(MoveProgress { table, done, of: 2 * total });
    };
    copy(file, session, &tables, &mut watch)?;
    Ok(Moved { dry_run, tables, checkpoint })
}

/// Writes every table, and reads it back.
fn copy(
    file: &rusqlite::Connection,
    session: &Session,
    tables: &[MovedTable],
    watch: &mut dyn FnMut(&'static str, u64),
) -> Result<(), TransferError> {
    for moved in tables {
        let table = moved.table;
        let mut tick = |rows| watch(table, rows);
        let columns = Columns::of(file, table).map_err(TransferError::Source)?;
        let written = write(file, session, &columns, &mut tick)?;
        let found = read_back(session, &columns, &mut tick).map_err(TransferError::Target)?;
        if written != found || written.rows != moved.rows {
            return Err(TransferError::Differs { table: table.to_owned() });
        }
    }
    take_numbers(file, session)
}

/// Refuses a database with a table that is not in the list.
fn check_tables(file: &rusqlite::Connection) -> Result<(), TransferError> {
    let unread = |error: rusqlite::Error| TransferError::Source(error.into());
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut query = file.prepare(sql).map_err(unread)?;
    let mut names = query.query([]).map_err(unread)?;
    while let Some(row) = names.next().map_err(unread)? {
        let table: String = row.get(0).map_err(unread)?;
        if !TABLES.contains(&table.as_str()) {
            return Err(TransferError::Differs { table });
        }
    }
    Ok(())
}

/// The columns of a table, and by which it is ordered.
struct Columns {
    table: &'static str,
    names: Vec<(String, Value<'static>)>,
    key: Vec<String>,
}

impl Columns {
    fn of(file: &rusqlite::Connection, table: &'static str) -> Result<Self, StoreError> {
        let mut query = file.prepare("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid")?;
        let mut rows = query.query([table])?;
        let (mut names, mut key) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let (name, kind, place): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if place > 0 {
                key.push((place, name.clone()));
            }
            // What a NULL in it is a NULL of.
            let null = match kind.as_str() {
                "INTEGER" => Value::Integer(None),
                "TEXT" => Value::Text(None),
                _ => Value::Blob(None),
            };
            names.push((name, null));
        }
        key.sort();
        Ok(Self { table, names, key: key.into_iter().map(|(_, name)| name).collect() })
    }

    fn list(&self) -> String {
        self.names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn select(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.list(), self.table, self.key.join(", "))
    }
}

impl Bind for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

fn write(
    file: &rusqlite::Connection,
    session: &Session,
    columns: &Columns,
    tick: &mut dyn FnMut(u64),
) -> Result<Content, TransferError> {
    let unread = |error: rusqlite::Error| TransferError::Source(error.into());
    if NEVER_EMPTY.contains(&columns.table) {
        let sql = format!("DELETE FROM {}", columns.table);
        session.execute(&sql, &[]).map_err(TransferError::Target)?;
    }
    // They would count and note what comes with its counts and notes.
    let triggers = format!("ALTER TABLE {} DISABLE TRIGGER USER", columns.table);
    session.batch(&triggers).map_err(TransferError::Target)?;
    let marks = vec!["?"; columns.names.len()].join(", ");
    let insert = format!("INSERT INTO {} ({}) VALUES ({marks})", columns.table, columns.list());
    let mut query = file.prepare(&columns.select()).map_err(unread)?;
    let mut rows = query.query([]).map_err(unread)?;
    let mut hasher = Hasher::new();
    while let Some(row) = rows.next().map_err(unread)? {
        let mut values = Vec::with_capacity(columns.names.len());
        for (place, (_, null)) in columns.names.iter().enumerate() {
            let cell = super::database::sqlite_cell(row, place).map_err(TransferError::Source)?;
            match cell {
                Cell::Text(text) => hasher.cell(Cell::Text(&storable(text))),
                cell => hasher.cell(cell),
            }
            values.push(match cell {
                Cell::Null => *null,
                Cell::Integer(number) => Value::Integer(Some(number)),
                Cell::Text(text) => Value::Text(Some(text)),
                Cell::Blob(bytes) => Value::Blob(Some(bytes)),
            });
        }
        hasher.rows += 1;
        let values: Vec<&dyn Bind> = values.iter().map(|value| value as &dyn Bind).collect();
        session.send(&insert, &values).map_err(TransferError::Target)?;
        if hasher.rows.is_multiple_of(AT_ONCE) {
            session.settle().map_err(TransferError::Target)?;
            tick(AT_ONCE);
        }
    }
    session.settle().map_err(TransferError::Target)?;
    let triggers = format!("ALTER TABLE {} ENABLE TRIGGER USER", columns.table);
    session.batch(&triggers).map_err(TransferError::Target)?;
    tick(hasher.rows % AT_ONCE);
    Ok(hasher.finish())
}

fn read_back(session: &Session, columns: &Columns, tick: &mut dyn FnMut(u64)) -> Result<Content, StoreError> {
    session.batch(&format!("DECLARE moved NO SCROLL CURSOR FOR {}", columns.select()))?;
    let fetch = format!("FETCH {AT_ONCE} FROM moved");
    let mut hasher = Hasher::new();
    loop {
        // Not prepared: each table's rows have other columns.
        let rows = session.query_once(&fetch)?;
        for row in &rows {
            for place in 0..columns.names.len() {
                hasher.cell(Row::Postgres(row).cell(place)?);
            }
            hasher.rows += 1;
        }
        let count = u64::try_from(rows.len()).unwrap_or(0);
        tick(count);
        if count < AT_ONCE {
            break;
        }
    }
    session.batch("CLOSE moved")?;
    Ok(hasher.finish())
}

/// Numbers go on where they were: those of rows that are gone are not given again.
fn take_numbers(file: &rusqlite::Connection, session: &Session) -> Result<(), TransferError> {
    let unread = |error: rusqlite::Error| TransferError::Source(error.into());
    let sql = "SELECT name, seq FROM sqlite_sequence UNION ALL SELECT 'profiles', coalesce(max(number), 0) FROM profiles";
    let mut query = file.prepare(sql).map_err(unread)?;
    let mut rows = query.query([]).map_err(unread)?;
    while let Some(row) = rows.next().map_err(unread)? {
        let (ValueRef::Text(name), ValueRef::Integer(number)) =
            (row.get_ref(0).map_err(unread)?, row.get_ref(1).map_err(unread)?)
        else {
            return Err(TransferError::Source(StoreError::Damaged { field: "seq" }));
        };
        let name = String::from_utf8_lossy(name);
        let sql = "UPDATE sequences SET seq = ? WHERE name = ?";
        let changed = session.execute(sql, &[&number, &name.as_ref()]).map_err(TransferError::Target)?;
        // A table that was there once, and is not any more.
        tracing::debug!(%name, changed, "a number was taken over");
    }
    Ok(())
}
