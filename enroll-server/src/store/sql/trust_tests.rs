//! What a device says of itself beside its requests: which trust bundle it holds, and that it goes by its new certificate.

use appraisal::GroupName;
use ca::Serial;
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, UnixTime};

use super::places::{add_certificate, add_device};
use super::{SqlStore, actions, quota, revoke};
use crate::store::database::params;
use crate::store::{
    CertificateState, DeviceState, EventQuery, IssuerNumber, RolloverStore as _, SignedBundle, Store as _,
    StoredEvidence,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

on_both!(
    a_bundle_that_is_ours_is_noted_and_no_other,
    a_certificate_that_was_shown_ends_the_one_it_was_renewed_with,
    what_a_certificate_takes_the_place_of_is_revoked_and_counted_once,
    bundles_have_rising_numbers_and_do_not_change,
    evidence_is_kept_as_it_came,
    places_of_a_group_are_counted
);

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn serial(number: u8) -> Serial {
    Serial::from_bytes([number; 16]).unwrap()
}

/// Devices with their states, certificates as device, number, state and parent, and the trust bundle 7.
async fn filled(
    place: &Place,
    devices: &'static [(&'static str, &'static str)],
    certificates: &'static [(&'static str, u8, &'static str, Option<u8>)],
) -> SqlStore {
    let store = place.open();
    let filled = store.write(move |c| {
        c.execute("INSERT INTO trust_bundles (number, signed, added) VALUES (7, ?1, 1)", params![[1_u8]])?;
        devices.iter().try_for_each(|(name, state)| add_device(c, name, state))?;
        certificates.iter().try_for_each(|certificate| add_certificate(c, *certificate))
    });
    filled.await.unwrap();
    store
}

/// The bundle that was noted of SN-1, when, and when its state changed.
async fn noted(store: &SqlStore) -> (Option<i64>, Option<i64>, i64) {
    let noted = store.read(|c| {
        let sql = "SELECT trust_number, trust_at, changed FROM devices WHERE device = 'SN-1'";
        c.prepare_cached(sql)?.query_row(params![], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    });
    noted.await.unwrap()
}

async fn a_bundle_that_is_ours_is_noted_and_no_other(place: Place) {
    let store = filled(&place, &[("SN-1", "registered")], &[]).await;
    let now = i64::try_from(NOW.as_secs()).unwrap();
    store.confirm_trust(&device("SN-1"), 8, None, NOW).await.unwrap();
    assert_eq!(noted(&store).await, (None, None, 1), "there is no such bundle");
    store.confirm_trust(&device("SN-1"), 7, None, NOW).await.unwrap();
    assert_eq!(noted(&store).await, (Some(7), Some(now), 1));

    // With what gives it its certificate.
    let grant = |trust, from, to| {
        let device = device("SN-1");
        store.write(move |c| {
            actions::grant(c, &device, (from, to), trust, NOW.after(core::time::Duration::from_secs(9)))
        })
    };
    let put =
        store.write(|c| c.execute("UPDATE devices SET trust_number = NULL, trust_at = NULL", params![]));
    put.await.unwrap();
    grant(Some(8), DeviceState::Registered, DeviceState::Enrolled).await.unwrap();
    assert_eq!(noted(&store).await, (None, None, now + 9), "it is enrolled, and says nothing that is ours");
    grant(Some(7), DeviceState::Enrolled, DeviceState::Enrolled).await.unwrap();
    assert_eq!(noted(&store).await, (Some(7), Some(now + 9), now + 9));
    let found = store.device(&device("SN-1")).await.unwrap().unwrap();
    assert_eq!(found.state, DeviceState::Enrolled);
}

async fn a_certificate_that_was_shown_ends_the_one_it_was_renewed_with(place: Place) {
    let certificates = &[
        ("SN-1", 1, "issued", None),
        ("SN-1", 2, "issued", Some(1)),
        ("SN-1", 3, "issued", None),
        ("SN-2", 4, "issued", Some(3)),
    ];
    let store = filled(&place, &[("SN-1", "enrolled"), ("SN-2", "enrolled")], certificates).await;
    let revocations = async || store.generations().await.unwrap().revocations;
    let states = async || {
        let mut list = store.certificates(None, 10).await.unwrap();
        list.sort_unstable_by_key(|certificate| certificate.serial);
        list.into_iter().map(|certificate| certificate.state).collect::<Vec<_>>()
    };
    let before = revocations().await;
    use CertificateState::{Issued, Revoked};
    // One without a parent, one that nobody has, and one whose parent is another device's.
    for shown in [3, 9] {
        store.confirm_trust(&device("SN-1"), 7, Some(serial(shown)), NOW).await.unwrap();
    }
    store.confirm_trust(&device("SN-2"), 7, Some(serial(4)), NOW).await.unwrap();
    assert_eq!(states().await, [Issued; 4]);
    assert_eq!((revocations().await, store.events(EventQuery::last(9)).await.unwrap().len()), (before, 0));

    for _ in 0..2 {
        store.confirm_trust(&device("SN-1"), 7, Some(serial(2)), NOW).await.unwrap();
        assert_eq!(states().await, [Revoked, Issued, Issued, Issued]);
    }
    assert_eq!(revocations().await, before + 1, "once");
    let events = store.events(EventQuery::last(9)).await.unwrap();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind.as_str(), event.device.as_deref()), ("superseded", Some("SN-1")));
    assert!(event.detail.contains(&serial(2).to_string()), "{}", event.detail);
    assert_eq!(store.revoked(IssuerNumber::given(1), NOW).await.unwrap().entries.len(), 1);
}

