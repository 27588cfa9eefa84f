//! Enrollments with an EAT: what is good gets in, and each rule refuses what it is there for.

use crate::support::{GOOD, Maker, World, csr, registered};
use appraisal::record::rule;
use appraisal::{Approval, Decision, DeviceState, Endorsements, MakerCa, Verdict};
use proptest::prelude::*;
use shared::Reject;
use shared::evidence::{DebugStatus, Measurement};
use shared::message::latest::EvidenceKind;

#[test]
fn good_evidence_is_accepted_with_its_reasons() {
    let world = World::new();
    let appraised = world.appraise(|_| ()).unwrap();
    assert_eq!(appraised.decision(), Decision::Accept);
    assert_eq!(appraised.device(), &world.device.id);
    assert_eq!(appraised.csr(), &world.csr);
    assert_eq!(appraised.kind(), Some(EvidenceKind::IdevidEat));
    assert_eq!(appraised.maker().unwrap().name, "example");
    assert_eq!(appraised.model(), Some("sensor-a"));
    assert_eq!(appraised.idevid_spki_sha256(), Some(world.device.public_key().spki_sha256()));
    assert_eq!(appraised.claims().unwrap().software_version.as_deref(), Some("1.2.0"));
    assert_eq!(appraised.lifetime(), None, "the profile says how long");
    assert!(!appraised.is_renewal());

    let rules: Vec<_> = appraised.rules().iter().map(|r| r.rule).collect();
    for wanted in [
        rule::EVIDENCE_KIND,
        rule::ENDORSEMENT,
        rule::EVIDENCE_SIGNATURE,
        rule::EVIDENCE_NONCE,
        rule::EVIDENCE_KEY,
        rule::EVIDENCE_DEVICE,
        rule::NOT_REVOKED,
        rule::INVENTORY,
        rule::MAKER,
        rule::MODEL,
        rule::DEBUG,
        rule::FIRMWARE_VERSION,
        rule::MEASUREMENTS,
        rule::FIRST_ENROLLMENT,
    ] {
        assert!(rules.contains(&wanted), "{wanted} is not in {rules:?}");
    }
    assert!(appraised.rules().iter().all(|r| matches!(r.verdict, Verdict::Passed | Verdict::Skipped)));
}

/// Every claim that is bound to the request or judged by the policy.
#[test]
fn each_wrong_claim_is_refused_by_its_rule() {
    let world = World::new();
    let other = world.maker.device("SN-0002");
    let refused = |reject, rule, change: &dyn Fn(&mut shared::evidence::Claims<'_>)| {
        let refusal = world.appraise(change).unwrap_err();
        assert_eq!((refusal.reject, refusal.rule), (reject, rule), "{refusal}");
        let last = refusal.rules.last().unwrap();
        assert_eq!((last.rule, last.verdict), (rule, Verdict::Refused));
        assert!(refusal.explanation.contains(&*last.wanted));
    };
    refused(Reject::EvidenceNonce, rule::EVIDENCE_NONCE, &|c| c.nonce[31] ^= 1);
    refused(Reject::EvidenceKey, rule::EVIDENCE_KEY, &|c| c.confirmation[0] ^= 1);
    refused(Reject::EvidenceDevice, rule::EVIDENCE_DEVICE, &|c| {
        c.ueid = appraisal::ueid(&other.public_key())
    });
    refused(Reject::DebugOpen, rule::DEBUG, &|c| c.dbgstat = DebugStatus::Enabled);
    refused(Reject::BadEvidence, rule::FIRMWARE_VERSION, &|c| c.swversion = "1.2");
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.measurements[0].digest[0] ^= 1);
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.measurements[0].component = "bootloader");
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.measurements[0].version = "1.2.1");
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.measurements.clear());
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.swversion = "9.9.9");
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| {
        let more = Measurement { component: "modem", version: "1.2.0", digest: GOOD };
        c.measurements.push(more).unwrap();
    });
}

#[test]
fn a_middleman_cannot_exchange_the_csr() {
    let mut world = World::new();
    let eat = world.device.evidence(&world.csr, |_| ());
    world.csr = csr();
    let refusal = world.appraise_eat(&eat, &world.device.chain).unwrap_err();
    assert_eq!(refusal.reject, Reject::EvidenceKey);
}

#[test]
fn anothers_evidence_or_idevid_is_refused() {
    let mut world = World::new();
    let other = world.maker.device("SN-0002");
    // The other device's evidence, under its own name in the IDevID.
    let eat = other.evidence(&world.csr, |_| ());
    assert_eq!(world.appraise_eat(&eat, &other.chain).unwrap_err().reject, Reject::EvidenceDevice);
    // This device's IDevID with the other's signature.
    assert_eq!(world.appraise_eat(&eat, &world.device.chain).unwrap_err().reject, Reject::EvidenceSignature);
    // A clone: the maker endorsed a second key under the same name.
    let pinned = *world.device.public_key().spki_sha256();
    world.known.as_mut().unwrap().idevid_spki_sha256 = Some(pinned);
    world.appraise(|_| ()).unwrap();
    world.device = world.maker.device("SN-0001");
    let refusal = world.appraise(|_| ()).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::IdentityConflict, rule::PINNED_KEY));
}

