//! A manifest that another implementation encoded and signed: corim-rs 0.2.0 with coset 0.3.8, signed by p256 with
//! the private key 0x42 repeated 32 times.

use crate::kit::{NOW, World};
use reference_values::{Authority, ReleaseError, ReleaseKey, Trust};
use shared::UnixTime;

const UNSIGNED: &str = "\
    d901f5a4007173656e736f722d61206669726d776172650181d901fa58eaa201a2006c73656e736f722d612f312e3301\
    0204a1008182a100a2016d4578616d706c65204d616b6572026873656e736f722d6182a2006a626f6f746c6f61646572\
    01a300a10065302e392e3101070281820158201111111111111111111111111111111111111111111111111111111111\
    111111a2006b6170706c69636174696f6e01a300a10065312e332e300107028282015820222222222222222222222222\
    222222222222222222222222222222222222222282075830333333333333333333333333333333333333333333333333\
    33333333333333333333333333333333333333333333333304a101c11af48657000581a2006d4578616d706c65204d61\
    6b6572028101";

const SPKI: &str = "\
    3059301306072a8648ce3d020106082a8648ce3d030107034200043ad3861a95621392516bb593ef05583ed2e5866f5c\
    b6260a3017237fd89b90afd0961c7e37075a6791a39c61f56295b02b6d26567b615e60aa41ee1c8e83388d";

/// Protected header and the head of the payload; the payload is [`UNSIGNED`]; then the signature.
const BEFORE: &str = "\
    d2845832a4012603746170706c69636174696f6e2f72696d2b63626f7204430102030852a100a1006d4578616d706c65\
    204d616b6572a0590126";
const AFTER: &str = "\
    5840dfad6bd6666111bf2b0ac3a59ef19aa76ab56beee433a4525acc646e31669d6db0aae6432fcb2b4f4d907c95591a\
    0a8ad0fcda7ee0f9ea2d039ce624881b89ed";

fn signed() -> Vec<u8> {
    hex::decode([BEFORE, UNSIGNED, AFTER].concat()).unwrap()
}

fn world() -> World {
    let mut world = World::new();
    world.keys.push(ReleaseKey::new("acme", &hex::decode(SPKI).unwrap()).unwrap());
    world
}

#[test]
fn it_is_read_and_its_signature_verifies() {
    let release = world().open(&signed()).unwrap();
    assert_eq!(release.maker(), "acme");
    assert!(matches!(release.authority(), Authority::Key { .. }));
    let manifest = release.manifest();
    assert_eq!(manifest.id.as_deref(), Some("sensor-a firmware"));
    assert_eq!(manifest.vendors, ["Example Maker"]);
    assert_eq!(manifest.entities, ["Example Maker"]);
    assert_eq!(manifest.validity.not_after, Some(UnixTime::from_secs(4_102_444_800)));
    let [set] = manifest.sets.as_slice() else { panic!("{:?}", manifest.sets) };
    assert_eq!((set.name.as_deref(), set.version), (Some("sensor-a/1.3"), Some(2)));
    let known: Vec<_> = set
        .known
        .iter()
        .map(|k| (k.model.as_deref(), &*k.component, k.version.as_deref(), k.digest.clone()))
        .collect();
    assert_eq!(
        known,
        [
            (Some("sensor-a"), "bootloader", Some("0.9.1"), vec![0x11; 32]),
            (Some("sensor-a"), "application", Some("1.3.0"), vec![0x22; 32]),
            (Some("sensor-a"), "application", Some("1.3.0"), vec![0x33; 48]),
        ]
    );
}

#[test]
fn the_payload_alone_is_an_unsigned_manifest() {
    let unsigned = hex::decode(UNSIGNED).unwrap();
    assert_eq!(world().open(&unsigned), Err(ReleaseError::Unsigned));
    let release = world().unsigned(&unsigned).unwrap();
    assert_eq!(release.authority(), &Authority::Operator);
    assert_eq!(release.manifest().len(), 3);
}

/// Nothing of the file can be changed, cut or added to: every single bit and every length.
#[test]
fn any_change_is_refused() {
    let (world, good) = (world(), signed());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(world.open(&bad).is_err(), "byte {at}, bit {bit}");
        }
        assert!(world.open(&good[..at]).is_err(), "cut at {at}");
    }
    assert!(world.open(&[good.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn it_counts_until_its_end() {
    let world = world();
    let last = UnixTime::from_secs(4_102_444_800);
    let at = |now| {
        let offer = reference_values::Offer { bytes: &signed(), signature: None };
        reference_values::open(&offer, &Trust { now, ..world.trust() }).map(|_| ())
    };
    assert_eq!(at(last), Ok(()));
    let after = UnixTime::from_secs(last.as_secs() + 1);
    assert!(matches!(at(after), Err(ReleaseError::Over { .. })));
    assert_eq!(at(NOW), Ok(()));
}
