//! One test a rule: a path that is good but for one thing.

use agent_core::x509::{self, Certificate, Limits, PathError, Validity};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyIdMethod, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384, SanType, SerialNumber,
    date_time_ymd,
};
use shared::UnixTime;

use super::chain::{self, Chain, Entity, HOST, verify};
use super::der::Node;

const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];

/// The verdict on a chain whose server certificate was changed before it was issued.
fn with_server(change: impl FnOnce(&mut CertificateParams)) -> Result<(), PathError> {
    let mut params = chain::server();
    change(&mut params);
    let Chain { root, intermediate, .. } = Chain::new();
    verify(&[&intermediate.issue(params), &intermediate], &[&root])
}

/// The same for the intermediate CA's.
fn with_intermediate(change: impl FnOnce(&mut CertificateParams)) -> Result<(), PathError> {
    let mut params = chain::ca("Intermediate");
    change(&mut params);
    let root = Entity::root(chain::ca("Root"));
    let intermediate = root.issue(params);
    verify(&[&intermediate.issue(chain::server()), &intermediate], &[&root])
}

/// The same for the root's.
fn with_root(change: impl FnOnce(&mut CertificateParams)) -> Result<(), PathError> {
    let mut params = chain::ca("Root");
    change(&mut params);
    let root = Entity::root(params);
    let intermediate = root.issue(chain::ca("Intermediate"));
    verify(&[&intermediate.issue(chain::server()), &intermediate], &[&root])
}

/// The verdict on a chain of which the certificate at `place` (0 server, 1 intermediate, 2 root) was changed in
/// its DER and signed again.
fn with_der(place: usize, change: impl FnOnce(&mut Node)) -> Result<(), PathError> {
    let Chain { root, mut intermediate, mut server } = Chain::new();
    let mut root = root;
    let der = match place {
        0 => &server.der,
        1 => &intermediate.der,
        _ => &root.der,
    };
    let mut node = Node::parse(der);
    change(&mut node);
    if place == 0 { &intermediate } else { &root }.resign(&mut node);
    match place {
        0 => server.der = node.encode(),
        1 => intermediate.der = node.encode(),
        _ => root.der = node.encode(),
    }
    verify(&[&server, &intermediate], &[&root])
}

fn critical() -> Node {
    Node::primitive(0x01, &[0xff])
}

#[test]
fn a_good_chain_gives_the_servers_key() {
    let Chain { root, intermediate, server } = Chain::new();
    let sent: [&[u8]; 2] = [&server.der, &intermediate.der];
    let proof = x509::verify_server(&sent, &[&root.der], HOST, chain::now()).unwrap();
    assert_eq!(proof.public_key().to_encoded_point(false).as_bytes(), server.key.public_key_raw());
    // A server directly below the anchor; the anchor sent too; an anchor that is no root.
    assert_eq!(verify(&[&root.issue(chain::server())], &[&root]), Ok(()));
    assert_eq!(verify(&[&server, &root, &intermediate], &[&root]), Ok(()));
    assert_eq!(verify(&[&server], &[&intermediate]), Ok(()));
}

#[test]
fn a_device_cannot_sign_for_a_broker() {
    let root = Entity::root(chain::ca("Root"));
    let device = root.issue(chain::ldevid());
    let broker = device.issue(chain::server());
    // Without a subject key identifier the device's certificate does not even look like an issuer's.
    assert_eq!(verify(&[&broker, &device], &[&root]), Err(PathError::SubjectKeyId));
    // And with one, it is no CA.
    let mut params = chain::ldevid();
    let key = chain::new_key();
    let mut key_id = vec![0x04, 0x14];
    key_id.extend(params.key_identifier(&key));
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 14], key_id));
    let device = root.issue_for(params, key);
    let broker = device.issue(chain::server());
    assert_eq!(verify(&[&broker, &device], &[&root]), Err(PathError::NotCa));
    // Not as an anchor either, if someone should put it there.
    assert_eq!(verify(&[&broker], &[&device]), Err(PathError::NotCa));
}

