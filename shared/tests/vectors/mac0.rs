//! Messages authenticated with a symmetric key: the authenticated bytes, the tag and the COSE_Mac0 around them.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use shared::cose::{Mac0, encode_mac0};

use super::files::{bytes, load, vectors};

#[test]
fn tags_verify_and_are_made_again_byte_for_byte() {
    let kid: [u8; 8] = bytes(&load("cose-mac0")["kid"]).try_into().unwrap();
    for (name, vector) in vectors("cose-mac0") {
        let whole = bytes(&vector["hex"]);
        let mac0 = Mac0::decode(&whole, whole.len()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(*mac0.kid(), kid, "{name}");
        assert_eq!(hex::encode(mac0.unverified_payload()), vector["payload"].as_str().unwrap(), "{name}");
        assert_eq!(hex::encode(mac0.tag()), vector["tag"].as_str().unwrap(), "{name}");

        let mut covered = Vec::new();
        mac0.mac_bytes(|part| covered.extend_from_slice(part));
        assert_eq!(hex::encode(&covered), vector["mac_bytes"].as_str().unwrap(), "{name}");
        let mut mac = Hmac::<Sha256>::new_from_slice(&bytes(&vector["key"])).unwrap();
        mac.update(&covered);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(tag, *mac0.tag(), "{name}");

        let mut out = vec![0; whole.len()];
        let length = encode_mac0(&kid, mac0.unverified_payload(), &tag, &mut out).unwrap();
        assert_eq!(out[..length], whole, "{name}");
    }
}

#[test]
fn every_other_header_is_refused() {
    let (_, vector) = vectors("cose-mac0").remove(2);
    let good = bytes(&vector["hex"]);
    let header = 3..20;
    for at in header.start..header.start + 9 {
        let mut other = good.clone();
        other[at] ^= 1;
        assert!(Mac0::decode(&other, other.len()).is_err(), "byte {at}");
    }
    for at in header.start + 9..header.end {
        let mut other = good.clone();
        other[at] ^= 1;
        assert_ne!(Mac0::decode(&other, other.len()).unwrap().kid(), Mac0::decode(&good, 99).unwrap().kid());
    }
}
