//! Tiles of the log are missing: they are written again from the database, or nothing is.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use ca::crl::Reason;

use super::chain;
use super::log_tests::{audit, folder, keeper, log_all};
use super::tests::Bench;
use crate::admin::Admin;
use crate::audit::EventKind;
use crate::clock::Clock;
use crate::failpoint::{Failpoint, Hook};
use crate::startup;
use crate::store::{Action, NewEvent};
use crate::transparency_log::{KeepError, Keeper, Status};

/// Rounds until the log stands as it should.
pub(super) async fn log_again(keeper: &mut Keeper) {
    for _ in 0..100 {
        match keeper.round().await {
            Ok(false) => return,
            Ok(true) | Err(KeepError::Rewriting) => {}
            Err(error) => panic!("{}", chain(&error)),
        }
    }
    panic!("it comes to no end");
}

/// A log with leaves of every kind, over more than one tile; between the record of a certificate and the certificate, time passes.
pub(super) async fn varied() -> Bench {
    let mut bench = Bench::new("").await;
    let (clock, store) = (bench.clock.clone(), bench.config.files.store.clone());
    let hook = Hook::new(move |place| match place {
        Failpoint::Recorded(_) => clock.set(clock.now().after(Duration::from_secs(7))),
        // Its device is taken out of service, and whoever does that forgets what is under way.
        Failpoint::Signed(serial) => {
            let raw = rusqlite::Connection::open(&store).unwrap();
            let sql = "UPDATE devices SET state = 'suspended' WHERE device LIKE 'given-up-%' \
                       AND device = (SELECT device FROM certificates WHERE serial = ?)";
            raw.execute(sql, [serial.as_bytes()]).unwrap();
        }
        _ => {}
    });
    let clock: Arc<dyn Clock> = Arc::new(bench.clock.clone());
    bench.issuance.store().close().await.unwrap();
    let issuance = startup::open(&bench.config, &clock, hook).await.unwrap().issuance;
    bench.admin = Admin::new(Arc::clone(issuance.store()), clock);
    bench.issuance = Arc::new(issuance);
    more(&bench, 0).await;
    bench
}

/// Adds leaves of every kind.
pub(super) async fn more(bench: &Bench, round: u32) {
    for number in 0..4 {
        let device = bench.device(&format!("SN-{round}-{number}")).await;
        bench.enroll(&device).await.unwrap();
        bench.enroll(&device).await.unwrap();
        if number % 2 == 0 {
            let action = Action::Revoke(Reason::KeyCompromise);
            bench.admin.act_on(&device.id, action).await.unwrap();
        }
    }
    assert!(bench.enroll(&bench.device(&format!("given-up-{round}")).await).await.is_err());
    for number in 0..150 {
        let event = NewEvent::new(bench.clock.now(), EventKind::Imported, format!("event {number}"));
        bench.issuance.store().add_event(event, Duration::ZERO).await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The folder is from a backup, or gone, or a tile of it is gone: the database makes the leaves again, byte by byte, and the log
/// goes on from the checkpoint that everybody has seen.
#[tokio::test]
async fn tiles_that_are_missing_are_written_again() {
    let bench = varied().await;
    log_all(&bench).await;
    let place = bench.config.transparency.folder.clone();
    let older = place.with_extension("older");
    copy(&place, &older);
    more(&bench, 1).await;
    log_all(&bench).await;
    let seen = folder(&bench).checkpoint().unwrap().unwrap();
    let before = bench.events(EventKind::LogDiverged).await;
    for (case, harm) in [
        (
            "an older folder",
            (|place: &Path, older: &Path| {
                std::fs::remove_dir_all(place).unwrap();
                copy(older, place);
            }) as fn(&Path, &Path),
        ),
        ("no folder", |place, _| std::fs::remove_dir_all(place).unwrap()),
        ("no tiles", |place, _| std::fs::remove_dir_all(place.join("tile")).unwrap()),
        ("an older checkpoint without its tiles", |place, older| {
            std::fs::remove_dir_all(place.join("tile")).unwrap();
            copy(&older.join("checkpoint"), &place.join("checkpoint"));
        }),
    ] {
        harm(&place, &older);
        let mut keeper = keeper(&bench, Hook::default());
        let status = keeper.subscribe();
        keeper.round().await.unwrap_err();
        assert!(matches!(&*status.borrow(), Status::Failing(why) if why.contains("written again")), "{case}");
        log_again(&mut keeper).await;
        assert_eq!(status.borrow().check(), Ok(()), "{case}");
        assert_eq!(audit(&bench, Some(&seen)).await, (vec![], 0), "{case}");
    }
    assert_eq!(bench.events(EventKind::LogDiverged).await, before + 4);

    std::fs::remove_file(place.join("tile/0/000")).unwrap();
    let mut keeper = keeper(&bench, Hook::default());
    assert!(!keeper.round().await.unwrap(), "the start does not look at it");
    assert!(keeper.look_through_more().await.is_err());
    log_again(&mut keeper).await;
    assert_eq!(audit(&bench, Some(&seen)).await, (vec![], 0));
}

/// The planted defect: a row of the database is another one than was logged. Nothing is written, and nothing signed.
#[tokio::test]
async fn tiles_are_not_written_again_from_a_database_that_was_changed() {
    let bench = varied().await;
    more(&bench, 1).await;
    log_all(&bench).await;
    let place = bench.config.transparency.folder.clone();
    let (aside, raw) =
        (place.with_extension("aside"), rusqlite::Connection::open(&bench.config.files.store).unwrap());
    std::fs::rename(&place, &aside).unwrap();
    raw.execute_batch("DROP TRIGGER events_are_not_changed; UPDATE events SET detail = 'x' WHERE number = 3")
        .unwrap();
    let mut keeper = keeper(&bench, Hook::default());
    for _ in 0..3 {
        keeper.round().await.unwrap_err();
    }
    assert!(!place.exists());
    assert!(matches!(&*keeper.subscribe().borrow(), Status::Diverged(_)));
    let told = bench.admin.events(1_000).await.unwrap();
    let told = told.iter().filter(|event| event.kind == EventKind::LogDiverged.name());
    assert!(told.clone().any(|event| event.detail.contains("put the files back from a backup")));
    assert_eq!(told.count(), 3, "it is not tried again and again");
    std::fs::rename(aside, place).unwrap();
    while keeper.round().await.unwrap() {}
    assert_eq!(keeper.subscribe().borrow().check(), Ok(()));
}
