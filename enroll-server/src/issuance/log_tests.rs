//! What the log has of issuances: every certificate that was signed, whatever happens, and a checkpoint that only grows.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::sync::Arc;

use ca::crl::Reason;
use transparency::Checkpoint;

use super::signing;
use super::tests::Bench;
use crate::audit::{Actor, Caller, EventKind};
use crate::clock::SystemClock;
use crate::failpoint::{Failpoint, Hook};
use crate::store::{Action, CertificateState, NewEvent, PLANT};
use crate::transparency_log::audit::{Finding, FindingKind, compare, walk};
use crate::transparency_log::{Folder, Keeper, LogKey, Source, Status};

pub(super) fn key(bench: &Bench) -> Arc<LogKey> {
    Arc::new(LogKey::open(&bench.config.files.log_key, "acme.example/log", true).unwrap())
}

pub(super) fn folder(bench: &Bench) -> Folder {
    Folder::new(bench.config.transparency.folder.clone())
}

pub(super) fn keeper(bench: &Bench, hook: Hook) -> Keeper {
    let (store, folder) = (Arc::clone(bench.issuance.store()), Arc::new(folder(bench)));
    Keeper::new(store, folder, key(bench), Arc::new(SystemClock), Duration::from_secs(1), hook)
}

pub(super) async fn log_all(bench: &Bench) {
    let mut keeper = keeper(bench, Hook::default());
    while keeper.round().await.unwrap() {}
}

/// Everything that an audit finds, and how many leaves wait.
pub(super) async fn audit(bench: &Bench, earlier: Option<&[u8]>) -> (Vec<Finding>, u64) {
    let (source, key) = (Source::Folder(folder(bench)), key(bench));
    let mut quiet = |_: &'static str, _: u64, _: u64| ();
    let mut walked = walk(&source, key.verifier(), earlier, &mut quiet, |_, _| ()).await.unwrap();
    let mut findings = core::mem::take(&mut walked.findings);
    findings.extend(walked.take_record_findings());
    let store = bench.issuance.store().as_ref();
    let (found, waiting) = compare(store, &walked, (&source, key.verifier()), &mut quiet).await.unwrap();
    findings.extend(found);
    (findings, waiting)
}

/// The planted bug: a certificate whose leaf is left out is found, and nothing else is.
#[tokio::test]
async fn a_leaf_that_is_left_out_is_found() {
    let bench = Bench::new("").await;
    let (good, bad) = (bench.device("SN-1").await, bench.device("SN-2").await);
    bench.enroll(&good).await.unwrap();
    let plant = Caller::from(Actor::Operator(PLANT.to_owned()));
    Box::pin(plant.during(bench.enroll(&bad))).await.unwrap();
    log_all(&bench).await;
    let serial = bench.admin.certificates(Some(&bad.id)).await.unwrap()[0].serial.to_string();
    let (findings, waiting) = audit(&bench, None).await;
    let found: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.subject.as_str())).collect();
    assert_eq!(found, [(FindingKind::CertificateNotLogged, serial.as_str())], "{findings:?}");
    assert_eq!(waiting, 0);
}

/// Enrollments, renewals by a second enrollment, revocations, suspensions that overtake an enrollment: whatever was
/// signed is in the log, and the database says the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_signed_is_in_the_log() {
    let bench = Arc::new(Bench::new("").await);
    let mut voided = 0;
    for round in 0..60 {
        let device = bench.device(&format!("SN-{round}")).await;
        let id = device.id.clone();
        let racing = {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { (bench.enroll(&device).await.is_ok(), device) })
        };
        tokio::time::sleep(Duration::from_micros(round * 40)).await;
        let action = if round % 2 == 0 { Action::Suspend } else { Action::Revoke(Reason::KeyCompromise) };
        bench.admin.act_on(&id, action).await.unwrap();
        racing.await.unwrap();
        let certificates = bench.admin.certificates(Some(&id)).await.unwrap();
        voided += certificates.iter().filter(|one| one.state == CertificateState::Voided).count();
    }
    let device = bench.device("SN-twice").await;
    bench.enroll(&device).await.unwrap();
    bench.enroll(&device).await.unwrap();
    assert!(voided > 0, "no suspension overtook an enrollment");
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await, (vec![], 0));
}

