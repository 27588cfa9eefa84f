//! DER: CSRs, IDevID chains, maker CAs, evidence with its chain, trust bundles, and the device's own verifier.

use core::time::Duration;
use std::sync::LazyLock;

use agent_core::x509::{self, Validity};
use appraisal::{
    Appraised, Basis, Endorsements, IdevidEat, MakerCa, Policy, Presented, Proof, ReferenceValues, Refusal,
};
use ca::ocsp::{Answer, MAX_ASKED, MAX_NONCE, Produced, Query, Responder, Status};
use shared::DeviceId;
use shared::message::latest::Nonce;

use super::oracle;
use super::pieces::split;
use crate::exchange;

/// A CSR, as the server checks it.
pub(super) fn csr(data: &[u8]) -> bool {
    appraisal::csr::check(data).is_ok()
}

/// An IDevID chain, in pieces, under the maker of the recorded exchange.
pub(super) fn idevid_chain(data: &[u8]) -> bool {
    match appraisal::idevid::verify(&split(data), &FIXED.makers, exchange::now()) {
        Ok(idevid) => {
            // The maker endorsed one device; any other name would be a forgery.
            assert_eq!(idevid.device(), &FIXED.device);
            true
        }
        Err(_) => false,
    }
}

/// An OCSP request of anyone; what is read can be answered.
pub(super) fn ocsp_request(data: &[u8]) -> bool {
    let Ok(query) = Query::read(data) else { return false };
    assert!((1..=MAX_ASKED).contains(&query.asked().len()));
    assert!(query.nonce().is_none_or(|nonce| (1..=MAX_NONCE).contains(&nonce.len())));
    let answers: Vec<_> =
        query.asked().iter().map(|asked| Answer { asked, status: Status::Unknown }).collect();
    let now = exchange::now();
    let produced = Produced { at: now, next_update: now.after(Duration::from_secs(60)) };
    let der = RESPONDER.respond(&answers, &query, produced).expect("an answer");
    // What the client named is in the answer as it came, and the nonce with it.
    let contains = |part: &[u8]| der.windows(part.len()).any(|found| found == part);
    assert!(query.asked().iter().all(|asked| contains(asked.cert_id())));
    assert!(query.nonce().is_none_or(contains));
    true
}

static RESPONDER: LazyLock<Responder> = LazyLock::new(|| {
    let now = exchange::now();
    let (root, key) = ca::hierarchy::root_ca("Fuzz", ca::hierarchy::ROOT_LIFETIME, now).expect("a CA");
    let issuer = ca::Issuer::new(root, Box::new(key)).expect("a CA with its key");
    Responder::new(&issuer, now).expect("a responder")
});

/// The certificate of a maker that an operator adds.
pub(super) fn maker_ca(data: &[u8]) -> bool {
    MakerCa::new("fuzz", data).is_ok()
}

/// A whole appraisal: nonce, CSR, EAT and chain, in pieces.
pub(super) fn evidence(data: &[u8]) -> bool {
    let pieces = split(data);
    let [nonce, csr, eat, chain @ ..] = pieces.as_slice() else { return false };
    let Ok(nonce) = Nonce::try_from(*nonce) else { return false };
    match appraise(&nonce, csr, eat, chain) {
        Some(Ok(appraised)) => {
            assert_eq!(appraised.device(), &FIXED.device);
            true
        }
        Some(Err(refusal)) => {
            assert!(shared::Reject::from_code(refusal.reject.code()).is_some());
            false
        }
        None => false,
    }
}

fn appraise(nonce: &Nonce, csr: &[u8], eat: &[u8], chain: &[&[u8]]) -> Option<Result<Appraised, Refusal>> {
    let csr = appraisal::csr::check(csr).ok()?;
    let proof = Proof::IdevidEat(IdevidEat { eat, endorsements: chain, nonce });
    let presented = Presented { device: &FIXED.device, csr: &csr, proof: &proof };
    let basis = Basis { makers: &FIXED.makers, policy: &FIXED.policy, reference_values: &FIXED.known_good };
    Some(appraisal::appraise(&presented, &basis, None, exchange::now()))
}

/// A signed trust bundle under the signer of the recorded exchange.
pub(super) fn signed_trust_bundle(data: &[u8]) -> bool {
    ca::bundle::verify(data, &FIXED.signer).is_ok()
}

/// One certificate, as the device reads it.
pub(super) fn device_x509_parse(data: &[u8]) -> bool {
    let taken = x509::Certificate::parse(data).is_ok();
    if taken {
        oracle::certificate(data);
    }
    taken
}

/// A server's chain, in pieces, as the device verifies it.
pub(super) fn device_x509_path(data: &[u8]) -> bool {
    let host = exchange::text("server_host");
    let chain = split(data);
    let verdict =
        x509::verify_server(&chain, &[FIXED.root.as_slice()], host, Validity::At(exchange::now())).is_ok();
    // What a known time accepts, a floor at that time accepts too.
    let floor = Validity::NotEndedBy(exchange::now());
    assert!(!verdict || x509::verify_server(&chain, &[FIXED.root.as_slice()], host, floor).is_ok());
    verdict
}

/// Certificates in PEM, and a key.
pub(super) fn pem(data: &[u8]) -> bool {
    let key = core::str::from_utf8(data).is_ok_and(|text| ca::pem::read_private_key(text).is_ok());
    ca::pem::read_certificates(data).is_ok() || key
}

/// Any file that the doctor is given, alone and beside the root of the recorded exchange.
pub(super) fn doctor_file(data: &[u8]) -> bool {
    let items = doctor::files::read(data);
    let known = !items.is_empty();
    let basis = doctor::files::Basis {
        anchors: &[],
        crls: &[],
        name: Some("localhost"),
        now: shared::UnixTime::from_secs(1_800_000_000),
    };
    let root = doctor::files::read(&exchange::bytes("root_ca"));
    let files = [("file".to_owned(), items), ("root".to_owned(), root)];
    let diagnosis = doctor::Diagnosis::new(doctor::files::examine(&files, basis));
    assert_eq!(diagnosis.is_fine(), diagnosis.verdict == "fine");
    // Whatever a file holds, no control character of it reaches the terminal.
    assert!(diagnosis.text(false).chars().all(|char| char == '\n' || !char.is_control()));
    known
}

/// What the server of the recorded exchange holds.
struct Fixed {
    device: DeviceId,
    makers: Endorsements,
    policy: Policy,
    known_good: ReferenceValues,
    root: Vec<u8>,
    signer: [u8; 65],
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let maker = MakerCa::new("example", &exchange::bytes("maker_ca")).expect("the maker of the exchange");
    let policy = "[inventory]\nrequired = false\n[firmware]\nmeasurements = \"ignore\"\n";
    Fixed {
        device: DeviceId::new(exchange::text("device")).expect("the device of the exchange"),
        makers: Endorsements::new(vec![maker]),
        policy: Policy::parse("policy.toml", policy).expect("a policy"),
        known_good: ReferenceValues::default(),
        root: exchange::bytes("root_ca"),
        signer: exchange::bytes("trust_signer").try_into().expect("65 bytes"),
    }
});
