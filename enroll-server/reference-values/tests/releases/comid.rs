//! What becomes of each part of a CoMID: a value, a note, or a refusal; never nothing.

use crate::kit::Node::{A, B, N, Null, U};
use crate::kit::{Node, World, comid, corim, map, measurement, model, sha256, t, tag, triple};
use appraisal::policy::KnownGood;
use reference_values::{Manifest, NoteKind, ReleaseError};

/// Reads one triple besides one that is good, so that there is always a value.
fn read(environment: Node, measurements: Vec<Node>) -> Result<Manifest, ReleaseError> {
    let good = triple(model("good"), vec![measurement("good", "1", 1)]);
    let bytes = corim(vec![comid("tag", 0, vec![good, triple(environment, measurements)])], vec![]);
    World::new().unsigned(&bytes).map(|release| release.manifest().clone())
}

fn value(environment: Node, measurement: Node) -> KnownGood {
    let manifest = read(environment, vec![measurement]).unwrap();
    assert_eq!(manifest.len(), 2, "{:?}", manifest.notes);
    manifest.sets[0].known[1].clone()
}

#[track_caller]
fn not_taken(environment: Node, measurement: Node, because: &str) {
    let manifest = read(environment, vec![measurement]).unwrap();
    assert_eq!(manifest.len(), 1, "{because}");
    let notes = manifest.notes.list();
    let told = notes.iter().any(|note| note.kind == NoteKind::NotTaken && note.what.contains(because));
    assert!(told, "{because}: {notes:?}");
}

#[track_caller]
fn refused(environment: Node, measurement: Node, because: &str) {
    let error = read(environment, vec![measurement]).unwrap_err();
    let ReleaseError::Manifest(error) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains(because), "{error}");
}

fn named(key: Node) -> Node {
    map([(0, key), (1, map([(2, sha256(2))]))])
}

fn values(more: Vec<(u64, Node)>) -> Node {
    map([(0, t("app")), (1, map([(2, sha256(2))].into_iter().chain(more)))])
}

