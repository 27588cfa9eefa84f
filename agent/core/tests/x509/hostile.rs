//! Bytes that no CA would sign, and bytes that one might: no panic, and nothing accepted.

use agent_core::x509::{self, AltName, Certificate, Validity};
use std::sync::LazyLock;

use proptest::prelude::*;
use shared::UnixTime;

use super::chain::{self, Chain, HOST, verify};
use super::der::Node;

static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::new);

/// Calls everything a certificate offers, so that nothing hides behind a parser that succeeds.
fn read_all(der: &[u8]) -> bool {
    let Ok(certificate) = Certificate::parse(der) else { return false };
    let lengths = [certificate.tbs(), certificate.serial(), certificate.issuer(), certificate.subject()];
    assert!(lengths.iter().all(|part| part.len() < der.len()));
    assert!((1..=20).contains(&certificate.serial().len()));
    assert!(certificate.not_before() <= certificate.not_after());
    assert_eq!(certificate.spki().len(), 91);
    let texts = [certificate.subject_common_name(), certificate.subject_serial_number()];
    let ids = [certificate.subject_key_id(), certificate.authority_key_id()];
    assert!(texts.iter().flatten().all(|text| !text.is_empty()));
    assert!(ids.iter().flatten().all(|id| !id.is_empty()));
    assert!(certificate.alt_names().is_none_or(|names| names.count() > 0));
    assert!(certificate.signature().len() < der.len());
    assert_eq!(certificate.public_point()[0], 4);
    // The one thing that has no bound to check; it must not panic.
    let _ = (certificate.is_ca(), certificate.is_for_clients());
    true
}

#[test]
fn an_empty_element_at_any_node_is_never_accepted() {
    let Chain { root, intermediate, server } = &*CHAIN;
    assert_eq!(verify(&[server, intermediate], &[root]), Ok(()));
    let mut tried = 0;
    for (place, der) in [&server.der, &intermediate.der, &root.der].into_iter().enumerate() {
        let tree = Node::parse(der);
        assert_eq!(&tree.encode(), der);
        for path in tree.paths() {
            for empty in [0x30, 0x03, 0x04, 0x02, 0x31, 0xa3] {
                for signed_again in [false, true] {
                    let mut changed = tree.clone();
                    *changed.at_mut(&path) = Node::primitive(empty, &[]);
                    if changed == tree {
                        continue;
                    }
                    // The strongest form: the issuer itself signs the nonsense. Where the place of the
                    // signature is gone, there is nothing to sign.
                    if signed_again && path.first() == Some(&0) {
                        if place == 0 { intermediate } else { root }.resign(&mut changed);
                    }
                    let changed = changed.encode();
                    read_all(&changed);
                    let mut all: [&[u8]; 3] = [&server.der, &intermediate.der, &root.der];
                    all[place] = &changed;
                    let verdict = x509::verify_server(&all[..2], &all[2..], HOST, chain::now());
                    assert!(verdict.is_err(), "{path:?} of {place}, {empty:#04x}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn a_certificate_cut_anywhere_is_refused() {
    let Chain { root, intermediate, server } = &*CHAIN;
    for length in 0..server.der.len() {
        let cut = &server.der[..length];
        assert!(!read_all(cut));
        let sent: [&[u8]; 2] = [cut, &intermediate.der];
        assert!(x509::verify_server(&sent, &[&root.der], HOST, chain::now()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!read_all(&bytes));
        let validity = Validity::NotEndedBy(UnixTime::from_secs(0));
        prop_assert!(x509::verify_server(&[&bytes], &[&bytes], HOST, validity).is_err());
    }

    #[test]
    fn random_elements_never_panic(
        parts in proptest::collection::vec((0_usize..12, proptest::collection::vec(any::<u8>(), 0..20)), 0..20)
    ) {
        // Real tags, so that the random bytes come further.
        const TAGS: [u8; 12] = [0x30, 0x31, 0x02, 0x03, 0x04, 0x06, 0x17, 0x18, 0x0c, 0xa0, 0xa3, 0x01];
        let bytes = parts.iter().fold(Vec::new(), |inner, (tag, bytes)| {
            Node::primitive(TAGS[*tag], &[bytes.as_slice(), &inner].concat()).encode()
        });
        prop_assert!(!read_all(&bytes));
    }

    #[test]
    fn changed_certificates_are_read_without_panic_and_refused(
        place in 0_usize..2,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let Chain { root, intermediate, server } = &*CHAIN;
        let original = if place == 0 { &server.der } else { &intermediate.der };
        let mut changed = original.clone();
        for (at, byte) in &edits {
            let at = at.index(changed.len());
            changed[at] = *byte;
        }
        prop_assume!(&changed != original);
        read_all(&changed);
        let mut sent: [&[u8]; 2] = [&server.der, &intermediate.der];
        sent[place] = &changed;
        prop_assert!(x509::verify_server(&sent, &[&root.der], HOST, chain::now()).is_err());
    }

    #[test]
    fn changed_and_signed_again_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let Chain { root, intermediate, server } = &*CHAIN;
        let mut tree = Node::parse(&server.der);
        let paths = tree.at_mut(&[0]).paths();
        for (at, byte) in &edits {
            let path = [vec![0], at.get(&paths).clone()].concat();
            // Not below what an earlier edit has made a leaf.
            if tree.paths().contains(&path) && path.len() > 1 {
                let content = vec![*byte; usize::from(*byte % 5)];
                *tree.at_mut(&path) = Node::primitive(*byte, &content);
            }
        }
        intermediate.resign(&mut tree);
        let changed = tree.encode();
        read_all(&changed);
        let sent: [&[u8]; 2] = [&changed, &intermediate.der];
        // Some of these are good certificates again, with another serial number, say; but never for another
        // host, or another use.
        if let Ok(proof) = x509::verify_server(&sent, &[&root.der], HOST, chain::now()) {
            let certificate = Certificate::parse(&changed).unwrap();
            let mut names = certificate.alt_names().unwrap();
            prop_assert!(names.any(|name| name == AltName::Dns(HOST)));
            prop_assert!(!certificate.is_ca());
            let point = proof.public_key().to_encoded_point(false);
            prop_assert_eq!(point.as_bytes(), certificate.public_point());
        }
    }
}
