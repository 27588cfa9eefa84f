//! Signed manifests: who may sign for whom, and what a signature has to say.

use crate::kit::Node::{A, B, Null, T, U};
use crate::kit::{ES256, ES384, NOW, Node, World, good, header, map, p256, p384, sign, t, tag};
use core::time::Duration;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use reference_values::{Authority, Offer, ReleaseError, Trust};

fn signed(key: &rcgen::KeyPair, more: Vec<(u64, Node)>) -> Vec<u8> {
    sign(key, &header(ES256, more), map([]), &good())
}

#[test]
fn a_registered_key_signs_for_its_maker_and_no_other() {
    let key = p256();
    let world = World::new().with_key("acme", &key);
    let release = world.open(&signed(&key, vec![])).unwrap();
    assert_eq!((release.maker(), release.manifest().len()), ("acme", 1));
    assert!(release.manifest().entities.contains(&"ACME Ltd.".into()));

    let asked = |maker| {
        let offer = Offer { bytes: &signed(&key, vec![]), signature: None };
        reference_values::open(&offer, &Trust { maker: Some(maker), ..world.trust() }).map(|_| ())
    };
    assert_eq!(asked("acme"), Ok(()));
    assert_eq!(asked("zenith"), Err(ReleaseError::NoKey { maker: Some("zenith".into()) }));
}

#[test]
fn es384_is_taken_with_its_own_curve_only() {
    let (key, short) = (p384(), p256());
    let world = World::new().with_key("acme", &short).with_key("acme", &key);
    let good_one = sign(&key, &header(ES384, vec![]), map([]), &good());
    assert_eq!(world.open(&good_one).unwrap().maker(), "acme");
    for (key, algorithm) in [(&key, ES256), (&short, ES384)] {
        let bad = sign(key, &header(algorithm, vec![]), map([]), &good());
        assert!(matches!(world.open(&bad), Err(ReleaseError::Signature { tried: 2, .. })));
    }
}

#[test]
fn a_wrong_signature_is_never_as_good_as_none() {
    let (key, stranger) = (p256(), p256());
    let world = World::new().with_key("acme", &key);
    let bad = signed(&stranger, vec![]);
    assert!(matches!(world.open(&bad), Err(ReleaseError::Signature { tried: 1, .. })));
    // Not even where unsigned files are taken.
    assert!(matches!(world.unsigned(&bad), Err(ReleaseError::Signature { .. })));
    assert_eq!(World::new().open(&bad), Err(ReleaseError::NoKey { maker: None }));
    let both = Offer { bytes: &signed(&key, vec![]), signature: Some(b"0") };
    assert_eq!(reference_values::open(&both, &world.trust()), Err(ReleaseError::TwoSignatures));
}

