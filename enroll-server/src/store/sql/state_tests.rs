//! States in the store: databases of older versions, and actions in any sequence.

use core::time::Duration;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;
use shared::{DeviceId, UnixTime};

use super::{SqlStore, SqliteOptions};
use crate::store::database::params;
use crate::store::migrate::STEPS;
use crate::store::{
    Action, CertificateState, DeviceState, EventQuery, InventoryEntry, IssuerNumber, Move, Page, Selection,
    Standing, Store as _,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions { busy_timeout: Duration::from_millis(100), ..SqliteOptions::new(&folder.join("s.sqlite")) }
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

/// A database as `version` made it, with a device in each state, their certificates and a trail.
fn old_database(folder: &Path, version: usize) {
    let raw = Connection::open(folder.join("s.sqlite")).unwrap();
    for step in &STEPS[..version] {
        raw.execute_batch(step).unwrap();
    }
    raw.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
    raw.pragma_update(None, "foreign_keys", true).unwrap();
    for (number, state) in ["registered", "held", "enrolled", "revoked"].into_iter().enumerate() {
        let name = format!("SN-{number}");
        let key = [u8::try_from(number).unwrap() + 1; 32];
        raw.execute(
            "INSERT INTO devices (device, model, idevid_sha256, state, approval, added) \
             VALUES (?1, 'sensor-a', ?2, ?3, iif(?3 = 'held', x'', NULL), 1000)",
            rusqlite::params![name, key, state],
        )
        .unwrap();
        let certificate = match state {
            "held" => ("held", None, None),
            "enrolled" => ("issued", Some([0x30_u8]), None),
            "revoked" => ("revoked", Some([0x30_u8]), Some(2_000)),
            _ => continue,
        };
        raw.execute(
            "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
             recorded, der, revoked, reason) VALUES (?1, ?2, ?3, zeroblob(65), ?4, ?4, 1, 4000000000, 1500, ?5, \
             ?6, iif(?6 IS NULL, NULL, 'key-compromise'))",
            rusqlite::params![
                [0x40 + u8::try_from(number).unwrap(); 16],
                name,
                certificate.0,
                key,
                certificate.1,
                certificate.2
            ],
        )
        .unwrap();
        raw.execute("INSERT INTO events (at, kind, device, detail) VALUES (1700, 'x', ?1, 'y')", [&name])
            .unwrap();
    }
    if version > 1 {
        raw.execute("UPDATE devices SET device_group = 'lot-7' WHERE device = 'SN-2'", []).unwrap();
    }
}

#[tokio::test]
async fn a_filled_database_of_every_older_version_is_brought_up_to_date_without_loss() {
    for version in 1..STEPS.len() {
        let folder = tempfile::tempdir().unwrap();
        old_database(folder.path(), version.min(2));
        if version > 2 {
            let raw = Connection::open(folder.path().join("s.sqlite")).unwrap();
            // As the migration does it: a step may make a table anew.
            raw.pragma_update(None, "foreign_keys", false).unwrap();
            for step in &STEPS[2..version] {
                raw.execute_batch(step).unwrap();
            }
            raw.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        }
        let store = SqlStore::sqlite(&options(folder.path())).unwrap();
        for (number, state) in
            [DeviceState::Registered, DeviceState::Held, DeviceState::Enrolled, DeviceState::Revoked]
                .into_iter()
                .enumerate()
        {
            let found = store.device(&device(&format!("SN-{number}"))).await.unwrap().unwrap();
            assert_eq!(found.state, state, "version {version}");
            assert_eq!(found.model.as_deref(), Some("sensor-a"));
            assert_eq!(found.idevid_sha256, Some([u8::try_from(number).unwrap() + 1; 32]));
            assert_eq!(found.approved, state == DeviceState::Held);
            assert_eq!(found.added, UnixTime::from_secs(1000));
            let changed = if state == DeviceState::Registered { 1000 } else { 1700 };
            assert_eq!(found.changed, UnixTime::from_secs(changed), "the last thing known to have happened");
            let group = if number == 2 && version > 1 { "lot-7" } else { "default" };
            assert_eq!((found.group.as_str(), found.tags.len()), (group, 0));
        }
        let certificates = store.certificates(None, 10).await.unwrap();
        assert_eq!(certificates.len(), 3);
        assert_eq!(store.revoked(IssuerNumber::given(1), NOW).await.unwrap().entries.len(), 1);
        assert_eq!(store.events(EventQuery::last(10)).await.unwrap().len(), 3);
        // Certificates still refer to devices, and the new states can be written.
        let orphan = store
            .write(|c| {
                Ok(c.execute("UPDATE certificates SET device = 'SN-9' WHERE state = 'issued'", params![])?)
            })
            .await;
        assert!(orphan.is_err(), "the reference is still checked");
        let one = Selection::One(device("SN-2"));
        let done = store.act(one, Action::Suspend, Page::first(1), NOW).await.unwrap();
        assert_eq!(done.state, Some(DeviceState::Suspended));
        store.close().await.unwrap();
        // What was brought up to date is opened as it is.
        let raw = Connection::open(folder.path().join("s.sqlite")).unwrap();
        let found: i64 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(found).unwrap(), STEPS.len());
        SqlStore::sqlite(&options(folder.path())).unwrap().close_blocking();
    }
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Approve),
        Just(Action::Deny("no".into())),
        Just(Action::Suspend),
        Just(Action::Resume),
        Just(Action::Revoke(ca::crl::Reason::KeyCompromise)),
        Just(Action::Retire),
        Just(Action::Return),
        "[a-z]{1,8}".prop_map(|group| Action::Transfer(group.parse().unwrap())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The store makes the table's moves and no others, and what is on the revocation list follows.
    #[test]
    fn the_store_moves_as_the_table_says(history in prop::collection::vec(actions(), 1..12)) {
        moves_as_the_table_says(&Place::sqlite(), history);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_store_on_postgres_moves_as_the_table_says(history in prop::collection::vec(actions(), 1..12)) {
        moves_as_the_table_says(&Place::postgres(), history);
    }
}

fn moves_as_the_table_says(place: &Place, history: Vec<Action>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = place.open();
        enrolled(&store, &device("SN-2"), 3).await;
        check_moves(&store, history).await;
        store.close().await.unwrap();
    });
}

