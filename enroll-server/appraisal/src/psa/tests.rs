//! The example of RFC 9783, appendix A.1, and what is wrong with everything near it.

use proptest::prelude::*;

use super::cbor::CborError;
use super::claims::PsaClaims;
use super::key::AttestationKey;
use super::token::{Token, TokenError};
use crate::lifecycle::Lifecycle;

/// RFC 9783, appendix A.1: the token in COSE_Sign1.
const RFC_TOKEN: &str = "\
    d28443a10126a0590100a8190100582101020202020202020202020202020202020202020202020202020202020202020219095c58\
    2000000000000000000000000000000000000000000000000000000000000000000a58200101010101010101010101010101010101\
    01010101010101010101010101010119095a1a7fffffff19095b19300019010978217461673a7073616365727469666965642e6f72\
    672c323032333a7073612374666d19010c48000000000000000019095f81a305582004040404040404040404040404040404040404\
    040404040404040404040404040258200303030303030303030303030303030303030303030303030303030303030303016450526f\
    545840786e937a4c42667af3847399319ca95c7e7dbabdc9b50fdb8de3f6bff4ab82ff80c42140e2a488000219e3e10663193da69c\
    75f52b798ea10b2f7041a90e8e5a";
/// The same appendix: x and y of the attestation key, a JWK there.
const RFC_X: &str = "4e5e22099e3bceb45b446d1355fd1dc3b545947b6fd7c1c89d886798c3726e8f";
const RFC_Y: &str = "80d70b840b256aac34a62ede1043364f044095f003474b91e0182092afb13f2e";

fn rfc_token() -> Vec<u8> {
    hex::decode(RFC_TOKEN).unwrap()
}

fn rfc_key() -> AttestationKey {
    let prefix = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    let spki = [prefix, RFC_X, RFC_Y].concat();
    AttestationKey::from_spki_der(&hex::decode(spki).unwrap()).unwrap()
}

#[test]
fn the_example_of_the_rfc_verifies_and_is_read() {
    let bytes = rfc_token();
    let token = Token::parse(&bytes).unwrap();
    assert!(token.signed_with(&rfc_key()));
    let claims = PsaClaims::decode(token.unverified_payload()).unwrap();
    assert_eq!(claims.nonce, [1; 32]);
    assert_eq!(claims.instance, [2; 32]);
    assert_eq!(super::claimed_instance(&bytes), Some([2; 32]));
    assert_eq!(claims.implementation_id, [0; 32]);
    assert_eq!(claims.client, i32::MAX);
    assert_eq!((claims.lifecycle, claims.state()), (0x3000, Lifecycle::Secured));
    assert_eq!(claims.boot_seed, Some([0; 8].as_slice()));
    let [component] = claims.components.as_slice() else { panic!("one component") };
    assert_eq!((component.kind, component.version), (Some("PRoT"), None));
    assert_eq!((component.digest, component.signer), ([3; 32].as_slice(), [4; 32].as_slice()));
}

#[test]
fn no_byte_of_the_example_can_be_changed() {
    let good = rfc_token();
    let key = rfc_key();
    for at in 0..good.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            let verified = Token::parse(&bytes).is_ok_and(|token| token.signed_with(&key));
            assert!(!verified, "byte {at} flipped by {flip:#x}");
        }
    }
}

#[test]
fn the_example_cut_short_or_continued_is_refused() {
    let good = rfc_token();
    for length in 0..good.len() {
        assert!(Token::parse(&good[..length]).is_err(), "{length} bytes");
    }
    let long = [good.as_slice(), &[0]].concat();
    assert_eq!(Token::parse(&long).unwrap_err(), CborError::Trailing { found: 1 }.into());
    assert_eq!(Token::parse(&[0xd2; 2049]).unwrap_err(), TokenError::TooLong { found: 2049 });
}

/// A token with this protected and unprotected header, both in hexadecimal, over an empty payload.
fn with_headers(tag: &str, protected: &str, unprotected: &str) -> TokenError {
    let head = format!("{:02x}", 0x40 + protected.len() / 2);
    let token = [tag, "84", &head, protected, unprotected, "40", "40"].concat();
    Token::parse(&hex::decode(token).unwrap()).unwrap_err()
}

