//! OCSP: requests of anyone, and answers read back by the library and by what the RFC says.

use ca::Serial;
use ca::crl::Reason;
use ca::ocsp::{
    Answer, Failure, MAX_ASKED, MAX_NONCE, MAX_REQUEST, Malformed, Produced, Query, RESPONDER_LIFETIME,
    Responder, Status, names_issuer,
};
use core::time::Duration;
use der::{Decode as _, Encode as _};
use proptest::prelude::*;
use shared::UnixTime;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus};
use x509_parser::prelude::FromDer as _;

use crate::support::{Hierarchy, NOW, tlv};

const SHA1: &[u8] = &[0x06, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const NONCE: &[u8] = &[0x06, 9, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
const OTHER: &[u8] = &[0x06, 9, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x63];

/// A Request with hashes of the subject and key of the issuing CA.
fn asked(hierarchy: &Hierarchy, hash: &[u8], serial: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256 as SHA_256, digest};
    let algorithm = if hash == SHA1 { &SHA1_FOR_LEGACY_USE_ONLY } else { &SHA_256 };
    let ca = hierarchy.issuing.certificate();
    let [name, key] = [digest(algorithm, ca.subject_der()), digest(algorithm, ca.public_point())];
    let id =
        [tlv(0x30, &[hash, &[5, 0]]), tlv(4, &[name.as_ref()]), tlv(4, &[key.as_ref()]), tlv(2, &[serial])];
    tlv(0x30, &[&tlv(0x30, &id.each_ref().map(Vec::as_slice))])
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[oid, critical, &tlv(4, &[value])])
}

fn request(list: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
    let list = tlv(0x30, &[&list.concat()]);
    let extensions = match extensions {
        [] => vec![],
        some => tlv(0xa2, &[&tlv(0x30, &[&some.concat()])]),
    };
    tlv(0x30, &[&tlv(0x30, &[&list, &extensions])])
}

fn serial() -> Serial {
    Serial::random().unwrap()
}

#[test]
fn questions_are_read_by_either_hash() {
    let hierarchy = Hierarchy::new();
    let (one, other) = (serial(), serial());
    let list = [
        asked(&hierarchy, SHA1, &one.to_der_value()),
        asked(&hierarchy, SHA256, &other.to_der_value()),
        asked(&hierarchy, SHA256, &[1]),
        asked(&hierarchy, OTHER, &one.to_der_value()),
    ];
    let query = Query::read(&request(&list, &[extension(NONCE, false, &tlv(4, &[&[7; 32]]))])).unwrap();
    let serials: Vec<_> = query.asked().iter().map(|asked| asked.serial()).collect();
    assert_eq!(serials, [Some(one), Some(other), None, Some(one)]);
    assert_eq!(query.nonce(), Some(&[7; 32][..]));
    let issuing = hierarchy.issuing.certificate();
    let named: Vec<_> = query.asked().iter().map(|asked| names_issuer(asked, issuing)).collect();
    assert_eq!(named, [true, true, true, false], "a hash that nobody uses names nobody");
    assert!(!query.asked().iter().any(|asked| names_issuer(asked, hierarchy.root.certificate())));
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let hierarchy = Hierarchy::new();
    let good = asked(&hierarchy, SHA1, &serial().to_der_value());
    let nonce = |length: usize| extension(NONCE, false, &tlv(4, &[&vec![7; length]]));
    let read = |extensions: &[Vec<u8>]| Query::read(&request(core::slice::from_ref(&good), extensions));
    for length in [1, 16, 32, MAX_NONCE] {
        assert_eq!(read(&[nonce(length)]).unwrap().nonce().map(<[u8]>::len), Some(length));
    }
    for wrong in [vec![nonce(0)], vec![nonce(MAX_NONCE + 1)], vec![nonce(8), nonce(8)]] {
        assert_eq!(read(&wrong), Err(Malformed::Nonce));
    }
    assert_eq!(read(&[extension(NONCE, false, &[7; 16])]), Err(Malformed::Nonce), "no OCTET STRING");
    assert_eq!(read(&[extension(OTHER, true, &[5, 0])]), Err(Malformed::Critical));
    assert!(read(&[extension(OTHER, false, &[5, 0])]).is_ok());
    assert_eq!(Query::read(&request(&[], &[])), Err(Malformed::Number { found: 0 }));
    let short = vec![asked(&hierarchy, SHA1, &[1]); MAX_ASKED + 1];
    assert!(Query::read(&request(&short[..MAX_ASKED], &[])).is_ok());
    assert_eq!(Query::read(&request(&short, &[])), Err(Malformed::Number { found: MAX_ASKED + 1 }));
    assert_eq!(Query::read(&vec![0x30; MAX_REQUEST + 1]), Err(Malformed::TooLong { found: MAX_REQUEST + 1 }));
    let mut trailing = request(core::slice::from_ref(&good), &[]);
    trailing.push(0);
    for wrong in [&trailing[..], &[], b"x", &[0x30, 0x80, 0, 0]] {
        assert_eq!(Query::read(wrong), Err(Malformed::NotARequest));
    }
}

