//! Evidence inside a CSR: the attribute of draft-ietf-lamps-csr-attestation, as a client writes it and as nobody
//! should.

use appraisal::csr::{
    CsrEvidenceError, EvidenceInCsr, MAX_CSR_WITH_EVIDENCE, check, check_with_evidence, evidence,
    statement_type,
};
use proptest::prelude::*;
use rcgen::{Attribute, CertificateParams, KeyPair};
use shared::message::latest::EvidenceKind;

use crate::support::Maker;

/// A DER element.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let head = match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, low @ 0..=0x7f] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, parts)
}

/// A statement with this type, the value of an object identifier, over this evidence in an OCTET STRING.
fn statement(kind: &[u8], body: &[u8]) -> Vec<u8> {
    sequence(&[&der(6, &[kind]), &der(4, &[body])])
}

fn bundle(statements: &[Vec<u8>], certificates: &[Vec<u8>]) -> Vec<u8> {
    let statements = sequence(&[statements.concat().as_slice()]);
    if certificates.is_empty() {
        return sequence(&[&statements]);
    }
    sequence(&[&statements, &sequence(&[certificates.concat().as_slice()])])
}

/// A CSR with these values of the attribute; `times` says how often the attribute stands there.
fn csr(values: &[Vec<u8>], times: usize) -> Vec<u8> {
    // id-aa-attestation
    const OID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 16, 2, 59];
    let attribute = || Attribute { oid: OID, values: der(0x31, &[values.concat().as_slice()]) };
    let key = KeyPair::generate().unwrap();
    let attributes = (0..times).map(|_| attribute()).collect();
    let request = CertificateParams::default().serialize_request_with_attributes(&key, attributes);
    request.unwrap().der().to_vec()
}

fn found(value: Vec<u8>) -> Result<Option<EvidenceInCsr>, CsrEvidenceError> {
    evidence(&csr(&[value], 1))
}

fn cmw(media_type: &str, body: &[u8], indicator: Option<u8>) -> Vec<u8> {
    let mut buffer = [0; 512];
    let mut e = minicbor::Encoder::new(minicbor::encode::write::Cursor::new(buffer.as_mut_slice()));
    e.array(2 + u64::from(indicator.is_some())).unwrap();
    match media_type.parse::<u64>() {
        Ok(content_format) => e.u64(content_format).unwrap(),
        Err(_) => e.str(media_type).unwrap(),
    };
    e.bytes(body).unwrap();
    if let Some(indicator) = indicator {
        e.u8(indicator).unwrap();
    }
    let length = e.writer().position();
    buffer[..length].to_vec()
}

/// id-pe-cmw, 1.3.6.1.5.5.7.1.35.
const CMW: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 35];

#[test]
fn every_kind_has_a_type_of_its_own() {
    for kind in EvidenceKind::NATIVE {
        let value = bundle(&[statement(&statement_type(*kind), b"body")], &[]);
        let wanted = EvidenceInCsr { kind: *kind, body: b"body".to_vec(), endorsements: vec![] };
        assert_eq!(found(value), Ok(Some(wanted)));
    }
}

#[test]
fn a_csr_may_be_as_long_as_its_evidence_takes_and_is_checked_all_the_same() {
    let value = bundle(&[statement(&statement_type(EvidenceKind::PsaToken), &[7; 2048])], &[]);
    let good = csr(&[value], 1);
    assert!(check(&good).is_err(), "the native protocol carries no such CSR");
    check_with_evidence(&good).unwrap();
    assert_eq!(evidence(&good).unwrap().unwrap().body, [7; 2048]);
    // The signature covers the attribute.
    let at = good.windows(2).position(|pair| pair == [7, 7]).unwrap();
    let mut changed = good;
    changed[at] ^= 1;
    assert!(check_with_evidence(&changed).is_err());
    assert_eq!(evidence(&csr(&[], 0)), Ok(None));
}

#[test]
fn a_wrapper_names_the_kind_by_its_media_type() {
    let psa = "application/eat+cwt; eat_profile=\"tag:psacertified.org,2023:psa#tfm\"";
    for (media_type, indicator, kind) in [
        (psa, None, Some(EvidenceKind::PsaToken)),
        (psa, Some(4), Some(EvidenceKind::PsaToken)),
        ("application/psa-attestation-token", None, Some(EvidenceKind::PsaToken)),
        ("application/eat+cwt", None, Some(EvidenceKind::IdevidEat)),
        ("263", None, Some(EvidenceKind::IdevidEat)),
        ("application/eat+jwt", None, None),
        ("60", None, None),
        // Endorsements and results are no evidence.
        (psa, Some(2), None),
        (psa, Some(8), None),
    ] {
        let value = bundle(&[statement(CMW, &cmw(media_type, b"token", indicator))], &[]);
        let read = found(value).unwrap();
        assert_eq!(read.as_ref().map(|read| read.kind), kind, "{media_type} {indicator:?}");
        assert!(read.is_none_or(|read| read.body == b"token"));
    }
    // CMW in JSON, and a type that nobody here knows.
    let json = sequence(&[&der(6, &[CMW]), &der(0x0c, &[b"[]"])]);
    assert_eq!(found(bundle(&[json], &[])), Ok(None));
    assert_eq!(found(bundle(&[statement(&[0x67, 0x81, 5, 20, 1], b"tpm")], &[])), Ok(None));
    for broken in
        [&[0x82, 0x60, 0x40][..2], &[0x80], &[0x9f, 0xff], &[0x82, 0xf5, 0x40], &[0x82, 0x60, 0x40, 0]]
    {
        let error = found(bundle(&[statement(CMW, broken)], &[])).unwrap_err();
        assert_eq!(error, CsrEvidenceError::Malformed { part: "attestation statement" }, "{broken:?}");
    }
}

