//! Signed trust bundles.

use ca::FileKey;
use ca::bundle::{BundleError, TrustSigner, verify};
use proptest::prelude::*;

use crate::support::{Hierarchy, NOW};

fn signer() -> TrustSigner {
    TrustSigner::new(&FileKey::generate().unwrap()).unwrap()
}

#[test]
fn a_bundle_verifies_under_its_signer_only() {
    let (old, new) = (Hierarchy::new(), Hierarchy::new());
    let (signer, next) = (signer(), signer());
    let anchors = [old.root.certificate(), new.root.certificate()];
    let bytes = signer.sign(3, NOW, &anchors, next.public_point()).unwrap();
    let bundle = verify(&bytes, signer.public_point()).unwrap();
    assert_eq!((bundle.number, bundle.made, bundle.signer), (3, NOW, next.public_point()));
    let ders: Vec<&[u8]> = anchors.iter().map(|anchor| anchor.der()).collect();
    assert_eq!(bundle.anchors.as_slice(), ders);
    assert!(matches!(verify(&bytes, next.public_point()), Err(BundleError::Signature)));
}

#[test]
fn anchors_are_roots_and_not_too_many() {
    let hierarchy = Hierarchy::new();
    let signer = signer();
    let sign = |anchors: &[&ca::CaCertificate]| signer.sign(1, NOW, anchors, signer.public_point());
    assert!(matches!(sign(&[hierarchy.issuing.certificate()]), Err(BundleError::NotARoot)));
    assert!(matches!(sign(&[]), Err(BundleError::Anchors { found: 0 })));
    let five = [hierarchy.root.certificate(); 5];
    assert!(matches!(sign(&five), Err(BundleError::Anchors { found: 5 })));
    let four = sign(&five[..4]).unwrap();
    assert!(four.len() < shared::limits::MAX_TRUST_BUNDLE, "{}", four.len());
}

proptest! {
    #[test]
    fn a_changed_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let hierarchy = Hierarchy::new();
        let signer = signer();
        let mut bytes = signer.sign(1, NOW, &[hierarchy.root.certificate()], signer.public_point()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(verify(&bytes, signer.public_point()).is_err());
    }
}
