//! The places that a policy's quota leaves to the devices of a group: who takes one, who has one, who gives it back.

use ca::crl::Reason;
use shared::Reject;
use shared::message::latest::EnrollRequest;

use super::Outcome;
use super::tests::{Bench, refused};
use crate::audit::EventKind;
use crate::kit::Operational;
use crate::store::{Action, CertificateState};

const TWO: &str = "[enrollment]\nquota = 2\n";

#[tokio::test]
async fn as_many_devices_as_the_quota_says_have_an_identity() {
    let bench = Bench::new(TWO).await;
    let devices = [bench.device("SN-1").await, bench.device("SN-2").await, bench.device("SN-3").await];
    let [first, second, third] = &devices;
    let identity = bench.enroll(first).await.unwrap();
    assert_eq!(bench.events(EventKind::QuotaReached).await, 0);
    bench.enroll(second).await.unwrap();
    assert_eq!(bench.events(EventKind::QuotaReached).await, 1, "the last place is gone");
    let event = bench.admin.events(100).await.unwrap();
    let event = event.iter().find(|event| event.kind == EventKind::QuotaReached.name()).unwrap();
    assert_eq!((event.device.as_deref(), event.reason.as_deref()), (Some("SN-2"), Some("quota")));
    assert!(event.detail.starts_with("2 devices of the group default"), "{}", event.detail);

    assert_eq!(refused(bench.enroll(third).await), Reject::QuotaReached);
    // Who has a place takes no other one, in whichever way it comes again.
    bench.enroll(second).await.unwrap();
    bench.renew(&identity).await.unwrap();
    assert_eq!(bench.events(EventKind::QuotaReached).await, 1);

    // A suspended device keeps it.
    bench.admin.act_on(&first.id, Action::Suspend).await.unwrap();
    assert_eq!(refused(bench.enroll(third).await), Reject::QuotaReached);
    bench.admin.act_on(&first.id, Action::Resume).await.unwrap();
    bench.enroll(first).await.unwrap();

    // Who is revoked, or goes, gives it back.
    bench.admin.act_on(&first.id, Action::Revoke(Reason::KeyCompromise)).await.unwrap();
    bench.enroll(third).await.unwrap();
    assert_eq!(bench.events(EventKind::QuotaReached).await, 2, "reached once more");
    bench.admin.act_on(&second.id, Action::Return).await.unwrap();
    let fourth = bench.device("SN-4").await;
    bench.enroll(&fourth).await.unwrap();
    assert_eq!(refused(bench.enroll(second).await), Reject::QuotaReached);
}

#[tokio::test]
async fn what_is_held_takes_its_place_when_it_is_released() {
    let bench = Bench::new("[enrollment]\nquota = 1\nfirst = \"hold\"\n").await;
    let (first, second) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let held = async |device| {
        let body = crate::kit::Device::enroll(device, bench.nonce(&device.id), &Operational::new().csr);
        assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
        body
    };
    let (one, other) = (held(&first).await, held(&second).await);
    for device in [&first, &second] {
        bench.admin.act_on(&device.id, Action::Approve).await.unwrap();
    }
    assert_eq!(bench.events(EventKind::QuotaReached).await, 0, "who waits takes no place");
    assert!(matches!(bench.send(&one).await.unwrap(), Outcome::Granted(_)));
    assert_eq!(bench.events(EventKind::QuotaReached).await, 1);
    assert_eq!(refused(bench.send(&other).await), Reject::QuotaReached);
    assert_eq!(bench.count(&second.id, CertificateState::Issued).await, 0);
    let request = EnrollRequest::decode(&one).unwrap();
    assert!(matches!(bench.issuance.enroll(&request).await.unwrap(), Outcome::Granted(_)), "its own answer");
}