#[test]
fn a_device_is_no_broker() {
    let root = Entity::root(chain::ca("Root"));
    let mut params = chain::ldevid();
    params.subject_alt_names = chain::server().subject_alt_names;
    assert_eq!(verify(&[&root.issue(params)], &[&root]), Err(PathError::ExtKeyUsage));
}

#[test]
fn another_root_of_the_same_name_is_no_anchor() {
    let Chain { intermediate, server, .. } = Chain::new();
    let other = Entity::root(chain::ca("Root"));
    assert_eq!(verify(&[&server, &intermediate], &[&other]), Err(PathError::KeyIdMismatch));
    let mut params = chain::ca("Root");
    params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20]);
    let root = Entity::root(params.clone());
    let server = root.issue(chain::server());
    assert_eq!(verify(&[&server], &[&Entity::root(params)]), Err(PathError::BadSignature));
}

#[test]
fn an_unknown_issuer_is_told_with_and_without_its_root() {
    let Chain { root, intermediate, server } = Chain::new();
    let other = Entity::root(chain::ca("Other"));
    for sent in [&[&server][..], &[&server, &intermediate], &[&server, &intermediate, &root]] {
        assert_eq!(verify(sent, &[&other]), Err(PathError::UnknownIssuer));
        assert_eq!(verify(sent, &[]), Err(PathError::UnknownIssuer));
    }
    assert_eq!(verify(&[], &[&root]), Err(PathError::ChainLength));
}

#[test]
fn the_server_is_not_its_own_anchor() {
    let server = Entity::root(chain::server());
    assert!(verify(&[&server], &[&server]).is_err());
    let mut params = chain::server();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let server = Entity::root(params);
    assert_eq!(verify(&[&server], &[&server]), Err(PathError::CaAsServer));
}

#[test]
fn dates_are_checked_on_every_certificate() {
    let ended = |params: &mut CertificateParams| params.not_after = date_time_ymd(2026, 11, 23);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2026, 11, 25);
    assert_eq!(with_server(ended), Err(PathError::Expired));
    assert_eq!(with_intermediate(ended), Err(PathError::Expired));
    assert_eq!(with_root(ended), Err(PathError::Expired));
    assert_eq!(with_server(early), Err(PathError::NotYetValid));
    assert_eq!(with_intermediate(early), Err(PathError::NotYetValid));
    assert_eq!(with_root(early), Err(PathError::NotYetValid));
}

#[test]
fn without_a_clock_only_the_end_is_checked() {
    let Chain { root, intermediate, server } = Chain::new();
    let verdict = |floor| {
        let sent: [&[u8]; 2] = [&server.der, &intermediate.der];
        x509::verify_server(&sent, &[&root.der], HOST, Validity::NotEndedBy(floor)).map(|_| ())
    };
    let end = Certificate::parse(&server.der).unwrap().not_after();
    assert_eq!(verdict(UnixTime::from_secs(0)), Ok(()));
    assert_eq!(verdict(UnixTime::from_secs(end.as_secs() - 1)), Ok(()));
    assert_eq!(verdict(end), Err(PathError::Expired));
}

#[test]
fn issuers_are_cas() {
    let no_ca = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    assert_eq!(with_intermediate(no_ca), Err(PathError::NotCa));
    assert_eq!(with_root(no_ca), Err(PathError::NotCa));
    for place in [1, 2] {
        let not_critical = |node: &mut Node| drop(node.extension_mut(BASIC_CONSTRAINTS).remove(1));
        assert_eq!(with_der(place, not_critical), Err(PathError::NotCa));
    }
    let no_sign = |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(with_intermediate(no_sign), Err(PathError::KeyUsage));
    assert_eq!(with_root(no_sign), Err(PathError::KeyUsage));
}

