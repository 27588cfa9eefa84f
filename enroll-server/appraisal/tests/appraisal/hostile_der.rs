//! Every node of the evidence chain replaced by an empty SEQUENCE, BIT STRING and others: never a panic, and
//! never another identity.

use appraisal::{Endorsements, MakerCa};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CrlDistributionPoint, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints,
};

use crate::hardware_module::{alt_names, module};
use crate::support::der::{Content, Node};
use crate::support::{Maker, World};

/// What each node is replaced by.
pub(crate) fn replacements(node: &Node) -> Vec<Node> {
    let bytes = |tag, bytes: &[u8]| Node { tag, content: Content::Bytes(bytes.to_vec()) };
    vec![
        bytes(0x30, &[]),
        bytes(0x03, &[]),
        bytes(0x03, &[0]),
        bytes(0x03, &[9, 1]),
        bytes(0x04, &[]),
        bytes(0x31, &[]),
        bytes(0x02, &[]),
        bytes(0x06, &[]),
        bytes(0x17, b"991"),
        bytes(node.tag, &[]),
        Node { tag: node.tag, content: Content::Bytes(vec![0; 3]) },
    ]
}

/// A world whose IDevID has every extension there is, and an intermediate.
fn rich() -> (World, Maker) {
    let mut world = World::new();
    let root = Maker::new("Root");
    let factory = root.below("Factory", |p| {
        p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        p.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example".into())],
            excluded_subtrees: vec![],
        });
    });
    world.device = factory.device_with("SN-0001", &rcgen::PKCS_ECDSA_P256_SHA256, |p| {
        p.is_ca = IsCa::ExplicitNoCa;
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let dns = [&[0x82, 9][..], b"a.example"].concat();
        alt_names(p, &[dns, module(&[0x2b, 0x06, 0x01], b"SN-0001")], false);
        p.crl_distribution_points = vec![CrlDistributionPoint { uris: vec!["http://a.example/crl".into()] }];
    });
    world.device.chain.push(factory.der.clone());
    world.makers = Endorsements::new(vec![MakerCa::new("root", &root.der).unwrap()]);
    world.appraise(|_| ()).unwrap();
    world.maker = root;
    (world, factory)
}

#[test]
fn every_node_of_the_chain_replaced_is_refused() {
    let (world, _) = rich();
    let eat = world.device.evidence(&world.csr, |_| ());
    let mut tried = 0;
    for link in 0..2 {
        let whole = Node::read(&world.device.chain[link]);
        assert_eq!(whole.write(), world.device.chain[link], "the tree writes what it read");
        for at in 0..whole.count() {
            for replacement in replacements(whole.clone().nth(at).unwrap()) {
                let mut changed = whole.clone();
                *changed.nth(at).unwrap() = replacement;
                let mut chain = world.device.chain.clone();
                chain[link] = changed.write();
                if chain == world.device.chain {
                    continue;
                }
                assert!(world.appraise_eat(&eat, &chain).is_err(), "link {link}, node {at}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1400, "{tried}");
}

/// A maker that signs nonsense: the parsers meet it behind a good signature. What passes is the inside of
/// extensions that say nothing about the device, and it is still this device with this key.
#[test]
fn every_node_replaced_under_a_good_signature_never_panics() {
    let (world, factory) = rich();
    let eat = world.device.evidence(&world.csr, |_| ());
    let (mut refused, mut passed) = (0, 0);
    for (link, signer) in [(0, &factory), (1, &world.maker)] {
        let whole = Node::read(&world.device.chain[link]);
        // The first node is the certificate itself; what is signed follows.
        for at in 1..=whole.clone().children()[0].count() {
            for replacement in replacements(whole.clone().nth(at).unwrap()) {
                let mut changed = whole.clone();
                let same = changed.nth(at).unwrap().write() == replacement.write();
                let must_refuse =
                    is_empty(&replacement) && whole.depth(at).unwrap() <= EXTENSION_VALUE && !same;
                *changed.nth(at).unwrap() = replacement;
                signer.sign_again(&mut changed);
                let mut chain = world.device.chain.clone();
                chain[link] = changed.write();
                match world.appraise_eat(&eat, &chain) {
                    Ok(appraised) => {
                        assert!(!must_refuse, "link {link}, node {at}: {:?}", changed.nth(at));
                        assert_eq!(appraised.device(), &world.device.id);
                        let key = *world.device.public_key().spki_sha256();
                        assert_eq!(appraised.idevid_spki_sha256(), Some(&key));
                        passed += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 1100 && passed < 100, "{refused} refused, {passed} passed");
}

/// Depth of what an extension holds: certificate, signed part, tag 3, list, extension, OCTET STRING, value.
const EXTENSION_VALUE: usize = 6;

fn is_empty(node: &Node) -> bool {
    let Content::Bytes(bytes) = &node.content else { return false };
    bytes.is_empty() || (node.tag == 0x03 && bytes == &[0])
}

#[test]
fn every_node_of_a_makers_ca_replaced_never_panics() {
    let maker = Maker::new("Maker");
    let whole = Node::read(&maker.der);
    for at in 0..whole.count() {
        for replacement in replacements(whole.clone().nth(at).unwrap()) {
            let mut changed = whole.clone();
            *changed.nth(at).unwrap() = replacement;
            if let Ok(ca) = MakerCa::new("m", &changed.write()) {
                // What passes can still be asked for everything.
                assert!(!ca.subject().contains('\n') && ca.der() == changed.write());
            }
        }
    }
}

#[test]
fn every_node_of_a_csr_replaced_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    let whole = Node::read(params.serialize_request(&key).unwrap().der());
    for at in 0..whole.count() {
        for replacement in replacements(whole.clone().nth(at).unwrap()) {
            let mut changed = whole.clone();
            *changed.nth(at).unwrap() = replacement;
            if changed != whole {
                assert!(appraisal::csr::check(&changed.write()).is_err(), "node {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_changed_byte_of_the_chain_is_refused(
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let world = World::new();
        let eat = world.device.evidence(&world.csr, |_| ());
        let mut chain = world.device.chain.clone();
        let at = at.index(chain[0].len());
        chain[0][at] ^= flip;
        prop_assert!(world.appraise_eat(&eat, &chain).is_err());
    }
}
