//! A recorded case comes to the same end before a policy as the evidence itself does.

use appraisal::case::{Case, judge};
use appraisal::record::rule;
use appraisal::{
    Appraised, Approval, Decision, DeviceState, KnownDevice, Refusal, RenewalPresented, TlsIdentity,
};
use core::time::Duration;
use shared::message::latest::EvidenceKind;

use crate::support::{NOW, World, registered};

/// Policies that each look at something else.
const POLICIES: &[&str] = &[
    "",
    "[evidence]\nkinds = [\"one-time-token\"]",
    "[enrollment]\nfirst = \"hold\"",
    "[enrollment]\nsecond = \"refuse\"",
    "[enrollment]\nsecond = \"hold\"",
    "[firmware]\ndebug = \"disabled-fully-and-permanently\"",
    "[firmware]\ncomponents = [\"bootloader\"]",
    "[firmware]\nmeasurements = \"ignore\"",
    "[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"2.0.0\"",
    "[[model]]\nname = \"sensor-b\"",
    "[[maker]]\nname = \"another\"",
    "[inventory]\nrequired = false",
];

fn knowns() -> Vec<Option<KnownDevice>> {
    let enrolled = KnownDevice { state: DeviceState::Enrolled { key: [3; 32] }, ..registered() };
    vec![
        None,
        Some(registered()),
        Some(KnownDevice { model: Some("sensor-b".into()), ..registered() }),
        Some(KnownDevice { idevid_spki_sha256: Some([5; 32]), ..registered() }),
        Some(KnownDevice { state: DeviceState::Revoked, ..registered() }),
        Some(KnownDevice { approval: Approval::Device, ..registered() }),
        Some(enrolled),
    ]
}

fn case_of(world: &World, done: &Result<Appraised, Refusal>) -> Case {
    let verified = match done {
        Ok(appraised) => appraised.verified().cloned(),
        Err(refusal) => refusal.verified.as_deref().cloned(),
    };
    Case {
        device: world.device.id.clone(),
        csr_key: *world.csr.spki_sha256(),
        kind: Some(EvidenceKind::IdevidEat),
        verified,
        known: world.known.clone(),
        renewal: None,
        at: NOW,
    }
}

/// What came out: the decision, or the rule.
fn end(done: Result<Decision, Refusal>) -> Result<Decision, (shared::Reject, &'static str, String)> {
    done.map_err(|refusal| (refusal.reject, refusal.rule, refusal.explanation))
}

#[test]
fn judging_a_case_is_appraising_its_evidence() {
    let mut world = World::new();
    let mut ends = std::collections::BTreeSet::new();
    for known in knowns() {
        world.known = known;
        for first in POLICIES {
            world = world.policy(first);
            let eat = world.device.evidence(&world.csr, |_| ());
            let case = case_of(&world, &world.appraise_eat(&eat, &world.device.chain));
            // As it is kept.
            let case: Case = serde_json::from_str(&serde_json::to_string(&case).unwrap()).unwrap();
            for second in POLICIES {
                world = world.policy(second);
                let straight = world.appraise_eat(&eat, &world.device.chain);
                let Some(judged) = judge(&case, &world.policy, &world.reference_values) else {
                    assert!(first.contains("kinds"), "only a kind that is not accepted is not looked at");
                    continue;
                };
                let judged = end(judged.map(|judgement| judgement.decision));
                let straight = end(straight.map(|appraised| appraised.decision()));
                assert_eq!(judged, straight, "{first:?} then {second:?}");
                ends.insert(format!("{:?}", judged.map_err(|(_, rule, _)| rule)));
            }
        }
    }
    assert!(ends.len() > 10, "the policies and devices were to differ: {ends:?}");
}

#[test]
fn evidence_that_is_not_genuine_says_nothing_to_another_policy() {
    let world = World::new();
    let mut eat = world.device.evidence(&world.csr, |_| ());
    *eat.last_mut().unwrap() ^= 1;
    let done = world.appraise_eat(&eat, &world.device.chain);
    assert_eq!(done.as_ref().unwrap_err().rule, rule::EVIDENCE_SIGNATURE);
    let case = case_of(&world, &done);
    assert_eq!(case.verified, None);
    assert_eq!(judge(&case, &world.policy, &world.reference_values), None);
    let world = world.policy(POLICIES[1]);
    let judged = judge(&case, &world.policy, &world.reference_values);
    assert_eq!(judged.unwrap().unwrap_err().rule, rule::EVIDENCE_KIND, "it is not looked at again");
}

#[test]
fn a_renewal_is_judged_by_its_identity_and_its_time() {
    let world = World::new();
    let days = |n: u64| Duration::from_secs(n * 86_400);
    let identity = TlsIdentity {
        device: world.device.id.clone(),
        not_after: NOW.before(days(20)),
        spki_sha256: [7; 32],
        revoked: false,
    };
    let case =
        Case { kind: None, renewal: Some(identity.clone()), ..case_of(&world, &world.appraise(|_| ())) };
    for (policy, rule) in [
        ("", None),
        ("[renewal]\ngrace_days = 19", Some(rule::RENEWAL_GRACE)),
        ("[renewal]\nevidence = true", Some(rule::RENEWAL_EVIDENCE)),
        ("[enrollment]\nfirst = \"hold\"\nsecond = \"refuse\"", None),
    ] {
        let world =
            World { known: case.known.clone(), device: world.maker.device("SN-0001"), ..World::new() };
        let world = world.policy(policy);
        let judged = judge(&case, &world.policy, &world.reference_values).unwrap();
        assert_eq!(judged.as_ref().err().map(|refusal| refusal.rule), rule, "{policy}");
        let presented =
            RenewalPresented { device: &world.device.id, csr: &world.csr, identity: &identity, proof: None };
        let straight = appraisal::appraise_renewal(&presented, &world.basis(), world.known.as_ref(), NOW);
        assert_eq!(end(judged.map(|j| j.decision)), end(straight.map(|a| a.decision())), "{policy}");
    }
}
