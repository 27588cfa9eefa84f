//! The examples that draft-ietf-rats-corim prints, put together by hand.

use crate::kit::Node::{A, B, U};
use crate::kit::{World, corim, hex_bytes, map, t, tag};
use reference_values::NoteKind;

/// Section 8, "Example Appraisal", "Input CoRIMs": reference values of two software components of a PSA device,
/// under the profile of draft-fdb-rats-psa-endorsements, section 3.1.
#[test]
fn psa_reference_values() {
    let implementation = "61636d652d696d706c656d656e746174 696f6e2d69642d303030303030303031";
    let signer = "5378796307535df3ec8d8b15a2e2dc5641419c3d3060cfe32238c0fa973f7aa3";
    let environment = map([(0, map([(0, tag(560, hex_bytes(implementation)))]))]);
    let component = |digest: &str| {
        let values = map([
            (2, A(vec![A(vec![t("sha-256"), hex_bytes(digest)])])),
            (11, t("PRoT")),
            (13, A(vec![tag(560, hex_bytes(signer))])),
        ]);
        A(vec![environment.clone(), A(vec![map([(0, t("psa.software-component")), (1, values)])])])
    };
    let digests = [
        "9a271f2a916b0b6ee6cecb2426f0b320 6ef074578be55d9bc94f6f3fe3ab86aa",
        "a3fe9f414586c0d3cacbe3b6920a09d8 718e503bca22e23fef882203bf765065",
    ];
    let entity = map([(0, t("ACME Inc.")), (1, tag(32, t("https://acme.example"))), (2, A(vec![U(0)]))]);
    let comid = map([
        (1, map([(0, t("acme.example/gizmo-v1"))])),
        (2, A(vec![entity])),
        (4, map([(0, A(digests.map(component).to_vec()))])),
    ]);
    let profile = tag(32, t("tag:arm.com,2025:psa#1.0.0"));
    let release = World::new().unsigned(&corim(vec![comid.clone()], vec![(3, profile)])).unwrap();
    let manifest = release.manifest();
    assert_eq!(manifest.profile.as_deref(), Some("tag:arm.com,2025:psa#1.0.0"));
    assert_eq!(manifest.entities, ["ACME Inc."]);
    let set = &manifest.sets[0];
    assert_eq!((set.name.as_deref(), set.version), (Some("acme.example/gizmo-v1"), Some(0)));
    for (known, digest) in set.known.iter().zip(digests) {
        assert_eq!(known.component, "PRoT");
        assert_eq!(known.implementation_id.as_ref(), Some(b"acme-implementation-id-000000001"));
        assert_eq!(hex::encode(known.signer.as_ref().unwrap()), signer);
        assert_eq!(hex::encode(&known.digest), digest.replace(' ', ""));
        assert_eq!((&known.model, &known.version), (&None, &None));
    }
    assert_eq!(manifest.notes.list(), []);

    // Without the profile nothing says that these bytes are an implementation identifier.
    let error = World::new().unsigned(&corim(vec![comid], vec![])).unwrap_err();
    assert!(error.to_string().contains("none of its values"), "{error}");
}

/// `corim-2` of the draft's examples: two makes of environments, one with an index, and an endorsed value, which
/// is no reference value.
#[test]
fn layers_name_what_has_no_name() {
    let class = |id: &str, model: &str, layer: u64, index: Option<u64>| {
        let fields = [(0, tag(37, hex_bytes(id))), (1, t("ACME Inc.")), (2, t(model)), (3, U(layer))];
        map([(0, map(fields.into_iter().chain(index.map(|index| (4, U(index))))))])
    };
    let (firmware, os) = ("67b28b6c34cc40a19117ab5b05911e37", "a71b3e388d454a0581f352e58c832c5c");
    let digest = |hex: &str| A(vec![map([(1, map([(2, A(vec![A(vec![U(1), hex_bytes(hex)])]))]))])]);
    let one = "44aa336af4cb14a879432e53dd6571c7fa9bccafb75f488259262d6ea3a4d91b";
    let two = "bb71198ed60a95dc3c619e555c2c0b8d7564a38031b034a195892591c65365b0";
    let triples = vec![
        A(vec![class(firmware, "ACME RoadRunner Firmware", 1, None), digest(one)]),
        A(vec![class(os, "WYLIE Coyote Trusted OS", 2, Some(0)), digest(two)]),
        A(vec![class(os, "WYLIE Coyote Trusted OS", 2, Some(1)), digest(two)]),
    ];
    let svn = A(vec![map([(1, map([(1, tag(552, U(1)))]))])]);
    let endorsed = A(vec![class(firmware, "ACME RoadRunner Root of Trust", 0, None), svn]);
    let comid = map([
        (1, map([(0, hex_bytes("3f06af63a93c11e4979700505690773f"))])),
        (4, map([(0, A(triples)), (1, A(vec![endorsed]))])),
    ]);
    let release = World::new().unsigned(&corim(vec![comid], vec![])).unwrap();
    let set = &release.manifest().sets[0];
    assert_eq!(set.name.as_deref(), Some("3f06af63-a93c-11e4-9797-00505690773f"));
    let components: Vec<_> = set.known.iter().map(|k| (k.model.as_deref(), &*k.component)).collect();
    assert_eq!(
        components,
        [
            (Some("ACME RoadRunner Firmware"), "layer-1"),
            (Some("WYLIE Coyote Trusted OS"), "layer-2"),
            (Some("WYLIE Coyote Trusted OS"), "layer-2"),
        ]
    );
    let notes = release.manifest().notes.list();
    let has = |kind, text: &str| notes.iter().any(|note| note.kind == kind && note.what.contains(text));
    assert!(has(NoteKind::NotTaken, "1 endorsed-value triples"), "{notes:?}");
    assert!(has(NoteKind::NotCompared, "index 1"), "{notes:?}");
    assert!(has(NoteKind::NotCompared, "class-id 67b28b6c-34cc-40a1-9117-ab5b05911e37"), "{notes:?}");
}

/// Section 5.1.4.7: every digest of a register is good by itself; a number is that of a TPM's register.
#[test]
fn integrity_registers() {
    let digest = |algorithm: u64, bytes: Vec<u8>| A(vec![U(algorithm), B(bytes)]);
    let registers = map([
        (0, A(vec![digest(1, vec![0; 32])])),
        (1, A(vec![digest(1, vec![0x11; 32]), digest(7, vec![0x12; 48])])),
    ]);
    let environment = map([(0, map([(1, t("ACME Inc.")), (2, t("Gateway"))]))]);
    let triple = A(vec![environment, A(vec![map([(1, map([(14, registers)]))])])]);
    let comid = map([(1, map([(0, t("pcrs"))])), (4, map([(0, A(vec![triple]))]))]);
    let release = World::new().unsigned(&corim(vec![comid], vec![])).unwrap();
    let known: Vec<_> =
        release.manifest().sets[0].known.iter().map(|k| (&*k.component, k.digest.len())).collect();
    assert_eq!(known, [("pcr-0", 32), ("pcr-1", 32), ("pcr-1", 48)]);
}
