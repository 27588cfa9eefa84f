//! Events about what devices say of themselves: raised by genuine evidence of the device alone, accepted or not.

use core::time::Duration;

use shared::Reject;
use shared::evidence::DebugStatus;
use shared::message::latest::EnrollRequest;

use super::tests::Bench;
use crate::audit::{Actor, EventKind, Severity};
use crate::kit::{Device, Operational};
use crate::store::{Event, EventQuery};

/// Two releases are known; any version is good enough.
fn policy() -> String {
    let digest = hex::encode([0xbb; 32]);
    format!("[[measurement]]\ncomponent = \"application\"\nversion = \"1.3.0\"\ndigest = \"{digest}\"\n")
}

async fn of_kind(bench: &Bench, kind: EventKind) -> Vec<Event> {
    let query = EventQuery { kinds: vec![kind], ..EventQuery::after(0, 100) };
    bench.admin.find_events(query).await.unwrap()
}

fn update(device: &mut Device, version: &'static str, digest: u8) {
    (device.version, device.digest) = (version, [digest; 32]);
}

#[tokio::test]
async fn an_update_and_a_rollback_that_the_policy_accepts_are_events_with_their_evidence() {
    let bench = Bench::new(&policy()).await;
    let mut device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    bench.enroll(&device).await.unwrap();
    assert_eq!(bench.events(EventKind::FirmwareChanged).await, 0, "the same again is no change");
    update(&mut device, "1.3.0", 0xbb);
    bench.enroll(&device).await.unwrap();
    assert_eq!(bench.events(EventKind::Rollback).await, 0);
    update(&mut device, "1.2.0", 0xaa);
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    bench.send(&body).await.unwrap();

    let evidence = EnrollRequest::decode(&body).unwrap().evidence.body.to_vec();
    let hash = Some(super::sha256(&evidence));
    let rollback = of_kind(&bench, EventKind::Rollback).await;
    let [rollback] = rollback.as_slice() else { panic!("{rollback:?}") };
    assert_eq!(rollback.detail, "version 1.2.0 of \"firmware\", after 1.3.0");
    assert_eq!((rollback.reason.as_deref(), rollback.evidence_sha256), (Some("firmware-version"), hash));
    assert_eq!((rollback.severity.as_str(), rollback.actor.as_str()), ("critical", "device"));
    let changed = of_kind(&bench, EventKind::FirmwareChanged).await;
    assert_eq!(changed.len(), 2);
    assert_eq!(changed[1].evidence_sha256, hash);
    assert_eq!(of_kind(&bench, EventKind::Issued).await.last().unwrap().evidence_sha256, hash);
    // It was accepted, so it is the measure from now on.
    bench.enroll(&device).await.unwrap();
    assert_eq!(bench.events(EventKind::Rollback).await, 1);
}

#[tokio::test]
async fn a_refused_device_raises_what_changed_once_an_hour_and_its_last_good_claims_stay() {
    let bench = Bench::new("").await;
    let mut device = bench.device("SN-1").await;
    device.debug = DebugStatus::Enabled;
    assert_eq!(bench.enroll(&device).await.unwrap_err().reject(), Reject::DebugOpen);
    assert_eq!(
        bench.events(EventKind::DebugOpened).await,
        0,
        "nothing was accepted that it could differ from"
    );
    device.debug = DebugStatus::DisabledPermanently;
    bench.enroll(&device).await.unwrap();

    device.debug = DebugStatus::Enabled;
    update(&mut device, "1.1.0", 0xcc);
    for _ in 0..3 {
        assert_eq!(bench.enroll(&device).await.unwrap_err().reject(), Reject::DebugOpen);
    }
    for kind in [EventKind::DebugOpened, EventKind::Rollback, EventKind::FirmwareChanged] {
        let events = of_kind(&bench, kind).await;
        assert_eq!(events.len(), 1, "{kind}");
        assert!(events[0].evidence_sha256.is_some());
    }
    bench.later(Duration::from_secs(3_601));
    assert_eq!(bench.enroll(&device).await.unwrap_err().reject(), Reject::DebugOpen);
    assert_eq!(bench.events(EventKind::DebugOpened).await, 2);
    device.debug = DebugStatus::DisabledPermanently;
    update(&mut device, "1.2.0", 0xaa);
    bench.enroll(&device).await.unwrap();
    assert_eq!(bench.events(EventKind::FirmwareChanged).await, 2, "what was refused is not the measure");
}

