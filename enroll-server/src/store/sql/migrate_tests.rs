//! Programs that open one database at once: one brings the tables up to date, and the others wait for it.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rusqlite::Connection;

use super::SqlStore;
use super::places::Place;
use crate::store::database::Session;
use crate::store::migrate::{MIGRATION, POSTGRES, STEPS};
use crate::store::{SqliteOptions, StoreError};

/// Most programs that start at once here.
const PROGRAMS: usize = 6;

fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions { busy_timeout: Duration::from_millis(100), ..SqliteOptions::new(&file(folder)) }
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("s.sqlite")
}

/// As a program knew the tables that had `steps` of today's.
fn old(place: &Place, steps: usize) {
    match place {
        Place::Sqlite(_) => {
            let steps = STEPS.get(..steps).unwrap();
            place.sql(&format!("{}; PRAGMA user_version = {}", steps.join(";"), steps.len()));
        }
        Place::Postgres { .. } => {
            let steps = POSTGRES.get(..steps).unwrap();
            let (version, _) = steps.last().unwrap();
            let sql: String = steps.iter().map(|(_, sql)| format!("{sql};")).collect();
            place.sql(&format!(
                "SET ROLE enroll; CREATE TABLE schema_version (version BIGINT NOT NULL); \
                 INSERT INTO schema_version VALUES ({version}); {sql}"
            ));
        }
    }
}

/// What the database says of its tables and their version.
fn tables(place: &Place) -> String {
    let Place::Sqlite(folder) = place else {
        return place.sql(
            "SELECT string_agg(version::text, ',') FROM schema_version UNION ALL SELECT string_agg(name, ',' ORDER BY \
             name) FROM (SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL \
             SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public') t",
        );
    };
    let sql = "SELECT group_concat(text, char(10)) FROM (SELECT coalesce(sql, name) AS text FROM sqlite_schema ORDER BY name)";
    let raw = Connection::open(file(folder.path())).unwrap();
    let version: i64 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let tables: String = raw.query_row(sql, [], |row| row.get(0)).unwrap();
    format!("{version} {tables}")
}

/// A step that is taken twice fails, as each makes something. A database that is empty and one that is old, several times:
/// who is first differs.
fn start_at_once(made: fn() -> Place) {
    let alone = made();
    alone.open().close_blocking();
    let expected = tables(&alone);
    for round in 0..6 {
        let place = made();
        match round % 3 {
            0 => {}
            1 => old(&place, 1),
            _ => old(&place, 4),
        }
        thread::scope(|scope| {
            for _ in 0..PROGRAMS {
                scope.spawn(|| place.open().close_blocking());
            }
        });
        assert_eq!(tables(&place), expected, "round {round}");
    }
}

#[test]
fn programs_that_start_at_once_bring_a_file_up_to_date_once() {
    start_at_once(Place::sqlite);
}

#[test]
fn replicas_that_start_at_once_make_the_tables_once() {
    start_at_once(Place::postgres);
}

/// A step over a large table takes longer than any request may, and another program waits for it.
#[test]
fn a_migration_of_a_file_has_all_the_time_it_needs() {
    let place = Place::sqlite();
    old(&place, 12);
    let Place::Sqlite(folder) = &place else { unreachable!() };
    let options = options(folder.path());
    let holder = Connection::open(&options.path).unwrap();
    // As at any start; so that reading is not held up.
    holder.pragma_update(None, "journal_mode", "wal").unwrap();
    holder.execute_batch("PRAGMA foreign_keys = 0; BEGIN IMMEDIATE").unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| told.send(SqlStore::sqlite(&options).map(|store| store.close_blocking())));
        let early = tells.recv_timeout(options.busy_timeout * 10);
        assert!(early.is_err(), "nobody waited: {early:?}");
        for step in STEPS.iter().skip(12) {
            holder.execute_batch(step).unwrap();
        }
        holder.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap()).unwrap();
        holder.execute_batch("COMMIT").unwrap();
        assert_eq!(tells.recv(), Ok(Ok(())));
    });
}

/// What hangs in the middle of it does not hold up the others for ever, and they say what they waited for. Who finds nothing
/// to do waits no longer than for any change.
#[test]
fn who_waits_in_vain_for_a_migration_says_so() {
    let limit = Duration::from_millis(300);
    let (place, current) = (Place::sqlite(), Place::sqlite());
    old(&place, 12);
    current.open().close_blocking();
    for (place, expected) in [(&place, StoreError::Migrating { limit }), (&current, StoreError::Busy)] {
        let Place::Sqlite(folder) = place else { unreachable!() };
        let options = SqliteOptions { migration_timeout: limit, ..options(folder.path()) };
        let holder = Connection::open(&options.path).unwrap();
        holder.execute_batch("PRAGMA journal_mode = wal; BEGIN IMMEDIATE").unwrap();
        assert_eq!(SqlStore::sqlite(&options).unwrap_err(), expected);
    }

    let place = Place::postgres();
    let Place::Postgres { url } = &place else { unreachable!() };
    let mut options = Place::options(url);
    options.migration_timeout = limit;
    let holder = Session::open(Arc::new(options.clone())).unwrap();
    holder.query("SELECT pg_advisory_lock(?)::text", &[&MIGRATION]).unwrap();
    assert_eq!(SqlStore::postgres(&options).unwrap_err(), StoreError::Migrating { limit });
    drop(holder);
    SqlStore::postgres(&options).unwrap().close_blocking();
}
