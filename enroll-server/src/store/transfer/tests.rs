use core::time::Duration;

use shared::UnixTime;

use super::{TransferError, transfer};
use crate::audit::EventKind;
use crate::store::{
    EventQuery, LogStore as _, NewEvent, Outbox as _, Place, SqlStore, SqliteOptions, Store as _, StoreError,
    entry,
};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// A file with something in every kind of table that a store of a test has.
fn filled_file() -> Place {
    let file = Place::sqlite();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = file.open();
        store.import((0..1_200).map(entry).collect(), NOW).await.unwrap();
        for number in 0..3 {
            let detail = format!("\u{e4} {number}");
            store.add_event(NewEvent::new(NOW, EventKind::Imported, detail), Duration::ZERO).await.unwrap();
        }
        store.next_crl_number().await.unwrap();
        store.open_webhook("alarms".into()).await.unwrap();
        store.close().await.unwrap();
    });
    file
}

#[test]
fn a_store_is_moved_whole_and_its_file_takes_nothing_new() {
    let (file, place) = (filled_file(), Place::postgres());
    let (Place::Sqlite(folder), Place::Postgres { url }) = (&file, &place) else { unreachable!() };
    let path = folder.path().join("s.sqlite");
    let from = SqliteOptions::new(&path);
    let looked = transfer(&from, Place::options(url), true, &mut |_| {}).unwrap();
    assert_eq!(place.sql("SELECT count(*) FROM devices"), "0", "a look changes nothing");
    let mut last = None;
    let moved = transfer(&from, Place::options(url), false, &mut |progress| last = Some(progress)).unwrap();
    assert_eq!(moved.tables, looked.tables);
    let last = last.unwrap();
    assert_eq!((last.done, last.of > 2_000), (last.of, true));
    assert_eq!(place.sql("SELECT count(*) FROM devices"), "1200");

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = place.open();
        let events = store.events(EventQuery::last(1)).await.unwrap();
        assert_eq!((events[0].number, events[0].detail.as_str()), (4, "\u{e4} 2"));
        assert_eq!(store.log_head().await.unwrap().leaves, 4);
        assert_eq!(store.waiting_leaves(0, 10).await.unwrap().len(), 4);
        assert_eq!(store.next_crl_number().await.unwrap(), 2, "numbers go on");
        store.add_event(NewEvent::new(NOW, EventKind::Imported, "y"), Duration::ZERO).await.unwrap();
        assert_eq!(store.events(EventQuery::last(1)).await.unwrap()[0].number, 5);
        store.close().await.unwrap();
    });

    // A second truth cannot come about: neither here nor there.
    let again = transfer(&from, Place::options(url), false, &mut |_| {}).unwrap_err();
    assert!(matches!(again, TransferError::Source(StoreError::Moved { .. })), "{again:?}");
    assert!(matches!(SqlStore::sqlite(&from), Err(StoreError::Moved { .. })));
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("INSERT INTO events (at, kind, detail) VALUES (1, 'x', 'y')", []).unwrap_err();
    let other = filled_file();
    let Place::Sqlite(folder) = &other else { unreachable!() };
    let from = SqliteOptions::new(&folder.path().join("s.sqlite"));
    let full = transfer(&from, Place::options(url), false, &mut |_| {}).unwrap_err();
    assert!(matches!(full, TransferError::NotEmpty { table: "devices" }), "{full:?}");
    other.open().close_blocking();
}

/// The planted fault: the file's disk is full when it is to say that it was moved. Two databases in use would be two truths.
#[test]
fn a_file_that_cannot_be_marked_is_not_moved() {
    let (file, place) = (filled_file(), Place::postgres());
    let (Place::Sqlite(folder), Place::Postgres { url }) = (&file, &place) else { unreachable!() };
    place.open().close_blocking();
    file.sql(
        "CREATE TRIGGER full BEFORE INSERT ON notes WHEN NEW.name = 'moved' \
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    );
    let from = SqliteOptions::new(&folder.path().join("s.sqlite"));
    let error = transfer(&from, Place::options(url), false, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TransferError::Mark(_)), "{error:?}");
    assert_eq!(place.sql("SELECT count(*) FROM devices"), "0");
    file.sql("DROP TRIGGER full");
    file.open().close_blocking();
    transfer(&from, Place::options(url), false, &mut |_| {}).unwrap();
}

/// What an operator waits for takes as long as it does: here another session's lock, as it could be the order of a large table.
#[test]
fn a_move_has_all_the_time_it_needs() {
    let (file, place) = (filled_file(), Place::postgres());
    let (Place::Sqlite(folder), Place::Postgres { url }) = (&file, &place) else { unreachable!() };
    place.open().close_blocking();
    let mut options = Place::options(url);
    options.lock_timeout = Duration::from_millis(200);
    let from = SqliteOptions::new(&folder.path().join("s.sqlite"));
    let moved = std::thread::scope(|scope| {
        let holder =
            scope.spawn(|| place.sql("BEGIN; LOCK TABLE events IN SHARE MODE; SELECT pg_sleep(3); COMMIT"));
        let locked =
            "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND relation = 'events'::regclass";
        while place.sql(locked) == "0" {
            assert!(!holder.is_finished(), "it held no lock");
        }
        let moved = transfer(&from, options, false, &mut |_| {});
        holder.join().unwrap();
        moved
    });
    moved.unwrap();
    assert_eq!(place.sql("SELECT count(*) FROM events"), "4");
}

/// While rows of the file are counted PostgreSQL has nothing to do, which it allows a session for so long only.
#[test]
fn a_count_that_takes_long_does_not_end_the_session_of_the_target() {
    let (file, place) = (filled_file(), Place::postgres());
    let (Place::Sqlite(folder), Place::Postgres { url }) = (&file, &place) else { unreachable!() };
    place.open().close_blocking();
    // Counted row by row, for a second or so.
    let rows = 5_000_000;
    file.sql(&format!(
        "DROP TABLE imports; CREATE VIEW imports AS \
         WITH RECURSIVE rows(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows LIMIT {rows}) SELECT n FROM rows"
    ));
    let mut options = Place::options(url);
    options.statement_timeout = Duration::from_millis(200);
    let from = SqliteOptions::new(&folder.path().join("s.sqlite"));
    let looked = transfer(&from, options, true, &mut |_| {}).unwrap();
    let counted = looked.tables.iter().find(|counted| counted.table == "imports").unwrap();
    assert_eq!(counted.rows, rows);
}

/// The planted bug: a database that changes what is written is found out, and has nothing afterwards.
#[test]
fn what_is_not_read_back_as_it_was_is_not_moved() {
    let (file, place) = (filled_file(), Place::postgres());
    let (Place::Sqlite(folder), Place::Postgres { url }) = (&file, &place) else { unreachable!() };
    place.open().close_blocking();
    place.sql(
        "CREATE RULE plant AS ON INSERT TO devices WHERE NEW.device = 'SN-777' \
         DO ALSO UPDATE devices SET added = added + 1 WHERE device = 'SN-777'",
    );
    let from = SqliteOptions::new(&folder.path().join("s.sqlite"));
    let error = transfer(&from, Place::options(url), false, &mut |_| {}).unwrap_err();
    assert!(matches!(&error, TransferError::Differs { table } if table == "devices"), "{error:?}");
    assert_eq!(place.sql("SELECT count(*) FROM devices"), "0");
    file.open().close_blocking();
}
