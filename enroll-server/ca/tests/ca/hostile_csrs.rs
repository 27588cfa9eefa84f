//! More than 200 CSRs that ask for what they must not have: the certificate is the profile's, or there is none.

use appraisal::csr;
use ca::{FileKey, IssuerKey as _};
use shared::Reject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::support::{Hierarchy, tlv};

const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA1: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
const EXTENSION_REQUEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
const CHALLENGE_PASSWORD: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07];

/// One attribute of a subject: the last byte of its object identifier (2.5.4.x), the tag and the text.
fn attribute(kind: u8, tag: u8, text: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&[0x06, 0x03, 0x55, 0x04, kind], &tlv(tag, &[text])])
}

fn name(rdns: &[&[Vec<u8>]]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = rdns.iter().map(|rdn| tlv(0x31, &[&rdn.concat()])).collect();
    tlv(0x30, &[&rdns.concat()])
}

fn subjects() -> Vec<Vec<u8>> {
    let (cn, o, serial) = (3, 10, 5);
    let utf8 = |kind, text: &str| attribute(kind, 0x0c, text.as_bytes());
    vec![
        name(&[&[utf8(cn, "SN-0001")]]),
        name(&[]),
        name(&[&[utf8(cn, "SN-0001")], &[utf8(cn, "SN-0002")], &[utf8(cn, "admin")]]),
        name(&[&[utf8(cn, "SN-0001"), utf8(cn, "SN-0002")]]),
        name(&[&[utf8(o, "other")], &[utf8(cn, "SN-0002")], &[attribute(serial, 0x13, b"SN-0002")]]),
        name(&[&[utf8(cn, "SN-0001\0.evil")]]),
        name(&[&[utf8(cn, &"x".repeat(300))]]),
        name(&[&[utf8(cn, "#")], &[utf8(cn, "+")], &[utf8(cn, "$SYS/broker")]]),
        name(&[&[attribute(cn, 0x1e, b"\0S\0N")], &[attribute(cn, 0x04, b"SN-0001")]]),
        name(&[&[attribute(cn, 0x0c, b"\xff\xfe")]]),
    ]
}

/// An extension: 2.5.29.x.
fn extension(kind: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&[0x06, 0x03, 0x55, 0x1d, kind], critical, &tlv(0x04, &[value])])
}

fn request(extensions: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &[EXTENSION_REQUEST, &tlv(0x31, &[&tlv(0x30, &[&extensions.concat()])])])
}

fn attributes() -> Vec<Vec<u8>> {
    let ca = extension(19, true, &tlv(0x30, &[&[1, 1, 0xff]]));
    let dns = |name: &str| tlv(0x82, &[name.as_bytes()]);
    let usage = |bits: u8| extension(15, true, &[3, 2, 0, bits]);
    let purpose = |last: u8| {
        let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last];
        extension(37, false, &tlv(0x30, &[&oid]))
    };
    let urn = tlv(0x86, &[b"urn:dev:os:32473-SN-0002"]);
    vec![
        vec![],
        request(core::slice::from_ref(&ca)),
        request(&[extension(19, true, &tlv(0x30, &[&[1, 1, 0xff], &[2, 1, 5]])), usage(0xff)]),
        request(&[extension(17, false, &tlv(0x30, &[&dns("broker.example"), &dns("*")]))]),
        request(&[extension(17, true, &tlv(0x30, &[&urn]))]),
        request(&[extension(17, false, &tlv(0x30, &[&tlv(0x87, &[&[127, 0, 0, 1]])]))]),
        request(&[purpose(1)]),
        request(&[purpose(9), purpose(3)]),
        request(&[extension(37, false, &tlv(0x30, &[&[0x06, 0x04, 0x55, 0x1d, 0x25, 0x00]]))]),
        request(&[usage(0x06)]),
        request(&[extension(14, false, &tlv(4, &[&[7; 20]])), extension(35, false, &tlv(0x30, &[]))]),
        request(&[extension(99, true, b"\x05\x00")]),
        request(&[extension(31, false, &tlv(0x30, &[]))]),
        [request(core::slice::from_ref(&ca)), request(&[purpose(1)])].concat(),
        tlv(0x30, &[CHALLENGE_PASSWORD, &tlv(0x31, &[&tlv(0x0c, &[b"let me in"])])]),
    ]
}

fn spki(algorithm: &[&[u8]], point: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x30, algorithm), &tlv(0x03, &[&[0], point])])
}

