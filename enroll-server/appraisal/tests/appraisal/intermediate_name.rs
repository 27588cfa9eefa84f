//! What a CA between the maker and a device may be called: the root of a DICE device is a CA too, its key lies in one
//! device, and its maker may name devices in ways that are no identifiers here.

use appraisal::device_name::NameError;
use appraisal::idevid::{EndorsementError, PathError, verify};
use appraisal::{Endorsements, MakerCa};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue};
use shared::Reject;

use crate::hardware_module::{TYPE, alt_names, module};
use crate::support::der::Node;
use crate::support::{Maker, NOW};

/// SN-0002 by this chain, leaf first.
fn check(maker: &Maker, chain: &[&[u8]]) -> Result<(), EndorsementError> {
    let makers = Endorsements::new(vec![MakerCa::new("example", &maker.der).unwrap()]);
    verify(chain, &makers, NOW).map(|idevid| assert_eq!(idevid.device().as_str(), "SN-0002"))
}

/// With a certificate of this name in the middle, which the maker has issued.
fn below(change: impl FnOnce(&mut CertificateParams)) -> Result<(), EndorsementError> {
    let root = Maker::new("Root");
    let middle = root.below("UDS", change);
    check(&root, &[&middle.device("SN-0002").chain[0], &middle.der])
}

fn serial(params: &mut CertificateParams, serial: impl Into<DnValue>) {
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
}

#[track_caller]
fn unclear(found: Result<(), EndorsementError>) -> NameError {
    let error = found.unwrap_err();
    assert_eq!(error.reject(), Reject::BadEndorsement);
    match error {
        EndorsementError::Path(PathError::UnclearName(name)) => name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_serial_number_that_is_no_identifier_is_still_a_devices() {
    for number in ["SN_0001", "00:11:22:33", "SN 0001", "-1", &"1".repeat(49)] {
        let name = unclear(below(|p| serial(p, number)));
        assert!(matches!(name, NameError::DeviceId(_)), "{number}: {name:?}");
    }
}

#[test]
fn a_serial_number_of_another_type_of_text_is_still_a_devices() {
    let teletex = DnValue::TeletexString("SN-0001".try_into().unwrap());
    let wide = DnValue::BmpString("SN-0001".try_into().unwrap());
    for number in [teletex, wide] {
        assert_eq!(unclear(below(|p| serial(p, number))), NameError::SerialNumberType);
    }
}

#[test]
fn two_serial_numbers_are_not_none() {
    let root = Maker::new("Root");
    let middle = root.below("UDS", |p| serial(p, "SN-0001"));
    let mut ca = Node::read(&middle.der);
    let mut leaf = Node::read(&middle.device("SN-0002").chain[0]);
    // Issuer and subject are the fourth and the sixth part of what is signed; the leaf's issuer is the CA's subject.
    let subject = &mut ca.children()[0].children()[5];
    let second = subject.children().last().unwrap().clone();
    subject.children().push(second);
    leaf.children()[0].children()[3] = subject.clone();
    root.sign_again(&mut ca);
    middle.sign_again(&mut leaf);
    let found = check(&root, &[&leaf.write(), &ca.write()]);
    assert_eq!(unclear(found), NameError::SerialNumbers { found: 2 });
}

#[test]
fn a_hardware_module_counts_whether_or_not_it_can_be_read() {
    // An empty serial number, two modules, one that is not the subject's.
    let broken = below(|p| alt_names(p, &[module(TYPE, &[])], false));
    assert_eq!(unclear(broken), NameError::HardwareModule);
    let two = below(|p| alt_names(p, &[module(TYPE, b"SN-0001"), module(TYPE, b"SN-0003")], false));
    assert_eq!(unclear(two), NameError::HardwareModule);
    let long = below(|p| alt_names(p, &[module(TYPE, &[0xee; 25])], false));
    assert!(matches!(unclear(long), NameError::DeviceId(_)));
    let contradiction = below(|p| {
        serial(p, "SN-0001");
        alt_names(p, &[module(TYPE, b"SN-0003")], false);
    });
    assert!(matches!(unclear(contradiction), NameError::Contradiction { .. }));
    let named = below(|p| alt_names(p, &[module(TYPE, b"SN-0001")], false));
    assert!(matches!(named, Err(EndorsementError::Path(PathError::DeviceInTheMiddle { .. }))), "{named:?}");
}

/// What makers' CAs are called: every other attribute, and other alternative names.
#[test]
fn the_name_of_an_ordinary_ca_is_none_of_a_devices() {
    below(|_| ()).unwrap();
    below(|p| {
        p.distinguished_name = DistinguishedName::new();
        for (kind, text) in [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example Maker"),
            (DnType::OrganizationalUnitName, "SN_0001"),
            (DnType::CommonName, "00:11:22:33"),
        ] {
            p.distinguished_name.push(kind, text);
        }
        alt_names(p, &[[&[0x82, 9], &b"a.example"[..]].concat()], false);
    })
    .unwrap();
}

/// An operator has looked at it, and it adds nothing to a chain that it is the anchor of.
#[test]
fn a_makers_own_ca_is_named_as_it_likes_and_may_be_sent_along() {
    for number in ["SN_0001", "SN-0001"] {
        let root = Maker::with("Root", |p| serial(p, number));
        let middle = root.below("Factory 7", |_| ());
        let leaf = middle.device("SN-0002").chain[0].clone();
        check(&root, &[&leaf, &middle.der]).unwrap();
        check(&root, &[&leaf, &middle.der, &root.der]).unwrap();
        // The same key under a certificate that nobody has added.
        let again = root.params.self_signed(&root.key).unwrap();
        let found = check(&Maker::new("Other"), &[&leaf, &middle.der, again.der()]);
        assert!(
            matches!(
                found,
                Err(EndorsementError::Path(PathError::UnclearName(_) | PathError::DeviceInTheMiddle { .. }))
            ),
            "{found:?}"
        );
    }
}
