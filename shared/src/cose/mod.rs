//! COSE_Sign1 with ES256 (RFC 9052, sections 4.2 and 4.4; RFC 9053, section 2.1), and COSE_Mac0 in [`Mac0`].
//!
//! The crate defines the bytes that are signed or authenticated; keys and curves are the caller's.

mod mac0;

use minicbor::Decoder;

use crate::codec::{DecodeError, EncodeError, Writer, check};

pub use mac0::{KID, Kid, Mac0, TAG, encode_mac0, mac_bytes};

/// Length of an ES256 signature: r and s, 32 bytes each (RFC 9053, section 2.1).
pub const SIGNATURE: usize = 64;

/// What is signed; written into the protected header, so that a signature over one kind is worth nothing
/// for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// An Entity Attestation Token: content type 263, `application/eat+cwt` (RFC 9782).
    Eat,
    /// A trust bundle of this protocol.
    TrustBundle,
    /// What a DICE alias key signs: [`crate::evidence::Binding`].
    DiceBinding,
}

impl Content {
    /// The protected header: `{1: -7}` (ES256) and `{3: content type}`, in deterministic encoding.
    #[must_use]
    pub const fn protected_header(self) -> &'static [u8] {
        match self {
            Self::Eat => &[0xa2, 0x01, 0x26, 0x03, 0x19, 0x01, 0x07],
            Self::TrustBundle => b"\xa2\x01\x26\x03\x78\x1dapplication/trust-bundle+cbor",
            Self::DiceBinding => b"\xa2\x01\x26\x03\x78\x1dapplication/dice-binding+cbor",
        }
    }
}

/// A COSE_Sign1 as found, its signature not yet checked.
#[derive(Clone, Copy, Debug)]
pub struct Sign1<'b> {
    content: Content,
    payload: &'b [u8],
    signature: &'b [u8; SIGNATURE],
}

impl<'b> Sign1<'b> {
    /// Takes `bytes` apart: tag 18, the protected header of `content` exactly, an empty unprotected header,
    /// payload, signature.
    ///
    /// # Errors
    /// Says what is wrong; `limit` caps the length.
    pub fn decode(bytes: &'b [u8], content: Content, limit: usize) -> Result<Self, DecodeError> {
        check(bytes, limit)?;
        let invalid = |field| move |_| DecodeError::Invalid { field };
        let mut d = Decoder::new(bytes);
        if d.tag().map_err(invalid("COSE tag"))?.as_u64() != COSE_SIGN1_TAG {
            return Err(DecodeError::Invalid { field: "COSE tag" });
        }
        if d.array().map_err(invalid("COSE_Sign1"))? != Some(4) {
            return Err(DecodeError::Invalid { field: "COSE_Sign1" });
        }
        if d.bytes().map_err(invalid("protected header"))? != content.protected_header() {
            return Err(DecodeError::Invalid { field: "protected header" });
        }
        if d.map().map_err(invalid("unprotected header"))? != Some(0) {
            return Err(DecodeError::Invalid { field: "unprotected header" });
        }
        let payload = d.bytes().map_err(invalid("payload"))?;
        let signature = d.bytes().map_err(invalid("signature"))?;
        let signature = signature.try_into().map_err(|_| DecodeError::Invalid { field: "signature" })?;
        Ok(Self { content, payload, signature })
    }

    /// The payload, to be believed only after the signature is verified.
    #[must_use]
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The signature: r and s.
    #[must_use]
    pub const fn signature(&self) -> &'b [u8; SIGNATURE] {
        self.signature
    }

    /// Feeds the signed bytes (Sig_structure) to `sink`, part by part.
    pub fn signed_bytes(&self, sink: impl FnMut(&[u8])) {
        signed_bytes(self.content, self.payload, sink);
    }
}

/// Feeds the Sig_structure of RFC 9052, section 4.4, with empty external data, to `sink` part by part: to a
/// hash on a device, to a buffer on a server.
pub fn signed_bytes(content: Content, payload: &[u8], mut sink: impl FnMut(&[u8])) {
    let header = content.protected_header();
    // Four items: context, protected header, external data (empty), payload.
    sink(b"\x84\x6aSignature1");
    length_head(header.len(), &mut sink);
    sink(header);
    sink(&[0x40]);
    length_head(payload.len(), &mut sink);
    sink(payload);
}

/// Writes a COSE_Sign1 over `payload` into `out`; returns its length. `signature` is over
/// [`signed_bytes`].
///
/// # Errors
/// Where `out` is too short.
pub fn encode(
    content: Content,
    payload: &[u8],
    signature: &[u8; SIGNATURE],
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut w = Writer::new(out);
    w.put(|e| {
        e.tag(minicbor::data::Tag::new(COSE_SIGN1_TAG))?.array(4)?;
        e.bytes(content.protected_header())?.map(0)?.bytes(payload)?.bytes(signature)?.ok()
    })?;
    Ok(w.finish())
}

/// CBOR tag of COSE_Sign1 (RFC 9052, table 1).
const COSE_SIGN1_TAG: u64 = 18;

/// The head of a byte string of `length` bytes.
fn length_head(length: usize, sink: &mut impl FnMut(&[u8])) {
    match u16::try_from(length) {
        Ok(short @ 0..24) => sink(&[0x40 | short.to_be_bytes()[1]]),
        Ok(short @ 24..256) => sink(&[0x58, short.to_be_bytes()[1]]),
        Ok(short) => {
            let [high, low] = short.to_be_bytes();
            sink(&[0x59, high, low]);
        }
        // Beyond every cap of this protocol, but right all the same.
        Err(_) => {
            sink(&[0x5b]);
            sink(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Content, Sign1, encode, signed_bytes};
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn protected_headers_are_what_they_claim() {
        use serde_cbor::Value;
        for (content, kind) in [
            (Content::Eat, Value::Integer(263)),
            (Content::TrustBundle, Value::Text("application/trust-bundle+cbor".into())),
            (Content::DiceBinding, Value::Text("application/dice-binding+cbor".into())),
        ] {
            let Value::Map(map) = serde_cbor::from_slice(content.protected_header()).unwrap() else {
                panic!()
            };
            assert_eq!(map.get(&Value::Integer(1)), Some(&Value::Integer(-7)));
            assert_eq!(map.get(&Value::Integer(3)), Some(&kind));
        }
    }

    proptest! {
        #[test]
        fn signed_bytes_are_one_cbor_array(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            use serde_cbor::Value;
            let mut signed = Vec::new();
            signed_bytes(Content::Eat, &payload, |part| signed.extend_from_slice(part));
            let expected = Value::Array(std::vec![
                Value::Text("Signature1".into()),
                Value::Bytes(Content::Eat.protected_header().to_vec()),
                Value::Bytes(Vec::new()),
                Value::Bytes(payload),
            ]);
            prop_assert_eq!(signed, serde_cbor::to_vec(&expected).unwrap());
        }

        #[test]
        fn round_trip(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut out = [0; 1024];
            let length = encode(Content::TrustBundle, &payload, &[7; 64], &mut out).unwrap();
            let sign1 = Sign1::decode(&out[..length], Content::TrustBundle, 1024).unwrap();
            prop_assert_eq!(sign1.unverified_payload(), payload.as_slice());
            prop_assert_eq!(sign1.signature(), &[7; 64]);
            prop_assert!(Sign1::decode(&out[..length], Content::Eat, 1024).is_err());
            prop_assert!(Sign1::decode(&out[..length], Content::DiceBinding, 1024).is_err());
        }
    }
}