/// Puts a device with a certificate into the store.
async fn enrolled(store: &SqlStore, device: &DeviceId, number: u8) {
    let name = device.to_string();
    let added = store.write(move |c| {
        let sql = "INSERT INTO devices (device, state, idevid_sha256, changed, added) VALUES (?, 'enrolled', ?, 1, 1)";
        c.execute(sql, params![name, [number; 32]])?;
        let sql = "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, \
                   recorded, der) VALUES (?1, ?2, 'issued', ?3, ?4, ?4, 1, 4000000000, 1, ?5)";
        c.execute(sql, params![[number; 16], name, [0_u8; 65], [number; 32], [0x30_u8]])
    });
    assert_eq!(added.await.unwrap(), 1);
}

async fn check_moves(store: &SqlStore, history: Vec<Action>) {
    let name = device("SN-2");
    let mut state = DeviceState::Enrolled;
    for action in history {
        let step = action.step();
        let one = Selection::One(name.clone());
        let done = store.act(one, action, Page::first(1), NOW).await.unwrap();
        let found = store.device(&name).await.unwrap().unwrap();
        let certificates = store.certificates(Some(name.clone()), 9).await.unwrap();
        let in_force = certificates.iter().any(|c| c.state == CertificateState::Issued);
        match step.check(&name, state) {
            Err(illegal) => {
                assert_eq!((done.done, &done.illegal), (0, &vec![illegal]));
                assert_eq!(found.state, state, "an illegal move changed something");
            }
            Ok(step) => {
                state = step.to(Standing { request: false, certificate: in_force });
                assert_eq!((done.done, done.state, found.state), (1, Some(state), state));
            }
        }
        let listed = store
            .revoked(IssuerNumber::given(1), NOW)
            .await
            .unwrap()
            .entries
            .iter()
            .any(|entry| entry.serial == certificates[0].serial);
        assert_eq!(listed, !in_force || state == DeviceState::Suspended, "{state:?} after {step:?}");
        if matches!(step, Move::Transfer | Move::Return) && done.done == 1 {
            assert!(!in_force && found.denied.is_none() && !found.approved);
            assert_eq!(found.idevid_sha256, Some([3; 32]), "the pinned identity stays");
        }
    }
}

on_both!(a_large_selection_is_done_in_pages_and_illegal_ones_are_named);

async fn a_large_selection_is_done_in_pages_and_illegal_ones_are_named(place: Place) {
    let store = place.open();
    let entries = (0..25).map(|number| InventoryEntry {
        device: device(&format!("SN-{number:02}")),
        model: None,
        idevid_sha256: None,
        group: None,
        tags: Vec::new(),
    });
    store.import(entries.collect(), NOW).await.unwrap();
    let retired = Selection::One(device("SN-07"));
    store.act(retired, Action::Retire, Page::first(1), NOW).await.unwrap();
    let group = Selection::Group("default".parse().unwrap());
    let (mut page, mut done, mut illegal, mut pages) = (Page::first(10), 0, Vec::new(), 0);
    loop {
        let carried = store.act(group.clone(), Action::Suspend, page.clone(), NOW).await.unwrap();
        done += carried.done;
        illegal.extend(carried.illegal);
        pages += 1;
        match carried.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!((done, pages, illegal.len()), (24, 3, 1));
    assert_eq!(illegal[0].device, device("SN-07"));
    let nobody = Selection::Tag("none".parse().unwrap());
    assert_eq!(store.act(nobody, Action::Resume, Page::first(10), NOW).await.unwrap().done, 0);
}
