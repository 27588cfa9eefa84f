//! What only a store on PostgreSQL has: a server that goes away and comes back, that would lose what it has called
//! durable, or that another replica holds; and tables that are those of SQLite.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use postgres_server::PostgresServer;
use shared::UnixTime;

use super::SqlStore;
use super::places::{Place, entry};
use crate::audit::EventKind;
use crate::outgoing::Anchors;
use crate::store::database::params;
use crate::store::migrate::MIGRATION;
use crate::store::{EventQuery, InventoryEntry, NewEvent, Store as _, StoreError};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn columns(rows: &str) -> BTreeSet<String> {
    rows.lines().map(str::to_owned).collect()
}

/// A step over a large table takes longer than any request may, and another server waits for it.
#[test]
fn a_migration_has_all_the_time_it_needs() {
    let place = Place::postgres();
    let Place::Postgres { url } = &place else { unreachable!() };
    let mut options = Place::options(url);
    options.statement_timeout = Duration::from_millis(100);
    let held = Place::Postgres { url: url.clone() };
    let sql = format!("SELECT pg_advisory_lock({MIGRATION}); SELECT pg_sleep(8)");
    let holder = std::thread::spawn(move || held.sql(&sql));
    let is_held = || place.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").trim() == "1";
    assert!((0..500).any(|_| is_held()), "nobody holds the lock");
    SqlStore::postgres(&options).unwrap().close_blocking();
    holder.join().unwrap();
}

/// A step of the schema has to be written for both databases.
#[test]
fn both_databases_have_the_same_tables_and_columns() {
    let (file, place) = (Place::sqlite(), Place::postgres());
    file.open().close_blocking();
    place.open().close_blocking();
    let Place::Sqlite(folder) = &file else { unreachable!() };
    let raw = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
    let sql = "SELECT t.name || '.' || c.name || ' ' || lower(c.type) || ' ' \
               || (c.\"notnull\" OR (c.pk > 0 AND lower(c.type) = 'integer')) \
               FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' \
               AND t.name NOT LIKE 'sqlite_%'";
    let mut query = raw.prepare(sql).unwrap();
    let sqlite: BTreeSet<String> =
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let sql = "SELECT table_name || '.' || column_name || ' ' \
               || CASE data_type WHEN 'bigint' THEN 'integer' WHEN 'bytea' THEN 'blob' ELSE data_type END || ' ' \
               || CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END \
               FROM information_schema.columns WHERE table_schema = 'public' \
               AND table_name NOT IN ('sequences', 'schema_version')";
    let postgres = columns(&place.sql(sql));
    assert!(sqlite.len() > 150, "{}", sqlite.len());
    let differ: Vec<_> = sqlite.symmetric_difference(&postgres).collect();
    assert!(differ.is_empty(), "{differ:?}");

    let indexes =
        "SELECT name FROM sqlite_schema WHERE type IN ('index', 'trigger') AND name NOT LIKE 'sqlite_%'";
    let mut query = raw.prepare(indexes).unwrap();
    let sqlite: BTreeSet<String> =
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let postgres = columns(&place.sql(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' UNION \
         SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    ));
    let missing: Vec<_> = sqlite.difference(&postgres).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Texts are ordered by their bytes, whatever the database's own order is.
    let other = place.sql(
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' \
         AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'",
    );
    assert_eq!(other, "");
    // And the version is that of the same step.
    let version: i64 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(place.sql("SELECT version FROM schema_version"), version.to_string());
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let place = Place::postgres();
    place.open().close_blocking();
    place.sql("UPDATE schema_version SET version = 99");
    let Place::Postgres { url } = &place else { unreachable!() };
    let error = SqlStore::postgres(&Place::options(url)).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error:?}");
}

/// After the first start a role that changes rows and nothing else does, as the book says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_make_no_tables_serves_what_is_there() {
    let place = Place::postgres();
    place.open().close().await.unwrap();
    place.sql(
        "DO $$ DECLARE made RECORD; BEGIN \
         EXECUTE format('ALTER DATABASE %I OWNER TO super', current_database()); \
         EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, enroll', current_database()); \
         EXECUTE format('GRANT CONNECT ON DATABASE %I TO enroll', current_database()); \
         FOR made IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP \
           EXECUTE format('ALTER TABLE %I OWNER TO super', made.relname); \
           EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, enroll', made.relname); \
           EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO enroll', made.relname); \
         END LOOP; \
         FOR made IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP \
           EXECUTE format('ALTER FUNCTION %s OWNER TO super', made.name); \
         END LOOP; \
         REVOKE ALL ON SCHEMA public FROM PUBLIC, enroll; \
         GRANT USAGE ON SCHEMA public TO enroll; END $$",
    );
    let may = "SELECT has_schema_privilege('enroll', 'public', 'CREATE') \
               OR has_database_privilege('enroll', current_database(), 'TEMPORARY') \
               OR has_table_privilege('enroll', 'devices', 'TRUNCATE')";
    assert_eq!(place.sql(may), "f");

    let store = place.open();
    store.import(vec![entry(1)], NOW).await.unwrap();
    store.add_event(NewEvent::new(NOW, EventKind::Imported, "x"), Duration::ZERO).await.unwrap();
    assert!(store.device(&entry(1).device).await.unwrap().is_some());
    assert_eq!(store.next_crl_number().await.unwrap(), 1);
    assert_eq!(store.counts().await.unwrap().devices.len(), 1);
    store.probe().await.unwrap();
    store.close().await.unwrap();
}

