//! Makers' revocation lists: which are believed, and what they do to an enrollment.

use appraisal::idevid::PathError;
use appraisal::maker_crl::{CrlError, MAX_CRL, MakerCrl};
use appraisal::record::rule;
use appraisal::{Endorsements, MakerCa, Verdict};
use proptest::prelude::*;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    CustomExtension, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use shared::Reject;
use shared::limits::{MAX_CERTIFICATE, MAX_TPM_CERTIFICATE, MAX_TPM_CHAIN};
use x509_parser::prelude::FromDer as _;

use crate::hostile_der::replacements;
use crate::support::der::Node;
use crate::support::{Maker, NOW, World};

/// A list from the beginning of November 2026 to that of December.
pub(crate) fn list(number: u64, revoked: &[&[u8]]) -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 11, 1),
        next_update: date_time_ymd(2026, 12, 1),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: date_time_ymd(2026, 10, 1),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

pub(crate) fn serial(certificate: &[u8]) -> Vec<u8> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).unwrap();
    parsed.raw_serial().to_vec()
}

pub(crate) fn sign(list: CertificateRevocationListParams, maker: &Maker) -> Vec<u8> {
    list.signed_by(&maker.issuer()).unwrap().der().to_vec()
}

fn ca(maker: &Maker) -> MakerCa {
    MakerCa::new("example", &maker.der).unwrap()
}

fn read(der: &[u8], maker: &Maker) -> Result<MakerCrl, CrlError> {
    MakerCrl::new(der, &[], &ca(maker))
}

impl World {
    fn with_list(mut self, crl: &[u8], chain: &[&[u8]]) -> Self {
        let crl = MakerCrl::new(crl, chain, &ca(&self.maker)).unwrap();
        self.makers = self.makers.with_crls([crl]);
        self
    }
}

/// How an enrollment with good evidence ends, and what the rule about revocation says.
fn verdict(world: &World) -> (Option<Reject>, Verdict) {
    let (reject, rules) = match world.appraise(|_| ()) {
        Ok(appraised) => (None, appraised.rules().to_vec()),
        Err(refusal) => {
            assert_eq!(refusal.rule, rule::ENDORSEMENT_REVOCATION, "{refusal}");
            (Some(refusal.reject), refusal.rules)
        }
    };
    (reject, rules.iter().find(|record| record.rule == rule::ENDORSEMENT_REVOCATION).unwrap().verdict)
}

const REQUIRE: &str = "[evidence]\ncrl = \"require\"\n";
const IGNORE: &str = "[evidence]\ncrl = \"ignore\"\n";

#[test]
fn a_revoked_device_is_refused_and_another_is_not() {
    let world = World::new();
    let revoked = serial(&world.device.chain[0]);
    let crl = sign(list(1, &[&revoked]), &world.maker);
    let held = read(&crl, &world.maker).unwrap();
    assert_eq!((held.revoked(), held.number_text().as_str(), held.is_current(NOW)), (1, "1", true));
    let mut world = world.with_list(&crl, &[]);
    assert_eq!(verdict(&world), (Some(Reject::EndorsementRevoked), Verdict::Refused));
    world = world.policy(REQUIRE);
    assert_eq!(verdict(&world), (Some(Reject::EndorsementRevoked), Verdict::Refused));
    world = world.policy(IGNORE);
    assert_eq!(verdict(&world), (None, Verdict::Skipped));

    world = world.policy(REQUIRE);
    world.device = world.maker.device("SN-0001");
    assert_eq!(verdict(&world), (None, Verdict::Passed));
}

#[test]
fn without_a_current_list_the_policy_decides() {
    let world = World::new();
    assert_eq!(verdict(&world), (None, Verdict::Skipped));
    let world = world.policy(REQUIRE);
    assert_eq!(verdict(&world), (Some(Reject::RevocationUnknown), Verdict::Refused));

    let stale = |revoked: &[&[u8]]| {
        let mut stale = list(1, revoked);
        stale.this_update = date_time_ymd(2026, 9, 1);
        stale.next_update = date_time_ymd(2026, 10, 1);
        stale
    };
    let crl = sign(stale(&[]), &world.maker);
    let world = world.with_list(&crl, &[]);
    assert_eq!(verdict(&world), (Some(Reject::RevocationUnknown), Verdict::Refused));
    let world = world.policy("");
    assert_eq!(verdict(&world), (None, Verdict::Passed));
    // What an old list revokes stays revoked.
    let world = World::new();
    let crl = sign(stale(&[&serial(&world.device.chain[0])]), &world.maker);
    assert_eq!(verdict(&world.with_list(&crl, &[])), (Some(Reject::EndorsementRevoked), Verdict::Refused));
    // One from the future is not in force either.
    let world = World::new().policy(REQUIRE);
    let mut early = list(1, &[]);
    early.this_update = date_time_ymd(2026, 11, 29);
    let crl = sign(early, &world.maker);
    assert_eq!(verdict(&world.with_list(&crl, &[])), (Some(Reject::RevocationUnknown), Verdict::Refused));
}