#[test]
fn path_length_counts_cas_below_but_not_self_issued_ones() {
    let constrained = |name, most| {
        let mut params = chain::ca(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
        params
    };
    let verdict = |most| {
        let root = Entity::root(constrained("Root", most));
        let intermediate = root.issue(chain::ca("Intermediate"));
        verify(&[&intermediate.issue(chain::server()), &intermediate], &[&root])
    };
    assert_eq!(verdict(0), Err(PathError::PathLength));
    assert_eq!(verdict(1), Ok(()));

    let root = Entity::root(constrained("Root", 1));
    let old = root.issue(constrained("Intermediate", 0));
    let new = old.issue(constrained("Intermediate", 0));
    assert_eq!(verify(&[&new.issue(chain::server()), &new, &old], &[&root]), Ok(()));
    let lower = old.issue(chain::ca("Lower"));
    assert_eq!(verify(&[&lower.issue(chain::server()), &lower, &old], &[&root]), Err(PathError::PathLength));
}

#[test]
fn the_search_is_bounded() {
    let root = Entity::root(chain::ca("Root"));
    let a = root.issue(chain::ca("A"));
    let b = a.issue(chain::ca("B"));
    let c = b.issue(chain::ca("C"));
    let server = c.issue(chain::server());
    assert_eq!(verify(&[&server, &c, &b, &a], &[&root]), Ok(()));
    assert_eq!(verify(&[&server, &a, &c, &b], &[&root]), Ok(()), "in any order");
    assert_eq!(verify(&[&server, &c, &b, &a, &root], &[&root]), Err(PathError::ChainLength));

    let sent: [&[u8]; 4] = [&server.der, &c.der, &b.der, &a.der];
    let verdict =
        |limits| x509::verify_server_within(&sent, &[&root.der], HOST, chain::now(), limits).map(|_| ());
    let default = Limits::default();
    assert_eq!(verdict(Limits { intermediates: 2, ..default }), Err(PathError::TooDeep));
    assert_eq!(verdict(Limits { signatures: 4, ..default }), Ok(()));
    assert_eq!(verdict(Limits { signatures: 3, ..default }), Err(PathError::TooManySignatures));
}

#[test]
fn wrong_paths_are_left_for_right_ones() {
    // One CA with one key, certified by an ended root and by a good one.
    let root = Entity::root(chain::ca("Root"));
    let mut params = chain::ca("Old root");
    params.not_after = date_time_ymd(2026, 2, 1);
    let old = Entity::root(params);
    let by_root = root.issue(chain::ca("Intermediate"));
    let key = rcgen::KeyPair::try_from(by_root.key.serialize_der()).unwrap();
    let by_old = old.issue_for(chain::ca("Intermediate"), key);
    let server = by_root.issue(chain::server());
    for sent in [[&server, &by_root, &by_old], [&server, &by_old, &by_root]] {
        assert_eq!(verify(&sent, &[&old, &root]), Ok(()));
        assert_eq!(verify(&sent, &[&root, &old]), Ok(()));
        assert_eq!(verify(&sent, &[&old]), Err(PathError::Expired));
    }
    // Two anchors of one name during a change of roots.
    let next = Entity::root(chain::ca("Root"));
    assert_eq!(verify(&[&server, &by_root], &[&next, &root]), Ok(()));
}

#[test]
fn key_usage_of_a_server_is_to_sign() {
    let usage = |usages: &[KeyUsagePurpose]| with_server(|params| params.key_usages = usages.to_vec());
    assert_eq!(usage(&[]), Ok(()), "no keyUsage at all");
    assert_eq!(usage(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement]), Ok(()));
    assert_eq!(usage(&[KeyUsagePurpose::KeyAgreement]), Err(PathError::KeyUsage));
    let both = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    assert_eq!(usage(&both), Err(PathError::KeyUsage));
}

