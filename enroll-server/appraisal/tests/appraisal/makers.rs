//! Several makers at once: several CAs of one, intermediates in any order, two of one name, cross-signed ones.

use appraisal::idevid::{EndorsedIdevid, EndorsementError, PathError, verify};
use appraisal::{Endorsements, MakerCa};
use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};

use crate::support::{Maker, NOW};

fn trusting(makers: &[(&str, &Maker)]) -> Endorsements {
    Endorsements::new(makers.iter().map(|(name, maker)| MakerCa::new(name, &maker.der).unwrap()).collect())
}

fn check(makers: &Endorsements, chain: &[&[u8]]) -> Result<EndorsedIdevid, EndorsementError> {
    verify(chain, makers, NOW)
}

#[test]
fn a_maker_may_have_several_cas_and_there_may_be_several_makers() {
    let (old, new, other) = (Maker::new("A 2020"), Maker::new("A 2026"), Maker::new("B"));
    let makers = trusting(&[("a", &old), ("a", &new), ("b", &other)]);
    for (ca, name) in [(&old, "a"), (&new, "a"), (&other, "b")] {
        let idevid = check(&makers, &[&ca.device("SN-0001").chain[0]]).unwrap();
        assert_eq!(idevid.maker().name, name);
        assert_eq!(idevid.maker().fingerprint, MakerCa::new(name, &ca.der).unwrap().maker().fingerprint);
    }
}

#[test]
fn intermediates_may_stand_in_any_order_behind_the_leaf() {
    let root = Maker::new("Root");
    let (a, unused) = (root.below("A", |_| ()), root.below("Unused", |_| ()));
    let b = a.below("B", |_| ());
    let makers = trusting(&[("root", &root)]);
    let device = b.device("SN-0001");
    for order in [[&a.der, &b.der, &unused.der], [&b.der, &unused.der, &a.der], [&unused.der, &a.der, &b.der]]
    {
        let chain = [&device.chain[0][..], order[0], order[1], order[2]];
        assert_eq!(check(&makers, &chain).unwrap().device(), &device.id);
    }
    // The leaf is the first, whatever follows.
    let chain = [&a.der[..], &b.der, &device.chain[0]];
    assert_eq!(check(&makers, &chain), Err(EndorsementError::Path(PathError::Intermediate)));
}

#[test]
fn two_makers_of_one_name_are_told_apart_by_their_keys() {
    // Without a key identifier in the leaf, the name alone leads to both.
    let plain = |p: &mut CertificateParams| p.use_authority_key_identifier_extension = false;
    let (one, other, stranger) = (Maker::new("Devices"), Maker::new("Devices"), Maker::new("Devices"));
    let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
    for makers in [[("one", &one), ("other", &other)], [("other", &other), ("one", &one)]] {
        let makers = trusting(&makers);
        for (maker, name) in [(&one, "one"), (&other, "other")] {
            let device = maker.device_with("SN-0001", p256, plain);
            assert_eq!(check(&makers, &[&device.chain[0]]).unwrap().maker().name, name);
        }
        let device = stranger.device_with("SN-0001", p256, plain);
        assert!(matches!(
            check(&makers, &[&device.chain[0]]),
            Err(EndorsementError::Path(PathError::UnknownMaker { .. }))
        ));
    }
}

#[test]
fn a_cross_signed_intermediate_leads_to_whichever_root_is_known() {
    let (old, new) = (Maker::new("Old root"), Maker::new("New root"));
    let factory = old.below("Factory", |_| ());
    // One name and one key, certified by both.
    let cross = factory.params.signed_by(&factory.key, &new.issuer()).unwrap().der().to_vec();
    let device = factory.device("SN-0001");
    let chain = [&device.chain[0][..], &factory.der, &cross];
    assert_eq!(check(&trusting(&[("old", &old)]), &chain).unwrap().maker().name, "old");
    assert_eq!(check(&trusting(&[("new", &new)]), &chain).unwrap().maker().name, "new");
    check(&trusting(&[("new", &new), ("old", &old)]), &chain).unwrap();
    let stranger = Maker::new("Stranger");
    assert!(check(&trusting(&[("stranger", &stranger)]), &chain).is_err());
}

#[test]
fn of_a_renewed_ca_the_certificate_in_force_counts() {
    let ended = Maker::with("Maker", |p| p.not_after = date_time_ymd(2026, 1, 1));
    let mut renewed = ended.params.clone();
    renewed.not_after = date_time_ymd(2036, 1, 1);
    let renewed = renewed.self_signed(&ended.key).unwrap().der().to_vec();
    let device = ended.device("SN-0001");
    let ca = |der: &[u8]| MakerCa::new("maker", der).unwrap();
    for list in [vec![ca(&ended.der), ca(&renewed)], vec![ca(&renewed), ca(&ended.der)]] {
        check(&Endorsements::new(list), &[&device.chain[0]]).unwrap();
    }
    let alone = Endorsements::new(vec![ca(&ended.der)]);
    assert!(matches!(
        check(&alone, &[&device.chain[0]]),
        Err(EndorsementError::Path(PathError::MakerExpired { .. }))
    ));
}

/// Certificates that certify each other: the search ends.
#[test]
fn a_circle_of_intermediates_is_no_path() {
    let (a, b) = (Maker::new("A"), Maker::with("B", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)));
    let a_by_b = a.params.signed_by(&a.key, &b.issuer()).unwrap().der().to_vec();
    let b_by_a = b.params.signed_by(&b.key, &a.issuer()).unwrap().der().to_vec();
    let device = a.device("SN-0001");
    let makers = trusting(&[("other", &Maker::new("Other"))]);
    assert!(check(&makers, &[&device.chain[0], &a_by_b, &b_by_a]).is_err());
}