#[test]
fn a_component_has_the_name_its_key_gives() {
    let uuid = (0..16).collect::<Vec<u8>>();
    for (key, component) in [
        (t("application"), "application"),
        (U(700), "700"),
        (tag(111, B(vec![0x55, 0x02, 0x81, 0x40, 0x01])), "2.5.2.192.1"),
        (tag(37, B(uuid)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ] {
        let known = value(model("m"), named(key));
        assert_eq!((known.component.as_str(), known.version), (component, None));
    }
    // Early drafts of the PSA profile.
    let refval = map([(1, t("BL")), (4, t("2.1.0")), (5, B(vec![5; 32]))]);
    let environment = map([(0, map([(0, tag(600, B(vec![6; 32])))]))]);
    let known = value(environment, named(tag(601, refval)));
    assert_eq!((known.component.as_str(), known.version.as_deref()), ("BL", Some("2.1.0")));
    assert_eq!((known.signer, known.implementation_id), (Some(vec![5; 32]), Some([6; 32])));
    // Without a key: the name, then the layer.
    let nameless = |more: Vec<(u64, Node)>| map([(1, map([(2, sha256(2))].into_iter().chain(more)))]);
    let layered = map([(0, map([(2, t("m")), (3, U(2))]))]);
    assert_eq!(value(layered.clone(), nameless(vec![(11, t("os"))])).component, "os");
    assert_eq!(value(layered, nameless(vec![])).component, "layer-2");
    not_taken(model("m"), nameless(vec![]), "digests without a name");
}

#[test]
fn a_value_is_for_the_device_that_its_instance_names() {
    let ueid = |bytes: Vec<u8>| map([(0, map([(2, t("m"))])), (1, tag(550, B(bytes)))]);
    let known = value(ueid([vec![1], vec![9; 32]].concat()), measurement("a", "1", 2));
    assert_eq!((known.instance, known.model.as_deref()), (Some([9; 32]), Some("m")));
    // By an EUI, or anything but a hash, no evidence shows which device it is.
    not_taken(ueid([vec![2], vec![9; 8]].concat()), measurement("a", "1", 2), "named by something");
    let bytes = map([(0, map([(2, t("m"))])), (1, tag(560, B(vec![9; 32])))]);
    not_taken(bytes, measurement("a", "1", 2), "named by something");
    refused(ueid(vec![1; 6]), measurement("a", "1", 2), "UEID of 7 to 33 bytes");
}

/// A condition that evidence cannot be held against must not be dropped: the value would be good for more.
#[test]
fn conditions_that_cannot_be_checked_keep_a_value_out() {
    let group = map([(0, map([(2, t("m"))])), (2, tag(37, B(vec![1; 16])))]);
    not_taken(group, measurement("a", "1", 2), "group of devices");
    let class_only = map([(0, map([(0, tag(37, B(vec![1; 16])))]))]);
    not_taken(class_only, measurement("a", "1", 2), "without a model");
    let extended = map([(0, map([(2, t("m")), (77, U(1))]))]);
    not_taken(extended, measurement("a", "1", 2), "an extension, 77");
    for (key, node, name) in [
        (3, map([(3, Node::Raw(vec![0xf4]))]), "flags"),
        (4, tag(560, B(vec![1])), "raw-value"),
        (6, B(vec![1; 6]), "mac-addr"),
        (7, B(vec![1; 4]), "ip-addr"),
        (8, t("SN-1"), "serial-number"),
        (9, B(vec![1; 33]), "ueid"),
        (10, B(vec![1; 16]), "uuid"),
        (13, A(vec![tag(554, t("key"))]), "cryptokeys"),
        (15, U(1), "int-range"),
        (100, t("x"), "extension, 100"),
    ] {
        not_taken(model("m"), values(vec![(key, node)]), name);
    }
    let authorized = map([(0, t("a")), (1, map([(2, sha256(2))])), (2, A(vec![tag(554, t("key"))]))]);
    not_taken(model("m"), authorized, "authorized-by");
    not_taken(model("m"), map([(0, t("a")), (1, map([(1, tag(553, U(4)))]))]), "no digest");
}

#[test]
fn security_versions_are_told_and_not_compared() {
    for (svn, text) in [(U(4), "version 4:"), (tag(552, U(4)), "version 4:"), (tag(553, U(4)), "4 or higher")]
    {
        let manifest = read(model("m"), vec![values(vec![(1, svn)])]).unwrap();
        assert_eq!(manifest.len(), 2);
        let note = manifest.notes.list().last().unwrap();
        assert!(note.kind == NoteKind::NotCompared && note.what.contains(text), "{note:?}");
    }
}

#[test]
fn digests_have_a_known_algorithm_and_its_length() {
    let with = |entries: Vec<(Node, usize)>| {
        let digests = entries.into_iter().map(|(algorithm, length)| A(vec![algorithm, B(vec![7; length])]));
        map([(0, t("a")), (1, map([(2, A(digests.collect()))]))])
    };
    for (algorithm, length) in [
        (U(1), 32),
        (U(7), 48),
        (U(8), 64),
        (t("sha-256"), 32),
        (t("sha-384"), 48),
        (t("sha-512"), 64),
        (N(15), 32),
        (N(42), 48),
        (N(43), 64),
    ] {
        assert_eq!(value(model("m"), with(vec![(algorithm, length)])).digest, vec![7; length]);
    }
    // SHA-256 cut to 32 bits, and SHA3-256, which has the length of another.
    not_taken(model("m"), with(vec![(U(6), 4)]), "algorithm 6");
    not_taken(model("m"), with(vec![(U(10), 32)]), "algorithm 10");
    refused(model("m"), with(vec![(U(1), 48)]), "SHA-256 digest of 48 bytes");
    refused(model("m"), with(vec![(U(1), 0)]), "SHA-256 digest of 0 bytes");
    // Section 7.7: each algorithm once, however it is called.
    refused(model("m"), with(vec![(U(1), 32), (t("sha-256"), 32)]), "a second SHA-256 digest");
    refused(model("m"), with(vec![(Null, 32)]), "an algorithm");
    refused(model("m"), map([(0, t("a")), (1, map([(2, A(vec![]))]))]), "at least one entry");
}

#[test]
fn what_the_draft_does_not_allow_is_refused_with_its_place() {
    let ok = || measurement("a", "1", 2);
    let place = "corim.tags[0].triples.reference-triples[1]";
    refused(map([]), ok(), "environment (byte");
    refused(map([(0, map([]))]), ok(), "class-id, vendor, model");
    refused(map([(0, map([(2, U(1))]))]), ok(), &format!("{place}.environment.class.model"));
    refused(model("m"), map([(0, t("a"))]), &format!("{place}.measurements[0]"));
    refused(model("m"), map([(0, t("a")), (1, map([]))]), "at least one measured value");
    refused(model("m"), map([(0, Null), (1, map([(2, sha256(1))]))]), "mkey");
    refused(model("m"), named(t("")), "text of 1 to 128 bytes");
    refused(model("m"), named(t("a\nb")), "control characters");
    refused(model("m"), measurement("a", &"9".repeat(200), 2), "text of 1 to 128 bytes");
}

#[test]
fn other_tags_triples_and_links_are_named() {
    let good = triple(model("good"), vec![measurement("good", "1", 1)]);
    let linked = |relation| map([(0, t("old")), (1, U(relation))]);
    let rest = [(1, "endorsed"), (2, "device identity"), (3, "attestation key"), (4, "trust dependency")];
    let rest =
        rest.into_iter().chain([(5, "domain membership"), (6, "CoSWID"), (8, "series"), (10, "conditional")]);
    let rest: Vec<_> = rest.chain([(66, "an extension, 66")]).collect();
    let triples = [(0, A(vec![good]))].into_iter().chain(rest.iter().map(|(key, _)| (*key, A(vec![U(0)]))));
    let comid = map([
        (1, map([(0, t("tag"))])),
        (3, A(vec![linked(0), linked(1), linked(9)])),
        (4, map(triples)),
        (9, U(0)),
    ]);
    let tags =
        A(vec![tag(506, B(comid.write())), tag(505, B(vec![0xa0])), tag(508, B(vec![0xa0])), tag(999, U(1))]);
    let locator = map([(0, tag(32, t("https://example.com/base.corim")))]);
    let bytes = tag(501, map([(0, t("x")), (1, tags), (2, A(vec![locator])), (88, U(1))])).write();
    let release = World::new().unsigned(&bytes).unwrap();
    let notes = release.manifest().notes.list();
    let wanted = ["CoSWID tag", "CoTL tag", "a tag of kind 999", "base.corim", "an extension, 88"];
    let wanted =
        wanted.into_iter().chain(["supplements", "replaces", "unknown relation", "an extension, 9,"]);
    for text in wanted.chain(rest.iter().map(|(_, name)| *name)) {
        assert!(notes.iter().any(|note| note.what.contains(text)), "{text}: {notes:#?}");
    }
}

#[test]
fn tags_of_one_manifest_differ() {
    let one = |version| comid("same", version, vec![triple(model("m"), vec![measurement("a", "1", 1)])]);
    let error = World::new().unsigned(&corim(vec![one(1), one(2)], vec![])).unwrap_err();
    let ReleaseError::Manifest(error) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("that of an earlier tag too"), "{error}");
}

/// A bare CoMID is taken as the one tag of a manifest.
#[test]
fn a_bare_comid_is_enough() {
    let comid = comid("bare", 7, vec![triple(model("m"), vec![measurement("a", "1", 1)])]);
    let release = World::new().unsigned(&tag(506, B(comid.write())).write()).unwrap();
    assert_eq!(release.manifest().sets[0].version, Some(7));
    let error = World::new().unsigned(&comid.write()).unwrap_err();
    let source = core::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("tag 501 (CoRIM) or 506 (CoMID)"), "{source}");
}

#[test]
fn notes_are_counted_when_there_are_many() {
    let bad = map([(0, t("a")), (1, map([(1, U(4))]))]);
    let manifest = read(model("m"), vec![bad; 600]).unwrap();
    assert_eq!((manifest.notes.list().len(), manifest.notes.more()), (500, 100));
}
