//! A database from a backup is put in place: what a start brings in, from the log and the lists that are out.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use ca::crl::Reason;
use ca::hierarchy::ISSUING_LIFETIME;
use shared::DeviceId;

use super::log_tests::{audit, folder, keeper, log_all};
use super::rewriting_tests::{log_again, more, varied};
use super::signing;
use super::tests::{Bench, Identity, publisher};
use crate::admin::Admin;
use crate::audit::EventKind;
use crate::clock::Clock;
use crate::config::{IssuingKey, PreviousCa};
use crate::failpoint::{Hook, Plant};
use crate::kit::Operational;
use crate::rollover::{self, NewCa, Order, OrderOptions, SignerOptions, StartOptions};
use crate::startup::{self, StartError, ca_certificate};
use crate::store::{Action, CertificateState, DeviceState, EventQuery, NewEvent, copy_database};

/// A copy of the database as it is.
pub(super) fn back_up(bench: &Bench) -> PathBuf {
    let backup = bench.config.files.store.with_extension("backup");
    copy_database(&bench.config.files.store, &backup).unwrap();
    backup
}

/// Puts the copy in place; the log and the list have what happened since.
pub(super) async fn put_back(bench: &Bench, backup: PathBuf) -> rusqlite::Connection {
    log_all(bench).await;
    publisher(&bench.config, &bench.issuance).publish_if_due().await.unwrap();
    bench.issuance.store().close().await.unwrap();
    std::fs::copy(backup, &bench.config.files.store).unwrap();
    rusqlite::Connection::open(&bench.config.files.store).unwrap()
}

/// A start on what is there now.
pub(super) async fn start(bench: &mut Bench) -> Result<(), StartError> {
    start_with(bench, Hook::default()).await
}

pub(super) async fn start_with(bench: &mut Bench, hook: Hook) -> Result<(), StartError> {
    let clock: Arc<dyn Clock> = Arc::new(bench.clock.clone());
    let issuance = startup::open(&bench.config, &clock, hook).await?.issuance;
    bench.admin = Admin::new(Arc::clone(issuance.store()), clock);
    bench.issuance = Arc::new(issuance);
    Ok(())
}

/// Of its certificates; in which order those of one second come is not said.
async fn states(bench: &Bench, device: &DeviceId) -> Vec<&'static str> {
    let mut states: Vec<_> = bench.states(device).await.into_iter().map(CertificateState::name).collect();
    states.sort_unstable();
    states
}

