//! Brings the tables up to date, step by step, each step whole or not at all.

use core::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::database::{PostgresOptions, Row, Session, SqliteOptions, WRITERS};
use super::transfer::MOVED;
use crate::store::StoreError;

/// Every step there ever was for SQLite, in order. A step that was released is never edited: the next one corrects it.
pub(super) const STEPS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_groups.sql"),
    include_str!("migrations/0003_events.sql"),
    include_str!("migrations/0004_states.sql"),
    include_str!("migrations/0005_attestation_keys.sql"),
    include_str!("migrations/0006_appraisals.sql"),
    include_str!("migrations/0007_maker_crls.sql"),
    include_str!("migrations/0008_credentials.sql"),
    include_str!("migrations/0009_held.sql"),
    include_str!("migrations/0010_imports.sql"),
    include_str!("migrations/0011_webhooks.sql"),
    include_str!("migrations/0012_reference.sql"),
    include_str!("migrations/0013_issuers.sql"),
    include_str!("migrations/0014_log.sql"),
    include_str!("migrations/0015_revocation.sql"),
    include_str!("migrations/0016_via.sql"),
    include_str!("migrations/0017_wanted_renewals.sql"),
    include_str!("migrations/0018_profiles.sql"),
    include_str!("migrations/0019_rollover.sql"),
    include_str!("migrations/0020_counts.sql"),
    include_str!("migrations/0021_dashboard.sql"),
    include_str!("migrations/0022_certificates.sql"),
    include_str!("migrations/0023_history.sql"),
    include_str!("migrations/0024_standing.sql"),
    include_str!("migrations/0025_waiting.sql"),
    include_str!("migrations/0026_lists.sql"),
    include_str!("migrations/0027_pages.sql"),
    include_str!("migrations/0028_peers.sql"),
    include_str!("migrations/0029_tokens.sql"),
    include_str!("migrations/0030_intents.sql"),
    include_str!("migrations/0031_credentials.sql"),
];

/// Runs the steps the database has not seen. Programs that start at once do it once.
pub(super) fn sqlite(connection: &Connection, options: &SqliteOptions) -> Result<(), StoreError> {
    // A step may make a table anew that others refer to; inside a transaction this switch does nothing.
    connection.pragma_update(None, "foreign_keys", false)?;
    let migrated = run(connection, options);
    connection.pragma_update(None, "foreign_keys", true)?;
    migrated?;
    let sql = "SELECT text FROM notes WHERE name = ?";
    match connection.query_row(sql, [MOVED], |row| row.get(0)) {
        Ok(to) => Err(StoreError::Moved { to }),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn run(connection: &Connection, options: &SqliteOptions) -> Result<(), StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let transaction = begin(connection, options, known)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    if found == known {
        return Ok(());
    }
    for (number, step) in (1_i64..).zip(STEPS) {
        if number > found {
            transaction.execute_batch(step)?;
        }
    }
    if transaction.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Err(StoreError::Damaged { field: "reference to another table" });
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// Begins a transaction that is exclusive from the start, so that what it finds is still so when it changes it. Where the
/// database is old, whoever holds it brings it up to date, which takes its time.
fn begin<'c>(
    connection: &'c Connection,
    options: &SqliteOptions,
    known: i64,
) -> Result<Transaction<'c>, StoreError> {
    let begin =
        || Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(StoreError::from);
    match begin() {
        Err(StoreError::Busy) if version(connection)? < known => {}
        begun => return begun,
    }
    tracing::info!("{WAITS}");
    connection.busy_timeout(options.migration_timeout)?;
    let begun = begin();
    connection.busy_timeout(options.busy_timeout)?;
    begun.map_err(|error| waited(error, options.migration_timeout))
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// What is told while another program migrates.
const WAITS: &str = "waiting for another program that brings the database up to date";

/// What has been waited for in vain for so long.
fn waited(error: StoreError, limit: Duration) -> StoreError {
    match error {
        StoreError::Busy => StoreError::Migrating { limit },
        other => other,
    }
}

/// Every step for PostgreSQL, each with the version that it leads to, which is that of the same step for SQLite. The
/// first makes the tables as the steps before it left them there.
pub(super) const POSTGRES: &[(i64, &str)] = &[
    (19, include_str!("migrations/postgres/0019_initial.sql")),
    (20, include_str!("migrations/postgres/0020_counts.sql")),
    (21, include_str!("migrations/postgres/0021_dashboard.sql")),
    (22, include_str!("migrations/postgres/0022_certificates.sql")),
    // Both understand it.
    (23, include_str!("migrations/0023_history.sql")),
    (24, include_str!("migrations/0024_standing.sql")),
    (25, include_str!("migrations/0025_waiting.sql")),
    // Lists cost nothing here.
    (26, ""),
    (27, include_str!("migrations/postgres/0027_pages.sql")),
    (28, include_str!("migrations/postgres/0028_peers.sql")),
    (29, include_str!("migrations/0029_tokens.sql")),
    (30, include_str!("migrations/postgres/0030_intents.sql")),
    (31, include_str!("migrations/0031_credentials.sql")),
];

/// The lock under which one process migrates: another than that of writers, which wait for nothing at a start.
pub(super) const MIGRATION: i64 = WRITERS + 1;

/// Runs the steps that the database on PostgreSQL has not seen, all in one transaction. Replicas that start at once do
/// it once.
pub(super) fn postgres(session: &Session, options: &PostgresOptions) -> Result<(), StoreError> {
    session.begin_plain()?;
    // A step over a large table takes its time, and another server waits for it.
    let done = session.unhurried(|| {
        alone(session, options.migration_timeout)?;
        run_postgres(session)
    });
    session.control(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    let ended = session.settle();
    done.and(ended)
}

/// Takes the lock of migrations, until the transaction ends.
fn alone(session: &Session, limit: Duration) -> Result<(), StoreError> {
    let rows = session.query("SELECT pg_try_advisory_xact_lock(?)::int::bigint", &[&MIGRATION])?;
    if rows.first().is_some_and(|row| Row::Postgres(row).get(0) == Ok(true)) {
        return Ok(());
    }
    tracing::info!("{WAITS}");
    session.batch(&format!("SET LOCAL lock_timeout = {}", limit.as_millis()))?;
    let locked = session.query("SELECT pg_advisory_xact_lock(?)::text", &[&MIGRATION]);
    locked.map_err(|error| waited(error, limit))?;
    // The steps themselves wait for what requests hold.
    session.batch("SET LOCAL lock_timeout = 0")
}

fn run_postgres(session: &Session) -> Result<(), StoreError> {
    // Looked for first: even where the table is there, CREATE wants the right to make one, which a role has to have for a
    // new version only.
    if session.query("SELECT 1 WHERE to_regclass('schema_version') IS NOT NULL", &[])?.is_empty() {
        session.batch("CREATE TABLE schema_version (version BIGINT NOT NULL)")?;
    }
    let rows = session.query("SELECT coalesce(max(version), 0) FROM schema_version", &[])?;
    let found: i64 = match rows.first() {
        Some(row) => Row::Postgres(row).get(0)?,
        None => 0,
    };
    let known = POSTGRES.last().map_or(0, |(version, _)| *version);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    if found == known {
        return Ok(());
    }
    for (version, step) in POSTGRES {
        if *version > found {
            session.batch(step)?;
        }
    }
    session.batch("DELETE FROM schema_version")?;
    session.execute("INSERT INTO schema_version (version) VALUES (?)", &[&known]).map(drop)
}
