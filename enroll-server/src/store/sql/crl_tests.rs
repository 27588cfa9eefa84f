//! What lists are made of: the changes tell the same as everything read anew, and partitions are filled in order.

use std::collections::BTreeMap;

use ca::crl::Reason;
use ca::{CrlAddress, Serial};
use proptest::prelude::*;
use shared::{DeviceId, UnixTime};

use super::SqlStore;
use super::crl::{CHANGES, STATE, changes, place, state};
use crate::audit::EventKind;
use crate::store::database::{Connection, params};
use crate::store::{
    Action, CertificateStatus, EventQuery, IssuerNumber, Listing, Page, Partitioning, Revocation,
    RevocationChanges, RevocationState, RevocationsSince, RevokedPeer, Selection, Store as _,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const END: u64 = 4_000_000_000;

on_both!(
    who_was_away_for_too_long_has_to_read_everything,
    what_ended_is_left_out_and_what_was_not_issued_has_no_status,
    partitions_are_filled_in_order_and_end_with_their_last_certificate,
    what_is_no_devices_is_listed_as_well,
    a_change_that_is_not_recorded_is_found
);

/// A store with `devices` enrolled devices.
async fn filled(place: &Place, devices: u8) -> SqlStore {
    let store = place.open();
    let done = store.write(move |c| {
        for number in 0..devices {
            let (name, key) = (format!("SN-{number}"), [number + 1; 32]);
            let sql = "INSERT INTO devices (device, state, changed, added) VALUES (?1, 'enrolled', 1, 1)";
            c.execute(sql, params![name])?;
            let sql = "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, \
                       not_after, recorded, der, issuer, crl_partition) \
                       VALUES (?1, ?2, 'issued', ?3, ?4, ?4, 1, ?5, 1, ?6, 1, ?7)";
            let end = i64::try_from(END).unwrap();
            c.execute(sql, params![[number + 1; 16], name, [0_u8; 65], key, end, [0x30_u8], number % 3])?;
        }
        Ok(())
    });
    done.await.unwrap();
    store
}

fn actions() -> impl Strategy<Value = (u8, Action)> {
    let action = prop_oneof![
        Just(Action::Suspend),
        Just(Action::Resume),
        Just(Action::Revoke(Reason::KeyCompromise)),
        Just(Action::Retire),
        Just(Action::Return),
    ];
    (0_u8..4, action)
}

fn listed(state: RevocationState) -> BTreeMap<Serial, Listing> {
    state.entries.into_iter().map(|listing| (listing.serial, listing)).collect()
}

async fn carry_out(store: &SqlStore, device: u8, action: Action, now: UnixTime) {
    let one = Selection::One(DeviceId::new(&format!("SN-{device}")).unwrap());
    store.act(one, action, Page::first(1), now).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_changes_tell_what_reading_everything_tells(
        history in proptest::collection::vec((actions(), any::<bool>()), 1..20),
    ) {
        changes_tell_everything(&Place::sqlite(), history);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_changes_on_postgres_tell_what_reading_everything_tells(
        history in proptest::collection::vec((actions(), any::<bool>()), 1..20),
    ) {
        changes_tell_everything(&Place::postgres(), history);
    }
}

fn changes_tell_everything(place: &Place, history: Vec<((u8, Action), bool)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = filled(place, 4).await;
        let first = store.revocations(NOW).await.unwrap();
        let (mut upto, mut book) = (first.upto, listed(first));
        for (second, ((device, action), look)) in (0..).zip(history) {
            carry_out(&store, device, action, UnixTime::from_secs(NOW.as_secs() + second)).await;
            if !look {
                continue;
            }
            let changed = known(&store, upto).await;
            upto = changed.upto;
            for listing in changed.changes {
                match listing.revocation {
                    Some(_) => book.insert(listing.serial, listing),
                    None => book.remove(&listing.serial),
                };
            }
            assert_eq!(book, listed(store.revocations(NOW).await.unwrap()));
            let statuses = store.statuses((1..=4).map(serial).collect()).await.unwrap();
            for (number, status) in (1..=4).zip(statuses) {
                let listed = book.get(&serial(number)).and_then(|listing| listing.revocation);
                assert_eq!(status.unwrap().revocation, listed);
            }
        }
        store.close().await.unwrap();
    });
}

