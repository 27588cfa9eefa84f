//! One measured software component.

use minicbor::decode::Error as CborError;
use minicbor::{Decoder, Encoder};

use crate::codec::{DecodeError, MapReader};
use crate::limits::{MAX_CLAIM_TEXT, MAX_EVIDENCE};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// A component and the digest of what runs: `{1: [name, version], 2: [alg, digest]}`, the shape of a
/// measured component in draft-ietf-rats-eat-measured-component, with COSE algorithm -16 (SHA-256, RFC 9054).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement<'a> {
    /// Name of the component, for example `bootloader` or `application`.
    pub component: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What was measured.
    pub digest: Digest,
}

const COMPONENT: i64 = 1;
const DIGEST: i64 = 2;
/// COSE algorithm SHA-256 (RFC 9054, section 3.1).
const SHA_256: i64 = -16;

impl<'a> Measurement<'a> {
    pub(super) fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(2)?.i64(COMPONENT)?.array(2)?.str(self.component)?.str(self.version)?;
        e.i64(DIGEST)?.array(2)?.i64(SHA_256)?.bytes(&self.digest)?.ok()
    }

    /// Length of what [`encode`](Self::encode) writes.
    pub(super) fn encoded_length(&self) -> u64 {
        let text = |length: usize| length as u64 + if length < 24 { 1 } else { 2 };
        // map, key, array, the two texts, key, array, algorithm, byte string head, digest
        3 + text(self.component.len()) + text(self.version.len()) + 3 + 2 + 32
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = MapReader::open(bytes, MAX_EVIDENCE, "measurement")?;
        let (component, version) = map.required(COMPONENT, "component", |d| {
            pair(d)?;
            Ok((crate::codec::text(d, MAX_CLAIM_TEXT)?, crate::codec::text(d, MAX_CLAIM_TEXT)?))
        })?;
        let digest = map.required(DIGEST, "digest", |d| {
            pair(d)?;
            if d.i64()? != SHA_256 {
                return Err(CborError::message("not SHA-256"));
            }
            d.bytes()?.try_into().map_err(|_| CborError::message("digest length"))
        })?;
        Ok(Self { component, version, digest })
    }
}

fn pair(d: &mut Decoder<'_>) -> Result<(), CborError> {
    if d.array()? == Some(2) { Ok(()) } else { Err(CborError::message("not a pair")) }
}