#[test]
fn extended_key_usage_is_server_auth() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let server = |usages: &[ExtendedKeyUsagePurpose]| {
        with_server(|params| params.extended_key_usages = usages.to_vec())
    };
    let intermediate = |usages: &[ExtendedKeyUsagePurpose]| {
        with_intermediate(|params| params.extended_key_usages = usages.to_vec())
    };
    assert_eq!(server(&[ClientAuth, ServerAuth]), Ok(()));
    for usages in [&[][..], &[ClientAuth], &[Any], &[Any, ServerAuth]] {
        assert_eq!(server(usages), Err(PathError::ExtKeyUsage), "{usages:?}");
    }
    assert_eq!(intermediate(&[ServerAuth]), Ok(()));
    assert_eq!(intermediate(&[ClientAuth]), Err(PathError::ExtKeyUsage));
    let anchor = |usages: &[ExtendedKeyUsagePurpose]| {
        let mut params = chain::ca("Intermediate");
        params.extended_key_usages = usages.to_vec();
        let intermediate = Entity::root(chain::ca("Root")).issue(params);
        verify(&[&intermediate.issue(chain::server())], &[&intermediate])
    };
    assert_eq!(anchor(&[ServerAuth]), Ok(()));
    assert_eq!(anchor(&[ClientAuth]), Err(PathError::ExtKeyUsage));
    let root = with_root(|params| params.extended_key_usages = vec![ServerAuth]);
    assert_eq!(root, Err(PathError::ExtKeyUsage));
}

#[test]
fn key_identifiers_are_there_and_fit() {
    let none = |params: &mut CertificateParams| params.use_authority_key_identifier_extension = false;
    assert_eq!(with_server(none), Err(PathError::AuthorityKeyId));
    assert_eq!(with_intermediate(none), Err(PathError::AuthorityKeyId));
    assert_eq!(with_root(none), Ok(()), "a root needs none");
    for place in [0, 1, 2] {
        let empty = |node: &mut Node| {
            let value = node.extension_mut(AUTHORITY_KEY_ID).last_mut().unwrap();
            value.at_mut(&[0]).children_mut().clear();
        };
        assert_eq!(with_der(place, empty), Err(PathError::AuthorityKeyId), "{place}");
    }
    for place in [1, 2] {
        let without = |node: &mut Node| {
            let id = Node::primitive(0x06, SUBJECT_KEY_ID);
            node.extensions_mut().retain_mut(|extension| extension.children_mut()[0] != id);
        };
        assert_eq!(with_der(place, without), Err(PathError::SubjectKeyId), "{place}");
    }
}

#[test]
fn criticality_is_as_the_rfc_says() {
    for (place, id) in [
        (0, AUTHORITY_KEY_ID),
        (0, EXT_KEY_USAGE),
        (0, SUBJECT_ALT_NAME),
        (1, AUTHORITY_KEY_ID),
        (1, SUBJECT_KEY_ID),
        (2, SUBJECT_KEY_ID),
    ] {
        let verdict = with_der(place, |node| node.extension_mut(id).insert(1, critical()));
        assert_eq!(verdict, Err(PathError::Criticality), "{place} {id:?}");
    }
    // An empty subject needs a critical subjectAltName, which rcgen knows.
    assert_eq!(with_server(|params| params.distinguished_name = rcgen::DistinguishedName::new()), Ok(()));
    let empty = |node: &mut Node| node.at_mut(&[0, 5]).children_mut().clear();
    assert_eq!(with_der(0, empty), Err(PathError::Criticality));
}

#[test]
fn unknown_critical_extensions_are_refused_everywhere() {
    let add = |is_critical| {
        move |params: &mut CertificateParams| {
            let mut extension =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![0x05, 0]);
            extension.set_criticality(is_critical);
            params.custom_extensions.push(extension);
        }
    };
    assert_eq!(with_server(add(false)), Ok(()));
    assert_eq!(with_server(add(true)), Err(PathError::UnknownCritical));
    assert_eq!(with_intermediate(add(true)), Err(PathError::UnknownCritical));
    assert_eq!(with_root(add(true)), Err(PathError::UnknownCritical));
}

#[test]
fn constraints_that_are_not_supported_are_refused_everywhere() {
    let names = |params: &mut CertificateParams| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("example.com".into())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    };
    assert_eq!(with_server(names), Err(PathError::NameConstraints));
    assert_eq!(with_intermediate(names), Err(PathError::NameConstraints));
    assert_eq!(with_root(names), Err(PathError::NameConstraints));
    // policyMappings, policyConstraints, inhibitAnyPolicy.
    for arc in [33, 36, 54] {
        let policies = |params: &mut CertificateParams| {
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, arc], vec![0x02, 1, 0]);
            params.custom_extensions.push(extension);
        };
        assert_eq!(with_server(policies), Err(PathError::PolicyConstraints));
        assert_eq!(with_intermediate(policies), Err(PathError::PolicyConstraints));
        assert_eq!(with_root(policies), Err(PathError::PolicyConstraints));
    }
}