#[test]
fn every_certificate_of_the_path_is_looked_up() {
    let mut world = World::new().policy(REQUIRE);
    let factory = world.maker.below("Factory", |_| ());
    world.device = factory.device("SN-0001");
    world.device.chain.push(factory.der.clone());
    let (of_root, of_factory) = (sign(list(1, &[]), &world.maker), sign(list(1, &[]), &factory));
    assert_eq!(verdict(&world).0, Some(Reject::RevocationUnknown));
    let world = world.with_list(&of_root, &[]);
    assert_eq!(verdict(&world).0, Some(Reject::RevocationUnknown), "the factory has no list yet");
    let world = world.with_list(&of_factory, &[&factory.der]);
    assert_eq!(verdict(&world), (None, Verdict::Passed));
    // The factory itself is revoked.
    let of_root = sign(list(2, &[&serial(&factory.der)]), &world.maker);
    let world = world.with_list(&of_root, &[]);
    assert_eq!(verdict(&world), (Some(Reject::EndorsementRevoked), Verdict::Refused));
}

#[test]
fn a_list_counts_for_its_issuers_certificates_only() {
    // Another maker of the same name lists the same serial number.
    let world = World::new();
    let other = Maker::new("Example Maker CA");
    let crl = sign(list(1, &[&serial(&world.device.chain[0])]), &other);
    assert_eq!(read(&crl, &world.maker), Err(CrlError::Signature));
    let crl = MakerCrl::new(&crl, &[], &ca(&other)).unwrap();
    let mut world = world;
    world.makers = Endorsements::new(vec![ca(&world.maker), ca(&other)]).with_crls([crl]);
    assert_eq!(verdict(&world), (None, Verdict::Skipped));
}

#[test]
fn of_two_lists_the_higher_number_counts() {
    let world = World::new();
    let lists =
        [sign(list(9, &[&serial(&world.device.chain[0])]), &world.maker), sign(list(8, &[]), &world.maker)];
    let mut world = world;
    for order in [[0, 1], [1, 0]] {
        let crls = order.map(|at| read(&lists[at], &world.maker).unwrap());
        world.makers = Endorsements::new(vec![ca(&world.maker)]).with_crls(crls);
        assert_eq!(verdict(&world).0, Some(Reject::EndorsementRevoked));
    }
    // Numbers compare as numbers, whatever their length.
    let number = |n: u64| *read(&sign(list(n, &[]), &world.maker), &world.maker).unwrap().number();
    assert!(number(0xff) < number(0x0100) && number(0x0100) < number(0x7fff_ffff_ffff));
}

#[test]
fn a_list_that_cannot_be_believed_is_refused() {
    let maker = Maker::new("Maker");
    let good = sign(list(1, &[&[0, 0x80, 1], &[7]]), &maker);
    assert_eq!(read(&good, &maker).unwrap().revoked(), 2);

    let of = |change: fn(&mut CertificateRevocationListParams)| {
        let mut list = list(1, &[&[7]]);
        change(&mut list);
        read(&sign(list, &maker), &maker)
    };
    let partial = of(|l| {
        let uris = vec!["http://a.example/crl".into()];
        l.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris },
            scope: Some(CrlScope::UserCertsOnly),
        });
    });
    assert_eq!(partial, Err(CrlError::Partial));
    assert_eq!(of(|l| l.crl_number = SerialNumber::from_slice(&[1; 21])), Err(CrlError::NoNumber));
    assert_eq!(
        of(|l| l.crl_number = SerialNumber::from_slice(&[1; 20])).unwrap().number_text(),
        "1".to_owned() + &"01".repeat(19)
    );

    let other = Maker::new("Other");
    assert_eq!(read(&good, &other), Err(CrlError::OtherIssuer));
    let stranger = other.below("Factory", |_| ());
    let unlinked = MakerCrl::new(&good, &[&stranger.der], &ca(&maker));
    assert_eq!(unlinked, Err(CrlError::Unlinked { subject: "CN=Factory".into() }));
    let leaf = maker.device("SN-0001");
    let chain = |chain: &[&[u8]]| MakerCrl::new(&good, chain, &ca(&maker));
    assert_eq!(chain(&[&leaf.chain[0]]), Err(PathError::Intermediate.into()));
    let long = PathError::TooLong { found: 2561, allowed: MAX_TPM_CERTIFICATE };
    assert_eq!(chain(&[&[0x30; 2561]]), Err(long.into()));
    let many = PathError::ChainLength { found: 7, allowed: MAX_TPM_CHAIN };
    assert_eq!(chain(&[&maker.der[..]; 7]), Err(many.into()));
    let mute = Maker::with("Mute", |p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(MakerCrl::new(&sign(list(1, &[]), &signs(&mute)), &[], &ca(&mute)), Err(CrlError::KeyUsage));

    assert_eq!(read(&[], &maker), Err(CrlError::Malformed));
    assert_eq!(read(&[&good[..], &[0]].concat(), &maker), Err(CrlError::Malformed));
    assert_eq!(read(&vec![0x30; MAX_CRL + 1], &maker), Err(CrlError::TooLong { found: MAX_CRL + 1 }));
}