#[test]
fn what_is_not_durable_is_refused() {
    let place = Place::postgres();
    let Place::Postgres { url } = &place else { unreachable!() };
    let name = url.rsplit('=').next().unwrap();
    for weak in ["off", "local", "remote_write"] {
        place.sql(&format!("ALTER DATABASE {name} SET synchronous_commit = '{weak}'"));
        let error = SqlStore::postgres(&Place::options(url)).unwrap_err();
        assert!(
            matches!(error, StoreError::Unfit { setting: "synchronous_commit", .. }),
            "{weak}: {error:?}"
        );
    }
    place.sql(&format!("ALTER DATABASE {name} RESET synchronous_commit"));
    place.open().close_blocking();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_for_the_other_replicas_is_told_so() {
    let place = Place::postgres();
    let Place::Postgres { url } = &place else { unreachable!() };
    let mut options = Place::options(url);
    options.lock_timeout = Duration::from_millis(300);
    let (one, other) = (place.open(), SqlStore::postgres(&options).unwrap());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, mut began) = tokio::sync::mpsc::unbounded_channel();
    let holder = tokio::spawn(async move {
        let hold = one.write(move |_| {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            Ok(())
        });
        hold.await
    });
    began.recv().await.unwrap();
    assert_eq!(other.import(vec![entry(1)], NOW).await, Err(StoreError::Busy));
    assert_eq!(other.counts().await.unwrap().devices, [], "reading goes on");
    go.send(()).unwrap();
    holder.await.unwrap().unwrap();
    other.import(vec![entry(1)], NOW).await.unwrap();
}

