//! Rows of the audit trail that went with a database: the log has their leaves, and audits and exports go on.

use core::time::Duration;

use serde_json::Value;
use transparency::{Checkpoint, Leaf};

use super::log_tests::{audit, folder, keeper, key, log_all};
use super::restored_tests::{back_up, put_back, start, start_with};
use super::tests::Bench;
use crate::audit::EventKind;
use crate::failpoint::{Hook, Plant};
use crate::store::{EventQuery, NewEvent};
use crate::transparency_log::Source;
use crate::transparency_log::audit::{ExportError, FindingKind, export};

async fn add_events(bench: &Bench, count: usize) {
    for number in 0..count {
        let event = NewEvent::new(bench.issuance.now(), EventKind::Refused, format!("event {number}"));
        bench.issuance.store().add_event(event, Duration::ZERO).await.unwrap();
    }
}

fn published(bench: &Bench) -> u64 {
    let note = folder(bench).checkpoint().unwrap().unwrap();
    Checkpoint::open(&note, key(bench).verifier()).unwrap().size
}

/// The lines of an export.
async fn exported(bench: &Bench) -> Result<Vec<Value>, ExportError> {
    let (source, key, mut out) = (Source::Folder(folder(bench)), key(bench), Vec::new());
    let mut quiet = |_: &'static str, _: u64, _: u64| ();
    let store = bench.issuance.store().as_ref();
    let written = export(&source, key.verifier(), store, false, &mut out, &mut quiet).await?;
    let lines: Vec<Value> = out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len() as u64, written);
    // Each leaf of an event has its row, or is said to be lost.
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    let leaves = lines.iter().filter(|line| line["kind"] == "event" && line["type"] == "leaf").count();
    assert_eq!(of("event") + of("event-lost"), leaves);
    Ok(lines)
}

fn lost(lines: &[Value]) -> Vec<u64> {
    let lost = lines.iter().filter(|line| line["type"] == "event-lost");
    lost.map(|line| line["number"].as_u64().unwrap()).collect()
}

async fn restored_events(bench: &Bench) -> Vec<u64> {
    let query = EventQuery { kinds: vec![EventKind::DatabaseRestored], ..EventQuery::after(0, 10) };
    let events = bench.issuance.store().events(query).await.unwrap();
    events.into_iter().map(|event| event.number).collect()
}

#[tokio::test]
async fn an_export_names_the_rows_that_were_lost_with_a_database() {
    let mut bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    log_all(&bench).await;
    let backup = back_up(&bench);
    bench.enroll(&device).await.unwrap();
    add_events(&bench, 3).await;
    drop(put_back(&bench, backup).await);
    start(&mut bench).await.unwrap();
    // What was found waits, and is believed.
    assert_eq!(audit(&bench, None).await.0, []);
    assert_eq!(lost(&exported(&bench).await.unwrap()).len(), 4);
    bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await, (vec![], 0));
    let lines = exported(&bench).await.unwrap();
    let [restored] = restored_events(&bench).await[..] else { panic!("one event says it") };
    assert_eq!(lost(&lines), (restored - 4..restored).collect::<Vec<_>>());

    // A row that nobody lost.
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    raw.execute_batch("DROP TRIGGER IF EXISTS events_are_not_deleted; DELETE FROM events WHERE number = 1")
        .unwrap();
    let refused = exported(&bench).await.unwrap_err();
    assert!(matches!(refused, ExportError::Row { number: 1 }), "{refused}");
}

/// As after a failover to a standby that was behind: the servers run on, and write to the trail before they notice.
#[tokio::test]
async fn what_is_written_to_an_older_database_is_not_taken_for_what_was_lost() {
    let mut bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    log_all(&bench).await;
    let backup = back_up(&bench);
    add_events(&bench, 10).await;
    drop(put_back(&bench, backup).await);
    let size = published(&bench);
    start_with(&mut bench, Hook::default().with_plant(Plant::BelievesOldDatabase)).await.unwrap();
    // Two rows with numbers that the log has.
    bench.enroll(&device).await.unwrap();
    add_events(&bench, 1).await;
    let mut keeper = keeper(&bench, Hook::default());
    keeper.round().await.unwrap_err();
    assert!(restored_events(&bench).await[0] > size, "its number is that of a row which is lost");
    bench.issuance.store().close().await.unwrap();

    start(&mut bench).await.unwrap();
    assert_eq!(audit(&bench, None).await.0, []);
    exported(&bench).await.unwrap();
    bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await, (vec![], 0));
    assert!(!lost(&exported(&bench).await.unwrap()).is_empty());

    // A number that is given again later is not excused by what was lost then.
    let taken = lost(&exported(&bench).await.unwrap())[0];
    for number in [1, taken] {
        let leaf = Leaf::Event { at: 1, number, commitment: [7; 32] }.encode().unwrap();
        let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
        let sql = "INSERT INTO log_leaves (position, kind, event, leaf) \
                   VALUES ((SELECT max(position) + 1 FROM log_leaves), 'event', ?1, ?2)";
        raw.execute(sql, rusqlite::params![i64::try_from(number).unwrap(), leaf]).unwrap();
        log_all(&bench).await;
        let (findings, _) = audit(&bench, None).await;
        let subject = format!("event {number}");
        let found = |kind| findings.iter().any(|one| one.kind == kind && one.subject == subject);
        assert!(found(FindingKind::LeafTwice) && found(FindingKind::EventDiffers), "{findings:?}");
    }
    assert!(matches!(exported(&bench).await, Err(ExportError::NotGood)));
}

/// A fresh file has no number of an event yet.
#[tokio::test]
async fn a_database_that_is_lost_without_a_backup_leaves_a_log_that_can_be_verified() {
    let mut bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    log_all(&bench).await;
    bench.issuance.store().close().await.unwrap();
    std::fs::remove_file(&bench.config.files.store).unwrap();
    start(&mut bench).await.unwrap();
    assert_eq!(audit(&bench, None).await.0, []);
    bench.admin.accept_restored("there is no backup".to_owned()).await.unwrap();
    bench.admin.add_maker(&bench.maker.pem).await.unwrap();
    bench.renew(&identity).await.unwrap();
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await, (vec![], 0));
    let [restored] = restored_events(&bench).await[..] else { panic!("one event says it") };
    assert_eq!(lost(&exported(&bench).await.unwrap()), (1..restored).collect::<Vec<_>>());
}