/// The disk is full, or the connection is gone, when the note or the event is written: the next start has to find the database
/// as old as it was.
#[tokio::test]
async fn a_start_that_dies_over_an_old_database_is_asked_again() {
    for table in ["notes", "events"] {
        let mut bench = Bench::new("").await;
        let device = bench.device("SN-1").await;
        let backup = back_up(&bench);
        bench.enroll(&device).await.unwrap();
        let database = put_back(&bench, backup).await;
        let trigger = format!(
            "CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        );
        database.execute_batch(&trigger).unwrap();
        assert!(start(&mut bench).await.is_err(), "{table}");
        database.execute_batch("DROP TRIGGER full").unwrap();
        start(&mut bench).await.unwrap();
        let store = bench.issuance.store().as_ref();
        let why = signing::stopped(store).await.unwrap().expect(table);
        assert!(why.contains("1 certificates, 0 revocations; lost are the rows"), "{why}");
        let query = EventQuery { kinds: vec![EventKind::DatabaseRestored], ..EventQuery::last(10) };
        let told = store.events(query).await.unwrap();
        assert_eq!(told.into_iter().map(|event| event.detail).collect::<Vec<_>>(), [why], "{table}");
    }
}

/// Of a large log, what the database knows is not read: a bundle from long ago is not even looked for.
#[tokio::test]
async fn of_the_log_only_what_the_database_lacks_is_read() {
    let mut bench = Bench::new("").await;
    for number in 0..300 {
        let event = NewEvent::new(bench.issuance.now(), EventKind::Imported, format!("event {number}"));
        bench.issuance.store().add_event(event, Duration::ZERO).await.unwrap();
    }
    let device = bench.device("SN-1").await;
    log_all(&bench).await;
    let backup = back_up(&bench);
    bench.enroll(&device).await.unwrap();
    drop(put_back(&bench, backup).await);
    let bundle = bench.config.transparency.folder.join("tile/entries/000");
    let content = std::fs::read(&bundle).unwrap();
    std::fs::remove_file(&bundle).unwrap();
    start(&mut bench).await.unwrap();
    assert_eq!(states(&bench, &device.id).await, ["issued"]);
    std::fs::write(&bundle, content).unwrap();
    bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
    log_all(&bench).await;
    assert_eq!(audit(&bench, None).await, (vec![], 0));
}

/// Leaves that came back from the log tell of rows that are lost: they are kept, so that the tiles can be made again from this database
/// too.
#[tokio::test]
async fn what_was_brought_in_from_the_log_can_be_made_again() {
    let mut bench = varied().await;
    log_all(&bench).await;
    let backup = back_up(&bench);
    more(&bench, 1).await;
    drop(put_back(&bench, backup).await);
    start(&mut bench).await.unwrap();
    bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
    log_all(&bench).await;
    let seen = folder(&bench).checkpoint().unwrap().unwrap();
    std::fs::remove_dir_all(&bench.config.transparency.folder).unwrap();
    log_again(&mut keeper(&bench, Hook::default())).await;
    assert_eq!(audit(&bench, Some(&seen)).await, (vec![], 0));
}

/// The archive of the files was made while the log grew: its checkpoint is over leaves that are not in it, and it has tiles of others.
/// The start says what is to be done; where nobody has the files, the log goes on from what the database knows.
#[tokio::test]
async fn a_log_whose_files_are_not_whole_has_a_way_out() {
    let mut bench = Bench::new("").await;
    log_all(&bench).await;
    let backup = back_up(&bench);
    let device = bench.device("SN-1").await;
    log_all(&bench).await;
    bench.enroll(&device).await.unwrap();
    drop(put_back(&bench, backup).await);
    let log = bench.config.transparency.folder.clone();
    let last = |kind: &str| {
        let partial = std::fs::read_dir(log.join("tile").join(kind).join("000.p")).unwrap();
        let widths = partial.map(|entry| entry.unwrap().path());
        widths.max_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap()).unwrap()
    };
    std::fs::remove_file(last("entries")).unwrap();
    let error = start(&mut bench).await.unwrap_err();
    let told = crate::issuance::chain(&error);
    assert!(
        told.contains("move ") && told.contains("log/checkpoint away") && told.contains("000.p"),
        "{told}"
    );
    for list in [&bench.config.crl.der, &bench.config.crl.pem] {
        std::fs::remove_file(list).unwrap();
    }
    std::fs::rename(log.join("checkpoint"), log.join("away")).unwrap();
    start(&mut bench).await.unwrap();
    let device = bench.device("SN-2").await;
    for _ in 0..3 {
        bench.enroll(&device).await.unwrap();
        log_all(&bench).await;
    }
    assert_eq!(audit(&bench, None).await, (vec![], 0));
}

/// A broker's or a server's certificate is in no log: that it was revoked is known by the list alone.
#[tokio::test]
async fn what_is_no_devices_and_was_revoked_stays_on_the_list() {
    let mut bench = Bench::new("").await;
    let backup = back_up(&bench);
    let pem = std::fs::read(&bench.config.files.server_certificate).unwrap();
    let (peer, _) = bench.admin.revoke_peer(&pem, Reason::KeyCompromise).await.unwrap();
    drop(put_back(&bench, backup).await);
    start(&mut bench).await.unwrap();
    let store = bench.issuance.store();
    let status = store.statuses(vec![peer.serial]).await.unwrap().remove(0).unwrap();
    assert_eq!(status.revocation, Some(peer.revocation));
    let entries = store.revocations(bench.clock.now()).await.unwrap().entries;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert!(entry.serial == peer.serial && entry.not_after >= peer.not_after, "{entry:?}");
    let why = signing::stopped(store.as_ref()).await.unwrap().unwrap();
    assert!(why.contains("1 entries of the lists are of certificates that are no device's"), "{why}");
}

