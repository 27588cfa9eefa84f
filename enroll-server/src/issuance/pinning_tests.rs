//! When the identity of a device is pinned: with its certificate, and not while a request waits for one.

use shared::{DeviceId, Reject};

use super::tests::{Bench, Identity};
use super::{Denied, Outcome};
use crate::admin::AdminError;
use crate::audit::EventKind;
use crate::kit::{Device, Operational};
use crate::store::{Action, DeviceState, Page};

const HOLD: &str = "[enrollment]\nfirst = \"hold\"\n";
const NAME_ONLY: &str = "device,model,idevid_sha256\nSN-1,,\n";

fn refused<T: core::fmt::Debug>(outcome: Result<T, Denied>) -> Reject {
    outcome.unwrap_err().reject()
}

impl Bench {
    fn ask(&self, device: &Device) -> Vec<u8> {
        device.enroll(self.nonce(&device.id), &Operational::new().csr)
    }

    /// The hash of the identity and the model that are registered for the device.
    async fn registered(&self, device: &Device) -> (Option<String>, Option<String>) {
        let row = self.admin.device(&device.id).await.unwrap();
        (row.idevid_sha256.map(hex::encode), row.model)
    }
}

/// Any device of a known maker can ask in the name of one that the inventory has by its name alone.
#[tokio::test]
async fn who_was_held_and_denied_leaves_nothing_to_the_device_that_is_approved() {
    let bench = Bench::new(HOLD).await;
    bench.admin.import_devices(NAME_ONLY).await.unwrap();
    let (stranger, device) = (bench.maker.device("SN-1"), bench.maker.device("SN-1"));
    let body = bench.ask(&stranger);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    assert_eq!(bench.registered(&device).await, (None, None));
    bench.admin.act_on(&device.id, Action::Deny("not one of ours".into())).await.unwrap();
    assert_eq!(refused(bench.enroll(&device).await), Reject::EnrollmentDenied);

    bench.admin.approve(&device.id).await.unwrap();
    bench.enroll(&device).await.unwrap();
    let (identity, model) = bench.registered(&device).await;
    assert!(device.inventory().contains(&identity.unwrap()));
    assert_eq!(model.as_deref(), Some("sensor-a"));
    assert_eq!(refused(bench.enroll(&stranger).await), Reject::IdentityConflict);
    assert_eq!(refused(bench.send(&body).await), Reject::IdentityConflict);
}

#[tokio::test]
async fn a_release_pins_the_identity_and_the_model_of_the_request_that_was_approved() {
    let bench = Bench::new(HOLD).await;
    bench.admin.import_devices(NAME_ONLY).await.unwrap();
    let (stranger, device) = (bench.maker.device("SN-1"), bench.maker.device("SN-1"));
    assert_eq!(bench.send(&bench.ask(&stranger)).await.unwrap(), Outcome::Held);
    // It takes the place of the first one.
    let body = bench.ask(&device);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    bench.admin.approve(&device.id).await.unwrap();
    Identity::of(&bench.send(&body).await.unwrap());
    let (identity, model) = bench.registered(&device).await;
    assert!(device.inventory().contains(&identity.unwrap()));
    assert_eq!(model.as_deref(), Some("sensor-a"));
    assert!(!bench.admin.device(&device.id).await.unwrap().approved, "an approval is used up");
    assert_eq!(refused(bench.enroll(&stranger).await), Reject::IdentityConflict);
}

/// A stranger asks while the operator reads the queue.
#[tokio::test]
async fn a_decision_is_about_the_request_that_was_seen() {
    let bench = Bench::new(HOLD).await;
    bench.admin.import_devices(NAME_ONLY).await.unwrap();
    let (stranger, device) = (bench.maker.device("SN-1"), bench.maker.device("SN-1"));
    let body = bench.ask(&device);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    let seen = bench.admin.held(None, Page::first(1)).await.unwrap().requests.remove(0).serial;
    assert_eq!(bench.send(&bench.ask(&stranger)).await.unwrap(), Outcome::Held);

    for decision in [Action::Approve, Action::Deny("not one of ours".into())] {
        let late = bench.admin.decide(&device.id, Some(seen), decision).await;
        assert!(matches!(late, Err(AdminError::Replaced { serial, .. }) if serial == seen), "{late:?}");
    }
    let row = bench.admin.device(&device.id).await.unwrap();
    assert_eq!((row.approved, row.denied, row.state), (false, None, DeviceState::Held));

    // The device comes again with a new request.
    let body = bench.ask(&device);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    let now = bench.admin.held(None, Page::first(1)).await.unwrap().requests.remove(0).serial;
    bench.admin.decide(&device.id, Some(now), Action::Approve).await.unwrap();
    Identity::of(&bench.send(&body).await.unwrap());
    let nobody = bench.admin.decide(&DeviceId::new("SN-9").unwrap(), Some(now), Action::Approve).await;
    assert!(matches!(nobody, Err(AdminError::NotFound { .. })), "{nobody:?}");
}

#[tokio::test]
async fn what_an_inventory_says_while_a_request_waits_decides_over_it() {
    let bench = Bench::new(HOLD).await;
    bench.admin.import_devices(NAME_ONLY).await.unwrap();
    let (stranger, device) = (bench.maker.device("SN-1"), bench.maker.device("SN-1"));
    let body = bench.ask(&stranger);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    let report = bench.admin.import_devices(&device.inventory()).await.unwrap();
    assert!(report.conflicting.is_empty(), "{report:?}");
    bench.admin.approve(&device.id).await.unwrap();
    assert_eq!(refused(bench.send(&body).await), Reject::IdentityConflict);
    // What was imported stays, held or denied.
    let pinned = bench.registered(&device).await;
    bench.admin.act_on(&device.id, Action::Deny("not one of ours".into())).await.unwrap();
    assert_eq!(bench.registered(&device).await, pinned);
    bench.admin.approve(&device.id).await.unwrap();
    bench.enroll(&device).await.unwrap();
}

/// Both wait, since neither is registered by it yet.
#[tokio::test]
async fn one_identity_key_under_two_names_gets_one_of_them() {
    let bench = Bench::new(&format!("{HOLD}[inventory]\nrequired = false\n")).await;
    let device = bench.maker.device("SN-1");
    let other = bench.maker.renamed(&device, "SN-2");
    let bodies = [bench.ask(&device), bench.ask(&other)];
    for (body, id) in bodies.iter().zip([&device.id, &other.id]) {
        assert_eq!(bench.send(body).await.unwrap(), Outcome::Held);
        bench.admin.approve(id).await.unwrap();
    }
    Identity::of(&bench.send(&bodies[0]).await.unwrap());
    assert_eq!(refused(bench.send(&bodies[1]).await), Reject::IdentityConflict);
    assert_eq!(bench.events(EventKind::CloneSuspected).await, 1);
    assert_eq!(bench.registered(&other).await, (None, None));
}