#[test]
fn headers_say_what_this_verifier_understands() {
    assert_eq!(with_headers("d1", "a10105", "a0"), TokenError::Mac0);
    assert_eq!(with_headers("d8 3d".replace(' ', "").as_str(), "a10126", "a0"), TokenError::NotSign1);
    assert_eq!(with_headers("d2", "a10105", "a0"), TokenError::Algorithm { found: 5 });
    assert_eq!(with_headers("d2", "a10127", "a0"), TokenError::Algorithm { found: -8 });
    for (protected, unprotected) in [
        ("a0", "a0"),
        ("a16131 26".replace(' ', "").as_str(), "a0"),
        ("a1014126", "a0"),
        ("a2012602810 1".replace(' ', "").as_str(), "a0"),
        ("a10126", "a10126"),
        ("a10126", "a1028101"),
        ("a10126", "a1182180"),
        ("a10126", "a118216141"),
        ("a10126", "a11821854040404040"),
    ] {
        let error = with_headers("d2", protected, unprotected);
        assert!(matches!(error, TokenError::Header { .. }), "{protected} {unprotected}: {error}");
    }
    assert_eq!(with_headers("d2", "a1012600", "a0"), CborError::Trailing { found: 1 }.into());
    assert_eq!(with_headers("d2", "", "a0"), CborError::Malformed.into());
}

#[test]
fn a_key_of_another_curve_does_not_verify() {
    let bytes = rfc_token();
    let token = Token::parse(&bytes).unwrap();
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let other =
        AttestationKey::from_spki_der(&rcgen::PublicKeyData::subject_public_key_info(&other)).unwrap();
    assert!(!token.signed_with(&other));
}

/// Claims in hexadecimal, by key; a test changes one and sees what is said.
fn claims() -> Vec<(&'static str, String)> {
    vec![
        ("0a", format!("5840{}", "01".repeat(64))),
        ("190100", format!("582101{}", "02".repeat(32))),
        ("190109", "78217461673a7073616365727469666965642e6f72672c323032333a7073612374666d".into()),
        ("19095a", "20".into()),
        ("19095b", "193001".into()),
        ("19095c", format!("5820{}", "05".repeat(32))),
        ("19010c", "480000000000000000".into()),
        (
            "19095f",
            format!("81a4016341707002 5820{0}0465312e322e33055820{0}", "03".repeat(32)).replace(' ', ""),
        ),
    ]
}

fn payload(claims: &[(&str, String)]) -> Vec<u8> {
    let pairs: String = claims.iter().map(|(key, value)| format!("{key}{value}")).collect();
    hex::decode(format!("{:02x}{pairs}", 0xa0 + claims.len())).unwrap()
}

fn error_with(key: &str, value: &str) -> String {
    let mut claims = claims();
    match claims.iter_mut().find(|(there, _)| *there == key) {
        Some(claim) => claim.1 = value.into(),
        None => claims.push(("19095e", value.into())),
    }
    PsaClaims::decode(&payload(&claims)).unwrap_err().to_string()
}

#[test]
fn each_claim_has_its_form() {
    let good = payload(&claims());
    let read = PsaClaims::decode(&good).unwrap();
    assert_eq!(read.components[0].version, Some("1.2.3"));
    assert_eq!(read.device_claims(None).software_version.as_deref(), Some("1.2.3"));
    for (key, value, told) in [
        ("0a", "581f".to_owned() + &"01".repeat(31), "nonce is not 32, 48"),
        // The array notation must not be used.
        ("0a", format!("815820{}", "01".repeat(32)), "nonce is not 32, 48"),
        ("190100", format!("582102{}", "02".repeat(32)), "instance-id"),
        ("190100", format!("5820{}", "02".repeat(32)), "instance-id"),
        ("190109", format!("7818{}", hex::encode("http://arm.com/psa/2.0.0")), "the profile \"http"),
        ("190109", "01".into(), "profile is not text"),
        ("19095a", "00".into(), "client-id"),
        ("19095a", "1b0000000100000000".into(), "client-id"),
        ("19095b", "1a00010000".into(), "security-lifecycle"),
        ("19095b", "20".into(), "security-lifecycle"),
        ("19095c", format!("581f{}", "05".repeat(31)), "implementation-id"),
        ("19010c", "4700000000000000".into(), "boot-seed"),
        ("19010c", format!("5821{}", "00".repeat(33)), "boot-seed"),
        ("19095f", "80".into(), "software-components"),
        ("19095f", "8101".into(), "software-components"),
        ("19095f", format!("91{}", "a0".repeat(17)), "software-components"),
        ("19095f", "81a0".into(), "measurement-value"),
        ("19095f", format!("81a1025820{}", "03".repeat(32)), "signer-id"),
        ("19095f", format!("81a20250{}055820{}", "03".repeat(16), "03".repeat(32)), "measurement-value"),
        (
            "19095f",
            format!("81a3016002 5820{0}055820{0}", "03".repeat(32)).replace(' ', ""),
            "measurement-type",
        ),
        ("19095e", "6d31323334353637383930313233".into(), "certification-reference"),
    ] {
        let error = error_with(key, &value);
        assert!(error.contains(told), "{key} {value}: {error}");
    }
    // EAN-13+5.
    let mut with = claims();
    with.push(("19095e", format!("73{}", hex::encode("1234567890123-12345"))));
    PsaClaims::decode(&payload(&with)).unwrap();
}

