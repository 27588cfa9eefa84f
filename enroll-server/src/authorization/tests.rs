//! The decision by itself: each fact alone refuses, and the order of the checks is what the device is told.

use std::sync::Arc;

use appraisal::{
    Appraised, Approval, Basis as AppraisalBasis, DeviceState, Endorsements, GroupName, KnownDevice, Policy,
    Presented, Proof, ReferenceValues, RenewalPresented, TlsIdentity, TokenGrant,
};
use ca::{Facts as ProfileFacts, Profile, Serial, Validity};
use shared::{DeviceId, Reject, UnixTime};

use super::{Authorized, Basis, CredentialFacts, Decision, Facts, SameRequest, decide, in_service};
use crate::intent_key::IntentKey;
use crate::kit::Operational;
use crate::store::CertificateState::{self, Held, Intent, Issued, Revoked, Voided};
use crate::store::{Binding, IssuerNumber, Via};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn device() -> DeviceId {
    DeviceId::new("SN-1").unwrap()
}

fn known(state: DeviceState) -> KnownDevice {
    KnownDevice {
        group: GroupName::default(),
        state,
        model: None,
        idevid_spki_sha256: None,
        approval: Approval::None,
    }
}

fn enrolled() -> KnownDevice {
    known(DeviceState::Enrolled { key: [1; 32] })
}

/// A renewal that was appraised as good.
fn appraised() -> Appraised {
    let csr = appraisal::csr::check(&Operational::new().csr).unwrap();
    let identity = TlsIdentity {
        device: device(),
        not_after: NOW.after(core::time::Duration::from_secs(60)),
        spki_sha256: [1; 32],
        revoked: false,
    };
    let presented = RenewalPresented { device: &device(), csr: &csr, identity: &identity, proof: None };
    let basis = AppraisalBasis {
        makers: &Endorsements::default(),
        policy: &Policy::default(),
        reference_values: &ReferenceValues::default(),
    };
    appraisal::appraise_renewal(&presented, &basis, Some(&enrolled()), NOW).unwrap()
}

fn renewal(serial: Serial) -> Authorized {
    let facts =
        ProfileFacts { tenant: "Acme", enterprise: 32473, group: "default", label: None, model: None };
    let basis = Basis {
        known: Some(enrolled()),
        binding: Binding::Certificate(serial),
        must_be_known: false,
        token: None,
        presented: Some(serial),
        evidence: None,
        trust: None,
        group: GroupName::default(),
        record: None,
        serial: Serial::random().unwrap(),
        validity: Validity { not_before: NOW, not_after: NOW },
        via: Via::Native,
        profile: Arc::new(Profile::default().bind("default", &facts).unwrap()),
        issuer: IssuerNumber::first(),
        intents: IntentKey::new(&[7; 32]),
        now: NOW,
    };
    Authorized::new(appraised(), basis)
}

/// An enrollment by token that was appraised as good, of the same device and with the same facts.
fn enrollment() -> Authorized {
    let csr = appraisal::csr::check(&Operational::new().csr).unwrap();
    let label = "t".to_owned();
    let grant =
        TokenGrant { label, device: Some(device()), model: None, group: None, expires: NOW, taken: true };
    let presented = Presented { device: &device(), csr: &csr, proof: &Proof::OneTimeToken(grant) };
    let basis = AppraisalBasis {
        makers: &Endorsements::default(),
        policy: &Policy::default(),
        reference_values: &ReferenceValues::default(),
    };
    let appraised = appraisal::appraise(&presented, &basis, Some(&enrolled()), NOW).unwrap();
    let serial = Serial::random().unwrap();
    let basis = Basis { binding: Binding::Nonce([1; 32]), presented: None, ..renewal(serial).basis };
    Authorized::new(appraised, basis)
}

fn same(serial: Serial, state: CertificateState) -> Option<SameRequest> {
    Some(SameRequest { serial, state, same_proof: true })
}

/// Facts on which a renewal is recorded.
fn good() -> Facts {
    Facts {
        known: Some(enrolled()),
        token_is_good: true,
        token_is_its_own: true,
        credential: CredentialFacts::NONE,
        had_identity: true,
        presented: Some((device(), Issued)),
        ..Facts::default()
    }
}

fn refused(decision: Decision) -> Reject {
    match decision {
        Decision::Refuse(refused) => refused.reject,
        other => panic!("{other:?}"),
    }
}

/// A change of the facts, and the refusal it leads to.
type Row = (fn(&mut Facts), Reject);

/// In the order in which they are checked.
const ROWS: &[Row] = &[
    (|facts| facts.known = Some(known(DeviceState::Revoked)), Reject::DeviceRevoked),
    (|facts| facts.key_known = true, Reject::KeyReused),
    (|facts| facts.nonce_used = true, Reject::UsedNonce),
    (|facts| facts.idevid_elsewhere = true, Reject::IdentityConflict),
    (|facts| facts.token_is_good = false, Reject::BadToken),
    (|facts| facts.credential.good = false, Reject::BadCredential),
    (|facts| facts.credential.quota_left = false, Reject::QuotaReached),
    (|facts| facts.presented = None, Reject::NotAuthenticated),
];

#[test]
fn each_fact_alone_refuses_and_the_first_one_is_told() {
    let request = renewal(Serial::random().unwrap());
    assert_eq!(decide(&request, &good()), Decision::Record);
    for (at, (spoil, reject)) in ROWS.iter().enumerate() {
        let mut facts = good();
        spoil(&mut facts);
        assert_eq!(refused(decide(&request, &facts)), *reject);
        for (later, _) in ROWS.iter().skip(at + 1).filter(|_| at > 0) {
            later(&mut facts);
        }
        assert_eq!(refused(decide(&request, &facts)), *reject, "row {at} comes first");
    }
}

