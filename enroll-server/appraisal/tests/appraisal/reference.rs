//! Reference values have an owner, a device and a time, and a version only where they say one.

use crate::support::{GOOD, NOW, World};
use appraisal::policy::{KnownGood, ReferenceSet};
use appraisal::record::rule;
use appraisal::{Appraised, Refusal};
use core::time::Duration;
use shared::Reject;

fn appraise(change: impl FnOnce(&mut ReferenceSet)) -> Result<Appraised, Refusal> {
    let mut world = World::new();
    let known = world.reference_values.iter().cloned().collect();
    let mut set = ReferenceSet { name: "r".into(), known, ..ReferenceSet::default() };
    change(&mut set);
    // What the operator's own file says stays out of the way.
    world.reference_values = vec![set].into();
    world.appraise(|_| ())
}

#[track_caller]
fn refused(because: &str, change: impl FnOnce(&mut ReferenceSet)) {
    let refusal = appraise(change).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::FirmwareUnknown, rule::MEASUREMENTS));
    assert!(refusal.explanation.contains(because), "{}", refusal.explanation);
}

#[test]
fn values_of_one_maker_are_not_good_for_devices_of_another() {
    appraise(|set| set.maker = Some("example".into())).unwrap();
    refused("another maker only", |set| set.maker = Some("example2".into()));
}

#[test]
fn values_count_while_they_are_valid() {
    appraise(|set| (set.not_before, set.not_after) = (Some(NOW), Some(NOW))).unwrap();
    refused("not valid yet", |set| set.not_before = Some(NOW.after(Duration::from_secs(1))));
    refused("not valid any more", |set| set.not_after = Some(NOW.before(Duration::from_secs(1))));
}

#[test]
fn values_may_be_for_one_device() {
    let mut world = World::new();
    let known = KnownGood {
        instance: Some(*world.device.public_key().spki_sha256()),
        component: "application".into(),
        version: Some("1.2.0".into()),
        digest: GOOD.to_vec(),
        ..KnownGood::default()
    };
    world.reference_values = vec![known].into();
    world.appraise(|_| ()).unwrap();
    refused("another device only", |set| set.known[0].instance = Some([7; 32]));
}

#[test]
fn a_value_without_a_version_confirms_none() {
    refused("no measured component of version \"1.2.0\"", |set| set.known[0].version = None);
    refused("another version only", |set| set.known[0].version = Some("1.2.1".into()));
}
