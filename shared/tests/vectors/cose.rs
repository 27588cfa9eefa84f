//! Signed messages: the signed bytes, the signature and the COSE_Sign1 around them.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use shared::cose::{Content, Sign1, encode, signed_bytes};

use super::files::{bytes, load, replace_texts, updating, vectors};

#[test]
fn signatures_verify_and_are_made_again_byte_for_byte() {
    let file = load("cose-sign1");
    let key = SigningKey::from_slice(&bytes(&file["key"]["d"])).unwrap();
    let public = VerifyingKey::from(&key);
    let point = public.to_encoded_point(false);
    assert_eq!(hex::encode(point.x().unwrap()), file["key"]["x"].as_str().unwrap());
    assert_eq!(hex::encode(point.y().unwrap()), file["key"]["y"].as_str().unwrap());

    if updating() {
        write(&key);
    }
    for (name, vector) in vectors("cose-sign1") {
        let content = content(vector["content"].as_str().unwrap());
        let whole = bytes(&vector["hex"]);
        let sign1 = Sign1::decode(&whole, content, whole.len()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(hex::encode(sign1.unverified_payload()), vector["payload"].as_str().unwrap(), "{name}");
        assert_eq!(hex::encode(sign1.signature()), vector["signature"].as_str().unwrap(), "{name}");

        let mut signed = Vec::new();
        sign1.signed_bytes(|part| signed.extend_from_slice(part));
        assert_eq!(hex::encode(&signed), vector["signed_bytes"].as_str().unwrap(), "{name}");
        public.verify(&signed, &Signature::from_slice(sign1.signature()).unwrap()).unwrap();

        // RFC 6979 makes the signature a function of key and message, so an implementation can be compared.
        let again: Signature = key.sign(&signed);
        let mut out = vec![0; whole.len()];
        let length = encode(content, sign1.unverified_payload(), &again.to_bytes().into(), &mut out).unwrap();
        assert_eq!(out[..length], whole, "{name}");
    }
}

#[test]
fn one_kind_of_content_is_never_taken_for_the_other() {
    for (name, vector) in vectors("cose-sign1") {
        let whole = bytes(&vector["hex"]);
        let found = content(vector["content"].as_str().unwrap());
        for other in [Content::Eat, Content::TrustBundle, Content::DiceBinding] {
            let taken = Sign1::decode(&whole, other, whole.len()).is_ok();
            assert_eq!(taken, other == found, "{name} as {other:?}");
        }
    }
}

fn content(name: &str) -> Content {
    match name {
        "eat" => Content::Eat,
        "trust-bundle" => Content::TrustBundle,
        other => panic!("no content is called {other}"),
    }
}

/// Signs the first claims and the first trust bundle of the other files.
fn write(key: &SigningKey) {
    let mut columns: [Vec<String>; 4] = Default::default();
    for (_, vector) in vectors("cose-sign1") {
        let name = vector["content"].as_str().unwrap();
        let source = if name == "eat" { "claims" } else { "trust-bundle" };
        let payload = bytes(&vectors(source)[0].1["hex"]);
        let mut signed = Vec::new();
        signed_bytes(content(name), &payload, |part| signed.extend_from_slice(part));
        let signature: Signature = key.sign(&signed);
        let mut out = vec![0; 4096];
        let length = encode(content(name), &payload, &signature.to_bytes().into(), &mut out).unwrap();
        for (column, value) in columns.iter_mut().zip([
            &payload,
            &signed,
            &signature.to_bytes().to_vec(),
            &out[..length].to_vec(),
        ]) {
            column.push(hex::encode(value));
        }
    }
    for (key, column) in ["payload", "signed_bytes", "signature", "hex"].into_iter().zip(&columns) {
        replace_texts("cose-sign1", key, column);
    }
}
