//! Records of appraisals: how many of each class are kept, what is read of them, and what is counted.

use core::time::Duration;

use appraisal::case::Case;
use appraisal::policy::PolicyDigest;
use serde_json::json;
use shared::message::latest::EvidenceKind;
use shared::{Reject, UnixTime};

use super::SqlStore;
use super::places::entry;
use crate::store::{
    AppraisalFilter, Asked, Difference, NewAppraisal, Opinion, RecordLimits, Ruled, Store as _,
    StoredEvidence,
};
use crate::store::{Place, on_both};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

on_both!(
    of_each_class_the_newest_are_kept,
    what_is_old_is_dropped_a_few_at_a_time,
    records_are_read_as_they_were_written,
    differences_between_two_policies_are_counted,
    groups_are_counted
);

/// A store that knows the devices 0 to 2 and keeps little.
async fn store(place: &Place) -> SqlStore {
    let records = RecordLimits { per_device: 3, unproved: 4, strangers: 2, retention: DAY * 90 };
    let store = SqlStore { records, ..place.open() };
    store.import((0..3).map(entry).collect(), NOW).await.unwrap();
    store
}

/// The `number`-th record of an appraisal.
fn record(device: usize, ruled: Ruled, number: u64) -> NewAppraisal {
    NewAppraisal {
        at: UnixTime::from_secs(NOW.as_secs() + number),
        device: entry(device).device,
        asked: Asked::Enroll,
        group: Some("default".parse().unwrap()),
        ruled,
        reject: None,
        rule: None,
        reason: Some(number.to_string()),
        policy: Some(PolicyDigest::from_bytes([1; 32])),
        by_candidate: false,
        other: None,
        rules: [].into(),
        case: None,
        nonce: None,
        evidence_sha256: None,
        evidence: None,
        endorsements: vec![],
    }
}

/// A case; with evidence that was found genuine where `proved`.
fn case(device: usize, proved: bool) -> Case {
    let verified = proved.then(|| json!({ "shown": { "token": false }, "group": null }));
    let device = entry(device).device.to_string();
    let case = json!({ "device": device, "csr_key": "02".repeat(32), "kind": null, "verified": verified,
                       "known": null, "renewal": null, "at": NOW.as_secs() });
    serde_json::from_value(case).unwrap()
}

/// The numbers in the reasons of what is kept of a device, newest first.
async fn kept(store: &SqlStore, device: Option<usize>) -> Vec<u64> {
    let device = device.map(|device| entry(device).device);
    let filter = AppraisalFilter { device, limit: 100, ..AppraisalFilter::default() };
    let found = store.appraisals(filter).await.unwrap();
    found.iter().map(|record| record.reason.as_deref().unwrap().parse().unwrap()).collect()
}

async fn of_each_class_the_newest_are_kept(place: Place) {
    let store = store(&place).await;
    // What was decided, and what was refused though it was proved: of each device by itself.
    for number in 0..5 {
        let ruled = if number % 2 == 0 { Ruled::Accepted } else { Ruled::Held };
        let proved = NewAppraisal { case: Some(case(0, true)), ..record(0, Ruled::Refused, 10 + number) };
        store.add_appraisals(vec![record(0, ruled, number), proved]).await.unwrap();
    }
    store.add_appraisals(vec![record(1, Ruled::Accepted, 20)]).await.unwrap();
    assert_eq!(kept(&store, Some(0)).await, [14, 4, 13, 3, 12, 2]);
    assert_eq!(kept(&store, Some(1)).await, [20]);

    // What proves nothing: so many of each device, and of all of them together.
    for number in 30..35 {
        let unproved = NewAppraisal { case: Some(case(1, false)), ..record(1, Ruled::Refused, number) };
        store.add_appraisals(vec![unproved]).await.unwrap();
    }
    assert_eq!(kept(&store, Some(1)).await, [34, 33, 32, 20]);
    for number in 40..43 {
        store.add_appraisals(vec![record(2, Ruled::Refused, number)]).await.unwrap();
    }
    assert_eq!(kept(&store, Some(2)).await, [42, 41, 40]);
    assert_eq!(kept(&store, Some(1)).await, [34, 20], "of both devices the last four");

    // Whoever nobody knows, and all of them together.
    for number in 50..53 {
        store.add_appraisals(vec![record(9, Ruled::Refused, number)]).await.unwrap();
    }
    store.add_appraisals(vec![record(8, Ruled::Refused, 53)]).await.unwrap();
    assert_eq!(kept(&store, Some(9)).await, [52]);
    assert_eq!(kept(&store, Some(8)).await, [53]);
    assert_eq!(kept(&store, Some(0)).await.len(), 6, "nobody else's were touched");
}

