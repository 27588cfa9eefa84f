//! Registered attestation keys: what is new is added, and nothing that is there is changed.

use shared::{DeviceId, UnixTime};

use super::SqlStore;
use crate::store::{EventQuery, KeysAdded, Maker, NewAttestationKey, Store as _};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const MAKER: [u8; 32] = [9; 32];

on_both!(
    what_is_new_is_added_and_nothing_is_changed,
    an_event_about_one_key_names_its_device,
    a_key_that_is_removed_is_gone_and_said_so
);

fn key(number: u8) -> NewAttestationKey {
    let device = DeviceId::new(&format!("SN-{number}")).unwrap();
    NewAttestationKey {
        instance: [number; 32],
        device,
        spki: vec![0x30, number],
        maker: Some(MAKER),
        model: Some("sensor-a".into()),
    }
}

/// A store that knows one maker.
async fn store(place: &Place) -> SqlStore {
    let store = place.open();
    let maker = Maker { name: "Acme".into(), sha256: MAKER, added: NOW, der: vec![0x30] };
    store.add_maker(maker).await.unwrap();
    store
}

/// What the last event says, and about which device.
async fn last(store: &SqlStore) -> (String, String, Option<String>) {
    let event = store.events(EventQuery::last(1)).await.unwrap().remove(0);
    (event.kind, event.detail, event.device)
}

async fn what_is_new_is_added_and_nothing_is_changed(place: Place) {
    let store = store(&place).await;
    let report = store.add_attestation_keys(vec![key(2), key(1)], NOW).await.unwrap();
    assert_eq!(report, KeysAdded { added: 2, unchanged: 0, conflicting: vec![] });
    let (kind, detail, device) = last(&store).await;
    assert_eq!((kind.as_str(), device), ("attestation-keys-added", None));
    let rows = detail.strip_prefix("2 added, 0 unchanged, 0 conflicting; rows ").unwrap();
    assert_eq!(rows.split(' ').map(str::len).collect::<Vec<_>>(), [64, 64]);

    // Each fact alone is another key, and so is a device's second one.
    let conflicts = vec![
        NewAttestationKey { device: key(3).device, ..key(1) },
        NewAttestationKey { spki: vec![0x31], ..key(1) },
        NewAttestationKey { maker: None, ..key(1) },
        NewAttestationKey { model: None, ..key(1) },
        NewAttestationKey { instance: [7; 32], ..key(1) },
    ];
    let offered = conflicts.into_iter().chain([key(1), key(2), key(4)]).collect();
    let report = store.add_attestation_keys(offered, NOW).await.unwrap();
    assert_eq!((report.added, report.unchanged), (1, 2));
    assert_eq!(report.conflicting, ["SN-3", "SN-1", "SN-1", "SN-1", "SN-1"]);

    let all = store.attestation_keys().await.unwrap();
    let kept: Vec<_> = all.iter().map(|found| (found.device.as_str(), found.spki.clone())).collect();
    assert_eq!(kept, [("SN-1", vec![0x30, 1]), ("SN-2", vec![0x30, 2]), ("SN-4", vec![0x30, 4])]);
    let one = store.attestation_key([1; 32]).await.unwrap().unwrap();
    assert_eq!(one, all[0]);
    assert_eq!((one.maker.as_deref(), one.maker_sha256), (Some("Acme"), Some(MAKER)));
    assert_eq!((one.model.as_deref(), one.added), (Some("sensor-a"), NOW));
    assert_eq!(store.attestation_key([7; 32]).await.unwrap(), None);
}

async fn an_event_about_one_key_names_its_device(place: Place) {
    let store = store(&place).await;
    store.add_attestation_keys(vec![key(1)], NOW).await.unwrap();
    assert_eq!(last(&store).await.2, Some("SN-1".into()));
    // The one that is new, not the one that was there.
    store.add_attestation_keys(vec![key(2), key(1)], NOW).await.unwrap();
    assert_eq!(last(&store).await.2, Some("SN-2".into()));
    store.add_attestation_keys(vec![key(1)], NOW).await.unwrap();
    assert_eq!(last(&store).await.2, None, "nothing was added");
}

async fn a_key_that_is_removed_is_gone_and_said_so(place: Place) {
    let store = store(&place).await;
    store.add_attestation_keys(vec![key(1), key(2)], NOW).await.unwrap();
    assert_eq!(store.remove_attestation_key([1; 32], NOW).await.unwrap(), Some(key(1).device));
    let (kind, detail, device) = last(&store).await;
    assert_eq!((kind.as_str(), device.as_deref()), ("attestation-key-removed", Some("SN-1")));
    assert!(detail.starts_with(&format!("instance {}, row ", "01".repeat(32))), "{detail}");
    assert_eq!(store.attestation_key([1; 32]).await.unwrap(), None);
    assert_eq!(store.remove_attestation_key([1; 32], NOW).await.unwrap(), None);
    assert_eq!(store.attestation_keys().await.unwrap().len(), 1);
}
