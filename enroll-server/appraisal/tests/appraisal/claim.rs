//! Enrollments with an EAT signed with the key of a batch's claim certificate.

use appraisal::record::rule;
use appraisal::{
    Appraised, Approval, Batch, BatchCertificate, ClaimEat, CredentialGrant, CredentialScope, Decision,
    DeviceState, KnownDevice, Proof, Refusal, Standing, batch_identity, find_batch,
};
use core::time::Duration;
use shared::Reject;
use shared::evidence::{Claims, DebugStatus, ueid_of_name};
use shared::message::latest::EvidenceKind;

use crate::support::{Device, Maker, NONCE, NOW, World, csr, registered};

const HEAD: &str = "[evidence]\nkinds = [\"claim-certificate\"]\n";

fn grant() -> CredentialGrant {
    CredentialGrant {
        id: "b1".into(),
        scope: CredentialScope::Many,
        group: Some("lot-7".parse().unwrap()),
        expires: Some(NOW),
        standing: Standing::Good,
        quota: Some(10),
        used: 9,
        brought_in: false,
    }
}

/// A CA of batches, the claim certificate it issued, and a world.
struct Scene {
    world: World,
    ca: Maker,
    claim: Device,
    grant: CredentialGrant,
    hold: bool,
}

impl Scene {
    fn new() -> Self {
        let ca = Maker::new("Batch CA");
        // The name in it is that of the batch, and no device's.
        let claim = ca.device("BATCH-7");
        Self { world: World::new().policy(HEAD), ca, claim, grant: grant(), hold: false }
    }

