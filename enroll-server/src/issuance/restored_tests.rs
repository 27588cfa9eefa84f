//! A database from a backup is put in place: what a start brings in, from the log and the lists that are out.

use std::path::PathBuf;
use std::sync::Arc;

use super::log_tests::log_all;
use super::tests::Bench;
use super::{Issuance, signing};
use crate::audit::EventKind;
use crate::clock::Clock;
use crate::failpoint::Hook;
use crate::startup::{self, StartError};
use crate::store::{EventQuery, copy_database};

/// A copy of the database as it is.
fn back_up(bench: &Bench) -> PathBuf {
    let backup = bench.config.files.store.with_extension("backup");
    copy_database(&bench.config.files.store, &backup).unwrap();
    backup
}

/// Puts the copy in place; the log has what happened since.
async fn put_back(bench: &Bench, backup: PathBuf) -> rusqlite::Connection {
    log_all(bench).await;
    bench.issuance.store().close().await.unwrap();
    std::fs::copy(backup, &bench.config.files.store).unwrap();
    rusqlite::Connection::open(&bench.config.files.store).unwrap()
}

async fn start(bench: &Bench) -> Result<Issuance, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(bench.clock.clone());
    Ok(startup::open(&bench.config, &clock, Hook::default()).await?.issuance)
}

/// The disk is full, or the connection is gone, when the note or the event is written: the next start has to find the database
/// as old as it was.
#[tokio::test]
async fn a_start_that_dies_over_an_old_database_is_asked_again() {
    for table in ["notes", "events"] {
        let bench = Bench::new("").await;
        let device = bench.device("SN-1").await;
        let backup = back_up(&bench);
        bench.enroll(&device).await.unwrap();
        let database = put_back(&bench, backup).await;
        let trigger = format!(
            "CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        );
        database.execute_batch(&trigger).unwrap();
        assert!(start(&bench).await.is_err(), "{table}");
        database.execute_batch("DROP TRIGGER full").unwrap();
        let issuance = start(&bench).await.unwrap();
        let store = issuance.store().as_ref();
        let why = signing::stopped(store).await.unwrap().expect(table);
        assert!(why.contains("1 certificates, 0 revocations; lost are the rows"), "{why}");
        let query = EventQuery { kinds: vec![EventKind::DatabaseRestored], ..EventQuery::last(10) };
        let told = store.events(query).await.unwrap();
        assert_eq!(told.into_iter().map(|event| event.detail).collect::<Vec<_>>(), [why], "{table}");
    }
}