#[test]
fn every_claim_that_the_rfc_demands_is_demanded() {
    for at in 0..claims().len() {
        let mut without = claims();
        let (key, _) = without.remove(at);
        let read = PsaClaims::decode(&payload(&without)).map(|_| ());
        match key {
            "19010c" => assert_eq!(read, Ok(()), "the boot seed may be left out"),
            _ => assert!(matches!(read, Err(TokenError::Missing { .. })), "{key}: {read:?}"),
        }
    }
}

#[test]
fn the_profile_before_the_rfc_is_read_too() {
    let old = |key: u32| format!("3a{:08x}", key - 1);
    let hash = |byte: &str| format!("5820{}", byte.repeat(32));
    let mut claims = vec![
        (old(75000), "715053415f494f545f50524f46494c455f31".to_owned()),
        (old(75001), "20".into()),
        (old(75002), "193000".into()),
        (old(75003), hash("05")),
        (old(75004), hash("00")),
        (old(75005), format!("6d{}", hex::encode("1234567890123"))),
        (old(75006), format!("81a202{0}05{0}", hash("03"))),
        (old(75008), hash("01")),
        (old(75009), format!("582101{}", "02".repeat(32))),
    ];
    let encode = |claims: &[(String, String)]| {
        let borrowed: Vec<_> = claims.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        payload(&borrowed)
    };
    let bytes = encode(&claims);
    assert_eq!(PsaClaims::decode(&bytes).unwrap().instance, [2; 32]);
    claims.remove(4);
    assert_eq!(PsaClaims::decode(&encode(&claims)), Err(TokenError::Missing { claim: "boot-seed" }));
}

#[test]
fn each_state_of_the_lifecycle_has_its_number() {
    for (number, state) in [
        (0x0000, Lifecycle::Unknown),
        (0x10ff, Lifecycle::AssemblyAndTest),
        (0x2000, Lifecycle::Provisioning),
        (0x3000, Lifecycle::Secured),
        (0x30ff, Lifecycle::Secured),
        (0x4000, Lifecycle::NonRotDebug),
        (0x5001, Lifecycle::RecoverableRotDebug),
        (0x6000, Lifecycle::Decommissioned),
        (0x3100, Lifecycle::Unknown),
        (0xffff, Lifecycle::Unknown),
    ] {
        let mut changed = claims();
        changed[4].1 = format!("19{number:04x}");
        let bytes = payload(&changed);
        assert_eq!(PsaClaims::decode(&bytes).unwrap().state(), state, "{number:#06x}");
    }
}

/// An application of two parts is as old as its older part; a version that does not compare counts as none.
#[test]
fn the_lowest_version_of_the_application_counts() {
    let of = |versions: &[&str]| {
        let hash = format!("5820{}", "03".repeat(32));
        let parts: String = versions
            .iter()
            .map(|version| {
                format!("a4016341707002{hash}04{:02x}{}05{hash}", 0x60 + version.len(), hex::encode(version))
            })
            .collect();
        let mut changed = claims();
        changed[7].1 = format!("{:02x}{parts}", 0x80 + versions.len());
        PsaClaims::decode(&payload(&changed)).unwrap().device_claims(None).software_version
    };
    assert_eq!(of(&["1.10.0", "1.9.0"]).as_deref(), Some("1.9.0"));
    assert_eq!(of(&["1.10.0", "1.9"]), None);
}

proptest! {
    #[test]
    fn never_panics_on_changed_tokens(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = rfc_token();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = cut.index(bytes.len() * 2);
        bytes.truncate(cut);
        if let Ok(token) = Token::parse(&bytes)
            && let Ok(claims) = PsaClaims::decode(token.unverified_payload())
        {
            prop_assert!(claims.components.len() <= super::claims::MAX_COMPONENTS);
        }
    }
}
