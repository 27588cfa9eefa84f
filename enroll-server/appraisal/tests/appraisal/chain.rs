//! IDevID chains: what IEEE 802.1AR and the protocol's profile ask for, and everything else.

use appraisal::device_name::NameError;
use appraisal::idevid::{EndorsedIdevid, EndorsementError, PathError, verify};
use appraisal::maker::MakerError;
use appraisal::{Endorsements, MakerCa};
use rcgen::{BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, date_time_ymd};
use shared::UnixTime;

use crate::support::der::Node;
use crate::support::{Device, Maker, NOW};

const P256: &rcgen::SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;

fn endorsements(maker: &Maker) -> Endorsements {
    Endorsements::new(vec![MakerCa::new("example", &maker.der).unwrap()])
}

fn check(maker: &Maker, chain: &[Vec<u8>]) -> Result<EndorsedIdevid, EndorsementError> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    verify(&chain, &endorsements(maker), NOW)
}

/// Changes a device's certificate and signs it again.
fn changed(maker: &Maker, device: &Device, change: impl FnOnce(&mut Node)) -> Vec<Vec<u8>> {
    let mut certificate = Node::read(&device.chain[0]);
    change(&mut certificate);
    maker.sign_again(&mut certificate);
    vec![certificate.write()]
}

/// The subject is the sixth part of what is signed, after version, serial, algorithm, issuer and dates.
fn subject(certificate: &mut Node) -> &mut Vec<Node> {
    certificate.children()[0].children()[5].children()
}

#[test]
fn an_endless_idevid_is_endorsed() {
    let maker = Maker::new("Maker");
    let device = maker.device("SN-0001");
    let idevid = check(&maker, &device.chain).unwrap();
    assert_eq!(idevid.device(), &device.id);
    assert_eq!(idevid.key(), &device.public_key());
    // Signing again changes nothing by itself, so that the tests below fail for their own reasons.
    let again = changed(&maker, &device, |_| ());
    assert_eq!(check(&maker, &again).unwrap().device(), &device.id);
}

#[test]
fn a_chain_over_an_intermediate_is_followed() {
    let root = Maker::new("Root");
    let factory = root.below("Factory 7", |_| ());
    let device = factory.device("SN-0001");
    let chain = vec![device.chain[0].clone(), factory.der.clone()];
    check(&root, &chain).unwrap();
    assert!(matches!(
        check(&root, &device.chain),
        Err(EndorsementError::Path(PathError::UnknownMaker { .. }))
    ));
    // The factory itself may be the anchor.
    check(&factory, &device.chain).unwrap();

    let usages = |p: &mut rcgen::CertificateParams| p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let weak = root.below("Factory 8", usages);
    let chain = vec![weak.device("SN-0001").chain[0].clone(), weak.der];
    assert_eq!(check(&root, &chain), Err(PathError::Intermediate.into()));

    let no_ca = root.below("Factory 9", |p| p.is_ca = IsCa::ExplicitNoCa);
    let chain = vec![no_ca.device("SN-0001").chain[0].clone(), no_ca.der];
    assert_eq!(check(&root, &chain), Err(PathError::Intermediate.into()));

    // The root of a DICE device is a CA of its own layers.
    let own =
        root.below("UDS", |p| p.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "SN-0001"));
    let chain = vec![own.device("SN-0002").chain[0].clone(), own.der];
    let device = shared::DeviceId::new("SN-0001").unwrap();
    assert_eq!(check(&root, &chain), Err(PathError::DeviceInTheMiddle { device }.into()));

    // A device that plays CA for another device.
    let device = root.device("SN-0001");
    let rogue = Maker { key: device.key, params: root.params.clone(), der: device.chain[0].clone() };
    let chain = vec![rogue.device("SN-0002").chain[0].clone(), rogue.der];
    assert_eq!(check(&root, &chain), Err(PathError::Intermediate.into()));
}

