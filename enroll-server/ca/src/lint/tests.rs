//! Every rule finds its bad case, and finds nothing in what this CA issues.

use std::collections::BTreeSet;

use core::time::Duration;
use shared::{DeviceId, UnixTime};

use super::view::Against;
use super::walk::{Element, all};
use super::{Finding, RecordedIntent, lint, look_through, rules};
use crate::der::{self, tlv};
use crate::distribution::DistributionPoint;
use crate::key::{FileKey, IssuerKey as _};
use crate::profile::{Bound, Facts, LdevidProfile, Profile, Validity};
use crate::template::{
    AUTHORITY_INFO_ACCESS, AUTHORITY_KEY_ID, BASIC_CONSTRAINTS, CERTIFICATE_POLICIES,
    CRL_DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE, KEY_USAGE, SUBJECT_ALT_NAME, SUBJECT_KEY_ID,
};
use crate::{CaCertificate, Serial, hierarchy};

const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

/// A TBSCertificate that can be changed.
#[derive(Clone)]
struct Parts {
    version: Vec<u8>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    times: [(u8, Vec<u8>); 2],
    rdns: Vec<Vec<u8>>,
    key: Vec<u8>,
    unique_ids: Vec<u8>,
    extensions: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    device: Option<&'static str>,
    is_ca: bool,
}

struct Intent<'a>(Serial, DeviceId, [u8; 65], Validity, &'a Bound);

impl RecordedIntent for Intent<'_> {
    fn serial(&self) -> Serial {
        self.0
    }

    fn device(&self) -> &DeviceId {
        &self.1
    }

    fn public_point(&self) -> &[u8; 65] {
        &self.2
    }

    fn validity(&self) -> Validity {
        self.3
    }

    fn distribution_point(&self) -> DistributionPoint {
        DistributionPoint { issuer: 1, partition: 0 }
    }

    fn profile(&self) -> Option<&Bound> {
        Some(self.4)
    }
}

const PROFILE: &str = r#"
[subject]
country = "DE"
organization = "Acme Ltd"
organizational_unit = "{group}"
[names]
dns = ["{id}.devices.example"]
[[certificate_policy]]
oid = "1.3.6.1.4.1.32473.1.1"
cps = "https://pki.example/cps"
"#;

fn good() -> (Parts, CaCertificate) {
    let (ca, _) = hierarchy::root_ca("acme", hierarchy::ROOT_LIFETIME, NOW).unwrap();
    let server = LdevidProfile::new("acme", 32473).unwrap().with_crl_url("http://ca.example/crl").unwrap();
    let server = server.with_ocsp_url("http://ca.example/ocsp").unwrap();
    let facts = Facts { tenant: "acme", enterprise: 32473, group: "lab", ..Facts::default() };
    let bound = Profile::parse("p", PROFILE).unwrap().bind("default", &facts).unwrap();
    let life = Validity::of_ldevid(NOW, Duration::from_secs(86_400), &ca).unwrap();
    let point = *FileKey::generate().unwrap().public_point();
    let intent = Intent(Serial::random().unwrap(), DeviceId::new("sn-1").unwrap(), point, life, &bound);
    let linted = lint(&intent, &server, &ca, NOW).unwrap();
    (Parts::of(&linted.tbs), ca)
}

impl Parts {
    fn of(tbs: &[u8]) -> Self {
        let fields = Element::only(tbs).unwrap().children().unwrap();
        let whole = |at: usize| fields[at].whole.to_vec();
        let times = fields[4].children().unwrap();
        let time = |at: usize| (times[at].tag, times[at].value.to_vec());
        let list = Element::only(fields[7].value).unwrap().children().unwrap();
        let extensions = list.iter().map(|extension| {
            let parts = extension.children().unwrap();
            let critical = if parts.len() == 3 { parts[1].whole.to_vec() } else { Vec::new() };
            (parts[0].value.to_vec(), critical, parts[parts.len() - 1].value.to_vec())
        });
        Self {
            version: whole(0),
            serial: fields[1].value.to_vec(),
            algorithm: whole(2),
            issuer: whole(3),
            times: [time(0), time(1)],
            rdns: all(fields[5].value).unwrap().iter().map(|rdn| rdn.whole.to_vec()).collect(),
            key: whole(6),
            unique_ids: Vec::new(),
            extensions: extensions.collect(),
            device: Some("sn-1"),
            is_ca: false,
        }
    }