#[test]
fn duplicate_extensions_are_refused() {
    for place in [0, 1, 2] {
        let twice = |node: &mut Node| {
            let extensions = node.extensions_mut();
            extensions.push(extensions[0].clone());
        };
        assert_eq!(with_der(place, twice), Err(PathError::DuplicateExtension));
    }
}

#[test]
fn serial_numbers_are_positive_and_short() {
    let serial = |content: &[u8]| with_der(0, |node| *node.at_mut(&[0, 1]) = Node::primitive(0x02, content));
    assert_eq!(serial(&[1]), Ok(()));
    assert_eq!(serial(&[0x7f; 20]), Ok(()));
    assert_eq!(serial(&[0]), Err(PathError::Serial));
    assert_eq!(serial(&[0x80]), Err(PathError::Serial));
    assert_eq!(serial(&[0x7f; 21]), Err(PathError::Serial));
    assert_eq!(serial(&[0, 1]), Err(PathError::Malformed));
    assert_eq!(serial(&[]), Err(PathError::Malformed));
    assert_eq!(with_server(|params| params.serial_number = Some(SerialNumber::from(1))), Ok(()));
}

#[test]
fn other_versions_and_leftover_fields_are_refused() {
    let version =
        |content: &[u8]| with_der(0, |node| *node.at_mut(&[0, 0, 0]) = Node::primitive(0x02, content));
    assert_eq!(version(&[1]), Err(PathError::Version));
    assert_eq!(version(&[3]), Err(PathError::Version));
    assert_eq!(with_der(0, |node| drop(node.at_mut(&[0]).children_mut().remove(0))), Err(PathError::Version));
    let two = |node: &mut Node| node.at_mut(&[0, 0]).children_mut().push(Node::primitive(0x02, &[2]));
    assert_eq!(with_der(0, two), Err(PathError::Malformed));
    // An issuerUniqueID.
    let unique = |node: &mut Node| node.at_mut(&[0]).children_mut().insert(7, Node::primitive(0x81, &[0, 1]));
    assert_eq!(with_der(0, unique), Err(PathError::Malformed));
    assert_eq!(with_der(0, |node| node.children_mut().push(critical())), Err(PathError::Malformed));
}

#[test]
fn other_algorithms_are_refused() {
    // ecdsa-with-SHA384, inside and outside, then inside only.
    let sha384 = Node::primitive(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]);
    let both = |node: &mut Node| {
        *node.at_mut(&[0, 2, 0]) = sha384.clone();
        *node.at_mut(&[1, 0]) = sha384.clone();
    };
    assert_eq!(with_der(0, both), Err(PathError::SignatureAlgorithm));
    let inside = |node: &mut Node| *node.at_mut(&[0, 2, 0]) = sha384.clone();
    assert_eq!(with_der(0, inside), Err(PathError::AlgorithmMismatch));
    let null = |node: &mut Node| {
        node.at_mut(&[0, 2]).children_mut().push(Node::primitive(0x05, &[]));
        node.at_mut(&[1]).children_mut().push(Node::primitive(0x05, &[]));
    };
    assert_eq!(with_der(0, null), Err(PathError::SignatureAlgorithm));
    let root = Entity::root(chain::ca("Root"));
    let p384 = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let server = root.issue_for(chain::server(), p384);
    assert_eq!(verify(&[&server], &[&root]), Err(PathError::PublicKey));
}

#[test]
fn a_key_off_the_curve_is_refused() {
    let point = |content: Vec<u8>| {
        with_der(0, move |node| *node.at_mut(&[0, 6, 1]) = Node::primitive(0x03, &content))
    };
    let mut off = vec![0, 4];
    off.extend([1; 64]);
    assert_eq!(point(off), Err(PathError::PublicKey));
    let mut compressed = vec![0, 2];
    compressed.extend([1; 32]);
    assert_eq!(point(compressed), Err(PathError::PublicKey));
    // Of the right length, so that the parser has to look at the form.
    let mut hybrid = Node::parse(&Chain::new().server.der);
    *hybrid.at_mut(&[0, 6, 1]) = Node::primitive(0x03, &[&[0, 6][..], &[1; 64]].concat());
    assert_eq!(Certificate::parse(&hybrid.encode()).map(|_| ()), Err(PathError::PublicKey));
}