    fn eat(&self, change: impl FnOnce(&mut Claims<'_>)) -> Vec<u8> {
        let payload = self.world.device.payload(&self.world.csr, |claims| {
            claims.ueid = ueid_of_name(&self.world.device.id);
            change(claims);
        });
        self.claim.sign(&payload)
    }

    fn batch(&self, der: &[u8]) -> Batch {
        let certificate = BatchCertificate::new("lot-7", der).unwrap();
        Batch { grant: self.grant.clone(), hold: self.hold, certificate }
    }

    fn send(&self, eat: &[u8], chain: &[Vec<u8>], batches: Vec<Batch>) -> Result<Appraised, Refusal> {
        let endorsements: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let batch = find_batch(&endorsements, batches, NOW);
        let evidence = ClaimEat { eat, endorsements: &endorsements, nonce: &NONCE, batch };
        self.world.appraise_proof(&Proof::ClaimCertificate(Box::new(evidence)))
    }

    fn appraise(&self, change: impl FnOnce(&mut Claims<'_>)) -> Result<Appraised, Refusal> {
        self.send(&self.eat(change), &self.claim.chain, vec![self.batch(&self.ca.der)])
    }
}

#[track_caller]
fn refused(result: Result<Appraised, Refusal>, reject: Reject, rule: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (reject, rule), "{refusal}");
}

#[test]
fn a_new_device_of_a_batch_comes_in_by_its_ca_or_by_the_certificate_itself() {
    let scene = Scene::new();
    let appraised = scene.appraise(|_| ()).unwrap();
    assert_eq!(appraised.kind(), Some(EvidenceKind::ClaimCertificate));
    assert_eq!((appraised.credential(), appraised.decision()), (Some("b1"), Decision::Accept));
    assert_eq!(appraised.group().unwrap().as_str(), "lot-7");
    let identity = batch_identity("b1", &scene.world.device.id);
    assert_eq!(appraised.idevid_spki_sha256(), Some(&identity));
    assert_eq!(appraised.maker().unwrap().name, "lot-7");

    // Registered by itself: it needs no issuer that anyone knows.
    let eat = scene.eat(|_| ());
    let leaf = scene.batch(&scene.claim.chain[0]);
    let appraised = scene.send(&eat, &scene.claim.chain, vec![leaf]).unwrap();
    assert_eq!(appraised.maker(), None);
    // And where a maker that the server knows issued it, that maker counts.
    let mut scene = Scene::new();
    scene.claim = scene.world.maker.device("BATCH-8");
    let leaf = scene.batch(&scene.claim.chain[0]);
    let appraised = scene.send(&scene.eat(|_| ()), &scene.claim.chain, vec![leaf]).unwrap();
    assert_eq!(appraised.maker().unwrap().name, "example");
}

/// The rows of the refusal matrix, by the names of their rules.
#[test]
fn each_fault_is_refused_by_its_rule() {
    let mut scene = Scene::new();
    refused(scene.appraise(|c| c.nonce[0] ^= 1), Reject::EvidenceNonce, rule::EVIDENCE_NONCE);
    refused(scene.appraise(|c| c.confirmation[0] ^= 1), Reject::EvidenceKey, rule::EVIDENCE_KEY);
    refused(scene.appraise(|c| c.ueid[1] ^= 1), Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);
    refused(scene.appraise(|c| c.dbgstat = DebugStatus::Enabled), Reject::DebugOpen, rule::DEBUG);

    let batches = || vec![scene.batch(&scene.ca.der)];
    let good = scene.eat(|_| ());
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let chain = &scene.claim.chain;
    refused(scene.send(&broken, chain, batches()), Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
    let cut = good.get(..good.len() / 2).unwrap();
    refused(scene.send(cut, chain, batches()), Reject::BadEvidence, rule::EVIDENCE_FORM);
    let mut long = good.clone();
    long.resize(shared::limits::MAX_EVIDENCE + 1, 0);
    refused(scene.send(&long, chain, batches()), Reject::BadEvidence, rule::EVIDENCE_FORM);
    // A maker who is trusted for IDevIDs is not for batches, and no batch is none.
    let strangers = scene.world.maker.device("BATCH-7");
    refused(scene.send(&good, &strangers.chain, batches()), Reject::UnknownMaker, rule::ENDORSEMENT);
    refused(scene.send(&good, chain, vec![]), Reject::UnknownMaker, rule::ENDORSEMENT);
    refused(scene.send(&good, &[], batches()), Reject::UnknownMaker, rule::ENDORSEMENT);
    scene.world.csr = csr();
    let batches = vec![scene.batch(&scene.ca.der)];
    refused(scene.send(&good, &scene.claim.chain, batches), Reject::EvidenceKey, rule::EVIDENCE_KEY);
    let minimum = "[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"1.3.0\"";
    scene.world = scene.world.policy(&format!("{HEAD}{minimum}"));
    refused(scene.appraise(|_| ()), Reject::FirmwareTooOld, rule::FIRMWARE_VERSION);
    scene.world = scene.world.policy(&format!("{HEAD}[[maker]]\nname = \"example\""));
    refused(scene.appraise(|_| ()), Reject::ModelNotAllowed, rule::MAKER);
    scene.world = scene.world.policy("");
    refused(scene.appraise(|_| ()), Reject::NoAcceptedEvidenceKind, rule::EVIDENCE_KIND);
}

#[test]
fn a_claim_certificate_that_ended_is_refused() {
    let mut scene = Scene::new();
    let ended = |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    scene.claim = scene.ca.device_with("BATCH-7", &rcgen::PKCS_ECDSA_P256_SHA256, ended);
    let leaf = scene.batch(&scene.claim.chain[0]);
    let sent = scene.send(&scene.eat(|_| ()), &scene.claim.chain, vec![leaf]);
    refused(sent, Reject::BadEndorsement, rule::ENDORSEMENT);
}

#[test]
fn quota_end_and_revocation_of_a_batch_are_kept() {
    let mut scene = Scene::new();
    scene.grant.used = 10;
    refused(scene.appraise(|_| ()), Reject::QuotaReached, rule::QUOTA);
    scene.grant = CredentialGrant { expires: Some(NOW.before(Duration::from_secs(1))), ..grant() };
    refused(scene.appraise(|_| ()), Reject::BadCredential, rule::CREDENTIAL);
    scene.grant = CredentialGrant { standing: Standing::Revoked, ..grant() };
    refused(scene.appraise(|_| ()), Reject::BadCredential, rule::CREDENTIAL);
    scene.grant = grant();
    scene.world.known.as_mut().unwrap().group = "lot-8".parse().unwrap();
    refused(scene.appraise(|_| ()), Reject::BadCredential, rule::CREDENTIAL);
}

#[test]
fn a_batch_that_is_held_waits_whatever_the_policy_says() {
    let mut scene = Scene::new();
    scene.hold = true;
    assert_eq!(scene.appraise(|_| ()).unwrap().decision(), Decision::Hold);
    scene.world.known.as_mut().unwrap().approval = Approval::Key(*csr().spki_sha256());
    assert_eq!(scene.appraise(|_| ()).unwrap().decision(), Decision::Hold, "another request was approved");
    scene.world.known.as_mut().unwrap().approval = Approval::Key(*scene.world.csr.spki_sha256());
    assert_eq!(scene.appraise(|_| ()).unwrap().decision(), Decision::Accept);
}

#[test]
fn a_claim_certificate_leads_to_no_device_that_is_there() {
    let mut scene = Scene::new();
    let id = scene.world.device.id.clone();
    let own = batch_identity("b1", &id);
    for pinned in [*scene.world.device.public_key().spki_sha256(), batch_identity("b2", &id)] {
        scene.world.known = Some(KnownDevice { idevid_spki_sha256: Some(pinned), ..registered() });
        refused(scene.appraise(|_| ()), Reject::IdentityConflict, rule::PINNED_KEY);
    }
    // Not even to one that came in by the same batch, enrolled or not, approved or not.
    for state in [DeviceState::Enrolled { key: [7; 32] }, DeviceState::Registered] {
        for approval in [Approval::None, Approval::Device] {
            let idevid_spki_sha256 = Some(own);
            scene.world.known = Some(KnownDevice { state, approval, idevid_spki_sha256, ..registered() });
            refused(scene.appraise(|_| ()), Reject::IdentityConflict, rule::SECOND_ENROLLMENT);
        }
    }
    scene.world.known = Some(KnownDevice { state: DeviceState::Enrolled { key: [7; 32] }, ..registered() });
    refused(scene.appraise(|_| ()), Reject::IdentityConflict, rule::SECOND_ENROLLMENT);
    // The same request again, after a lost answer.
    let key = *scene.world.csr.spki_sha256();
    let state = DeviceState::Enrolled { key };
    scene.world.known = Some(KnownDevice { state, idevid_spki_sha256: Some(own), ..registered() });
    scene.appraise(|_| ()).unwrap();
}
