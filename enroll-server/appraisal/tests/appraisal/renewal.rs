//! Renewals over mutual TLS.

use appraisal::record::rule;
use appraisal::{
    Appraised, Decision, DeviceState, IdevidEat, Proof, Refusal, RenewalPresented, TlsIdentity,
    appraise_renewal,
};
use core::time::Duration;
use shared::{DeviceId, Reject, UnixTime};

use crate::support::{NONCE, NOW, World};

const DAY: Duration = Duration::from_secs(86_400);

fn identity() -> TlsIdentity {
    TlsIdentity {
        device: DeviceId::new("SN-0001").unwrap(),
        not_after: NOW.after(DAY),
        spki_sha256: [7; 32],
        revoked: false,
    }
}

fn renew_at(
    world: &World,
    identity: &TlsIdentity,
    proof: Option<&Proof<'_>>,
    now: UnixTime,
) -> Result<Appraised, Refusal> {
    let presented = RenewalPresented { device: &world.device.id, csr: &world.csr, identity, proof };
    appraise_renewal(&presented, &world.basis(), world.known.as_ref(), now)
}

fn renew(world: &World, identity: &TlsIdentity) -> Result<Appraised, Refusal> {
    renew_at(world, identity, None, NOW)
}

#[test]
fn a_valid_identity_renews_with_a_new_key() {
    let mut world = World::new();
    world.known.as_mut().unwrap().state = DeviceState::Enrolled { key: [7; 32] };
    // Neither approval nor the rule about second enrollments concerns a renewal.
    let world = world.policy("[enrollment]\nfirst = \"hold\"\nsecond = \"refuse\"");
    let appraised = renew(&world, &identity()).unwrap();
    assert!(appraised.is_renewal());
    assert_eq!((appraised.decision(), appraised.kind()), (Decision::Accept, None));

    let same_key = TlsIdentity { spki_sha256: *world.csr.spki_sha256(), ..identity() };
    let refusal = renew(&world, &same_key).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::KeyReused, rule::NEW_KEY));
}

#[test]
fn authority_comes_from_tls_alone() {
    let world = World::new();
    let other = TlsIdentity { device: DeviceId::new("SN-0002").unwrap(), ..identity() };
    assert_eq!(renew(&world, &other).unwrap_err().reject, Reject::NotYourDevice);
    let revoked = TlsIdentity { revoked: true, ..identity() };
    assert_eq!(renew(&world, &revoked).unwrap_err().reject, Reject::CertificateRevoked);
}

#[test]
fn a_revoked_or_forgotten_device_does_not_renew() {
    let mut world = World::new();
    world.known.as_mut().unwrap().state = DeviceState::Revoked;
    assert_eq!(renew(&world, &identity()).unwrap_err().reject, Reject::DeviceRevoked);
    world.known = None;
    assert_eq!(renew(&world, &identity()).unwrap_err().reject, Reject::NotInInventory);
}

#[test]
fn the_grace_period_ends_to_the_second() {
    let world = World::new().policy("[renewal]\ngrace_days = 3");
    let identity = identity();
    let end = identity.not_after.after(DAY * 3);
    renew_at(&world, &identity, None, end).unwrap();
    let late = end.after(Duration::from_secs(1));
    let refusal = renew_at(&world, &identity, None, late).unwrap_err();
    assert_eq!(refusal.reject, Reject::CertificateExpired);
}

#[test]
fn evidence_is_demanded_and_judged_where_the_policy_asks() {
    let world = World::new().policy("[renewal]\nevidence = true");
    let refusal = renew(&world, &identity()).unwrap_err();
    assert_eq!(refusal.rule, rule::RENEWAL_EVIDENCE);
    let chain: Vec<&[u8]> = world.device.chain.iter().map(Vec::as_slice).collect();
    let with = |eat: &[u8]| {
        let proof = Proof::IdevidEat(IdevidEat { eat, endorsements: &chain, nonce: &NONCE });
        renew_at(&world, &identity(), Some(&proof), NOW)
    };
    assert!(with(&world.device.evidence(&world.csr, |_| ())).unwrap().claims().is_some());
    // Evidence that is bad is never ignored, whether it was asked for or not.
    let changed = world.device.evidence(&world.csr, |c| c.measurements[0].digest[0] ^= 1);
    assert_eq!(with(&changed).unwrap_err().reject, Reject::FirmwareUnknown);
}