#[test]
fn a_hash_has_no_parameters() {
    let with = |parameters: &[u8]| {
        let hash = [SHA1, parameters].concat();
        let id = [tlv(0x30, &[&hash]), tlv(4, &[&[1; 20]]), tlv(4, &[&[2; 20]]), tlv(2, &[&[3]])];
        let one = tlv(0x30, &[&tlv(0x30, &id.each_ref().map(Vec::as_slice))]);
        Query::read(&request(&[one], &[])).map(|query| query.asked()[0].cert_id().len())
    };
    assert!(with(&[5, 0]).is_ok() && with(&[]).is_ok());
    // Each of them would be another question, of which the answers are kept.
    assert_eq!(with(&tlv(4, &[&[0; 3_000]])), Err(Malformed::Parameters));
    assert_eq!(with(&[2, 1, 0]), Err(Malformed::Parameters));
}

#[test]
fn answers_are_signed_by_a_responder_that_the_ca_delegated_to() {
    let hierarchy = Hierarchy::new();
    let responder = Responder::new(&hierarchy.issuing, NOW).unwrap();
    let at = NOW.before(Duration::from_secs(60));
    let statuses = [
        Status::Good,
        Status::Revoked { at, reason: Reason::KeyCompromise },
        Status::Revoked { at, reason: Reason::Unspecified },
        Status::Unknown,
    ];
    let list: Vec<_> = statuses.iter().map(|_| asked(&hierarchy, SHA1, &serial().to_der_value())).collect();
    let query = Query::read(&request(&list, &[extension(NONCE, false, &tlv(4, &[&[9; 16]]))])).unwrap();
    let answers: Vec<_> =
        query.asked().iter().zip(statuses).map(|(asked, status)| Answer { asked, status }).collect();
    let next_update = NOW.after(Duration::from_secs(600));
    let der = responder.respond(&answers, &query, Produced { at: NOW, next_update }).unwrap();

    let response = OcspResponse::from_der(&der).unwrap();
    assert_eq!(response.response_status, OcspResponseStatus::Successful);
    let basic = BasicOcspResponse::from_der(response.response_bytes.unwrap().response.as_bytes()).unwrap();
    assert_eq!(basic.nonce().unwrap().0.as_bytes(), [9; 16]);
    let found = &basic.tbs_response_data.responses;
    for (single, asked) in found.iter().zip(query.asked()) {
        assert_eq!(single.cert_id.to_der().unwrap(), asked.cert_id(), "named as in the request");
        assert_eq!(single.this_update.0.to_unix_duration().as_secs(), NOW.as_secs());
        assert_eq!(single.next_update.unwrap().0.to_unix_duration().as_secs(), next_update.as_secs());
    }
    let said: Vec<_> = found
        .iter()
        .map(|single| match single.cert_status {
            CertStatus::Good(_) => (0, 0, None),
            CertStatus::Revoked(info) => {
                let since = info.revocation_time.0.to_unix_duration().as_secs();
                (1, since, info.revocation_reason.map(|reason| reason as u8))
            }
            CertStatus::Unknown(_) => (2, 0, None),
        })
        .collect();
    let since = at.as_secs();
    assert_eq!(said, [(0, 0, None), (1, since, Some(1)), (1, since, None), (2, 0, None)]);

    let certificate = basic.certs.unwrap()[0].to_der().unwrap();
    assert_eq!(certificate, responder.certificate().der());
    let (_, read) = x509_parser::certificate::X509Certificate::from_der(&certificate).unwrap();
    let (_, issuer) =
        x509_parser::certificate::X509Certificate::from_der(hierarchy.issuing.certificate().der()).unwrap();
    read.verify_signature(Some(issuer.public_key())).unwrap();
    let purposes = read.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.ocsp_signing && !purposes.client_auth && !purposes.server_auth && !purposes.any);
    assert!(!read.is_ca());
    assert!(
        read.extensions().iter().any(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.48.1.5" && e.value == [5, 0])
    );
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        read.public_key().subject_public_key.data.as_ref(),
    );
    key.verify(&basic.tbs_response_data.to_der().unwrap(), basic.signature.raw_bytes()).unwrap();
}

