//! Faults of a database, for tests: of all that is asked of it, the n-th fails.
//!
//! Below the trait of the store, so that what fails in the middle of one of its calls is seen too: an error that a query
//! of a transaction passes over is no error of the call.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Connection, Statement};
use crate::store::{PostgresOptions, StoreError};

/// What is asked of the database of one test.
#[derive(Debug, Default)]
struct Watched {
    number: u64,
    /// How much was asked for since it was armed.
    asked: AtomicU64,
    /// Which of it fails; 0: none.
    failing: AtomicU64,
    failed: AtomicBool,
    forgives: AtomicBool,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);
static WATCHED: Mutex<BTreeMap<String, Arc<Watched>>> = Mutex::new(BTreeMap::new());

/// A database that can fail, as long as this is kept.
#[derive(Debug)]
pub(crate) struct Injected {
    name: String,
    watched: Arc<Watched>,
}

impl Injected {
    /// The SQLite file at `path`, which is there.
    pub(crate) fn at(path: &Path) -> Self {
        Self::named(path.canonicalize().unwrap().to_str().unwrap().to_owned())
    }

    /// The database on PostgreSQL that these open.
    pub(crate) fn on(options: &PostgresOptions) -> Self {
        Self::named(options.place())
    }

    fn named(name: String) -> Self {
        let number = NUMBERS.fetch_add(1, Ordering::SeqCst);
        let watched = Arc::new(Watched { number, ..Watched::default() });
        all().insert(name.clone(), Arc::clone(&watched));
        Self { name, watched }
    }

    /// Lets the n-th thing fail that is asked of it from now on: a statement that is prepared, or carried out, or the
    /// beginning or the end of a transaction, or a draw from the random generator.
    pub(crate) fn arm(&self, n: u64) {
        self.watched.asked.store(0, Ordering::SeqCst);
        self.watched.failed.store(false, Ordering::SeqCst);
        self.watched.failing.store(n, Ordering::SeqCst);
    }

    /// Lets nothing fail any more; tells whether something did. `None`: less than that was asked.
    pub(crate) fn disarm(&self) -> Option<bool> {
        let n = self.watched.failing.swap(0, Ordering::SeqCst);
        let reached = self.watched.asked.load(Ordering::SeqCst) >= n;
        reached.then(|| self.watched.failed.load(Ordering::SeqCst))
    }

    /// Plants a defect: that the quota of a group cannot be looked up is taken for room in the group.
    pub(crate) fn forgive(&self) {
        self.watched.forgives.store(true, Ordering::SeqCst);
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        all().remove(&self.name);
    }
}

/// Whether the defect is planted: see [`Injected::forgive`].
pub(in crate::store) fn forgives(connection: &Connection) -> bool {
    watched(connection).is_some_and(|watched| watched.forgives.load(Ordering::SeqCst))
}

/// The text of the statement that is prepared in the place of this one.
pub(super) fn in_place_of<'s>(connection: &Connection, sql: &'s str) -> Result<Cow<'s, str>, StoreError> {
    let Some(watched) = watched(connection) else { return Ok(sql.into()) };
    watched.fails()?;
    if watched.passes().is_none() {
        return Ok(sql.into());
    }
    // It can be prepared, and not be carried out. After it, PostgreSQL carries out nothing more of the transaction.
    let fails = match connection {
        Connection::Sqlite(_) => "abs(-9223372036854775807 - 1)",
        Connection::Postgres(_) => "1 / 0",
    };
    Ok(format!("SELECT {fails} AS {FAILS}{}", watched.number).into())
}

/// A statement is carried out: perhaps the one that fails.
pub(super) fn carries_out(statement: &Statement<'_>) {
    let column = match statement {
        Statement::Sqlite(statement) => statement.column_name(0).ok(),
        Statement::Postgres { sql, .. } => sql.rsplit(' ').next(),
    };
    let number = column.and_then(|name| name.strip_prefix(FAILS)?.parse().ok());
    if let Some(watched) = number.and_then(|number: u64| all().values().find(|w| w.number == number).cloned())
    {
        watched.failed.store(true, Ordering::SeqCst);
    }
}

/// Something random is drawn for what is to be stored: that fails as anything else does.
pub(in crate::store) fn draws(connection: &Connection) -> Result<(), StoreError> {
    watched(connection).map_or(Ok(()), |watched| watched.fails())
}

/// A transaction begins or ends; a rollback never fails.
pub(super) fn control(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    match watched(connection) {
        Some(watched) if !sql.starts_with("ROLLBACK") => watched.fails(),
        _ => Ok(()),
    }
}

/// A commit may be carried out, and the answer be lost: whether it is durable is not known then.
pub(super) fn carried_out(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    if sql == "COMMIT" { control(connection, sql) } else { Ok(()) }
}

fn watched(connection: &Connection) -> Option<Arc<Watched>> {
    match connection {
        Connection::Sqlite(sqlite) => all().get(sqlite.path()?).cloned(),
        Connection::Postgres(session) => all().get(&session.place()).cloned(),
    }
}

fn all() -> std::sync::MutexGuard<'static, BTreeMap<String, Arc<Watched>>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    /// Whether this is what fails: then, which it is.
    fn passes(&self) -> Option<u64> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        (self.failing.load(Ordering::SeqCst) == n).then_some(n)
    }

    fn fails(&self) -> Result<(), StoreError> {
        let Some(n) = self.passes() else { return Ok(()) };
        self.failed.store(true, Ordering::SeqCst);
        let said = || "it was told to fail".to_owned();
        Err(match n % 4 {
            0 => StoreError::Busy,
            1 => StoreError::Unreachable(said()),
            2 => StoreError::Full,
            _ => StoreError::Failed(said()),
        })
    }
}

/// The name of the column of a statement that fails, before its database's number.
const FAILS: &str = "fails_";
