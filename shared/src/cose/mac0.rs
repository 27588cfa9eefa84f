//! COSE_Mac0 with HMAC 256/256 (RFC 9052, sections 6.2 and 6.3; RFC 9053, section 3.1), for an EAT.
//!
//! The crate defines the bytes that are authenticated; the key, and the comparison of tags in constant time, are
//! the caller's.

use minicbor::Decoder;

use super::length_head;
use crate::codec::{DecodeError, EncodeError, Writer, check};

/// Length of the tag of HMAC 256/256 (RFC 9053, section 3.1).
pub const TAG: usize = 32;
/// Length of a key identifier.
pub const KID: usize = 8;

/// Names the key that an EAT is authenticated with; random, and no secret.
pub type Kid = [u8; KID];

/// A COSE_Mac0 as found, its tag not yet checked.
#[derive(Clone, Copy, Debug)]
pub struct Mac0<'b> {
    kid: Kid,
    payload: &'b [u8],
    tag: &'b [u8; TAG],
}

impl<'b> Mac0<'b> {
    /// Takes `bytes` apart: tag 17, the protected header `{1: 5, 3: 263, 4: kid}` in just this form, an empty
    /// unprotected header, payload, tag.
    ///
    /// # Errors
    /// Says what is wrong; `limit` caps the length.
    pub fn decode(bytes: &'b [u8], limit: usize) -> Result<Self, DecodeError> {
        check(bytes, limit)?;
        let invalid = |field| move |_| DecodeError::Invalid { field };
        let mut d = Decoder::new(bytes);
        if d.tag().map_err(invalid("COSE tag"))?.as_u64() != COSE_MAC0_TAG {
            return Err(DecodeError::Invalid { field: "COSE tag" });
        }
        if d.array().map_err(invalid("COSE_Mac0"))? != Some(4) {
            return Err(DecodeError::Invalid { field: "COSE_Mac0" });
        }
        let header = d.bytes().map_err(invalid("protected header"))?;
        let kid = header.strip_prefix(&HEADER).and_then(|kid| kid.try_into().ok());
        let kid = kid.ok_or(DecodeError::Invalid { field: "protected header" })?;
        if d.map().map_err(invalid("unprotected header"))? != Some(0) {
            return Err(DecodeError::Invalid { field: "unprotected header" });
        }
        let payload = d.bytes().map_err(invalid("payload"))?;
        let tag = d.bytes().map_err(invalid("tag"))?;
        let tag = tag.try_into().map_err(|_| DecodeError::Invalid { field: "tag" })?;
        Ok(Self { kid, payload, tag })
    }

    /// Names the key; to be believed only after the tag is verified with it.
    #[must_use]
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The payload, to be believed only after the tag is verified.
    #[must_use]
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The tag.
    #[must_use]
    pub const fn tag(&self) -> &'b [u8; TAG] {
        self.tag
    }

    /// Feeds the authenticated bytes (MAC_structure) to `sink`, part by part.
    pub fn mac_bytes(&self, sink: impl FnMut(&[u8])) {
        mac_bytes(&self.kid, self.payload, sink);
    }
}

/// Feeds the MAC_structure of RFC 9052, section 6.3, with empty external data, to `sink` part by part.
pub fn mac_bytes(kid: &Kid, payload: &[u8], sink: impl FnMut(&[u8])) {
    structure(&header(kid), payload, sink);
}

/// Writes a COSE_Mac0 over `payload` into `out`; returns its length. `tag` is over [`mac_bytes`].
///
/// # Errors
/// Where `out` is too short.
pub fn encode_mac0(kid: &Kid, payload: &[u8], tag: &[u8; TAG], out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut w = Writer::new(out);
    w.put(|e| {
        e.tag(minicbor::data::Tag::new(COSE_MAC0_TAG))?.array(4)?;
        e.bytes(&header(kid))?.map(0)?.bytes(payload)?.bytes(tag)?.ok()
    })?;
    Ok(w.finish())
}

