//! Hostile manifests: cut, swollen, nested, twisted. Each ends in an error, soon, and without a panic.

use crate::kit::Node::{A, B, M, N, Raw, T, Tag, U};
use crate::kit::{Node, World, comid, corim, good, map, measurement, model, t, tag, triple};
use proptest::prelude::*;
use reference_values::{CborProblem, MAX_CORIM, ManifestError, ReleaseError};

#[track_caller]
fn problem(bytes: &[u8], wanted: CborProblem) {
    match World::new().unsigned(bytes) {
        Err(ReleaseError::Manifest(ManifestError::Cbor { problem, .. })) => assert_eq!(problem, wanted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manifest_that_is_cut_anywhere_is_refused() {
    let good = good();
    assert!(World::new().unsigned(&good).is_ok());
    for length in 0..good.len() {
        assert!(World::new().unsigned(&good[..length]).is_err(), "{length}");
    }
    problem(&[good.as_slice(), &[0]].concat(), CborProblem::TrailingBytes);
}

#[test]
fn limits_hold() {
    let too_long = corim(vec![Raw(vec![0; MAX_CORIM])], vec![]);
    assert!(matches!(
        World::new().unsigned(&too_long),
        Err(ReleaseError::Manifest(ManifestError::TooLong { .. }))
    ));
    // A hundred thousand levels cost no stack.
    let deep = [vec![0xd9, 0x01, 0xf5], vec![0x81; 100_000], vec![0]].concat();
    problem(&deep, CborProblem::TooDeep { limit: 16 });
    let inside = corim(vec![Raw(vec![0x81; 100_000])], vec![]);
    problem(&inside, CborProblem::TooDeep { limit: 16 });
    let wide = tag(501, A(vec![U(0); 1_000_001])).write();
    problem(&wide, CborProblem::TooManyItems { limit: 1_000_000 });
    let map = tag(501, M((0..257).map(|n| (U(n), U(0))).collect())).write();
    problem(&map, CborProblem::TooManyEntries { limit: 256 });
    // Lengths that promise more than there is.
    for head in ["9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "7bffffffffffffffff"] {
        problem(&hex::decode(format!("d901f5{head}")).unwrap(), CborProblem::Truncated);
    }
}

#[test]
fn as_many_values_as_fit_are_read() {
    let some = |n: u64| {
        let digests = A(vec![
            A(vec![U(1), B(vec![1; 32])]),
            A(vec![U(7), B(vec![1; 48])]),
            A(vec![U(8), B(vec![1; 64])]),
        ]);
        let one = map([(0, t("a")), (1, map([(2, digests)]))]);
        comid(&format!("tag-{n}"), 0, vec![triple(model("m"), vec![one; 8_000])])
    };
    let bytes = corim((0..3).map(some).collect(), vec![]);
    assert!(bytes.len() < MAX_CORIM, "{}", bytes.len());
    assert_eq!(World::new().unsigned(&bytes).unwrap().manifest().len(), 72_000);
}

#[test]
fn keys_come_once_and_lengths_beforehand() {
    let twice = tag(501, M(vec![(U(0), t("a")), (U(0), t("b"))])).write();
    problem(&twice, CborProblem::KeyTwice);
    // 0 in a longer spelling is the same key.
    let spelled = tag(501, M(vec![(U(0), t("a")), (Raw(vec![0x18, 0]), t("b"))])).write();
    problem(&spelled, CborProblem::KeyTwice);
    problem(&tag(501, M(vec![(A(vec![U(1)]), U(1))])).write(), CborProblem::Key);
    for indefinite in ["9fff", "bfff", "5f41ffff", "7f6161ff"] {
        problem(&hex::decode(format!("d901f5{indefinite}")).unwrap(), CborProblem::IndefiniteLength);
    }
    for broken in ["1c", "61ff", "3e"] {
        problem(&hex::decode(format!("d901f5{broken}")).unwrap(), CborProblem::NotWellFormed);
    }
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (0..20_u64).prop_map(U),
        (0..50_u64).prop_map(N),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(B),
        "[a-z]{0,8}".prop_map(T),
        Just(Node::Null),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(A),
            proptest::collection::vec(((0..16_u64).prop_map(U), inner.clone()), 0..5).prop_map(M),
            (prop_oneof![Just(37), Just(111), Just(550), Just(552), Just(560), Just(601)], inner)
                .prop_map(|(tag, node)| Tag(tag, Box::new(node))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _read = reference_values::read_unverified(&bytes);
        let _read = reference_values::read_unverified(&[&[0xd9, 0x01, 0xf5], bytes.as_slice()].concat());
    }

    /// Whatever stands in the place of an environment or a measurement: a value, a note or an error.
    #[test]
    fn never_panics_on_items(environment in node(), measurement in node(), more in node()) {
        let triples = vec![triple(environment, vec![measurement]), more.clone()];
        let _read = reference_values::read_unverified(&corim(vec![comid("a", 0, triples)], vec![(4, more)]));
    }

    /// A manifest that is made is read with all its values, whatever they are.
    #[test]
    fn values_come_back(values in proptest::collection::vec(("[a-z]{1,9}", "[0-9.]{1,9}", any::<u8>()), 1..20)) {
        let list = values.iter().map(|(name, version, byte)| measurement(name, version, *byte)).collect();
        let bytes = corim(vec![comid("a", 0, vec![triple(model("m"), list)])], vec![]);
        let release = World::new().unsigned(&bytes).unwrap();
        let found: Vec<_> = release.manifest().sets[0].known.iter()
            .map(|k| (k.component.clone(), k.version.clone().unwrap(), k.digest.clone())).collect();
        let wanted: Vec<_> = values.into_iter().map(|(n, v, byte)| (n, v, vec![byte; 32])).collect();
        prop_assert_eq!(found, wanted);
    }
}