#[test]
fn inventory_and_revocation_decide() {
    let mut world = World::new();
    world.known = None;
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::NotInInventory);
    let mut world = world.policy("[inventory]\nrequired = false");
    world.appraise(|_| ()).unwrap();

    world.known = Some(appraisal::KnownDevice { state: DeviceState::Revoked, ..registered() });
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::DeviceRevoked);

    world.known = Some(appraisal::KnownDevice { model: Some("sensor-b".into()), ..registered() });
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::ModelNotAllowed);
}

#[test]
fn the_policy_names_makers_and_models() {
    let world = World::new().policy("[[model]]\nname = \"sensor-b\"");
    let refusal = world.appraise(|_| ()).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::ModelNotAllowed, rule::MODEL));
    let world = world.policy("[[model]]\nname = \"sensor-a\"\nmaker = \"another\"");
    assert_eq!(world.appraise(|_| ()).unwrap_err().rule, rule::MODEL);
    let world = world.policy("[[model]]\nname = \"sensor-a\"\nmaker = \"example\"");
    world.appraise(|_| ()).unwrap();

    let world = world.policy("[[maker]]\nname = \"another\"");
    let refusal = world.appraise(|_| ()).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::ModelNotAllowed, rule::MAKER));
    let fingerprint = world.makers.iter().next().unwrap().maker().fingerprint_hex();
    let world = world.policy(&format!("[[maker]]\nfingerprint = \"{fingerprint}\""));
    world.appraise(|_| ()).unwrap();
    // Both have to fit: the name alone is not enough.
    let world =
        world.policy(&format!("[[maker]]\nname = \"example\"\nfingerprint = \"{}\"", "00".repeat(32)));
    assert_eq!(world.appraise(|_| ()).unwrap_err().rule, rule::MAKER);
}

#[test]
fn old_firmware_is_refused_by_number() {
    let minimum = |version: &str| format!("[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"{version}\"");
    let world = World::new().policy(&minimum("1.2.0"));
    world.appraise(|_| ()).unwrap();
    let world = world.policy(&minimum("1.10.0"));
    let refusal = world.appraise(|_| ()).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::FirmwareTooOld, rule::FIRMWARE_VERSION));
    assert!(refusal.explanation.contains("1.10.0 or newer"), "{}", refusal.explanation);
}

#[test]
fn measurements_can_be_demanded_or_ignored() {
    let world = World::new().policy("[firmware]\ncomponents = [\"application\", \"bootloader\"]");
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::FirmwareUnknown);
    let world = world.policy("[firmware]\nmeasurements = \"ignore\"");
    world.appraise(|c| c.measurements.clear()).unwrap();
    let mut world = world.policy("");
    world.reference_values = appraisal::ReferenceValues::default();
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::FirmwareUnknown);
    // Reference values may stand in the policy, and may be for one model only.
    let table = |model: &str| {
        let digest = "aa".repeat(32);
        format!(
            "[[measurement]]\nmodel=\"{model}\"\ncomponent=\"application\"\nversion=\"1.2.0\"\ndigest=\"{digest}\""
        )
    };
    let world = world.policy(&table("sensor-b"));
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::FirmwareUnknown);
    world.policy(&table("sensor-a")).appraise(|_| ()).unwrap();
}

#[test]
fn enrollments_are_held_until_approved() {
    let mut world = World::new().policy("[enrollment]\nfirst = \"hold\"");
    let held = world.appraise(|_| ()).unwrap();
    assert_eq!(held.decision(), Decision::Hold);
    assert_eq!(held.rules().last().unwrap().verdict, Verdict::Held);

    // An approval is for one key; another request of the device still waits.
    world.known.as_mut().unwrap().approval = Approval::Key(*world.csr.spki_sha256());
    assert_eq!(world.appraise(|_| ()).unwrap().decision(), Decision::Accept);
    world.csr = csr();
    assert_eq!(world.appraise(|_| ()).unwrap().decision(), Decision::Hold);
    world.known.as_mut().unwrap().approval = Approval::Device;
    assert_eq!(world.appraise(|_| ()).unwrap().decision(), Decision::Accept);
}

