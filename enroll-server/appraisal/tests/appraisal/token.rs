//! Enrollments with a one-time token.

use appraisal::record::rule;
use appraisal::{Decision, Proof, TokenGrant};
use core::time::Duration;
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject};

use crate::support::{NOW, World};

fn grant() -> TokenGrant {
    TokenGrant {
        label: "token-7".into(),
        device: Some(DeviceId::new("SN-0001").unwrap()),
        model: None,
        group: None,
        expires: NOW.after(Duration::from_secs(60)),
        taken: false,
    }
}

#[test]
fn a_token_for_the_device_is_enough_without_an_inventory_entry() {
    let mut world = World::new();
    world.known = None;
    let appraised = world.appraise_proof(&Proof::OneTimeToken(grant())).unwrap();
    assert_eq!(appraised.decision(), Decision::Accept);
    assert_eq!((appraised.kind(), appraised.token()), (Some(EvidenceKind::OneTimeToken), Some("token-7")));
    assert_eq!((appraised.claims(), appraised.idevid_spki_sha256()), (None, None));
}

#[test]
fn a_token_for_anyone_needs_the_inventory() {
    let mut world = World::new();
    let proof = Proof::OneTimeToken(TokenGrant { device: None, ..grant() });
    world.appraise_proof(&proof).unwrap();
    world.known = None;
    assert_eq!(world.appraise_proof(&proof).unwrap_err().reject, Reject::NotInInventory);
    world.policy("[inventory]\nrequired = false").appraise_proof(&proof).unwrap();
}

#[test]
fn scope_and_end_are_kept() {
    let world = World::new();
    let other = TokenGrant { device: Some(DeviceId::new("SN-0002").unwrap()), ..grant() };
    let refusal = world.appraise_proof(&Proof::OneTimeToken(other)).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::BadToken, rule::TOKEN));
    let last_second = TokenGrant { expires: NOW, ..grant() };
    world.appraise_proof(&Proof::OneTimeToken(last_second)).unwrap();
    let over = TokenGrant { expires: NOW.before(Duration::from_secs(1)), ..grant() };
    let refusal = world.appraise_proof(&Proof::OneTimeToken(over.clone())).unwrap_err();
    assert_eq!(refusal.reject, Reject::BadToken);
    // The request that used it up waits for its answer.
    world.appraise_proof(&Proof::OneTimeToken(TokenGrant { taken: true, ..over })).unwrap();
}

#[test]
fn a_token_does_not_stand_in_for_a_registered_identity_key() {
    let mut world = World::new();
    world.known.as_mut().unwrap().idevid_spki_sha256 = Some([7; 32]);
    let proof = Proof::OneTimeToken(grant());
    let refusal = world.appraise_proof(&proof).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::NoAcceptedEvidenceKind, rule::PINNED_KEY));
    world.policy("[evidence]\ntoken_replaces_attestation = true").appraise_proof(&proof).unwrap();
}

#[test]
fn a_token_for_anyone_does_not_take_over_an_enrolled_device() {
    let mut world = World::new();
    world.known.as_mut().unwrap().state = appraisal::DeviceState::Enrolled { key: [7; 32] };
    let anyone = Proof::OneTimeToken(TokenGrant { device: None, ..grant() });
    assert_eq!(world.appraise_proof(&anyone).unwrap_err().reject, Reject::IdentityConflict);
    // A token that an operator made for this device says what the operator wants.
    world.appraise_proof(&Proof::OneTimeToken(grant())).unwrap();
    // The same request again, after a lost answer.
    world.known.as_mut().unwrap().state = appraisal::DeviceState::Enrolled { key: *world.csr.spki_sha256() };
    world.appraise_proof(&anyone).unwrap();
}

#[test]
fn models_are_the_inventorys_or_the_tokens() {
    let mut world = World::new().policy("[[model]]\nname = \"gateway\"");
    let proof = Proof::OneTimeToken(grant());
    assert_eq!(world.appraise_proof(&proof).unwrap_err().reject, Reject::ModelNotAllowed);
    let of_model = Proof::OneTimeToken(TokenGrant { model: Some("gateway".into()), ..grant() });
    assert_eq!(world.appraise_proof(&of_model).unwrap().model(), Some("gateway"));
    world.known.as_mut().unwrap().model = Some("gateway".into());
    assert_eq!(world.appraise_proof(&proof).unwrap().model(), Some("gateway"));
    world.known.as_mut().unwrap().model = Some("sensor-a".into());
    assert_eq!(world.appraise_proof(&of_model).unwrap_err().reject, Reject::ModelNotAllowed);
}

#[test]
fn a_revoked_device_cannot_come_back_with_a_token() {
    let mut world = World::new();
    world.known.as_mut().unwrap().state = appraisal::DeviceState::Revoked;
    let refusal = world.appraise_proof(&Proof::OneTimeToken(grant())).unwrap_err();
    assert_eq!(refusal.reject, Reject::DeviceRevoked);
}