#[test]
fn certificates_come_in_any_order_and_leave_in_that_of_a_chain() {
    let root = Maker::new("Root");
    let (middle, other) = (root.below("Middle", |_| ()), Maker::new("Other"));
    let leaf = middle.device("SN-1").chain.remove(0);
    let token = statement(&statement_type(EvidenceKind::PsaToken), b"token");
    let with = |certificates: &[Vec<u8>]| {
        found(bundle(core::slice::from_ref(&token), certificates)).unwrap().unwrap().endorsements
    };
    let chain = vec![leaf.clone(), middle.der.clone()];
    assert_eq!(with(&chain), chain);
    assert_eq!(with(&[middle.der, leaf.clone()]), chain);
    let whole = [chain.as_slice(), &[root.der]].concat();
    for turn in 0..3 {
        let mut turned = whole.clone();
        turned.rotate_left(turn);
        assert_eq!(with(&turned), whole);
    }
    // Names that make no chain, and what is no certificate: as they came.
    let strangers = vec![other.der, leaf.clone()];
    assert_eq!(with(&strangers), strangers);
    let (foreign, noise) = (der(0xa3, &[&[6, 1, 42]]), sequence(&[]));
    assert_eq!(with(&[foreign, leaf.clone()]), core::slice::from_ref(&leaf));
    assert_eq!(with(&[noise.clone(), leaf.clone()]), [noise, leaf]);
}

#[test]
fn what_is_too_much_or_twice_is_refused() {
    let token = || statement(&statement_type(EvidenceKind::PsaToken), b"token");
    let one = bundle(&[token()], &[]);
    assert_eq!(evidence(&csr(core::slice::from_ref(&one), 2)), Err(CsrEvidenceError::Bundles { found: 2 }));
    assert_eq!(evidence(&csr(&[one.clone(), one], 1)), Err(CsrEvidenceError::Bundles { found: 2 }));
    assert_eq!(found(bundle(&[token(), token()], &[])), Err(CsrEvidenceError::Several { found: 2 }));
    let unknown = || statement(&[0x2a, 3], b"x");
    assert_eq!(found(bundle(&[unknown(), token()], &[])).unwrap().unwrap().body, b"token");
    let many = (0..9).map(|_| unknown()).collect::<Vec<_>>();
    assert_eq!(found(bundle(&many, &[])), Err(CsrEvidenceError::Statements { found: 9 }));
    let long = statement(&statement_type(EvidenceKind::PsaToken), &[0; 2049]);
    assert_eq!(found(bundle(&[long], &[])), Err(CsrEvidenceError::Evidence { found: 2049 }));
    let five = vec![sequence(&[]); 5];
    assert_eq!(found(bundle(&[token()], &five)), Err(CsrEvidenceError::Certificates { found: 2, count: 5 }));
    let big = vec![sequence(&[&[0; 1533]])];
    assert_eq!(
        found(bundle(&[token()], &big)),
        Err(CsrEvidenceError::Certificates { found: 1537, count: 1 })
    );
    let long = vec![0x30; MAX_CSR_WITH_EVIDENCE + 1];
    assert_eq!(evidence(&long), Err(CsrEvidenceError::TooLong { found: long.len() }));

    let malformed = |value: Vec<u8>| assert!(matches!(found(value), Err(CsrEvidenceError::Malformed { .. })));
    malformed(sequence(&[]));
    malformed(sequence(&[&sequence(&[])]));
    malformed(sequence(&[&sequence(&[&token()]), &sequence(&[])]));
    malformed(sequence(&[&sequence(&[&token()]), &sequence(&[&sequence(&[])]), &[5, 0]]));
    malformed(bundle(&[sequence(&[&token(), &[5, 0]])], &[]));
    malformed(bundle(&[sequence(&[&der(6, &[&statement_type(EvidenceKind::PsaToken)]), &[5, 0]])], &[]));
    malformed(bundle(&[token()], &[der(0xa1, &[])]));
    malformed(der(0x31, &[]));
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        kind in proptest::sample::select(EvidenceKind::NATIVE.to_vec()),
        body in proptest::collection::vec(any::<u8>(), 0..2048),
        before in 0_usize..7,
    ) {
        let mut statements = vec![statement(&[0x2a, 3], b"other"); before];
        statements.push(statement(&statement_type(kind), &body));
        let value = bundle(&statements, &[]);
        prop_assert_eq!(found(value), Ok(Some(EvidenceInCsr { kind, body, endorsements: vec![] })));
    }

    #[test]
    fn never_panics_on_changed_requests(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = csr(&[bundle(&[statement(CMW, &cmw("263", b"token", Some(4)))], &[sequence(&[])])], 1);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Some(read)) = evidence(&bytes) {
            prop_assert!(read.body.len() <= 2048 && read.endorsements.len() <= 4);
        }
    }
}