fn csr_of(
    version: u8,
    subject: &[u8],
    spki: &[u8],
    attributes: &[u8],
    algorithm: &[u8],
    key: &FileKey,
) -> Vec<u8> {
    let info = tlv(0x30, &[&[2, 1, version], subject, spki, &tlv(0xa0, &[attributes])]);
    let signature = tlv(0x03, &[&[0], &key.sign(&info).unwrap()]);
    tlv(0x30, &[&info, &tlv(0x30, &[algorithm]), &signature])
}

/// The signed part of the certificate that this CSR brings its device.
fn certified(hierarchy: &Hierarchy, csr: &csr::CheckedCsr, like: &crate::support::Intent) -> Vec<u8> {
    let intent = crate::support::Intent { point: *csr.point(), ..like.clone() };
    let issued = hierarchy.issue(&intent);
    let (_, certificate) = X509Certificate::from_der(issued.der()).unwrap();
    certificate.tbs_certificate.as_ref().to_vec()
}

#[test]
fn what_a_csr_asks_for_never_reaches_the_certificate() {
    let hierarchy = Hierarchy::new();
    let key = FileKey::generate().unwrap();
    let good_spki = spki(&[EC, P256], key.public_point());
    let intent = hierarchy.intent("SN-0001");
    let innocent = csr_of(0, &subjects()[0], &good_spki, &[], ECDSA_SHA256, &key);
    let innocent = certified(&hierarchy, &csr::check(&innocent).unwrap(), &intent);

    let (mut certified_count, mut refused, mut broken) = (0, 0, 0);
    for subject in subjects() {
        for attributes in attributes() {
            let mut bytes = csr_of(0, &subject, &good_spki, &attributes, ECDSA_SHA256, &key);
            match csr::check(&bytes) {
                Ok(checked) => {
                    assert_eq!(certified(&hierarchy, &checked, &intent), innocent, "byte for byte");
                    certified_count += 1;
                }
                Err(error) => {
                    assert_eq!(error.reject(), Reject::BadCsr);
                    refused += 1;
                }
            }
            // The same with a broken signature.
            *bytes.last_mut().unwrap() ^= 1;
            assert!(csr::check(&bytes).is_err());
            broken += 1;
        }
    }
    assert!(certified_count + refused + broken >= 300, "{certified_count} + {refused} + {broken}");
    assert!(certified_count >= 100, "the test is of no use if all are refused: {certified_count}");
}

#[test]
fn other_keys_and_algorithms_are_refused() {
    let key = FileKey::generate().unwrap();
    let subject = &subjects()[0];
    let point = key.public_point();
    let compressed: Vec<u8> = [&[2 | (point[64] & 1)], &point[1..33]].concat();
    let mut hybrid = *point;
    hybrid[0] = 6 | (point[64] & 1);
    let mut off_curve = *point;
    off_curve[64] ^= 1;
    let keys = [
        spki(&[EC, P384], point),
        spki(&[EC], point),
        spki(&[EC, &[5, 0]], point),
        spki(&[EC, P256, &[5, 0]], point),
        spki(&[P256, EC], point),
        spki(&[EC, P256], &compressed),
        spki(&[EC, P256], &hybrid),
        spki(&[EC, P256], &off_curve),
        spki(&[EC, P256], &[0]),
        spki(&[EC, P256], &[]),
        spki(&[EC, P256], &[4; 65]),
        spki(&[EC, P256], &[&point[..], &[0]].concat()),
    ];
    for key_info in &keys {
        let bytes = csr_of(0, subject, key_info, &[], ECDSA_SHA256, &key);
        assert_eq!(csr::check(&bytes).map_err(csr::CsrError::reject), Err(Reject::BadCsr), "{key_info:02x?}");
    }
    let good = spki(&[EC, P256], point);
    for algorithm in [ECDSA_SHA1, P256, &[], &[ECDSA_SHA256, &[5, 0]].concat()] {
        let bytes = csr_of(0, subject, &good, &[], algorithm, &key);
        assert_eq!(csr::check(&bytes).map_err(csr::CsrError::reject), Err(Reject::BadCsr));
    }
    for version in [1, 2, 0x7f, 0xff] {
        let bytes = csr_of(version, subject, &good, &[], ECDSA_SHA256, &key);
        assert_eq!(csr::check(&bytes).map_err(csr::CsrError::reject), Err(Reject::BadCsr));
    }
    let others = FileKey::generate().unwrap();
    let bytes = csr_of(0, subject, &good, &[], ECDSA_SHA256, &others);
    assert_eq!(csr::check(&bytes), Err(csr::CsrError::Signature));
}
