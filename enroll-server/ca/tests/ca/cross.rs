//! Cross-certificates and the chain of trust bundles: what a device of each age can verify.

use std::path::Path;
use std::process::Command;

use ca::bundle::TrustSigner;
use ca::cross::{cross_certificate, reaches_below};
use ca::hierarchy::{HierarchyError, ISSUING_LIFETIME, SERVER_LIFETIME, issuing_ca, server_certificate};
use ca::trust_chain::{ChainError, TrustChain};
use ca::{CaCertificate, FileKey, LintError};

use crate::support::{Hierarchy, NOW};

/// What openssl says of a server's chain, to one who trusts `anchor` only.
#[expect(clippy::expect_used, reason = "a missing openssl fails the test with what installs it")]
fn verifies(chain: &[&[u8]], anchor: &CaCertificate) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, ders: &[&[u8]]| {
        let path = folder.path().join(name);
        std::fs::write(&path, ca::pem::chain(ders.iter().copied())).unwrap();
        path
    };
    let (leaf, others) = chain.split_first().unwrap();
    let (leaf, others) = (write("leaf.pem", &[leaf]), write("others.pem", others));
    let anchor = write("anchor.pem", &[anchor.der()]);
    let text = |path: &Path| path.display().to_string();
    let done = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-attime", &NOW.as_secs().to_string()])
        .args(["-CAfile", &text(&anchor), "-untrusted", &text(&others), &text(&leaf)])
        .output()
        .expect("openssl is needed: apt install openssl");
    done.status.success()
}

fn server(hierarchy: &Hierarchy) -> Vec<u8> {
    let key = FileKey::generate().unwrap();
    let issued = server_certificate(&["a.example"], &key, &hierarchy.issuing, SERVER_LIFETIME, NOW).unwrap();
    issued.der().to_vec()
}

#[test]
fn one_chain_serves_those_who_trust_the_old_root_and_those_who_trust_the_new_one() {
    let (old, new) = (Hierarchy::new(), Hierarchy::new());
    let leaf = server(&new);
    let issuing = new.issuing.certificate().der();
    assert!(reaches_below(old.root.certificate()));
    // The root's cross-certificate and the issuing CA's own one each carry an old device over.
    let of_root = cross_certificate(new.root.certificate(), &old.root, NOW).unwrap();
    let of_issuing = cross_certificate(new.issuing.certificate(), &old.root, NOW).unwrap();
    assert_eq!((of_root.path_length(), of_issuing.path_length()), (Some(1), Some(0)));
    for cross in [&of_root, &of_issuing] {
        assert!(cross.is_signed_by(old.root.certificate()) && !cross.is_signed_by(new.root.certificate()));
        assert!(!cross.is_self_issued());
    }
    let chain = [leaf.as_slice(), issuing, of_root.der()];
    assert!(verifies(&chain, old.root.certificate()));
    assert!(verifies(&chain, new.root.certificate()));
    // Two certificates of one issuing CA: openssl tries the first one only. Devices try both; see tests/rollover.
    assert!(verifies(&[&leaf, of_issuing.der()], old.root.certificate()));
    assert!(verifies(&[&leaf, issuing], new.root.certificate()));
    assert!(!verifies(&[&leaf, issuing], old.root.certificate()), "without it the old devices are lost");
    let stranger = Hierarchy::new();
    assert!(!verifies(&[&leaf, issuing, of_root.der()], stranger.root.certificate()));
}

#[test]
fn a_cross_certificate_never_outlives_either_side_or_widens_what_may_stand_below() {
    let (old, new) = (Hierarchy::new(), Hierarchy::living(ISSUING_LIFETIME / 5));
    let cross = cross_certificate(new.issuing.certificate(), &old.root, NOW).unwrap();
    assert_eq!(cross.validity().not_after, new.issuing.certificate().validity().not_after);
    // An issuing CA allows none below it.
    let refused = cross_certificate(new.root.certificate(), &old.issuing, NOW).unwrap_err();
    assert!(matches!(refused, HierarchyError::Lint(LintError::PathLength)), "{refused}");
    let refused = cross_certificate(old.root.certificate(), &old.root, NOW).unwrap_err();
    assert!(matches!(refused, HierarchyError::Lint(LintError::CaKey)), "{refused}");
}

#[test]
fn a_signature_is_believed_by_name_and_key() {
    let (one, other) = (Hierarchy::new(), Hierarchy::new());
    assert!(one.issuing.certificate().is_signed_by(one.root.certificate()));
    assert!(one.root.certificate().is_signed_by(one.root.certificate()));
    assert!(!one.issuing.certificate().is_signed_by(other.root.certificate()));
    let (again, _) = issuing_ca("acme", &other.root, ISSUING_LIFETIME, NOW).unwrap();
    assert!(!again.is_signed_by(one.root.certificate()));
    let mut der = one.issuing.certificate().der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    let forged = CaCertificate::from_der(&der).unwrap();
    assert!(!forged.is_signed_by(one.root.certificate()));
}

#[test]
fn a_device_is_given_the_highest_bundle_that_it_can_verify() {
    let root = Hierarchy::new();
    let signer = || TrustSigner::new(&FileKey::generate().unwrap()).unwrap();
    let (one, two) = (signer(), signer());
    let anchors = [root.root.certificate()];
    let sign = |by: &TrustSigner, number, next: &TrustSigner| {
        by.sign(number, NOW, &anchors, next.public_point()).unwrap()
    };
    let mut chain = TrustChain::begin(&sign(&one, 1, &one)).unwrap();
    chain.push(&sign(&one, 2, &one)).unwrap();
    // The signer is handed over with 4, and 6 is the second one of the new signer.
    chain.push(&sign(&one, 4, &two)).unwrap();
    chain.push(&sign(&two, 5, &two)).unwrap();
    chain.push(&sign(&two, 6, &two)).unwrap();
    let next: Vec<u64> = [Some(1), Some(2), Some(4), Some(5), Some(6), Some(3), Some(9), None]
        .map(|held| chain.next_for(held).number())
        .into();
    assert_eq!(next, [4, 4, 6, 6, 6, 6, 6, 6]);
    for link in chain.links() {
        assert_eq!(link.anchors(), [root.root.certificate().der()]);
        // As the device checks it.
        let given = chain.next_for(Some(link.number()));
        if given.number() > link.number() {
            ca::bundle::verify(given.signed(), link.signer()).unwrap();
        }
    }
    let refused = chain.push(&sign(&one, 7, &one)).unwrap_err();
    assert!(matches!(refused, ChainError::Bundle(_)), "{refused}");
    let refused = chain.push(&sign(&two, 6, &two)).unwrap_err();
    assert!(matches!(refused, ChainError::NotNewer { newest: 6, found: 6 }), "{refused}");
    assert!(TrustChain::begin(&sign(&one, 1, &two)).is_err(), "no device takes it from the factory");
}