async fn what_is_old_is_dropped_a_few_at_a_time(place: Place) {
    let store = store(&place).await;
    for number in 0..3 {
        store.add_appraisals(vec![record(0, Ruled::Accepted, number)]).await.unwrap();
    }
    let later = NOW.after(DAY * 90);
    assert_eq!(store.prune_appraisals(later).await.unwrap(), 0);
    assert_eq!(store.prune_appraisals(later.after(Duration::from_secs(2))).await.unwrap(), 2);
    assert_eq!(kept(&store, None).await, [2]);

    for number in 0..3 {
        store.add_appraisals(vec![record(0, Ruled::Accepted, number)]).await.unwrap();
    }
    let before = NOW.after(DAY);
    let pruned = store.write(move |c| super::appraisals::prune(c, before, 2)).await.unwrap();
    assert_eq!(pruned, 2, "no more at once");
    assert_eq!(kept(&store, None).await, [2], "the oldest first");
}

async fn records_are_read_as_they_were_written(place: Place) {
    let store = store(&place).await;
    let evidence = StoredEvidence { kind: EvidenceKind::PsaToken, body: vec![1, 2, 3] };
    let new = NewAppraisal {
        reject: Some(Reject::KeyReused),
        rule: Some("key".into()),
        nonce: Some([4; 32]),
        evidence_sha256: Some([5; 32]),
        evidence: Some(evidence.clone()),
        endorsements: vec![vec![6], vec![7, 7]],
        by_candidate: true,
        ..record(0, Ruled::Refused, 1)
    };
    let plain = NewAppraisal { group: Some("lot-7".parse().unwrap()), ..record(1, Ruled::Accepted, 2) };
    store.add_appraisals(vec![new, plain]).await.unwrap();
    let all = store.appraisals(AppraisalFilter { limit: 10, ..AppraisalFilter::default() }).await.unwrap();
    let [newer, older] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        (older.device.clone(), older.asked, older.ruled),
        (entry(0).device, Asked::Enroll, Ruled::Refused)
    );
    assert_eq!((older.reject, older.rule.as_deref()), (Some(Reject::KeyReused), Some("key")));
    assert_eq!((older.nonce, older.evidence_sha256), (Some([4; 32]), Some([5; 32])));
    assert_eq!((older.evidence.as_ref(), older.by_candidate), (Some(&evidence), true));
    assert_eq!(older.endorsements, [vec![6], vec![7, 7]]);
    assert_eq!(older.policy, Some(PolicyDigest::from_bytes([1; 32])));
    assert_eq!((newer.evidence.as_ref(), newer.endorsements.len(), newer.other.as_ref()), (None, 0, None));

    let only = |filter: AppraisalFilter| async {
        let found = store.appraisals(AppraisalFilter { limit: 10, ..filter.clone() }).await.unwrap();
        let counted = store.count_appraisals(filter).await.unwrap();
        (found.into_iter().map(|record| record.device).collect::<Vec<_>>(), counted)
    };
    let group = AppraisalFilter { group: Some("lot-7".parse().unwrap()), ..AppraisalFilter::default() };
    assert_eq!(only(group).await, (vec![entry(1).device], 1));
    let since = AppraisalFilter { since: newer.at, ..AppraisalFilter::default() };
    assert_eq!(only(since).await, (vec![entry(1).device], 1));
    assert_eq!(only(AppraisalFilter::default()).await.1, 2);
    let before = AppraisalFilter { before: Some(newer.number), ..AppraisalFilter::default() };
    assert_eq!(only(before).await.0, [entry(0).device]);
}

async fn differences_between_two_policies_are_counted(place: Place) {
    let store = store(&place).await;
    let other =
        Opinion { policy: PolicyDigest::from_bytes([2; 32]), ruled: Ruled::Held, rule: Some("model".into()) };
    let differs = |device| NewAppraisal { other: Some(other.clone()), ..record(device, Ruled::Accepted, 1) };
    let refused = NewAppraisal { rule: Some("key".into()), ..differs(2) };
    let refused = NewAppraisal { ruled: Ruled::Refused, by_candidate: true, ..refused };
    let alone = record(0, Ruled::Accepted, 2);
    store.add_appraisals(vec![differs(0), refused, alone, differs(1)]).await.unwrap();
    let accepted = Difference {
        group: "default".into(),
        policy: PolicyDigest::from_bytes([1; 32]),
        by_candidate: false,
        ruled: Ruled::Accepted,
        rule: None,
        other: other.clone(),
        count: 2,
    };
    let rule = Some("key".into());
    let refused =
        Difference { by_candidate: true, ruled: Ruled::Refused, rule, count: 1, ..accepted.clone() };
    assert_eq!(store.differences().await.unwrap(), [accepted, refused]);
}

async fn groups_are_counted(place: Place) {
    let store = place.open();
    assert_eq!(store.groups().await.unwrap(), []);
    let mut entries: Vec<_> = (0..3).map(entry).collect();
    entries[2].group = Some("lot-7".parse().unwrap());
    store.import(entries, NOW).await.unwrap();
    assert_eq!(store.groups().await.unwrap(), [("default".to_owned(), 2), ("lot-7".to_owned(), 1)]);
}