    fn der(&self) -> Vec<u8> {
        let times: Vec<_> = self.times.iter().map(|(tag, text)| tlv(*tag, &[text])).collect();
        let extensions = self.extensions.iter().map(|(oid, critical, value)| {
            tlv(der::SEQUENCE, &[&tlv(der::OID, &[oid]), critical, &tlv(der::OCTET_STRING, &[value])])
        });
        let list = tlv(der::SEQUENCE, &[&extensions.collect::<Vec<_>>().concat()]);
        tlv(
            der::SEQUENCE,
            &[
                &self.version,
                &tlv(der::INTEGER, &[&self.serial]),
                &self.algorithm,
                &self.issuer,
                &tlv(der::SEQUENCE, &[&times.concat()]),
                &tlv(der::SEQUENCE, &[&self.rdns.concat()]),
                &self.key,
                &self.unique_ids,
                &tlv(der::context_constructed(3), &[&list]),
            ],
        )
    }

    fn findings(&self, ca: &CaCertificate) -> Vec<Finding> {
        let against = Against {
            issuer: Some(ca.subject_der()),
            issuer_key_id: Some(ca.key_id()),
            is_ca: self.is_ca,
            device: self.device,
            custom: &[],
        };
        look_through(&self.der(), against)
    }

    fn set(&mut self, oid: &[u8], value: &[u8]) {
        self.extensions.iter_mut().find(|(found, _, _)| found == oid).unwrap().2 = value.to_vec();
    }

    fn drop(&mut self, oid: &[u8]) {
        self.extensions.retain(|(found, _, _)| found != oid);
    }

    fn attribute(&mut self, at: usize, arc: u8, tag: u8, text: &[u8]) {
        let pair = tlv(der::SEQUENCE, &[&tlv(der::OID, &[&[0x55, 4, arc]]), &tlv(tag, &[text])]);
        self.rdns[at] = tlv(der::SET, &[&pair]);
    }

    fn alt_names(&mut self, names: &[(u8, &[u8])]) {
        let names: Vec<_> = names.iter().map(|(form, name)| tlv(der::context(*form), &[name])).collect();
        self.set(SUBJECT_ALT_NAME, &tlv(der::SEQUENCE, &[&names.concat()]));
    }

    fn purposes(&mut self, last: &[&[u8]]) {
        let oids: Vec<_> = last.iter().map(|oid| tlv(der::OID, &[oid])).collect();
        self.set(EXTENDED_KEY_USAGE, &tlv(der::SEQUENCE, &[&oids.concat()]));
    }
}

/// Where the attributes stand in the subject.
const COUNTRY: usize = 0;
const ORGANIZATION: usize = 1;
const UNIT: usize = 2;
const COMMON_NAME: usize = 3;
const SERIAL_NUMBER: usize = 4;
const CLIENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

