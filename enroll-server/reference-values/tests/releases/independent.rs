//! A manifest that another implementation encoded and signed: corim-rs 0.2.0 with coset 0.3.8, signed by p256 with
//! the private key 0x42 repeated 32 times.

use crate::kit::{NOW, World};
use reference_values::{Authority, ReleaseError, ReleaseKey, Trust};
use shared::UnixTime;

/// A line of the file of vectors, by its name.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let lines = include_str!("../vectors/corim.txt").lines();
    let line = lines.filter_map(|line| line.split_once(' ')).find(|(found, _)| *found == name);
    hex::decode(line.unwrap_or_else(|| panic!("no vector {name}")).1).unwrap()
}

fn signed() -> Vec<u8> {
    vector("signed")
}

fn world() -> World {
    let mut world = World::new();
    world.keys.push(ReleaseKey::new("acme", &vector("spki")).unwrap());
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
    let unsigned = vector("unsigned");
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

/// Everything that the draft defines around reference values, in one manifest: what is used is used, and all of
/// the rest is told.
#[test]
fn all_parts_of_a_manifest_are_taken_or_told() {
    let manifest = reference_values::read_unverified(&vector("all-parts")).unwrap();
    assert_eq!(reference_values::read_unverified(&vector("all-parts-signed")), Ok(manifest.clone()));
    let components: Vec<_> = manifest.sets[0].known.iter().map(|known| known.component.as_str()).collect();
    let registers = ["pcr-0", "pcr-7", "pcr-7", "log"];
    let named = ["app", "app", "app", "700", "2.5.2.8193", "08080808-0808-0808-0808-080808080808"];
    let psa = ["PRoT", "untyped", "BL"];
    assert_eq!(components, [&named[..], &registers, &psa, &psa].concat());
    assert_eq!(manifest.sets[1].name.as_deref(), Some("second"));
    assert_eq!(manifest.notes.list().len(), 35, "{:#?}", manifest.notes);
}