async fn known(store: &SqlStore, after: u64) -> RevocationChanges {
    match store.revocations_since(after, NOW).await.unwrap() {
        RevocationsSince::Known(changes) => changes,
        other => panic!("{other:?}"),
    }
}

fn serial(number: u8) -> Serial {
    Serial::from_bytes([number; 16]).unwrap()
}

async fn who_was_away_for_too_long_has_to_read_everything(place: Place) {
    let store = filled(&place, 3).await;
    for device in 0..3 {
        carry_out(&store, device, Action::Suspend, NOW).await;
    }
    assert_eq!(known(&store, 0).await.changes.len(), 3);
    place.sql("DELETE FROM revocation_changes WHERE number < 3");
    for after in [0, 1] {
        assert_eq!(store.revocations_since(after, NOW).await.unwrap(), RevocationsSince::Forgotten);
    }
    assert_eq!(known(&store, 2).await.changes.len(), 1);
    assert_eq!(known(&store, 3).await.changes.len(), 0);
    assert_eq!(store.revocations_since(4, NOW).await.unwrap(), RevocationsSince::DatabaseOlder);
    // And the oldest go by themselves.
    let numbers = if matches!(place, Place::Sqlite(_)) { "sqlite_sequence" } else { "sequences" };
    place.sql(&format!("UPDATE {numbers} SET seq = 500000 WHERE name = 'revocation_changes'"));
    carry_out(&store, 0, Action::Resume, NOW).await;
    let left = store.read(|c| {
        let mut query = c.prepare_cached("SELECT count(*) FROM revocation_changes")?;
        query.query_row(params![], |row| row.get::<_, i64>(0))
    });
    assert_eq!(left.await.unwrap(), 1);
}

async fn what_ended_is_left_out_and_what_was_not_issued_has_no_status(place: Place) {
    let store = filled(&place, 1).await;
    carry_out(&store, 0, Action::Revoke(Reason::Superseded), NOW).await;
    assert_eq!(store.revocations(UnixTime::from_secs(END)).await.unwrap().entries.len(), 1);
    assert_eq!(store.revocations(UnixTime::from_secs(END + 1)).await.unwrap().entries.len(), 0);
    for held in ["held", "intent", "voided"] {
        let sql =
            format!("UPDATE certificates SET state = '{held}', der = NULL, revoked = NULL, reason = NULL");
        place.sql(&sql);
        assert_eq!(store.statuses(vec![serial(1), serial(9)]).await.unwrap(), [None, None], "{held}");
    }
}

async fn partitions_are_filled_in_order_and_end_with_their_last_certificate(place: Place) {
    let store = place.open();
    let done = store.write(|c| {
        check_partitions(c);
        Ok(())
    });
    done.await.unwrap();
}

fn check_partitions(c: &Connection) {
    let address = |host: &str| CrlAddress::parse(&format!("http://{host}/{{issuer}}/{{partition}}")).unwrap();
    let by = |host: &str, size| Partitioning { address: address(host), size };
    let put = |issuer, ends, by: &Partitioning| {
        place(c, IssuerNumber::given(issuer), UnixTime::from_secs(ends), Some(by)).unwrap()
    };
    assert_eq!(place(c, IssuerNumber::given(1), NOW, None).unwrap(), 0, "the complete list");
    let two = by("a", 2);
    assert_eq!([30, 10, 20, 25].map(|ends| put(1, ends, &two)), [1, 1, 2, 2]);
    assert_eq!(put(2, 40, &two), 1, "each CA has its own");
    assert_eq!([50, 50, 50].map(|ends| put(1, ends, &by("a", 1))), [3, 4, 5], "another size from now on");
    assert_eq!([60, 60].map(|ends| put(1, ends, &by("b", 9))), [6, 6], "another address begins anew");
    let known = |from| {
        let found = state(c, UnixTime::from_secs(from)).unwrap().partitions;
        found.into_iter().map(|p| (p.issuer.get(), p.number, p.ends.as_secs())).collect::<Vec<_>>()
    };
    assert_eq!(known(26), [(1, 1, 30), (1, 3, 50), (1, 4, 50), (1, 5, 50), (1, 6, 60), (2, 1, 40)]);
    let urls: Vec<String> =
        state(c, UnixTime::from_secs(51)).unwrap().partitions.into_iter().map(|p| p.url).collect();
    assert_eq!(urls, ["http://b/1/6"]);
    let told = changes(c, 0, UnixTime::from_secs(51)).unwrap();
    assert!(matches!(told, RevocationsSince::Known(told) if told.partitions.len() == 1));
}