#[test]
fn who_is_out_of_service_learns_that_and_nothing_else() {
    for (state, reject) in [
        (DeviceState::Suspended, Reject::DeviceSuspended),
        (DeviceState::Revoked, Reject::DeviceRevoked),
        (DeviceState::Retired, Reject::DeviceRetired),
    ] {
        assert_eq!(in_service(Some(&known(state))).unwrap_err().reject, reject);
        let serial = Serial::random().unwrap();
        let facts = Facts {
            known: Some(known(state)),
            same_request: same(serial, Issued),
            key_known: true,
            ..good()
        };
        assert_eq!(refused(decide(&renewal(serial), &facts)), reject);
    }
    assert_eq!(in_service(Some(&known(DeviceState::Registered))), Ok(()));
    assert_eq!(in_service(Some(&enrolled())), Ok(()));
    assert_eq!(in_service(None), Ok(()));
}

#[test]
fn a_renewal_is_for_the_owner_of_a_certificate_in_force() {
    let request = renewal(Serial::random().unwrap());
    let other = DeviceId::new("SN-2").unwrap();
    let with = |presented| decide(&request, &Facts { presented, ..good() });
    for state in [Held, Intent, Revoked, Voided] {
        assert_eq!(refused(with(Some((device(), state)))), Reject::CertificateRevoked);
        assert_eq!(refused(with(Some((other.clone(), state)))), Reject::NotYourDevice);
    }
    assert_eq!(refused(with(Some((other, Issued)))), Reject::NotYourDevice);
}

#[test]
fn a_device_that_changed_is_appraised_again_before_its_group_is_counted() {
    let request = renewal(Serial::random().unwrap());
    let facts = Facts { group_is_full: true, ..good() };
    assert_eq!(refused(decide(&request, &facts)), Reject::QuotaReached);
    for now_known in [None, Some(known(DeviceState::Registered))] {
        let facts = Facts { known: now_known, ..facts.clone() };
        assert_eq!(decide(&request, &facts), Decision::Changed);
    }
}

#[test]
fn the_same_request_gets_its_own_answer_before_anything_is_found_to_be_used() {
    let serial = Serial::random().unwrap();
    let mut request = renewal(serial);
    request.basis.must_be_known = true;
    let again = |state: CertificateState, change: fn(&mut Facts)| {
        let mut facts = Facts {
            same_request: same(serial, state),
            key_known: true,
            nonce_used: true,
            token_is_good: false,
            ..good()
        };
        change(&mut facts);
        decide(&request, &facts)
    };
    for state in [Intent, Issued] {
        assert_eq!(again(state, |_| {}), Decision::Known(serial, state));
        // That it changed or that its group is full meanwhile makes no difference.
        assert_eq!(again(state, |facts| facts.known = None), Decision::Known(serial, state));
        assert_eq!(again(state, |facts| facts.group_is_full = true), Decision::Known(serial, state));
    }
    assert_eq!(refused(again(Revoked, |_| {})), Reject::CertificateRevoked);
    // A device takes a new key for it: this one with another nonce, or without any, is the same request.
    assert_eq!(refused(again(Voided, |_| {})), Reject::KeyReused);
    // Without a record of it, a nonce that is past its time is no more use.
    assert_eq!(refused(again(Issued, |facts| facts.same_request = None)), Reject::ExpiredNonce);
    request.basis.binding = Binding::Nonce([1; 32]);
    let facts = Facts { same_request: same(serial, Voided), ..good() };
    assert_eq!(refused(decide(&request, &facts)), Reject::UsedNonce);
}

/// In the order in which they are checked for a request that was held, and is accepted now.
const HELD_ROWS: &[Row] = &[
    (|facts| facts.same_request.as_mut().unwrap().same_proof = false, Reject::UsedNonce),
    (|facts| facts.idevid_elsewhere = true, Reject::IdentityConflict),
    (|facts| facts.token_is_its_own = false, Reject::BadToken),
    (|facts| facts.credential.good = false, Reject::BadCredential),
    (|facts| facts.credential.brought_in = false, Reject::BadCredential),
    (|facts| facts.group_is_full = true, Reject::QuotaReached),
];

#[test]
fn what_was_held_is_released_by_the_proof_it_was_held_on_and_by_no_other() {
    let (serial, mut request) = (Serial::random().unwrap(), enrollment());
    request.basis.must_be_known = true;
    // It is the one that used its nonce, its key and its token.
    let held = || Facts {
        same_request: same(serial, Held),
        key_known: true,
        nonce_used: true,
        token_is_good: false,
        ..good()
    };
    assert_eq!(decide(&request, &held()), Decision::Release(serial));
    for (at, (spoil, reject)) in HELD_ROWS.iter().enumerate() {
        let mut facts = held();
        spoil(&mut facts);
        assert_eq!(refused(decide(&request, &facts)), *reject, "row {at}");
        HELD_ROWS.iter().skip(at + 1).for_each(|(later, _)| later(&mut facts));
        assert_eq!(refused(decide(&request, &facts)), *reject, "row {at} comes first");
    }
    assert_eq!(decide(&request, &Facts { known: None, ..held() }), Decision::Changed);
    // A renewal has an authority of its own, and would pass by what the enrollment waits for.
    assert_eq!(refused(decide(&renewal(Serial::random().unwrap()), &held())), Reject::UsedNonce);
}