/// CBOR tag of COSE_Mac0 (RFC 9052, table 1).
const COSE_MAC0_TAG: u64 = 17;

/// The protected header up to the key identifier: alg is HMAC 256/256, the content type that of an EAT (RFC 9782),
/// kid 8 bytes.
const HEADER: [u8; 9] = [0xa3, 0x01, 0x05, 0x03, 0x19, 0x01, 0x07, 0x04, 0x48];

fn header(kid: &Kid) -> [u8; HEADER.len() + KID] {
    let mut header = [0; HEADER.len() + KID];
    for (to, from) in header.iter_mut().zip(HEADER.iter().chain(kid)) {
        *to = *from;
    }
    header
}

fn structure(header: &[u8], payload: &[u8], mut sink: impl FnMut(&[u8])) {
    // Four items: context, protected header, external data (empty), payload.
    sink(b"\x84\x64MAC0");
    length_head(header.len(), &mut sink);
    sink(header);
    sink(&[0x40]);
    length_head(payload.len(), &mut sink);
    sink(payload);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{HEADER, Mac0, encode_mac0, header, mac_bytes, structure};
    use hmac::{Hmac, Mac as _};
    use proptest::prelude::*;
    use serde_cbor::Value;
    use sha2::Sha256;
    use std::vec::Vec;

    /// The MACed CWT of RFC 8392, appendix A.4 (HMAC 256/64 with the key of A.2.2): the same MAC_structure over
    /// another header.
    #[test]
    fn example_of_the_rfc() {
        let key = hex::decode("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388").unwrap();
        let payload = hex::decode(
            "a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b7703\
             7818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0\
             051a5610d9f0061a5610d9f007420b71",
        )
        .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        structure(&[0xa1, 0x01, 0x04], &payload, |part| mac.update(part));
        assert_eq!(hex::encode(&mac.finalize().into_bytes()[..8]), "093101ef6d789200");
    }

    #[test]
    fn the_protected_header_is_what_it_claims() {
        let Value::Map(map) = serde_cbor::from_slice(&header(&[7; 8])).unwrap() else { panic!() };
        assert_eq!(map.get(&Value::Integer(1)), Some(&Value::Integer(5)));
        assert_eq!(map.get(&Value::Integer(3)), Some(&Value::Integer(263)));
        assert_eq!(map.get(&Value::Integer(4)), Some(&Value::Bytes([7; 8].to_vec())));
        assert_eq!(map.len(), 3);
    }

    proptest! {
        #[test]
        fn authenticated_bytes_are_one_cbor_array(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = Vec::new();
            mac_bytes(&[1; 8], &payload, |part| bytes.extend_from_slice(part));
            let expected = Value::Array(std::vec![
                Value::Text("MAC0".into()),
                Value::Bytes([HEADER.as_slice(), &[1; 8]].concat()),
                Value::Bytes(Vec::new()),
                Value::Bytes(payload),
            ]);
            prop_assert_eq!(bytes, serde_cbor::to_vec(&expected).unwrap());
        }

        #[test]
        fn round_trip(kid: [u8; 8], tag: [u8; 32], payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut out = [0; 1024];
            let length = encode_mac0(&kid, &payload, &tag, &mut out).unwrap();
            let mac0 = Mac0::decode(&out[..length], 1024).unwrap();
            prop_assert_eq!((mac0.kid(), mac0.tag()), (&kid, &tag));
            prop_assert_eq!(mac0.unverified_payload(), payload.as_slice());
            prop_assert!(Mac0::decode(&out[..length], length - 1).is_err());
            prop_assert!(super::super::Sign1::decode(&out[..length], crate::cose::Content::Eat, 1024).is_err());
        }

        #[test]
        fn noise_is_no_message(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Mac0::decode(&noise, 200).is_err());
        }
    }
}