/// A database that was put back to an older state under a server that runs.
#[tokio::test]
async fn a_log_that_is_ahead_of_its_database_stops_signing() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    let mut keeper = keeper(&bench, Hook::default());
    while keeper.round().await.unwrap() {}
    let store = bench.issuance.store();
    let before = store.log_head().await.unwrap();
    bench.enroll(&device).await.unwrap();
    while keeper.round().await.unwrap() {}
    assert!(signing::stopped(store.as_ref()).await.unwrap().is_none());
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    let size = i64::try_from(before.size).unwrap();
    raw.execute("UPDATE log_head SET size = ?1, note = ?2", rusqlite::params![size, before.note]).unwrap();
    assert!(keeper.round().await.is_err());
    assert!(signing::stopped(store.as_ref()).await.unwrap().is_some());
}

/// A replica that was frozen after it had signed does not know that another one has the lease by now. What is out never
/// becomes older by it; and where it did all the same, it does not stay so until the next leaf.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_was_frozen_does_not_put_an_older_checkpoint_out() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    let (signed, mut has_signed) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, frozen) = std::sync::mpsc::channel::<()>();
    let frozen = std::sync::Mutex::new(frozen);
    let mut one = keeper(
        &bench,
        Hook::new(move |place| {
            if matches!(place, Failpoint::LogSigned(_)) {
                signed.send(()).unwrap();
                frozen.lock().unwrap().recv().unwrap();
            }
        }),
    );
    let frozen = tokio::spawn(async move { one.round().await.unwrap() });
    has_signed.recv().await.unwrap();

    let note = || folder(&bench).checkpoint().unwrap().unwrap();
    let size = || Checkpoint::open(&note(), key(&bench).verifier()).unwrap().size;
    let mut other = keeper(&bench, Hook::default());
    while other.round().await.unwrap() {}
    let (older, before) = (note(), size());
    bench.enroll(&device).await.unwrap();
    while other.round().await.unwrap() {}
    let after = size();
    assert!(before < after);
    go_on.send(()).unwrap();
    frozen.await.unwrap();
    assert_eq!(size(), after);

    std::fs::write(folder(&bench).checkpoint_path(), older).unwrap();
    assert!(!other.round().await.unwrap(), "nothing waits");
    assert_eq!(size(), after);
    assert_eq!(audit(&bench, None).await, (vec![], 0));
}

/// The planted defect: a byte of a full tile, which no leaf and no edge touches any more. Looking through the tiles is
/// done after the start, in portions, and finds it all the same; then nothing is signed until it is put right.
#[tokio::test]
async fn a_tile_that_changed_long_ago_is_found_after_the_start() {
    let bench = Bench::new("").await;
    for number in 0..300 {
        let event = NewEvent::new(bench.issuance.now(), EventKind::LogDiverged, format!("event {number}"));
        bench.issuance.store().add_event(event, Duration::ZERO).await.unwrap();
    }
    log_all(&bench).await;
    let mut whole = keeper(&bench, Hook::default());
    assert!(!whole.round().await.unwrap() && !whole.look_through_more().await.unwrap());
    let path = bench.config.transparency.folder.join("tile/0/000");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let mut keeper = keeper(&bench, Hook::default());
    let status = keeper.subscribe();
    assert!(!keeper.round().await.unwrap(), "the start does not look at it");
    assert!(keeper.look_through_more().await.is_err());
    assert!(status.borrow().check().is_err());
    bench.enroll(&bench.device("SN-1").await).await.unwrap();
    assert!(keeper.round().await.is_err(), "nothing is signed over it");
    std::fs::write(&path, good).unwrap();
    while keeper.round().await.unwrap() {}
    assert_eq!(status.borrow().check(), Ok(()));
    assert_eq!(audit(&bench, None).await, (vec![], 0));
}