/// Two replicas write at once: numbers, places in the log and the order in which rows appear stay without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_write_at_once_leave_no_gap() {
    let place = Place::postgres();
    let stores = [Arc::new(place.open()), Arc::new(place.open())];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = Arc::clone(&stores[number % 2]);
        tasks.spawn(async move {
            let broken = number % 7 == 0;
            let change = store.write(move |c| {
                super::import::row(c, &entry(number), NOW)?;
                super::events::add(c, &NewEvent::new(NOW, EventKind::Imported, "x"))?;
                if broken { Err(StoreError::Busy) } else { Ok(()) }
            });
            assert_eq!(change.await.is_err(), broken);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let done = (0..200).filter(|number| number % 7 != 0).count();
    let counted = "SELECT count(*) || ' ' || min(number) || ' ' || max(number) FROM events";
    assert_eq!(place.sql(counted), format!("{done} 1 {done}"));
    let counted = "SELECT count(*) || ' ' || min(position) || ' ' || max(position) FROM log_leaves";
    assert_eq!(place.sql(counted), format!("{done} 0 {}", done - 1));
}

/// What a change has read holds until it is committed, whoever else writes. The plant shows that this is the lock's doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_change_has_read_holds_until_it_is_committed() {
    for (without_lock, expected) in [(false, 1), (true, 2)] {
        let place = Place::postgres();
        let Place::Postgres { url } = &place else { unreachable!() };
        let mut options = Place::options(url);
        options.without_lock = without_lock;
        let stores = [SqlStore::postgres(&options).unwrap(), SqlStore::postgres(&options).unwrap()];
        // Both are there before one of them goes on, as long as nothing keeps them apart.
        let meeting = Arc::new(std::sync::Mutex::new(0));
        let changes = stores.iter().enumerate().map(|(number, store)| {
            let meeting = Arc::clone(&meeting);
            store.write(move |c| {
                let mut query = c.prepare_cached("SELECT count(*) FROM devices")?;
                let devices: i64 = query.query_row(params![], |row| row.get(0))?;
                *meeting.lock().unwrap() += 1;
                for _ in 0..20 {
                    if *meeting.lock().unwrap() == 2 {
                        break;
                    }
                    c.prepare_cached("SELECT pg_sleep(0.01)::text")?.exists(params![])?;
                }
                if devices == 0 { super::import::row(c, &entry(number), NOW).map(drop) } else { Ok(()) }
            })
        });
        let mut changes: Vec<_> = changes.collect();
        let (other, one) = (changes.pop().unwrap(), changes.pop().unwrap());
        let (one, other) = tokio::join!(one, other);
        one.and(other).unwrap();
        assert_eq!(place.sql("SELECT count(*) FROM devices"), expected.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_away_is_used_again_and_what_was_answered_is_there() {
    let server = PostgresServer::start().unwrap();
    let store = SqlStore::postgres(&Place::options(&server.database().unwrap())).unwrap();
    store.import(vec![entry(1)], NOW).await.unwrap();
    for (round, crash) in [(0, true), (1, false)] {
        if crash { server.crash() } else { server.stop() }.unwrap();
        let away = store.import(vec![entry(9)], NOW).await.unwrap_err();
        assert!(matches!(away, StoreError::Unreachable(_) | StoreError::Failed(_)), "{away:?}");
        assert!(store.counts().await.is_err());
        server.begin_again().unwrap();
        let mut tries = 0;
        while store.import(vec![entry(10 + round)], NOW).await.is_err() {
            tries += 1;
            assert!(tries < 100, "the server is there, and is not used");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while store.counts().await.is_err() {
            tries += 1;
            assert!(tries < 200, "the server is there, and is not used");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let there = store.device(&entry(1).device).await.unwrap();
        assert!(there.is_some());
        assert!(store.device(&entry(9).device).await.unwrap().is_none(), "it was never said to be there");
    }
    store.close().await.unwrap();
}

/// What a device says of itself may hold what PostgreSQL does not take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_with_nul_is_recorded_all_the_same() {
    let place = Place::postgres();
    let store = place.open();
    let entry = InventoryEntry { model: Some("a\0b".into()), ..entry(1) };
    store.import(vec![entry.clone()], NOW).await.unwrap();
    let found = store.device(&entry.device).await.unwrap().unwrap();
    assert_eq!(found.model.as_deref(), Some("a\u{fffd}b"));
}

/// Over a network the database has to show a certificate for its name, by a CA that is believed.
#[test]
fn the_database_is_believed_by_its_certificate_only() {
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = made("localhost");
    let server = PostgresServer::start_with_tls(&certificate, &key).unwrap();
    server.database().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let anchors = |pem: &str| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        Anchors::File(path)
    };
    let mut options = Place::options(&server.address_by_tls("d0", "localhost").unwrap());
    options.anchors = anchors(&made("localhost").0);
    let stranger = SqlStore::postgres(&options).unwrap_err();
    assert!(matches!(stranger, StoreError::Unreachable(_)), "{stranger:?}");
    let mut by_address = Place::options(&server.address_by_tls("d0", "127.0.0.1").unwrap());
    by_address.anchors = anchors(&certificate);
    let other_name = SqlStore::postgres(&by_address).unwrap_err();
    assert!(matches!(other_name, StoreError::Unreachable(_)), "{other_name:?}");
    options.anchors = anchors(&certificate);
    let store = SqlStore::postgres(&options).unwrap();
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'enroll' AND NOT ssl";
    assert_eq!(server.sql("d0", sql).unwrap(), "0");
    store.close_blocking();
}

/// A connection that ends between two changes costs nobody an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_ends_is_made_anew() {
    let place = Place::postgres();
    let store = place.open();
    for number in 0..3 {
        place.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
             WHERE usename = 'enroll' AND datname = current_database()",
        );
        store.import(vec![entry(number)], NOW).await.unwrap();
        assert_eq!(store.events(EventQuery::last(10)).await.unwrap().len(), number + 1);
    }
}
