//! Renewals: after the end of a certificate, with the evidence that the policy wants, and those an operator wants.

use appraisal::record::rule;
use shared::Reject;
use shared::message::latest::{ChallengeRequest, EvidenceKind, RenewRequest};

use super::tests::{Bench, DAY, Identity};
use crate::audit::EventKind;
use crate::kit::{Device, Operational};
use crate::store::{AppraisalFilter, Event, EventQuery, Page, Selection};

async fn events(bench: &Bench, kind: EventKind) -> Vec<Event> {
    let query = EventQuery { kinds: vec![kind], ..EventQuery::last(10) };
    bench.issuance.store().events(query).await.unwrap()
}

/// The rules of the last appraisal of `device`, as they are kept.
async fn last_rules(bench: &Bench, device: &Device) -> String {
    let filter = AppraisalFilter { device: Some(device.id.clone()), limit: 1, ..AppraisalFilter::default() };
    bench.issuance.store().appraisals(filter).await.unwrap()[0].rules.clone()
}

#[tokio::test]
async fn a_renewal_in_the_grace_period_is_recorded_as_such() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    // In time: nothing of the kind.
    bench.later(65 * DAY);
    let second = bench.renew(&first).await.unwrap();
    assert!(events(&bench, EventKind::RenewedInGrace).await.is_empty());
    assert!(!last_rules(&bench, &device).await.contains(rule::RENEWAL_GRACE));

    bench.later(100 * DAY);
    bench.renew(&second).await.unwrap();
    let late = events(&bench, EventKind::RenewedInGrace).await;
    assert_eq!(late.len(), 1, "{late:?}");
    let event = &late[0];
    assert_eq!((event.device.as_deref(), event.reason.as_deref()), (Some("SN-1"), Some(rule::RENEWAL_GRACE)));
    assert_eq!((event.actor.as_str(), event.severity.as_str()), ("device", "notice"));
    assert!(event.detail.contains(&second.0.serial().to_string()), "{}", event.detail);
    let rules = last_rules(&bench, &device).await;
    assert!(rules.contains(rule::RENEWAL_GRACE) && rules.contains("ended"), "{rules}");
}

/// A policy that wants evidence with renewals says so with a refusal of its own, which a device answers with evidence.
#[tokio::test]
async fn a_policy_that_wants_evidence_with_renewals_gets_it() {
    let bench = Bench::new("[renewal]\nevidence = true\n").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    let refused = bench.renew(&first).await.unwrap_err();
    assert_eq!(refused.reject(), Reject::EvidenceWanted);
    assert_eq!(Reject::EvidenceWanted.device_action(), shared::reject::DeviceAction::RetryFresh);

    let key = Operational::new();
    let body = device.renew_with_evidence(bench.nonce(&device.id), &key.csr);
    let request = RenewRequest::decode(&body).unwrap();
    let renewed = bench.issuance.renew(&request, Some(&first.0)).await.unwrap();
    assert_ne!(Identity::of(&renewed), first);
    // The refusal is recorded before, however late refusals are written.
    bench.issuance.refusals().write(bench.issuance.store().as_ref()).await;
    assert!(last_rules(&bench, &device).await.contains(rule::EVIDENCE_SIGNATURE));
    let filter = AppraisalFilter { device: Some(device.id.clone()), limit: 10, ..AppraisalFilter::default() };
    assert_eq!(bench.issuance.store().appraisals(filter).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_wanted_renewal_ends_with_a_newer_certificate() {
    let bench = Bench::new("").await;
    let (device, other) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let first = bench.enroll(&device).await.unwrap();
    bench.admin.want_renewal(&device.id).await.unwrap();
    let told = async |device: &Device| {
        let kinds = [EvidenceKind::IdevidEat].into_iter().collect();
        let request = ChallengeRequest { device: device.id.clone(), kinds, introduction: None };
        bench.issuance.challenge(&request).await.unwrap().message().renewal_wanted
    };
    assert!(told(&device).await);
    assert!(!told(&other).await);
    assert_eq!(
        bench.admin.want_renewal(&other.id).await.unwrap_err().to_string(),
        "SN-2 is registered: it has no certificate in force to renew"
    );
    bench.renew(&first).await.unwrap();
    assert!(!told(&device).await);
    let wanted = bench.admin.wanted_renewals(None, Page::first(10)).await.unwrap();
    assert!(wanted.renewals.is_empty());
    let issued = events(&bench, EventKind::Issued).await;
    assert_eq!(issued[0].reason.as_deref(), Some("renewal-wanted"), "the trail says why it was issued");
    assert_eq!(issued[1].reason, None);
    assert_eq!(events(&bench, EventKind::RenewalWanted).await.len(), 1);

    // To want it no more is possible too.
    bench.admin.want_renewal(&device.id).await.unwrap();
    let one = Selection::One(device.id.clone());
    assert_eq!(bench.admin.unwant_renewals(one, Page::first(1)).await.unwrap().done, 1);
    assert!(!told(&device).await);
}
