//! The store by itself: versions, groups, and a database that is full, locked or damaged.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use shared::{DeviceId, UnixTime};

use super::{SqlStore, SqliteOptions};
use crate::audit::EventKind;
use crate::store::database::params;
use crate::store::{
    DeviceFilter, EventQuery, InventoryEntry, LogStore as _, NewEvent, Page, Store as _, StoreError,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(
    what_was_written_is_there_after_a_new_start,
    changes_are_committed_in_groups_and_a_bad_one_spoils_nobody_elses,
    events_are_never_changed_and_not_repeated_while_it_is_quiet,
    an_import_completes_and_never_overwrites,
    numbers_of_events_that_a_log_has_are_passed_over,
    numbers_of_revocation_lists_are_given_once,
    a_store_says_what_it_is_and_what_it_did
);

fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions { busy_timeout: Duration::from_millis(100), ..SqliteOptions::new(&folder.join("s.sqlite")) }
}

fn entry(number: usize) -> InventoryEntry {
    let device = DeviceId::new(&format!("SN-{number}")).unwrap();
    InventoryEntry {
        device,
        model: Some("sensor-a".into()),
        idevid_sha256: None,
        group: None,
        tags: Vec::new(),
    }
}

async fn count(store: &SqlStore) -> usize {
    let counts = store.counts().await.unwrap();
    counts.devices.iter().map(|(_, count)| usize::try_from(*count).unwrap()).sum()
}

async fn what_was_written_is_there_after_a_new_start(place: Place) {
    let store = place.open();
    store.import(vec![entry(1)], NOW).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.devices(DeviceFilter::default(), Page::first(1)).await, Err(StoreError::Closed));
    assert_eq!(store.probe().await, Err(StoreError::Closed));
    if let Place::Sqlite(folder) = &place {
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "the log was folded into the database: {names:?}");
    }
    let store = place.open();
    assert_eq!(count(&store).await, 1);
    assert_eq!(store.events(EventQuery::last(10)).await.unwrap().len(), 1);
}

async fn numbers_of_events_that_a_log_has_are_passed_over(place: Place) {
    let store = place.open();
    let mut numbers = Vec::new();
    // Before the first row too, and never back.
    for last in [7, 3, 9] {
        store.pass_over_events(last).await.unwrap();
        store.add_event(NewEvent::new(NOW, EventKind::Refused, ""), Duration::ZERO).await.unwrap();
        numbers.push(store.events(EventQuery::last(1)).await.unwrap()[0].number);
    }
    assert_eq!(numbers, [8, 9, 10]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    SqlStore::sqlite(&options(folder.path())).unwrap().close_blocking();
    let raw = Connection::open(folder.path().join("s.sqlite")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = SqlStore::sqlite(&options(folder.path())).unwrap_err();
    let known = i64::try_from(crate::store::migrate::STEPS.len()).unwrap();
    assert_eq!(error, StoreError::TooNew { found: 99, known });
}

#[tokio::test]
async fn the_database_is_synced_at_every_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqlStore::sqlite(&options(folder.path())).unwrap();
    let pragmas = store.write(|c| {
        let synchronous: i64 = c.raw().pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let mode: String = c.raw().pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok((synchronous, mode))
    });
    assert_eq!(pragmas.await.unwrap(), (2, "wal".to_owned()), "FULL is 2");
}

async fn changes_are_committed_in_groups_and_a_bad_one_spoils_nobody_elses(place: Place) {
    let store = Arc::new(place.open());
    // Holds the writer until all are queued.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let blocked = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let hold = store.write(move |_| {
                // Run again where one of its group fails.
                let _opened = wait.recv().is_err();
                Ok(())
            });
            hold.await
        })
    };
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..300 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            if number % 10 == 0 {
                let broken = store.write::<(), _>(|c| {
                    c.execute("INSERT INTO events (at, kind, detail) VALUES (0, 'x', 'x')", params![])?;
                    c.execute("INSERT INTO no_such_table VALUES (1)", params![])?;
                    Ok(())
                });
                assert!(matches!(broken.await, Err(StoreError::Failed(_))));
            } else {
                store.import(vec![entry(number)], NOW).await.unwrap();
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = store.commits();
    drop(go);
    blocked.await.unwrap().unwrap();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(count(&store).await, 270);
    assert_eq!(
        store.events(EventQuery::last(1_000)).await.unwrap().len(),
        270,
        "a change that failed left an event"
    );
    let commits = store.commits() - before;
    assert!(commits < 20, "{commits} commits for 301 changes");
}

