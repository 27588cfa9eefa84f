//! How a maker's certificate names the device: serialNumber, hardwareModuleName, both, or neither.

use appraisal::device_name::NameError;
use appraisal::idevid::{EndorsedIdevid, EndorsementError, verify};
use appraisal::{Endorsements, MakerCa};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName};

use crate::support::{Maker, NOW};

/// 1.3.6.1.4.1.32473.1, below the number for examples (RFC 5612).
pub(crate) const TYPE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x81, 0xfd, 0x59, 0x01];
/// 2.23.133.1.2, tcg-hw-type of TPM 2.0.
const TPM: &[u8] = &[0x67, 0x81, 0x05, 0x01, 0x02];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
}

/// An otherName with hardwareModuleName (RFC 4108, section 5).
pub(crate) fn module(kind: &[u8], serial: &[u8]) -> Vec<u8> {
    let name = tlv(0x30, &[&tlv(0x06, &[kind]), &tlv(0x04, &[serial])]);
    other_name(&tlv(0xa0, &[&name]))
}

fn other_name(value: &[u8]) -> Vec<u8> {
    let id = tlv(0x06, &[&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04]]);
    tlv(0xa0, &[&id, value])
}

pub(crate) fn alt_names(params: &mut CertificateParams, names: &[Vec<u8>], critical: bool) {
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], tlv(0x30, &names));
    extension.set_criticality(critical);
    params.custom_extensions.push(extension);
}

fn check(change: impl FnOnce(&mut CertificateParams)) -> Result<EndorsedIdevid, EndorsementError> {
    let maker = Maker::new("Maker");
    let device = maker.device_with("SN-0001", &rcgen::PKCS_ECDSA_P256_SHA256, change);
    let makers = Endorsements::new(vec![MakerCa::new("maker", &maker.der).unwrap()]);
    verify(&[&device.chain[0]], &makers, NOW)
}

fn nameless(names: &[Vec<u8>], critical: bool) -> Result<EndorsedIdevid, EndorsementError> {
    check(|p| {
        p.distinguished_name = DistinguishedName::new();
        alt_names(p, names, critical);
    })
}

#[test]
fn without_a_serial_number_the_hardware_modules_counts() {
    let text = nameless(&[module(TYPE, b"HW-77")], true).unwrap();
    assert_eq!(text.device().as_str(), "HW-77");
    let found = text.hardware_module().unwrap();
    assert_eq!((found.kind().as_str(), found.serial()), ("1.3.6.1.4.1.32473.1", &b"HW-77"[..]));

    let binary = nameless(&[module(TYPE, &[0x00, 0xA1, 0xff])], true).unwrap();
    assert_eq!(binary.device().as_str(), "00a1ff");
    // 24 bytes are the longest that hexadecimal leaves room for.
    assert_eq!(nameless(&[module(TYPE, &[0xee; 24])], true).unwrap().device().as_str(), "ee".repeat(24));
    let long = nameless(&[module(TYPE, &[0xee; 25])], true);
    assert!(matches!(long, Err(EndorsementError::Name(NameError::DeviceId(_)))), "{long:?}");
    // Another name beside it does no harm.
    let dns = tlv(0x82, &[b"a.example"]);
    assert_eq!(nameless(&[dns, module(TYPE, b"HW-77")], true).unwrap().device().as_str(), "HW-77");
}

#[test]
fn with_a_serial_number_both_are_recorded_and_agree() {
    for serial in [&b"SN-0001"[..], b"SN-0001"] {
        let both = check(|p| alt_names(p, &[module(TYPE, serial)], false)).unwrap();
        assert_eq!(both.device().as_str(), "SN-0001");
        assert_eq!(both.hardware_module().unwrap().serial(), serial);
    }
    let hex = check(|p| {
        p.distinguished_name = DistinguishedName::new();
        p.distinguished_name.push(rcgen::DnType::CustomDnType(vec![2, 5, 4, 5]), "00A1FF");
        alt_names(p, &[module(TYPE, &[0x00, 0xa1, 0xff])], false);
    });
    assert_eq!(hex.unwrap().device().as_str(), "00A1FF");
    // A TPM in the device has a number of its own.
    let tpm = check(|p| alt_names(p, &[module(TPM, &[7; 32])], false)).unwrap();
    assert_eq!(tpm.device().as_str(), "SN-0001");
    assert_eq!(tpm.hardware_module().unwrap().kind(), "2.23.133.1.2");

    let contradiction = check(|p| alt_names(p, &[module(TYPE, b"SN-0002")], false));
    assert!(
        matches!(&contradiction, Err(EndorsementError::Name(NameError::Contradiction { device, .. })) if device.as_str() == "SN-0001"),
        "{contradiction:?}"
    );
}

#[test]
fn a_nameless_subject_needs_a_critical_alternative_name() {
    let name = |error| Err(EndorsementError::Name(error));
    assert_eq!(nameless(&[module(TYPE, b"HW-77")], false), name(NameError::EmptySubject));
    assert_eq!(check(|p| p.distinguished_name = DistinguishedName::new()), name(NameError::EmptySubject));
    assert_eq!(nameless(&[tlv(0x82, &[b"a.example"])], true), name(NameError::None));
    assert_eq!(
        nameless(&[module(TYPE, b"HW-77"), module(TYPE, b"HW-78")], true),
        name(NameError::HardwareModule)
    );
}

#[test]
fn a_broken_hardware_module_name_is_refused() {
    let inner = |parts: &[&[u8]]| other_name(&tlv(0xa0, &[&tlv(0x30, parts)]));
    let (kind, serial) = (tlv(0x06, &[TYPE]), tlv(0x04, &[b"HW-77"]));
    for (what, broken) in [
        ("no value", other_name(&[])),
        ("empty value", other_name(&[0xa0, 0x00])),
        ("empty sequence", inner(&[])),
        ("no serial number", inner(&[&kind])),
        ("empty serial number", inner(&[&kind, &tlv(0x04, &[])])),
        ("empty type", inner(&[&tlv(0x06, &[]), &serial])),
        ("type cut off", inner(&[&tlv(0x06, &[&[0x2b, 0x86]]), &serial])),
        ("the wrong order", inner(&[&serial, &kind])),
        ("text for a serial number", inner(&[&kind, &tlv(0x0c, &[b"HW-77"])])),
        ("a third field", inner(&[&kind, &serial, &[0x05, 0x00]])),
        (
            "something behind it",
            other_name(&[tlv(0xa0, &[&tlv(0x30, &[&kind, &serial])]), vec![5, 0]].concat()),
        ),
        ("implicit tagging", other_name(&tlv(0xa0, &[&kind, &serial]))),
    ] {
        let found = nameless(&[broken], true);
        assert!(found.is_err(), "{what}: {found:?}");
    }
}