/// What an operator does to the device before and after the backup, whether it gets a certificate after each, and how it has
/// to stand when the backup is back in place.
type Case = (Option<Action>, Vec<(Action, bool)>, DeviceState);

#[tokio::test]
async fn a_device_stands_as_what_was_published_last_says() {
    use DeviceState::{Enrolled, Registered, Revoked, Suspended};
    let (suspend, resume) = (Action::Suspend, Action::Resume);
    let (give_back, retire) = (Action::Return, Action::Retire);
    let revoke = || Action::Revoke(Reason::KeyCompromise);
    let transfer = || Action::Transfer("lot-7".parse().unwrap());
    let cases: [Case; 10] = [
        (None, vec![(give_back.clone(), true)], Enrolled),
        // Nothing tells it from one that was retired.
        (None, vec![(give_back.clone(), false)], Revoked),
        (None, vec![(retire, false)], Revoked),
        (None, vec![(transfer(), false)], Registered),
        (None, vec![(transfer(), true)], Enrolled),
        (None, vec![(give_back.clone(), true), (revoke(), false)], Revoked),
        (Some(suspend.clone()), vec![(resume.clone(), true)], Enrolled),
        (Some(suspend.clone()), vec![(resume.clone(), true), (revoke(), false)], Revoked),
        (Some(suspend.clone()), vec![(resume, true), (suspend.clone(), false)], Suspended),
        (Some(suspend), vec![(give_back, false)], Revoked),
    ];
    for (before, after, expected) in cases {
        let mut bench = Bench::new("").await;
        let device = bench.device("SN-1").await;
        bench.enroll(&device).await.unwrap();
        log_all(&bench).await;
        if let Some(action) = before.clone() {
            bench.admin.act_on(&device.id, action).await.unwrap();
        }
        let backup = back_up(&bench);
        for (action, enrolls) in &after {
            bench.admin.act_on(&device.id, action.clone()).await.unwrap();
            if *enrolls {
                bench.enroll(&device).await.unwrap();
            }
        }
        let case = format!("{before:?}, then {after:?}");
        let states = states(&bench, &device.id).await;
        drop(put_back(&bench, backup).await);
        bench.later(Duration::from_secs(60));
        start(&mut bench).await.unwrap();
        assert_eq!(bench.admin.device(&device.id).await.unwrap().state, expected, "{case}");
        assert_eq!(self::states(&bench, &device.id).await, states, "{case}");
        bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
        let may = expected == Enrolled || expected == Registered;
        assert_eq!(bench.enroll(&device).await.is_ok(), may, "{case}");
    }
}

/// An operator's word on the old database, before a start looked at it, is later than any leaf.
#[tokio::test]
async fn what_was_revoked_on_the_old_database_stays_revoked() {
    let mut bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    log_all(&bench).await;
    let backup = back_up(&bench);
    bench.enroll(&device).await.unwrap();
    drop(put_back(&bench, backup).await);
    bench.later(Duration::from_secs(60));
    let admin = startup::open_admin(&bench.config, Arc::new(bench.clock.clone())).unwrap();
    admin.act_on(&device.id, Action::Revoke(Reason::KeyCompromise)).await.unwrap();
    admin.close().await.unwrap();
    start(&mut bench).await.unwrap();
    assert_eq!(bench.admin.device(&device.id).await.unwrap().state, DeviceState::Revoked);
}

