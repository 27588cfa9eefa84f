//! What ties evidence that says everything else in its certificates to one request: the key of the CSR and the
//! nonce, and nothing more. Signed as [`Content::DiceBinding`](crate::cose::Content::DiceBinding).

use super::confirmation::Thumbprint;
use crate::codec::{DecodeError, EncodeError, MapReader, Writer};
use crate::limits::MAX_EVIDENCE;
use crate::message::latest::Nonce;

/// A CWT (RFC 8392) with two claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `cnf`: thumbprint of the CSR's key (RFC 8747, section 3.1, with `ckt` of RFC 9679).
    pub confirmation: Thumbprint,
    /// `eat_nonce`: the nonce of the challenge.
    pub nonce: Nonce,
}

/// Claim key `cnf` (RFC 8747, section 7.1).
const CNF: i64 = 8;
/// Claim key `eat_nonce` (RFC 9711, section 10.3).
const EAT_NONCE: i64 = 10;
/// Confirmation method `ckt` (RFC 9679, section 5.6).
const CKT: i64 = 5;

impl Binding {
    /// Writes it to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(2)?;
        w.put(|e| e.i64(CNF)?.map(1)?.i64(CKT)?.bytes(&self.confirmation)?.ok())?;
        w.bytes(EAT_NONCE, &self.nonce)?;
        Ok(w.finish())
    }

    /// Reads it; unknown claims are skipped.
    ///
    /// # Errors
    /// Says which claim is missing or wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        fn fixed(d: &mut minicbor::Decoder<'_>) -> Result<[u8; 32], minicbor::decode::Error> {
            d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message("length"))
        }
        let mut map = MapReader::open(bytes, MAX_EVIDENCE, "binding")?;
        let confirmation = map.raw(CNF, "cnf")?.ok_or(DecodeError::Missing { field: "cnf" })?;
        let confirmation = MapReader::open(confirmation, MAX_EVIDENCE, "cnf")?.required(CKT, "ckt", fixed)?;
        Ok(Self { confirmation, nonce: map.required(EAT_NONCE, "eat_nonce", fixed)? })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Binding;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn it_reads_as_it_was_written_here_and_elsewhere(confirmation: [u8; 32], nonce: [u8; 32]) {
            let binding = Binding { confirmation, nonce };
            let mut out = [0; 128];
            let length = binding.encode(&mut out).unwrap();
            prop_assert_eq!(Binding::decode(&out[..length]).unwrap(), binding);
            use serde_cbor::Value;
            let inner = Value::Map([(Value::Integer(5), Value::Bytes(confirmation.to_vec()))].into());
            let expected = Value::Map(
                [(Value::Integer(8), inner), (Value::Integer(10), Value::Bytes(nonce.to_vec()))].into(),
            );
            prop_assert_eq!(out[..length].to_vec(), serde_cbor::to_vec(&expected).unwrap());
            for cut in 0..length {
                prop_assert!(Binding::decode(&out[..cut]).is_err());
            }
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _read = Binding::decode(&bytes);
            let long: Vec<u8> = [&[0xa2, 0x08, 0xa1, 0x05, 0x58, 0x20][..], &bytes].concat();
            let _read = Binding::decode(&long);
        }
    }
}