async fn what_a_certificate_takes_the_place_of_is_revoked_and_counted_once(place: Place) {
    let certificates =
        &[("SN-1", 1, "issued", None), ("SN-1", 2, "issued", Some(1)), ("SN-1", 3, "issued", None)];
    let store = filled(&place, &[("SN-1", "enrolled")], certificates).await;
    let before = store.generations().await.unwrap().revocations;
    for _ in 0..2 {
        let done = store.write(|c| revoke::superseded(c, &device("SN-1"), serial(2), NOW));
        done.await.unwrap();
        let in_force = async |number| {
            let certificate = store.certificate(serial(number)).await.unwrap().unwrap();
            certificate.state == CertificateState::Issued
        };
        // The device may need the one that it was renewed with once more.
        assert_eq!([in_force(1).await, in_force(2).await, in_force(3).await], [true, true, false]);
        assert_eq!(store.generations().await.unwrap().revocations, before + 1);
        let events = store.events(EventQuery::last(9)).await.unwrap();
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.detail, format!("1 certificates by serial {}", serial(2)));
    }
}

async fn bundles_have_rising_numbers_and_do_not_change(place: Place) {
    let store = filled(&place, &[], &[]).await;
    let generation = async || store.rollover_generation().await.unwrap();
    let before = generation().await;
    let add = async |bundles: &[(u64, u8)]| {
        let bundles =
            bundles.iter().map(|(number, byte)| SignedBundle { number: *number, signed: vec![*byte] });
        store.add_trust_bundles(bundles.collect(), NOW).await.unwrap()
    };
    assert!(add(&[(7, 1)]).await, "it is there");
    assert_eq!(generation().await, before);
    for refused in [&[(7, 2)][..], &[(6, 1)], &[(u64::MAX, 1)], &[(9, 1), (7, 2)]] {
        assert!(!add(refused).await, "{refused:?}");
    }
    assert_eq!(store.trust_bundles().await.unwrap(), [vec![1]], "all or none");
    assert!(add(&[(8, 3), (9, 4)]).await);
    assert_eq!(store.trust_bundles().await.unwrap(), [vec![1], vec![3], vec![4]]);
    assert_eq!(generation().await, before + 2);
}

async fn evidence_is_kept_as_it_came(place: Place) {
    let certificates = &[("SN-1", 1, "issued", None), ("SN-1", 2, "issued", None)];
    let store = filled(&place, &[("SN-1", "enrolled")], certificates).await;
    let kind = EvidenceKind::PsaToken;
    let code = i64::try_from(kind.code()).unwrap();
    let kept = store.write(move |c| {
        let sql = "UPDATE certificates SET evidence_kind = ?1, evidence = ?2 WHERE serial = ?3";
        c.execute(sql, params![code, [1_u8, 2, 3], serial(1).as_bytes()])
    });
    kept.await.unwrap();
    let evidence = async |number| store.certificate(serial(number)).await.unwrap().unwrap().evidence;
    assert_eq!(evidence(1).await, Some(StoredEvidence { kind, body: vec![1, 2, 3] }));
    assert_eq!(evidence(2).await, None);
}

/// Those that have an identity, those that are about to, and nobody twice.
async fn places_of_a_group_are_counted(place: Place) {
    let devices = &[
        ("SN-1", "enrolled"),
        ("SN-2", "suspended"),
        ("SN-3", "revoked"),
        ("SN-4", "registered"),
        ("SN-5", "held"),
        ("SN-6", "held"),
        ("SN-7", "registered"),
        ("SN-8", "enrolled"),
    ];
    let certificates = &[
        ("SN-1", 1, "issued", None),
        ("SN-1", 2, "intent", Some(1)),
        ("SN-6", 3, "issued", None),
        ("SN-6", 4, "held", None),
        ("SN-5", 5, "held", None),
        ("SN-7", 6, "intent", None),
        ("SN-7", 7, "intent", None),
        ("SN-8", 8, "issued", None),
    ];
    let store = filled(&place, devices, certificates).await;
    let moved =
        store.write(|c| c.execute("UPDATE devices SET device_group = 'b' WHERE device = 'SN-8'", params![]));
    moved.await.unwrap();
    let taken = async |group: &str, most| {
        let group: GroupName = group.parse().unwrap();
        store.read(move |c| quota::taken(c, &group, most)).await.unwrap()
    };
    assert_eq!(taken("default", 100).await, 4, "SN-1, SN-2, SN-6, SN-7");
    assert_eq!(taken("default", 3).await, 3, "no further than is asked for");
    assert_eq!(taken("b", 100).await, 1);
    assert_eq!(taken("c", 100).await, 0);
}