type Case = (&'static str, fn(&mut Parts));

const CASES: &[Case] = &[
    ("version-3", |p| p.version = vec![0xa0, 3, 2, 1, 1]),
    ("version-3", |p| p.version.clear()),
    ("serial-form", |p| p.serial[0] |= 0x80),
    ("serial-form", |p| p.serial = vec![0, 1]),
    ("serial-form", |p| p.serial = (1..=21).collect()),
    ("serial-entropy", |p| p.serial = vec![0x12, 0x34]),
    ("serial-entropy", |p| p.serial = vec![0x11; 16]),
    ("signature-algorithm", |p| {
        p.algorithm = vec![0x30, 12, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2, 5, 0]
    }),
    ("issuer-name", |p| p.issuer = vec![0x30, 0]),
    ("issuer-name", |p| *p.issuer.last_mut().unwrap() ^= 1),
    ("time-form", |p| p.times[1] = (0x18, b"20270101000000Z".to_vec())),
    ("time-form", |p| p.times[1].1 = b"2701010000Z".to_vec()),
    ("time-form", |p| p.times[1].1 = b"270101000000+0100".to_vec()),
    ("time-form", |p| p.times[1] = (0x18, b"20510101000000.5Z".to_vec())),
    ("time-order", |p| p.times.swap(0, 1)),
    ("public-key", |p| *p.key.last_mut().unwrap() ^= 1),
    ("public-key", |p| p.key[17] ^= 1),
    ("unique-identifiers", |p| p.unique_ids = vec![0x82, 2, 0, 1]),
    ("size", |p| p.set(SUBJECT_KEY_ID, &tlv(der::OCTET_STRING, &[&[1; 1200]]))),
    ("subject-empty", |p| p.rdns.clear()),
    ("subject-empty", |p| p.rdns[UNIT] = vec![der::SET, 0]),
    ("subject-attribute-known", |p| p.attribute(UNIT, 12, der::UTF8_STRING, b"Dr")),
    ("subject-attribute-once", |p| p.attribute(UNIT, 10, der::UTF8_STRING, b"other")),
    ("subject-string-type", |p| p.attribute(UNIT, 11, 0x1e, b"\0a")),
    ("subject-string-type", |p| p.attribute(SERIAL_NUMBER, 5, der::UTF8_STRING, b"sn-1")),
    ("subject-string-length", |p| p.attribute(UNIT, 11, der::UTF8_STRING, &[b'x'; 65])),
    ("subject-string-length", |p| p.attribute(UNIT, 11, der::UTF8_STRING, b"")),
    ("subject-printable", |p| p.attribute(SERIAL_NUMBER, 5, der::PRINTABLE_STRING, b"sn_1")),
    ("subject-characters", |p| p.attribute(UNIT, 11, der::UTF8_STRING, b"a\nb")),
    ("subject-characters", |p| p.attribute(UNIT, 11, der::UTF8_STRING, b" a")),
    ("subject-characters", |p| p.attribute(UNIT, 11, der::UTF8_STRING, b"a  b")),
    ("subject-characters", |p| p.attribute(UNIT, 11, der::UTF8_STRING, "a\u{202e}b".as_bytes())),
    ("subject-characters", |p| p.attribute(UNIT, 11, der::UTF8_STRING, &[0xff, 0xfe])),
    ("subject-country", |p| p.attribute(COUNTRY, 6, der::PRINTABLE_STRING, b"de")),
    ("subject-device", |p| p.attribute(COMMON_NAME, 3, der::UTF8_STRING, b"sn-2")),
    ("subject-device", |p| p.attribute(SERIAL_NUMBER, 5, der::PRINTABLE_STRING, b"sn-2")),
    ("extension-once", |p| p.extensions.push(p.extensions[0].clone())),
    ("extension-critical-form", |p| p.extensions[0].1 = vec![der::BOOLEAN, 1, 0]),
    ("extension-critical-form", |p| p.extensions[0].1 = vec![der::BOOLEAN, 1, 1]),
    ("extension-known", |p| p.extensions.push((vec![0x2b, 6, 1, 4, 1, 1], vec![], vec![5, 0]))),
    ("extension-critical", |p| p.extensions.iter_mut().for_each(|e| e.1 = vec![der::BOOLEAN, 1, 0xff])),
    ("extension-critical", |p| p.extensions.iter_mut().for_each(|e| e.1.clear())),
    ("extension-der", |p| p.set(CERTIFICATE_POLICIES, &[der::SEQUENCE, 3, 1])),
    ("extension-der", |p| p.set(CERTIFICATE_POLICIES, &[der::SEQUENCE, 0, 0])),
    ("basic-constraints", |p| p.set(BASIC_CONSTRAINTS, &[der::SEQUENCE, 3, der::BOOLEAN, 1, 0xff])),
    ("basic-constraints", |p| p.set(BASIC_CONSTRAINTS, &[der::SEQUENCE, 3, der::BOOLEAN, 1, 0])),
    ("basic-constraints", |p| p.drop(BASIC_CONSTRAINTS)),
    ("basic-constraints", |p| p.is_ca = true),
    ("subject-key-identifier", |p| p.drop(SUBJECT_KEY_ID)),
    ("subject-key-identifier", |p| p.set(SUBJECT_KEY_ID, &[4, 1, 7])),
    ("authority-key-identifier", |p| p.drop(AUTHORITY_KEY_ID)),
    ("authority-key-identifier", |p| p.set(AUTHORITY_KEY_ID, &[der::SEQUENCE, 0])),
    ("key-usage-form", |p| p.drop(KEY_USAGE)),
    ("key-usage-form", |p| p.set(KEY_USAGE, &[der::BIT_STRING, 2, 0, 0x80])),
    ("key-usage-form", |p| p.set(KEY_USAGE, &[der::BIT_STRING, 1, 0])),
    ("key-usage-ca", |p| p.set(KEY_USAGE, &[der::BIT_STRING, 2, 2, 0x84])),
    ("key-usage-ecc", |p| p.set(KEY_USAGE, &[der::BIT_STRING, 2, 5, 0xa0])),
    ("key-usage-ecc", |p| p.set(KEY_USAGE, &[der::BIT_STRING, 2, 0, 0x81])),
    ("extended-key-usage-form", |p| p.drop(EXTENDED_KEY_USAGE)),
    ("extended-key-usage-form", |p| p.purposes(&[])),
    ("extended-key-usage-form", |p| p.purposes(&[CLIENT, CLIENT])),
    ("extended-key-usage-allowed", |p| p.purposes(&[CLIENT, &[0x55, 0x1d, 0x25, 0]])),
    ("extended-key-usage-allowed", |p| p.purposes(&[CLIENT, SERVER])),
    ("extended-key-usage-allowed", |p| p.purposes(&[CLIENT, &[0x2b, 6, 1, 5, 5, 7, 3, 9]])),
    ("extended-key-usage-allowed", |p| p.purposes(&[&[0x2b, 6, 1, 4, 1, 1, 1]])),
    ("extended-key-usage-consistent", |p| p.set(KEY_USAGE, &[der::BIT_STRING, 2, 3, 0x08])),
    ("alt-name-form", |p| p.alt_names(&[])),
    ("alt-name-form", |p| p.alt_names(&[(1, b"a@example.org")])),
    ("alt-name-form", |p| p.alt_names(&[(8, b"\x2a\x03\x04")])),
    ("alt-name-form", |p| p.alt_names(&[(6, b"")])),
    ("alt-name-once", |p| p.alt_names(&[(2, b"a.example"), (2, b"A.example")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"*.example.org")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"a_b.example.org")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"localhost")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"-a.example.org")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"a..example.org")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"xn--caf-dma.example")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, "caf\u{e9}.example".as_bytes())])),
    ("alt-name-dns", |p| p.alt_names(&[(2, b"10.0.0.1")])),
    ("alt-name-dns", |p| p.alt_names(&[(2, &[&[b'a'; 64][..], b".example"].concat())])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"no-scheme")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"/relative")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"1a:b")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"urn:dev")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"https://host/a b")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"https://single/a")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"https:///a")])),
    ("alt-name-uri", |p| p.alt_names(&[(6, b"urn:dev:a%zz")])),
    ("alt-name-ip", |p| p.alt_names(&[(7, &[1, 2, 3])])),
    ("alt-name-server", |p| {
        p.device = None;
        p.purposes(&[SERVER]);
        p.alt_names(&[(6, b"urn:dev:os:1-a")]);
    }),
    ("crl-distribution-points", |p| p.set(CRL_DISTRIBUTION_POINTS, &[der::SEQUENCE, 0])),
    ("crl-distribution-points", |p| p.set(CRL_DISTRIBUTION_POINTS, &point(b"https://ca.example/crl", &[]))),
    ("crl-distribution-points", |p| {
        p.set(CRL_DISTRIBUTION_POINTS, &point(b"http://a.example/", &[0x81, 2, 1, 2]))
    }),
    ("authority-information-access", |p| p.set(AUTHORITY_INFO_ACCESS, &[der::SEQUENCE, 0])),
    ("authority-information-access", |p| p.set(AUTHORITY_INFO_ACCESS, &access(1, b"ldap://a.example"))),
    ("authority-information-access", |p| p.set(AUTHORITY_INFO_ACCESS, &access(9, b"http://a.example"))),
    ("certificate-policies", |p| p.set(CERTIFICATE_POLICIES, &[der::SEQUENCE, 0])),
    ("certificate-policies", |p| p.set(CERTIFICATE_POLICIES, &policies(&[&[0x55, 0x1d, 0x20, 0]]))),
    ("certificate-policies", |p| p.set(CERTIFICATE_POLICIES, &policies(&[&[0x2a, 3], &[0x2a, 3]]))),
];