/// Under servers that run, what was asked for before can be asked for again before they notice: the key is in the log with one
/// certificate, and in the database with another.
#[tokio::test]
async fn a_request_that_was_recorded_anew_stands_beside_its_certificate_from_the_log() {
    let mut bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    log_all(&bench).await;
    let backup = back_up(&bench);
    let first = Identity::of(&bench.send(&body).await.unwrap());
    drop(put_back(&bench, backup).await);
    let hook = Hook::default().with_plant(Plant::BelievesOldDatabase);
    start_with(&mut bench, hook).await.unwrap();
    let second = Identity::of(&bench.send(&body).await.unwrap());
    assert_ne!(first, second);
    bench.issuance.store().close().await.unwrap();

    start(&mut bench).await.unwrap();
    assert_eq!(states(&bench, &device.id).await, ["issued", "issued"]);
    // Two events have one number, and it is said that the first is lost.
    let (findings, _) = audit(&bench, None).await;
    assert!(findings.is_empty(), "{findings:?}");
    bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
    assert_eq!(
        Identity::of(&bench.send(&body).await.unwrap()),
        second,
        "the same answer to the same request"
    );
    bench.renew(&first).await.unwrap();
}

/// The backup is from before a rollover. What the start says has to be done is done here: then the device that has its certificate
/// from the new CA goes on, and the rollover is repeated with the same CA.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_from_before_a_rollover_asks_for_the_new_ca() {
    for new_root in [false, true] {
        let mut bench = Bench::new("").await;
        let device = bench.device("SN-1").await;
        log_all(&bench).await;
        let backup = back_up(&bench);
        let made = NewCa::Made {
            new_root,
            root_key: None,
            encrypt: false,
            passphrase_file: None,
            lifetime: ISSUING_LIFETIME,
        };
        let folder = roll_over(&bench, made).await.expect("a folder with the new CA");
        start(&mut bench).await.unwrap();
        let identity = bench.enroll(&device).await.unwrap();
        drop(put_back(&bench, backup).await);

        let place = folder.join("issuing-ca.crt");
        let told = start(&mut bench).await.unwrap_err().to_string();
        assert!(told.contains(&format!("found in {}); name each", place.display())), "{told}");
        let key_file = folder.join("issuing-ca.key");
        let key = IssuingKey::File { passphrase_file: None };
        let previous = PreviousCa { certificate: place.clone(), key_file: key_file.clone(), key };
        bench.config.previous_cas.push(previous);
        start(&mut bench).await.unwrap();
        assert_eq!(states(&bench, &device.id).await, ["issued"]);
        bench.admin.accept_restored("it is the newest".to_owned()).await.unwrap();
        let identity = bench.renew(&identity).await.unwrap();

        let again = NewCa::Imported {
            root: new_root.then(|| folder.join("root-ca.crt")),
            issuing: place,
            key: format!("key_file = {key_file:?}\n"),
            crosses: new_root.then(|| folder.join("cross.crt")).into_iter().collect(),
            root_list: None,
        };
        roll_over(&bench, again).await;
        bench.issuance.store().close().await.unwrap();
        bench.config.previous_cas.clear();
        start(&mut bench).await.unwrap();
        let subject = bench.issuance.authorities().issuer().certificate().subject().to_owned();
        assert_eq!(subject, ca_certificate(&folder.join("issuing-ca.crt")).unwrap().subject());
        bench.renew(&identity).await.unwrap();
        log_all(&bench).await;
        assert_eq!(audit(&bench, None).await, (vec![], 0), "{new_root}");
    }
}

/// Has another CA sign, and writes the trust bundle as the server does that takes it over; gives the folder of the new CA.
async fn roll_over(bench: &Bench, new: NewCa) -> Option<PathBuf> {
    let (store, now) = (bench.issuance.store().as_ref(), bench.issuance.now());
    let options = StartOptions { new, no_cross: false, signer: SignerOptions::default() };
    let started = rollover::start(&bench.config, store, &options, now).await.unwrap();
    let options = OrderOptions { order: Order::Switch, force: true, signer: SignerOptions::default() };
    rollover::take(&bench.config, store, &options, now).await.unwrap();
    let bundles = store.trust_bundles().await.unwrap();
    std::fs::write(&bench.config.files.trust_bundle, bundles.last().unwrap()).unwrap();
    started.folder
}