#[test]
fn the_subject_names_the_host_in_its_alternative_name() {
    let names = |names: Vec<SanType>| with_server(|params| params.subject_alt_names = names);
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    assert_eq!(names(vec![]), Err(PathError::NoAltName), "the common name is no substitute");
    assert_eq!(names(vec![dns("other.example.com"), dns(HOST)]), Ok(()));
    assert_eq!(names(vec![dns("other.example.com")]), Err(PathError::NameMismatch));
    assert_eq!(names(vec![dns("*.example.com")]), Err(PathError::WildcardName));
    assert_eq!(names(vec![dns("*.com")]), Err(PathError::NameMismatch));
    let common_name =
        |name| with_server(|params| params.distinguished_name = chain::params(name).distinguished_name);
    assert_eq!(common_name("other.example.com"), Err(PathError::CommonName));
    assert_eq!(common_name("Broker.example.com"), Err(PathError::CommonName));
}

#[test]
fn addresses_are_hosts_too() {
    let root = Entity::root(chain::ca("Root"));
    for (host, other) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        let mut params = chain::server();
        params.subject_alt_names = vec![SanType::IpAddress(host.parse().unwrap())];
        params.distinguished_name = chain::params(host).distinguished_name;
        let server = root.issue(params);
        let verdict =
            |host| x509::verify_server(&[&server.der], &[&root.der], host, chain::now()).map(|_| ());
        assert_eq!(verdict(host), Ok(()));
        assert_eq!(verdict(other), Err(PathError::NameMismatch));
        assert_eq!(verdict(HOST), Err(PathError::NameMismatch));
        assert_eq!(verdict("not a host"), Err(PathError::InvalidHost));
    }
}

#[test]
fn a_certificate_that_cannot_be_read_spoils_the_chain() {
    let Chain { root, intermediate, server } = Chain::new();
    let verdict = |extra: &[u8]| {
        let sent: [&[u8]; 3] = [&server.der, &intermediate.der, extra];
        x509::verify_server(&sent, &[&root.der], HOST, chain::now()).map(|_| ())
    };
    assert_eq!(verdict(&intermediate.der), Ok(()));
    assert_eq!(verdict(&[]), Err(PathError::Malformed));
    assert_eq!(
        verdict(&[&intermediate.der[..], &[0]].concat()),
        Err(PathError::Malformed),
        "a byte too many"
    );
    assert_eq!(verdict(&[0x30; 1537]), Err(PathError::TooLarge));
}

#[test]
fn a_device_reads_its_own_certificate() {
    let root = Entity::root(chain::ca("Root"));
    let device = root.issue(chain::ldevid());
    let certificate = Certificate::parse(&device.der).unwrap();
    assert_eq!(certificate.subject_common_name(), Some("SN-0001"));
    assert_eq!(certificate.subject_serial_number(), Some("SN-0001"));
    assert_eq!(certificate.public_point().as_slice(), device.key.public_key_raw());
    assert!(certificate.spki().ends_with(device.key.public_key_raw()));
    assert_eq!(certificate.not_before(), UnixTime::from_civil(2026, 1, 1, 0, 0, 0).unwrap());
    assert_eq!(certificate.not_after(), UnixTime::from_civil(2027, 1, 1, 0, 0, 0).unwrap());
    assert_eq!(certificate.authority_key_id(), Certificate::parse(&root.der).unwrap().subject_key_id());
    assert!(certificate.is_for_clients() && !certificate.is_ca());
    let names: Vec<_> = certificate.alt_names().unwrap().collect();
    assert_eq!(names, [x509::AltName::Uri("urn:dev:os:32473-SN-0001")]);
    assert_eq!(Certificate::parse(&root.der).unwrap().subject(), certificate.issuer());
}