fn point(url: &[u8], more: &[u8]) -> Vec<u8> {
    let name = tlv(der::context_constructed(0), &[&tlv(der::context(6), &[url])]);
    let point = tlv(der::SEQUENCE, &[&tlv(der::context_constructed(0), &[&name]), more]);
    tlv(der::SEQUENCE, &[&point])
}

fn access(method: u8, url: &[u8]) -> Vec<u8> {
    let method = tlv(der::OID, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, method]]);
    tlv(der::SEQUENCE, &[&tlv(der::SEQUENCE, &[&method, &tlv(der::context(6), &[url])])])
}

fn policies(oids: &[&[u8]]) -> Vec<u8> {
    let list: Vec<_> = oids.iter().map(|oid| tlv(der::SEQUENCE, &[&tlv(der::OID, &[oid])])).collect();
    tlv(der::SEQUENCE, &[&list.concat()])
}

#[test]
fn every_rule_finds_its_bad_case() {
    let (good, ca) = good();
    assert_eq!(good.findings(&ca), [], "what this CA issues");
    assert_eq!((good.rdns.len(), ORGANIZATION), (5, 1));
    for (at, (rule, change)) in CASES.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        let found = bad.findings(&ca);
        assert!(found.iter().any(|finding| finding.rule == *rule), "case {at}, {rule}: {found:?}");
    }
}

#[test]
fn every_rule_has_a_bad_case_and_a_name_of_its_own() {
    let names: Vec<_> = rules().map(|(name, _)| name).collect();
    let all: BTreeSet<_> = names.iter().copied().collect();
    assert_eq!(all.len(), names.len());
    assert_eq!(all, CASES.iter().map(|(name, _)| *name).collect());
}

#[test]
fn what_cannot_be_taken_apart_is_a_finding() {
    let (good, ca) = good();
    let der = good.der();
    let against = Against {
        issuer: Some(ca.subject_der()),
        issuer_key_id: Some(ca.key_id()),
        is_ca: false,
        device: good.device,
        custom: &[],
    };
    for end in 0..der.len() {
        assert!(!look_through(&der[..end], against).is_empty(), "cut at {end}");
    }
}