#[test]
fn a_responder_is_renewed_at_half_of_its_life_and_ends_with_its_ca() {
    let hierarchy = Hierarchy::new();
    let responder = Responder::new(&hierarchy.issuing, NOW).unwrap();
    assert!(!responder.is_due(NOW) && !responder.is_due(NOW.after(RESPONDER_LIFETIME / 3)));
    assert!(responder.is_due(NOW.after(RESPONDER_LIFETIME / 2)));
    assert!(responder.is_due(NOW.before(RESPONDER_LIFETIME)), "a clock that went back");
    let short = Hierarchy::living(Duration::from_secs(3_600));
    let end = short.issuing.certificate().validity().not_after;
    assert_eq!(Responder::new(&short.issuing, NOW).unwrap().not_after(), end);
    assert!(Responder::new(&short.issuing, end).is_err());
}

#[test]
fn failures_are_not_signed() {
    for (failure, status) in [
        (Failure::MalformedRequest, OcspResponseStatus::MalformedRequest),
        (Failure::InternalError, OcspResponseStatus::InternalError),
        (Failure::TryLater, OcspResponseStatus::TryLater),
        (Failure::Unauthorized, OcspResponseStatus::Unauthorized),
    ] {
        let response = OcspResponse::from_der(&failure.der()).unwrap();
        assert_eq!((response.response_status, response.response_bytes), (status, None));
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _read = Query::read(&bytes);
    }

    /// A request with one byte changed is refused, or what it asks can be answered and read back.
    #[test]
    fn whatever_is_read_can_be_answered(at in any::<prop::sample::Index>(), bits in 1_u8.., nonce in 1_usize..40) {
        let hierarchy = Hierarchy::new();
        let list = [asked(&hierarchy, SHA1, &serial().to_der_value())];
        let mut bytes = request(&list, &[extension(NONCE, false, &tlv(4, &[&vec![3; nonce]]))]);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        if let Ok(query) = Query::read(&bytes) {
            let responder = Responder::new(&hierarchy.issuing, NOW).unwrap();
            let answers: Vec<_> =
                query.asked().iter().map(|asked| Answer { asked, status: Status::Good }).collect();
            let produced = Produced { at: NOW, next_update: UnixTime::from_secs(NOW.as_secs() + 60) };
            let der = responder.respond(&answers, &query, produced).unwrap();
            let response = OcspResponse::from_der(&der).unwrap();
            let basic = BasicOcspResponse::from_der(response.response_bytes.unwrap().response.as_bytes()).unwrap();
            prop_assert_eq!(basic.tbs_response_data.responses.len(), query.asked().len());
            prop_assert_eq!(basic.nonce().map(|found| found.0.as_bytes().to_vec()), query.nonce().map(<[u8]>::to_vec));
        }
    }
}