#[tokio::test]
async fn a_locked_database_is_busy_and_works_again_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqlStore::sqlite(&options(folder.path())).unwrap();
    let other = Connection::open(folder.path().join("s.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.import(vec![entry(1)], NOW).await, Err(StoreError::Busy));
    assert_eq!(count(&store).await, 0, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.import(vec![entry(1)], NOW).await.unwrap();
}

#[tokio::test]
async fn a_full_database_says_so_keeps_what_it_has_and_works_again_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqlStore::sqlite(&options(folder.path())).unwrap();
    let limit = |pages: i64| {
        store.write(move |c| {
            let set: i64 =
                c.raw().query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0))?;
            Ok(set)
        })
    };
    let pages = limit(1).await.unwrap();
    let mut added = 0;
    let full = loop {
        let entries = (added..added + 50).map(entry).collect();
        match store.import(entries, NOW).await {
            Ok(_) => added += 50,
            Err(error) => break error,
        }
        assert!(added < 100_000, "never full");
    };
    assert_eq!(full, StoreError::Full);
    assert_eq!(count(&store).await, added, "all or nothing");
    limit(pages + 1_000).await.unwrap();
    store.import((added..added + 50).map(entry).collect(), NOW).await.unwrap();
    assert_eq!(count(&store).await, added + 50);
}

async fn events_are_never_changed_and_not_repeated_while_it_is_quiet(place: Place) {
    let store = place.open();
    let device = DeviceId::new("SN-1").unwrap();
    let event = |at: UnixTime| NewEvent::new(at, EventKind::CloneSuspected, "x").about(&device);
    let hour = Duration::from_secs(3_600);
    for at in [NOW, NOW, NOW.after(hour / 2), NOW.after(hour * 2)] {
        store.add_event(event(at), hour).await.unwrap();
    }
    assert_eq!(store.events(EventQuery::last(10)).await.unwrap().len(), 2);
    for sql in ["UPDATE events SET detail = 'y'", "DELETE FROM events"] {
        let changed = store.write(move |c| c.execute(sql, params![])).await;
        assert!(matches!(changed, Err(StoreError::Failed(_))), "{sql}: {changed:?}");
    }
}

async fn an_import_completes_and_never_overwrites(place: Place) {
    let store = place.open();
    let bare = InventoryEntry { model: None, ..entry(1) };
    let with = |key| InventoryEntry { idevid_sha256: Some([key; 32]), ..entry(1) };
    let first = store.import(vec![bare, entry(2)], NOW).await.unwrap();
    assert_eq!((first.added, first.completed), (2, 0));
    let second = store.import(vec![with(1), entry(2)], NOW).await.unwrap();
    assert_eq!((second.completed, second.unchanged), (1, 1));
    let other_key = store.import(vec![with(2)], NOW).await.unwrap();
    assert_eq!(other_key.conflicting, ["SN-1"]);
    let same_key = InventoryEntry { idevid_sha256: Some([1; 32]), ..entry(3) };
    assert_eq!(store.import(vec![same_key], NOW).await.unwrap().conflicting, ["SN-3"]);
    let device = store.device(&DeviceId::new("SN-1").unwrap()).await.unwrap().unwrap();
    assert_eq!(device.idevid_sha256, Some([1; 32]));
}

async fn numbers_of_revocation_lists_are_given_once(place: Place) {
    let store = place.open();
    assert_eq!(store.next_crl_number().await, Ok(1));
    store.close().await.unwrap();
    let store = place.open();
    assert_eq!(store.next_crl_number().await, Ok(2));
}

async fn a_store_says_what_it_is_and_what_it_did(place: Place) {
    let store = place.open();
    assert_eq!(store.is_shared(), matches!(place, Place::Postgres { .. }));
    let before = store.commits();
    for hash in [1_u8, 1, 2] {
        store.add_issuers(vec![([hash; 32], vec![0x30, hash])], NOW).await.unwrap();
    }
    assert_eq!(store.commits(), before + 2, "what was known is not written again");
    let both =
        store.add_issuers(vec![([1; 32], vec![0x30, 1]), ([2; 32], vec![0x30, 2])], NOW).await.unwrap();
    let numbers: Vec<_> = both.iter().map(|issuer| (issuer.number.get(), issuer.sha256)).collect();
    assert_eq!(numbers, [(1, [1; 32]), (2, [2; 32])]);
}