#[test]
fn second_enrollments_follow_the_policy() {
    let mut world = World::new();
    let other_key = *csr().spki_sha256();
    let known = world.known.as_mut().unwrap();
    known.state = DeviceState::Enrolled { key: other_key };
    known.idevid_spki_sha256 = Some(*world.device.public_key().spki_sha256());
    assert_eq!(world.appraise(|_| ()).unwrap().decision(), Decision::Accept);
    let world = world.policy("[enrollment]\nsecond = \"hold\"");
    assert_eq!(world.appraise(|_| ()).unwrap().decision(), Decision::Hold);
    let mut world = world.policy("[enrollment]\nsecond = \"refuse\"");
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::AlreadyEnrolled);
    // The same request again, after a lost answer, is no second enrollment.
    world.known.as_mut().unwrap().state = DeviceState::Enrolled { key: *world.csr.spki_sha256() };
    assert_eq!(world.appraise(|_| ()).unwrap().decision(), Decision::Accept);
}

/// A device that enrolled with a token has no registered key; a namesake with an IDevID is not that device.
#[test]
fn a_namesake_does_not_take_over_an_enrolled_device() {
    let mut world = World::new();
    world.known.as_mut().unwrap().state = DeviceState::Enrolled { key: [7; 32] };
    let refusal = world.appraise(|_| ()).unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (Reject::IdentityConflict, rule::SECOND_ENROLLMENT));
    world.known.as_mut().unwrap().approval = Approval::Key(*world.csr.spki_sha256());
    world.appraise(|_| ()).unwrap();
}

#[test]
fn a_kind_that_is_not_accepted_is_refused_first() {
    let world = World::new().policy("[evidence]\nkinds = [\"one-time-token\"]");
    let refusal = world.appraise_eat(b"not even evidence", &[]).unwrap_err();
    assert_eq!((refusal.reject, refusal.rules.len()), (Reject::NoAcceptedEvidenceKind, 1));
    assert_eq!(world.policy.choose(&[EvidenceKind::IdevidEat]), None);
}

#[test]
fn text_of_the_device_cannot_forge_lines_of_the_log() {
    let world = World::new();
    let refusal = world.appraise(|c| c.swname = "x\nverdict: accepted").unwrap_err_or_rules();
    assert!(refusal.iter().all(|text| !text.contains('\n')), "{refusal:?}");
}

trait AllText {
    fn unwrap_err_or_rules(self) -> Vec<String>;
}

impl AllText for Result<appraisal::Appraised, appraisal::Refusal> {
    fn unwrap_err_or_rules(self) -> Vec<String> {
        match self {
            Ok(appraised) => appraised.rules().iter().map(ToString::to_string).collect(),
            Err(refusal) => vec![refusal.to_string()],
        }
    }
}

#[test]
fn an_unknown_maker_is_told_from_a_broken_chain() {
    let world = World::new();
    // Another maker of the same name, and one of another.
    for name in ["Example Maker CA", "Stranger CA"] {
        let device = Maker::new(name).device("SN-0001");
        let eat = device.evidence(&world.csr, |_| ());
        assert_eq!(
            world.appraise_eat(&eat, &device.chain).unwrap_err().reject,
            Reject::UnknownMaker,
            "{name}"
        );
    }
    let mut chain = world.device.chain.clone();
    *chain[0].last_mut().unwrap() ^= 1;
    let eat = world.device.evidence(&world.csr, |_| ());
    assert_eq!(world.appraise_eat(&eat, &chain).unwrap_err().reject, Reject::BadEndorsement);
    assert_eq!(world.appraise_eat(&eat, &[]).unwrap_err().reject, Reject::BadEndorsement);
}

#[test]
fn no_makers_means_nobody_gets_in() {
    let mut world = World::new();
    world.makers = Endorsements::default();
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::UnknownMaker);
    world.makers = Endorsements::new(vec![MakerCa::new("x", &Maker::new("x").der).unwrap()]);
    assert_eq!(world.appraise(|_| ()).unwrap_err().reject, Reject::UnknownMaker);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn noise_is_refused(eat in proptest::collection::vec(any::<u8>(), 0..300)) {
        let world = World::new();
        prop_assert!(world.appraise_eat(&eat, &world.device.chain).is_err());
    }

    #[test]
    fn signed_noise_is_refused(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let world = World::new();
        let eat = world.device.sign(&payload);
        let refusal = world.appraise_eat(&eat, &world.device.chain).unwrap_err();
        prop_assert_eq!(refusal.reject, Reject::BadEvidence);
    }

    #[test]
    fn a_changed_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let world = World::new();
        let mut eat = world.device.evidence(&world.csr, |_| ());
        let at = at.index(eat.len());
        eat[at] ^= flip;
        prop_assert!(world.appraise_eat(&eat, &world.device.chain).is_err());
    }

    #[test]
    fn a_cut_is_refused(at in any::<prop::sample::Index>()) {
        let world = World::new();
        let eat = world.device.evidence(&world.csr, |_| ());
        let at = at.index(eat.len());
        prop_assert!(world.appraise_eat(&eat[..at], &world.device.chain).is_err());
    }
}