#[test]
fn a_certificate_of_the_makers_ca_signs_where_it_is_for_that() {
    let (world, key) = (World::new(), p256());
    let chain = |der: Vec<u8>| signed(&key, vec![(33, B(der))]);
    let release = world.open(&chain(world.ca.signer(&key, |_| ()))).unwrap();
    assert_eq!(release.maker(), "acme");
    let Authority::Certificate { subject, .. } = release.authority() else { panic!() };
    assert_eq!(subject, "CN=release signing");

    // An IDevID of the same maker leads to the same CA: it must not sign for the maker.
    let idevid = world.ca.signer(&key, |params| params.extended_key_usages.clear());
    assert!(matches!(world.open(&chain(idevid)), Err(ReleaseError::Signer(_))));
    let client = world.ca.signer(&key, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(matches!(world.open(&chain(client)), Err(ReleaseError::Signer(_))));
    let usage = world.ca.signer(&key, |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert!(matches!(world.open(&chain(usage)), Err(ReleaseError::Signer(_))));
    // Someone else's certificate beside one's own signature.
    let other = world.ca.signer(&p256(), |_| ());
    assert!(matches!(world.open(&chain(other)), Err(ReleaseError::Signature { tried: 1, .. })));
    // A CA that nobody knows.
    let unknown = World::new().ca.signer(&key, |_| ());
    assert!(matches!(world.open(&chain(unknown)), Err(ReleaseError::Signer(_))));
    let expired = world.ca.signer(&key, |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(matches!(world.open(&chain(expired)), Err(ReleaseError::Signer(_))));
}

#[test]
fn a_chain_may_stand_in_either_header_but_once() {
    let (world, key) = (World::new(), p256());
    let der = B(world.ca.signer(&key, |_| ()));
    let unprotected = sign(&key, &header(ES256, vec![]), map([(33, der.clone())]), &good());
    assert_eq!(world.open(&unprotected).unwrap().maker(), "acme");
    let twice = sign(&key, &header(ES256, vec![(33, der.clone())]), map([(33, der.clone())]), &good());
    assert!(matches!(world.open(&twice), Err(ReleaseError::Manifest(_))));
    for bad in [A(vec![der.clone()]), A(vec![der; 5]), t("x")] {
        assert!(matches!(world.open(&signed(&key, vec![(33, bad)])), Err(ReleaseError::Manifest(_))));
    }
}

#[test]
fn what_would_change_the_meaning_of_a_signature_is_refused() {
    let key = p256();
    let world = World::new().with_key("acme", &key);
    let meta = B(map([(0, map([(0, t("ACME Ltd."))]))]).write());
    let content = || t("application/rim+cbor");
    for (bad, because) in [
        (header(ES256, vec![(2, A(vec![U(1)]))]), "crit"),
        (header(ES256, vec![(258, Node::N(15))]), "hash envelope"),
        (header(7, vec![]), "alg -7 (ES256) or -35 (ES384)"),
        (map([(1, Node::N(ES256)), (8, meta.clone())]), "content-type is missing"),
        (
            map([(1, Node::N(ES256)), (3, t("application/eat+cwt")), (8, meta.clone())]),
            "application/rim+cbor",
        ),
        (map([(3, content()), (8, meta)]), "alg is missing"),
        (map([(1, Node::N(ES256)), (3, content())]), "corim-meta or CWT-Claims is missing"),
        (header(ES256, vec![(15, map([(1, t("Somebody else"))]))]), "the same signer and validity"),
    ] {
        let error = world.open(&sign(&key, &bad, map([]), &good())).unwrap_err();
        let ReleaseError::Manifest(error) = error else { panic!("{because}: {error:?}") };
        assert!(error.to_string().contains(because), "{because}: {error}");
    }
    let detached = tag(18, A(vec![B(header(ES256, vec![]).write()), map([]), Null, B(vec![0; 64])])).write();
    let error = world.open(&detached).unwrap_err();
    assert!(core::error::Error::source(&error).unwrap().to_string().contains("detached"), "{error:?}");
    // A list inside of the signature is no manifest.
    let list = sign(&key, &header(ES256, vec![]), map([]), b"component,digest\n");
    assert!(matches!(world.open(&list), Err(ReleaseError::Manifest(_))));
}

#[test]
fn signatures_count_for_their_time() {
    let key = p256();
    let world = World::new().with_key("acme", &key);
    let secs = |time: shared::UnixTime| tag(1, U(time.as_secs()));
    let (second, before) = (Duration::from_secs(1), NOW.before(Duration::from_secs(1)));
    let with_meta = |first, last| {
        let validity = map([(0, secs(first)), (1, secs(last))]);
        let meta = map([(0, map([(0, t("ACME Ltd."))])), (1, validity)]);
        let protected = map([(1, Node::N(ES256)), (3, t("application/rim+cbor")), (8, B(meta.write()))]);
        world.open(&sign(&key, &protected, map([]), &good()))
    };
    let release = with_meta(NOW, NOW).unwrap();
    assert_eq!(release.manifest().validity.not_after, Some(NOW), "its values end with the signature");
    assert!(matches!(with_meta(before, before), Err(ReleaseError::SignatureTime { .. })));
    assert!(matches!(
        with_meta(NOW.after(second), NOW.after(second)),
        Err(ReleaseError::SignatureTime { .. })
    ));

    // RFC 9597: the same in CWT claims.
    let claims = |exp: u64| map([(1, t("ACME Ltd.")), (4, U(exp))]);
    let with_claims = |exp| {
        let protected = map([(1, Node::N(ES256)), (3, t("application/rim+cbor")), (15, claims(exp))]);
        world.open(&sign(&key, &protected, map([]), &good()))
    };
    assert_eq!(with_claims(NOW.as_secs()).unwrap().maker(), "acme");
    assert!(matches!(with_claims(NOW.as_secs() - 1), Err(ReleaseError::SignatureTime { .. })));
    assert!(matches!(with_claims(u64::MAX), Err(ReleaseError::Manifest(_))));
}

#[test]
fn the_maker_has_to_be_known_and_agreed_on() {
    let world = World::new();
    let open = |maker, allow_unsigned, bytes: &[u8]| {
        let trust = Trust { maker, allow_unsigned, ..world.trust() };
        reference_values::open(&Offer { bytes, signature: None }, &trust).map(|_| ())
    };
    assert_eq!(open(Some("acme"), true, &good()), Ok(()));
    assert_eq!(open(Some("acme"), false, &good()), Err(ReleaseError::Unsigned));
    assert_eq!(open(None, true, &good()), Err(ReleaseError::NoMaker));
    let unknown = open(Some("amce"), true, &good()).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no maker \"amce\"; known are acme, zenith");
    let list = format!("# maker: zenith\ncomponent,digest\napp,{}\n", "ab".repeat(32));
    let wrong = open(Some("acme"), true, list.as_bytes()).unwrap_err();
    assert!(matches!(wrong, ReleaseError::WrongMaker { .. }), "{wrong}");
    assert_eq!(open(None, true, list.as_bytes()), Ok(()));
    assert_eq!(T("x".into()).write(), [0x61, b'x'], "the kit writes CBOR");
}