/// Dies at every step of a checkpoint, and then at every step of the next attempt: the log goes on, and extends every
/// checkpoint that anyone has seen.
#[tokio::test]
async fn the_log_goes_on_wherever_the_process_dies() {
    let bench = Bench::new("").await;
    let mut number = 0;
    for first in 0..3 {
        for second in 0..3 {
            number += 1;
            let device = bench.device(&format!("SN-{number}")).await;
            bench.enroll(&device).await.unwrap();
            let seen = folder(&bench).checkpoint().unwrap();
            for place in [first, second] {
                let mut dying = keeper(&bench, dies_at(place));
                let died = futures_catch(dying.round()).await;
                // Once its checkpoint is signed, the second attempt may find nothing left to do.
                assert!(died || place != first || first == second, "{first} {second} {place}");
            }
            log_all(&bench).await;
            assert_eq!(audit(&bench, seen.as_deref()).await, (vec![], 0), "{first} {second}");
        }
    }
}

fn dies_at(place: usize) -> Hook {
    Hook::new(move |at| {
        let step = match at {
            Failpoint::LogTiles(_) => 0,
            Failpoint::LogSigned(_) => 1,
            Failpoint::LogPublished(_) => 2,
            _ => return,
        };
        assert!(step != place, "the process dies here");
    })
}

/// Whether the future panicked.
async fn futures_catch<F: Future>(future: F) -> bool {
    let mut future = core::pin::pin!(future);
    core::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(core::task::Poll::Pending) => core::task::Poll::Pending,
            Ok(core::task::Poll::Ready(_)) => core::task::Poll::Ready(false),
            Err(_) => core::task::Poll::Ready(true),
        }
    })
    .await
}

/// More leaves than one checkpoint takes, over the borders of tiles.
#[tokio::test]
async fn many_leaves_become_full_tiles() {
    let bench = Bench::new("").await;
    let rows = |from: u32, to: u32| -> String { (from..to).map(|n| format!("B-{n}\n")).collect() };
    for step in 0..60 {
        bench.admin.import_devices(&format!("device\n{}", rows(step, step + 1))).await.unwrap();
        for _ in 0..10 {
            bench.admin.create_token(None, Duration::from_secs(60)).await.unwrap();
        }
        if step % 7 == 0 {
            log_all(&bench).await;
        }
    }
    log_all(&bench).await;
    let note = folder(&bench).checkpoint().unwrap().unwrap();
    let size = Checkpoint::open(&note, key(&bench).verifier()).unwrap().size;
    assert!(size > 600, "{size}");
    assert_eq!(audit(&bench, None).await, (vec![], 0));
    let path = |name: &str| bench.config.transparency.folder.join(name);
    assert!(path("tile/0/000").is_file() && path("tile/1/000.p").is_dir());
    assert!(!path("tile/0/000.p").exists(), "partial tiles go when the full one is there");
}

#[tokio::test]
async fn tiles_that_changed_and_a_checkpoint_of_others_stop_the_log() {
    let bench = Bench::new("").await;
    for n in 0..30 {
        bench.device(&format!("SN-{n}")).await;
    }
    log_all(&bench).await;
    let checkpoint = folder(&bench).checkpoint().unwrap().unwrap();
    let size = Checkpoint::open(&checkpoint, key(&bench).verifier()).unwrap().size;
    let tile = bench.config.transparency.folder.join(format!("tile/0/000.p/{size}"));
    let before = std::fs::read(&tile).unwrap();
    for (path, content) in [
        (tile.clone(), vec![0; before.len()]),
        (tile.clone(), vec![0; 3]),
        (folder(&bench).checkpoint_path(), b"nothing\n".to_vec()),
    ] {
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let mut stopped = keeper(&bench, Hook::default());
        stopped.round().await.unwrap_err();
        assert!(matches!(&*stopped.subscribe().borrow(), Status::Diverged(_)));
        std::fs::write(&path, good).unwrap();
    }
    assert!(bench.events(EventKind::LogDiverged).await == 3);
    log_all(&bench).await;
    assert_eq!(audit(&bench, Some(&checkpoint)).await, (vec![], 0));
}
