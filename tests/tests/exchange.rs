//! The recorded exchange in `shared/vectors/exchange.json` holds together: both sides, with their real code, accept
//! every step of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use agent_core::x509::{self, Validity};
use appraisal::{
    Basis, Decision, Endorsements, IdevidEat, MakerCa, Policy, Presented, Proof, ReferenceValues,
};
use p256::SecretKey;
use shared::message::latest::{
    Answer, Challenge, ChallengeRequest, EnrollRequest, Issued, Outcome, RenewRequest,
};
use tests::exchange::{bytes, now, text};

#[test]
fn the_server_accepts_the_request() {
    let request = bytes("enroll_request");
    let request = EnrollRequest::decode(&request).unwrap();
    let challenge = bytes("challenge");
    let challenge = Challenge::decode(&challenge).unwrap();
    let asked = bytes("challenge_request");
    let asked = ChallengeRequest::decode(&asked).unwrap();
    assert_eq!(request.device.as_str(), text("device"));
    assert_eq!(asked.device, request.device);
    assert_eq!(challenge.nonce, request.evidence.nonce);
    assert_eq!(request.csr, bytes("csr"));
    assert_eq!(request.evidence.body, bytes("evidence"));
    assert_eq!(request.evidence.endorsements.as_slice(), [bytes("idevid").as_slice()]);

    let csr = appraisal::csr::check(request.csr).unwrap();
    let makers = Endorsements::new(vec![MakerCa::new("example", &bytes("maker_ca")).unwrap()]);
    let policy = "[inventory]\nrequired = false\n[firmware]\nmeasurements = \"ignore\"\n";
    let policy = Policy::parse("policy.toml", policy).unwrap();
    let basis = Basis { makers: &makers, policy: &policy, reference_values: &ReferenceValues::default() };
    let appraise = |eat: &[u8]| {
        let evidence = &request.evidence;
        let eat = IdevidEat { eat, endorsements: &evidence.endorsements, nonce: &evidence.nonce };
        let proof = Proof::IdevidEat(eat);
        let presented = Presented { device: &request.device, csr: &csr, proof: &proof };
        appraisal::appraise(&presented, &basis, None, now())
    };
    assert_eq!(appraise(request.evidence.body).unwrap().decision(), Decision::Accept);
    // One bit of the claims, and the signature is worth nothing.
    let mut spoiled = request.evidence.body.to_vec();
    let middle = spoiled.len() / 2;
    spoiled[middle] ^= 1;
    assert!(appraise(&spoiled).is_err());
}

#[test]
fn the_device_accepts_the_answer() {
    for (answer, key) in [("enroll_answer", "ldevid_key"), ("renew_answer", "renewed_key")] {
        let answer = bytes(answer);
        let issued = issued(&answer);
        let leaf = x509::Certificate::parse(issued.chain[0]).unwrap();
        assert_eq!(leaf.public_point().as_slice(), public_point(key).as_slice());
        assert!(issued.renew_from < issued.renew_by);
        let signer = bytes("trust_signer").try_into().unwrap();
        let trust = ca::bundle::verify(issued.trust_bundle, &signer).unwrap();
        assert_eq!(trust.anchors.as_slice(), [bytes("root_ca").as_slice()]);
        assert_eq!(issued.chain[1], bytes("issuing_ca"));
    }
    let renew = bytes("renew_request");
    let renew = RenewRequest::decode(&renew).unwrap();
    assert_eq!(renew.device.as_str(), text("device"));
    assert_eq!(
        appraisal::csr::check(renew.csr).unwrap().point().as_slice(),
        public_point("renewed_key").as_slice()
    );
}

#[test]
fn the_device_accepts_the_server_and_not_its_own_kind() {
    let root = bytes("root_ca");
    let anchors = [root.as_slice()];
    let (server, issuing) = (bytes("server_certificate"), bytes("issuing_ca"));
    let at = Validity::At(now());
    let verified = x509::verify_server(&[&server, &issuing], &anchors, text("server_host"), at).unwrap();
    let expected = x509::Certificate::parse(&server).unwrap();
    let point = verified.public_key().to_encoded_point(false);
    assert_eq!(point.as_bytes(), expected.public_point().as_slice());
    assert!(x509::verify_server(&[&server, &issuing], &anchors, "other.example", at).is_err());
    assert!(x509::verify_server(&[&server], &anchors, text("server_host"), at).is_err());
    // An enrolled device must not pass for a server.
    let answer = bytes("enroll_answer");
    let issued = issued(&answer);
    assert!(x509::verify_server(&issued.chain, &anchors, text("device"), at).is_err());
}

fn issued(bytes: &[u8]) -> Issued<'_> {
    match Answer::decode(bytes).unwrap().outcome {
        Outcome::Issued(issued) => issued,
        other => panic!("{other:?}"),
    }
}

fn public_point(private: &str) -> Vec<u8> {
    let key = SecretKey::from_slice(&bytes(private)).unwrap();
    p256::EncodedPoint::from(key.public_key()).as_bytes().to_vec()
}