/// What a chain of TPM evidence may have above the EK's certificate, a list may have above it.
#[test]
fn a_list_is_believed_by_way_of_every_ca_that_evidence_may_have() {
    let maker = Maker::new("TPM maker");
    let mut long = maker.below("Long", |p| {
        p.custom_extensions
            .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![4; 1500]));
    });
    assert!((MAX_CERTIFICATE..=MAX_TPM_CERTIFICATE).contains(&long.der.len()), "{}", long.der.len());
    let believed = |below: &Maker| MakerCrl::new(&sign(list(1, &[]), below), &[&below.der], &ca(&maker));
    believed(&long).unwrap();
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512] {
        long.key = KeyPair::generate_for(algorithm).unwrap();
        long.der = long.params.signed_by(&long.key, &maker.issuer()).unwrap().der().to_vec();
        believed(&long).unwrap();
        // It signs certificates of CAs as well.
        let below = long.below("Below", |_| ());
        let crl = sign(list(1, &[]), &below);
        MakerCrl::new(&crl, &[&below.der, &long.der], &ca(&maker)).unwrap();
    }
    long.key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    long.der = long.params.signed_by(&long.key, &maker.issuer()).unwrap().der().to_vec();
    assert_eq!(believed(&long), Err(CrlError::Algorithm { found: "1.3.101.112".into() }));
}

/// rcgen does not sign lists for a CA that may not.
fn signs(maker: &Maker) -> Maker {
    let mut params = maker.params.clone();
    params.key_usages.push(KeyUsagePurpose::CrlSign);
    let key = KeyPair::try_from(maker.key.serialize_der()).unwrap();
    Maker { key, params, der: maker.der.clone() }
}

/// Broken in every place, and signed again by the maker: no panic, and no entry gets lost unless it is the entry
/// that was changed.
#[test]
fn every_node_of_a_list_replaced_is_refused_or_keeps_the_other_entries() {
    let maker = Maker::new("Maker");
    let device = maker.device("SN-0001");
    let der = sign(list(1, &[&serial(&device.chain[0]), &[7], &[9]]), &maker);
    let whole = Node::read(&der);
    assert_eq!(whole.write(), der);
    let (mut refused, mut passed) = (0, 0);
    for at in 0..whole.count() {
        for replacement in replacements(whole.clone().nth(at).unwrap()) {
            let mut changed = whole.clone();
            *changed.nth(at).unwrap() = replacement;
            let unsigned = read(&changed.write(), &maker);
            assert!(unsigned.is_err() || changed == whole, "node {at}, not signed again");
            if at == 0 {
                continue;
            }
            let mut again = changed.clone();
            if again.try_children().is_some_and(|parts| parts.len() == 3) {
                maker.sign_again(&mut again);
            }
            match read(&again.write(), &maker) {
                Ok(list) => {
                    // The maker itself says that it revokes nothing; RFC 5280 would have the list left out.
                    let emptied = again.nth(at).is_some_and(|node| node.write() == [0x30, 0]);
                    let kept = list.revoked();
                    assert!(matches!(kept, 2 | 3) || emptied && kept == 0, "node {at}: {kept} entries");
                    passed += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 300 && passed < 120, "{refused} refused, {passed} passed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_changed_byte_of_a_list_is_refused(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let maker = Maker::new("Maker");
        let mut der = sign(list(1, &[&[7], &[9]]), &maker);
        let at = at.index(der.len());
        der[at] ^= flip;
        prop_assert!(read(&der, &maker).is_err());
    }
}