#[test]
fn path_length_counts() {
    let root = Maker::with("Root", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let no_more = root.below("A", |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let below = no_more.below("B", |_| ());
    let device = below.device("SN-0001");
    let chain = vec![device.chain[0].clone(), below.der, no_more.der];
    assert!(matches!(check(&root, &chain), Err(EndorsementError::Path(PathError::Broken(_)))));
    let five = vec![device.chain[0].clone(); 5];
    assert_eq!(check(&root, &five), Err(PathError::ChainLength { found: 5, allowed: 4 }.into()));
    let long = vec![vec![0x30; 1537]];
    assert_eq!(check(&root, &long), Err(PathError::TooLong { found: 1537, allowed: 1536 }.into()));
}

#[test]
fn dates_count() {
    let maker = Maker::new("Maker");
    let ended = maker.device_with("SN-0001", P256, |p| p.not_after = date_time_ymd(2026, 11, 1));
    assert!(matches!(check(&maker, &ended.chain), Err(EndorsementError::Path(PathError::Broken(_)))));
    let future = maker.device_with("SN-0001", P256, |p| p.not_before = date_time_ymd(2026, 12, 1));
    assert!(matches!(check(&maker, &future.chain), Err(EndorsementError::Path(PathError::Broken(_)))));

    let ended = Maker::with("Maker", |p| p.not_after = date_time_ymd(2026, 11, 1));
    let device = ended.device("SN-0001");
    assert!(matches!(
        check(&ended, &device.chain),
        Err(EndorsementError::Path(PathError::MakerExpired { .. }))
    ));
    let makers = endorsements(&ended);
    let chain: Vec<&[u8]> = device.chain.iter().map(Vec::as_slice).collect();
    verify(&chain, &makers, UnixTime::from_secs(1_700_000_000)).unwrap();
}

#[test]
fn the_leaf_keeps_to_its_profile() {
    use EndorsementError as E;
    let maker = Maker::new("Maker");
    let with = |change: fn(&mut rcgen::CertificateParams)| {
        check(&maker, &maker.device_with("SN-0001", P256, change).chain)
    };
    assert!(with(|p| p.key_usages = vec![]).is_ok(), "key usage may be left out");
    assert!(with(|p| p.is_ca = IsCa::ExplicitNoCa).is_ok());
    assert!(with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]).is_ok());
    assert_eq!(with(|p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]), Err(E::LeafKeyUsage));
    let signs =
        with(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]);
    assert_eq!(signs, Err(E::LeafIsCa));
    let is_ca = with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(matches!(is_ca, Err(E::Path(PathError::Broken(webpki::Error::CaUsedAsEndEntity)))), "{is_ca:?}");
    let server = with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(server, Err(E::Path(PathError::Broken(_)))), "{server:?}");
    let critical = with(|p| {
        let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0]);
        unknown.set_criticality(true);
        p.custom_extensions.push(unknown);
    });
    assert!(
        matches!(critical, Err(E::Path(PathError::Broken(webpki::Error::UnsupportedCriticalExtension)))),
        "{critical:?}"
    );

    let p384 = maker.device_with("SN-0001", &rcgen::PKCS_ECDSA_P384_SHA384, |_| ());
    assert_eq!(check(&maker, &p384.chain), Err(E::LeafKey));
    let edwards = maker.device_with("SN-0001", &rcgen::PKCS_ED25519, |_| ());
    assert_eq!(check(&maker, &edwards.chain), Err(E::LeafKey));
}

#[test]
fn the_leaf_has_one_legal_serial_number() {
    use NameError as E;
    let name = |error: E| Err(EndorsementError::Name(error));
    let maker = Maker::new("Maker");
    let device = maker.device("SN-0001");
    let without = maker.device_with("SN-0001", P256, |p| {
        p.distinguished_name = rcgen::DistinguishedName::new();
        p.distinguished_name.push(DnType::CommonName, "SN-0001");
    });
    assert_eq!(check(&maker, &without.chain), name(E::None));
    let twice = changed(&maker, &device, |c| {
        let rdn = subject(c)[0].clone();
        subject(c).push(rdn);
    });
    assert_eq!(check(&maker, &twice), name(E::SerialNumbers { found: 2 }));
    // Two in one RDN count as well.
    let twice = changed(&maker, &device, |c| {
        let pair = subject(c)[0].children()[0].clone();
        subject(c)[0].children().push(pair);
    });
    assert_eq!(check(&maker, &twice), name(E::SerialNumbers { found: 2 }));
    for bad in ["-1", "a b", "a/b", "../etc", "a+b"] {
        let device = maker.device_with("x", P256, |p| {
            let kind = DnType::CustomDnType(vec![2, 5, 4, 5]);
            p.distinguished_name.push(kind, bad);
        });
        let found = check(&maker, &device.chain);
        assert!(matches!(found, Err(EndorsementError::Name(E::DeviceId(_)))), "{bad}");
    }
    let bytes = changed(&maker, &device, |c| subject(c)[0].children()[0].children()[1].tag = 4);
    assert_eq!(check(&maker, &bytes), name(E::SerialNumberType));
}

#[test]
fn an_extension_twice_is_refused() {
    let maker = Maker::new("Maker");
    let device = maker.device("SN-0001");
    let twice = changed(&maker, &device, |c| {
        let signed = c.children()[0].children();
        let extensions = signed.last_mut().unwrap().children()[0].children();
        let first = extensions[0].clone();
        extensions.push(first);
    });
    assert_eq!(check(&maker, &twice), Err(PathError::Malformed.into()));
}

#[test]
fn a_makers_ca_is_checked_when_it_is_added() {
    let maker = Maker::new("Maker");
    let new = |der: &[u8]| MakerCa::new("m", der).map(|ca| ca.maker().fingerprint_hex().len());
    assert_eq!(new(&maker.der), Ok(64));
    assert_eq!(new(&maker.device("SN-0001").chain[0]), Err(MakerError::NotACa));
    assert_eq!(new(&[]), Err(MakerError::Malformed));
    assert_eq!(new(&[maker.der.as_slice(), &[0]].concat()), Err(MakerError::Malformed));
    assert_eq!(new(&[0x30; 2561]), Err(MakerError::TooLong { found: 2561 }));
    let usage = Maker::with("x", |p| p.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(new(&usage.der), Err(MakerError::KeyUsage));
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert_eq!(MakerCa::new(name, &maker.der).err(), Some(MakerError::Name));
    }
}
