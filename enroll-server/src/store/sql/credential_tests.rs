//! Credentials in the transaction that records: how each stands to a device, and which devices it brought in.

use core::time::Duration;

use shared::{DeviceId, UnixTime};

use super::places::entry;
use super::{SqlStore, credentials};
use crate::authorization::CredentialFacts;
use crate::store::{Credential, CredentialKind, EventQuery, NewCredential, Store as _, StoreError};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const END: UnixTime = UnixTime::from_secs(1_800_000_100);

on_both!(
    a_credential_is_good_until_it_is_revoked_ends_or_is_overridden,
    a_credential_brings_in_as_many_devices_as_it_may,
    a_credential_is_revoked_once_and_an_unknown_one_never
);

fn device(number: usize) -> DeviceId {
    entry(number).device
}

/// A group's key for two devices, until [`END`].
fn group_key() -> NewCredential {
    let credential = Credential {
        id: "g".into(),
        kind: CredentialKind::GroupKey,
        name: "line 7".into(),
        device: None,
        group: Some("lot-7".parse().unwrap()),
        hold: false,
        created: NOW,
        expires: Some(END),
        revoked: None,
        quota: Some(2),
        used: 0,
    };
    NewCredential { credential, secret: Some(vec![1]), certificate: None }
}

/// A store with that key and the devices 0 to 3.
async fn filled(place: &Place) -> SqlStore {
    let store = place.open();
    store.import((0..4).map(entry).collect(), NOW).await.unwrap();
    store.add_credential(group_key()).await.unwrap();
    store
}

async fn facts(store: &SqlStore, number: usize, now: UnixTime) -> CredentialFacts {
    let found = store.read(move |c| credentials::facts(c, "g", &device(number), now));
    found.await.unwrap()
}

async fn bring_in(store: &SqlStore, number: usize) -> Result<(), StoreError> {
    store.write(move |c| credentials::bring_in(c, "g", &device(number), &[9; 32], NOW)).await
}

const NEW: CredentialFacts = CredentialFacts { good: true, quota_left: true, brought_in: false };

async fn a_credential_is_good_until_it_is_revoked_ends_or_is_overridden(place: Place) {
    let store = filled(&place).await;
    assert_eq!(facts(&store, 0, NOW).await, NEW);
    assert_eq!(facts(&store, 0, END).await, NEW, "in its last second");
    let bad = CredentialFacts { good: false, ..NEW };
    assert_eq!(facts(&store, 0, END.after(Duration::from_secs(1))).await, bad);
    let unknown = store.read(|c| credentials::facts(c, "x", &device(0), NOW)).await.unwrap();
    assert_eq!(unknown, CredentialFacts { good: false, quota_left: false, brought_in: false });

    // A device's own key counts in its group's place, for this device.
    let Credential { created, .. } = group_key().credential;
    let own = Credential {
        id: "d".into(),
        kind: CredentialKind::DeviceKey,
        device: Some(device(1)),
        group: None,
        quota: None,
        created,
        ..group_key().credential
    };
    store.add_credential(NewCredential { credential: own, ..group_key() }).await.unwrap();
    assert_eq!(facts(&store, 1, NOW).await, bad);
    assert_eq!(facts(&store, 0, NOW).await, NEW);

    assert!(store.revoke_credential("g".into(), NOW).await.unwrap());
    assert_eq!(facts(&store, 0, NOW).await, bad);
}

async fn a_credential_brings_in_as_many_devices_as_it_may(place: Place) {
    let store = filled(&place).await;
    for _ in 0..2 {
        bring_in(&store, 0).await.unwrap();
        assert_eq!(store.credential("g".into()).await.unwrap().unwrap().used, 1, "each device once");
    }
    let kinds = async || {
        let events = store.events(EventQuery::last(9)).await.unwrap();
        events
            .iter()
            .filter(|event| event.kind == "quota-reached")
            .map(|event| event.device.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, []);
    assert_eq!(facts(&store, 1, NOW).await, NEW);
    bring_in(&store, 1).await.unwrap();
    assert_eq!(kinds().await, [Some("SN-1".to_owned())]);
    let came_in = CredentialFacts { brought_in: true, ..NEW };
    assert_eq!(facts(&store, 1, NOW).await, came_in, "who came in comes again");
    let full = CredentialFacts { quota_left: false, ..NEW };
    assert_eq!(facts(&store, 2, NOW).await, full);
    // Should the decision before not hold, the table does.
    bring_in(&store, 2).await.unwrap_err();
    assert_eq!(facts(&store, 2, NOW).await, full);
    assert_eq!(store.credential("g".into()).await.unwrap().unwrap().used, 2);
}

async fn a_credential_is_revoked_once_and_an_unknown_one_never(place: Place) {
    let store = filled(&place).await;
    let events = async || store.events(EventQuery::last(9)).await.unwrap().len();
    let before = events().await;
    assert!(!store.revoke_credential("x".into(), NOW).await.unwrap());
    assert_eq!(events().await, before);
    for later in [0, 60] {
        assert!(store.revoke_credential("g".into(), NOW.after(Duration::from_secs(later))).await.unwrap());
        assert_eq!(
            store.credential("g".into()).await.unwrap().unwrap().revoked,
            Some(NOW),
            "the first time counts"
        );
    }
}