#[tokio::test]
async fn a_held_device_raises_what_changed_and_is_the_measure_when_it_is_released() {
    let bench = Bench::new(&format!("[enrollment]\nsecond = \"hold\"\n{}", policy())).await;
    let mut device = bench.device("SN-1").await;
    update(&mut device, "1.3.0", 0xbb);
    bench.enroll(&device).await.unwrap();
    update(&mut device, "1.2.0", 0xaa);
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    bench.send(&body).await.unwrap();
    assert_eq!(bench.events(EventKind::Rollback).await, 1);
    let held = of_kind(&bench, EventKind::Held).await;
    assert_eq!(held[0].reason.as_deref(), Some("second-enrollment"));
    bench.admin.acting_as(Actor::AdminApi("admin-token".to_owned())).approve(&device.id).await.unwrap();
    assert_eq!(of_kind(&bench, EventKind::Approved).await[0].actor, "admin-api:admin-token");
    bench.send(&body).await.unwrap();
    assert_eq!(bench.events(EventKind::Rollback).await, 2, "accepted now");
    bench.admin.approve(&device.id).await.unwrap();
    bench.enroll(&device).await.unwrap();
    assert_eq!(bench.events(EventKind::Rollback).await, 2);
}

#[tokio::test]
async fn nobody_raises_events_in_another_devices_name() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    let mut clone = bench.maker.device("SN-1");
    clone.debug = DebugStatus::Enabled;
    update(&mut clone, "1.0.0", 0xcc);
    assert_eq!(bench.enroll(&clone).await.unwrap_err().reject(), Reject::IdentityConflict);
    for kind in [EventKind::DebugOpened, EventKind::Rollback, EventKind::FirmwareChanged] {
        assert_eq!(bench.events(kind).await, 0, "{kind}");
    }
    let suspected = of_kind(&bench, EventKind::CloneSuspected).await;
    assert_eq!(suspected[0].reason.as_deref(), Some("pinned-key"));
    assert!(suspected[0].evidence_sha256.is_some());
}

#[tokio::test]
async fn events_are_found_by_kind_device_time_and_severity() {
    let bench = Bench::new("").await;
    let (one, two) = (bench.device("SN-1").await, bench.device("SN-2").await);
    bench.enroll(&one).await.unwrap();
    bench.later(Duration::from_secs(1_000));
    bench.enroll(&two).await.unwrap();
    let find = async |query: EventQuery| -> Vec<(u64, String)> {
        let query = EventQuery { limit: 100, ..query };
        let found = bench.admin.find_events(query).await.unwrap();
        found.into_iter().map(|event| (event.number, event.kind)).collect()
    };
    let all = find(EventQuery::default()).await;
    assert!(all.is_sorted_by(|a, b| a.0 > b.0), "the newest first");
    let rising = find(EventQuery::after(all.last().unwrap().0, 100)).await;
    assert_eq!(rising.len(), all.len() - 1);
    assert!(rising.is_sorted());
    let kinds = vec![EventKind::Issued, EventKind::Imported];
    let found = find(EventQuery { kinds, device: Some(one.id.clone()), ..EventQuery::default() }).await;
    assert_eq!(found.iter().map(|(_, kind)| kind.as_str()).collect::<Vec<_>>(), ["issued"]);
    let since = Some(bench.issuance.now());
    assert_eq!(find(EventQuery { since, ..EventQuery::default() }).await.len(), 1);
    let severity = Some(Severity::Warning);
    assert_eq!(find(EventQuery { severity, ..EventQuery::default() }).await, []);
    let severity = Some(Severity::Notice);
    let found = find(EventQuery { severity, ..EventQuery::default() }).await;
    assert!(found.iter().all(|(_, kind)| kind != "issued") && !found.is_empty());
}