/// A broker's or a server's certificate: for readers of the changes as for those who read everything.
async fn what_is_no_devices_is_listed_as_well(place: Place) {
    let store = filled(&place, 1).await;
    let revocation = Revocation { at: NOW, reason: Reason::KeyCompromise };
    let (issuer, not_after) = (IssuerNumber::given(1), UnixTime::from_secs(END - 1));
    let subject = "O=Acme, CN=enroll_server".to_owned();
    let peer = RevokedPeer { serial: serial(7), issuer, not_after, subject, revocation };
    let before = store.generations().await.unwrap().revocations;
    assert!(store.revoke_peer(peer.clone()).await.unwrap());
    assert!(store.generations().await.unwrap().revocations > before);
    assert!(!store.revoke_peer(peer).await.unwrap(), "a second time");
    carry_out(&store, 0, Action::Revoke(Reason::Superseded), NOW).await;

    let listing =
        Listing { serial: serial(7), issuer, partition: 0, not_after, revocation: Some(revocation) };
    let changes = known(&store, 0).await.changes;
    assert_eq!((changes.len(), changes[0]), (2, listing), "in their order, each once");
    assert_eq!(known(&store, 1).await.changes.len(), 1);
    let everything = listed(store.revocations(NOW).await.unwrap());
    assert_eq!((everything.len(), everything.get(&serial(7))), (2, Some(&listing)));
    assert_eq!(store.revocations(UnixTime::from_secs(END)).await.unwrap().entries.len(), 1, "after its end");
    assert_eq!(store.revoked(issuer, NOW).await.unwrap().entries.len(), 2);
    let status = store.statuses(vec![serial(7), serial(8)]).await.unwrap();
    assert_eq!(status, [Some(CertificateStatus { issuer, revocation: Some(revocation) }), None]);
    let query = EventQuery { kinds: vec![EventKind::PeerRevoked], ..EventQuery::last(9) };
    let events = store.events(query).await.unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert!(event.detail.contains("CN=enroll_server") && event.reason.as_deref() == Some("key-compromise"));
}

/// The planted bug: a change that gets around the record of changes is found by the comparison above.
async fn a_change_that_is_not_recorded_is_found(place: Place) {
    for trigger in ["certificate_is_revoked", "hold_of_device_changes"] {
        let (place, table) = match &place {
            Place::Sqlite(_) => (Place::sqlite(), String::new()),
            Place::Postgres { .. } if trigger == "hold_of_device_changes" => {
                (Place::postgres(), " ON devices".into())
            }
            Place::Postgres { .. } => (Place::postgres(), " ON certificates".into()),
        };
        let store = filled(&place, 1).await;
        place.sql(&format!("DROP TRIGGER {trigger}{table}"));
        let action = if trigger == "certificate_is_revoked" {
            Action::Revoke(Reason::KeyCompromise)
        } else {
            Action::Suspend
        };
        carry_out(&store, 0, action, NOW).await;
        let told = known(&store, 0).await.changes;
        let there = store.revocations(NOW).await.unwrap().entries;
        assert_eq!((told.len(), there.len()), (0, 1), "{trigger}");
    }
}

/// Of a million certificates only those that matter are read.
#[test]
fn no_question_goes_through_all_certificates() {
    let place = Place::sqlite();
    for sql in [STATE, CHANGES] {
        let steps = place.plan(sql);
        assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:?}");
    }
    let state = place.plan(STATE);
    assert!(state.iter().any(|step| step.contains("COVERING INDEX certificates_revoked")), "{state:?}");
    // The plant: the same without the words of the index.
    let slow = STATE.replace("devices.state = 'suspended'", "devices.state || '' = 'suspended'");
    assert!(place.plan(&slow).iter().any(|step| step.starts_with("SCAN")));
}
