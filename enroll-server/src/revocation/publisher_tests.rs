//! What becomes of a list when the operator's command does not do its part, or the database forgets.

use core::time::Duration;
use std::sync::Arc;

use ca::crl::Reason;
use tokio::time::Instant;

use super::PublishError;
use crate::audit::EventKind;
use crate::clock::{Clock, SystemClock};
use crate::failpoint::Hook;
use crate::in_force::InForce;
use crate::issuance::signing;
use crate::issuance::tests::{Bench, new_server, publisher};
use crate::rollover::Lineup;
use crate::startup;
use crate::store::{Action, EventQuery};

/// Brokers that were not told of a revocation are told before the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_failed_is_run_again_and_one_that_did_its_work_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = new_server(folder.path(), "");
    let (gate, told) = (folder.path().join("gate"), folder.path().join("told"));
    let script = format!("test -e {} && echo told >> {}", gate.display(), told.display());
    config.crl.hook = vec!["/bin/sh".into(), "-c".into(), script];
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let issuance = startup::open(&config, &clock, Hook::default()).await.unwrap().issuance;
    let mut publisher = publisher(&config, &issuance);

    assert!(publisher.publish_if_due().await.unwrap(), "the list is out all the same");
    let times = || std::fs::read_to_string(&told).unwrap_or_default().lines().count();
    assert_eq!(times(), 0);
    std::fs::write(&gate, "").unwrap();
    assert!(!publisher.publish_if_due().await.unwrap());
    assert_eq!(times(), 0, "not without pause");
    for again in [1, 1] {
        publisher.hook_again = publisher.hook_again.map(|_| Instant::now());
        assert!(!publisher.publish_if_due().await.unwrap());
        assert_eq!(times(), again);
    }
}

/// PostgreSQL can be put back to an older state under servers that run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_database_under_a_server_that_runs_stops_signing_and_takes_nothing_off_the_list() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    bench.admin.act_on(&device.id, Action::Revoke(Reason::KeyCompromise)).await.unwrap();
    let mut publisher = publisher(&bench.config, &bench.issuance);
    publisher.publish_if_due().await.unwrap();
    let out = publisher.subscribe();
    let before = out.borrow().clone();
    assert_eq!(before.len(), 1);

    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    raw.execute_batch(
        "UPDATE certificates SET state = 'issued', revoked = NULL, reason = NULL; DELETE FROM revocation_changes; \
         UPDATE sqlite_sequence SET seq = 0 WHERE name = 'revocation_changes'",
    )
    .unwrap();
    for _ in 0..2 {
        let error = publisher.publish_if_due().await.unwrap_err();
        assert!(matches!(error, PublishError::DatabaseOlder), "{error}");
    }
    assert_eq!((out.borrow().len(), out.borrow().number), (1, before.number));
    let why = signing::stopped(bench.issuance.store().as_ref()).await.unwrap().unwrap();
    assert!(why.contains("start every server again"), "{why}");
    let events = EventQuery { kinds: vec![EventKind::DatabaseRestored], limit: 10, ..EventQuery::default() };
    assert_eq!(bench.issuance.store().events(events).await.unwrap().len(), 1, "it is said once");
}

/// A revoked CA would go on issuing, and nobody would know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_read_the_list_of_the_root_is_not_ready_after_a_minute() {
    let bench = Bench::new("").await;
    let files = &bench.config.files;
    let lineup = Arc::new(InForce::new(Lineup::of(&bench.config, &[]).unwrap()));
    let mut publisher = publisher(&bench.config, &bench.issuance).with_roots_of(lineup);
    let out = publisher.subscribe();
    let aside = files.root_crl.with_extension("aside");
    std::fs::rename(&files.root_crl, &aside).unwrap();
    // A folder is there, and gives no bytes.
    std::fs::create_dir(&files.root_crl).unwrap();
    publisher.publish_if_due().await.unwrap();
    let since = out.borrow().roots.unread.unwrap();
    let minute = since.after(Duration::from_secs(60));
    out.borrow().check(minute.before(Duration::from_secs(1))).unwrap();
    let why = out.borrow().check(minute).unwrap_err();
    assert!(why.contains("the root's list could not be read"), "{why}");

    std::fs::remove_dir(&files.root_crl).unwrap();
    std::fs::rename(&aside, &files.root_crl).unwrap();
    publisher.publish_if_due().await.unwrap();
    assert!(out.borrow().roots.first.is_some());
    out.borrow().check(minute).unwrap();
}
