//! The trust bundle: the CA certificates a device trusts, and who may change them.

use super::{KEY_VERSION, VERSION, open};
use crate::codec::{DecodeError, EncodeError, Writer, certificates};
use crate::limits::{MAX_ANCHORS, MAX_REQUEST, MAX_TRUST_BUNDLE};
use crate::time::UnixTime;

/// Length of the signer's key: an uncompressed point on P-256 (SEC 1, section 2.3.3).
pub const SIGNER_KEY: usize = 65;

/// The payload of a signed trust bundle ([`Content::TrustBundle`](crate::cose::Content::TrustBundle)).
///
/// A device is given its first bundle at the factory. It takes another one if, and only if, its number is
/// higher and the signature verifies under the `signer` of the bundle it has: so the signing key can be
/// changed too, and a bundle that was replaced never comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle<'a> {
    /// Rises with every bundle.
    pub number: u64,
    /// When it was made.
    pub made: UnixTime,
    /// Trust anchors, as self-signed certificates in DER.
    pub anchors: heapless::Vec<&'a [u8], MAX_ANCHORS>,
    /// Public key that signs the next bundle.
    pub signer: &'a [u8; SIGNER_KEY],
}

const NUMBER: i64 = 1;
const MADE: i64 = 2;
const ANCHORS: i64 = 3;
const SIGNER: i64 = 4;

impl<'a> TrustBundle<'a> {
    /// Writes the payload to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(5)?.uint(KEY_VERSION, VERSION)?.uint(NUMBER, self.number)?.uint(MADE, self.made.as_secs())?;
        w.byte_strings(ANCHORS, &self.anchors)?.bytes(SIGNER, self.signer)?;
        Ok(w.finish())
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_TRUST_BUNDLE, "trust bundle")?;
        Ok(Self {
            number: map.required(NUMBER, "number", |d| d.u64())?,
            made: UnixTime::from_secs(map.required(MADE, "made", |d| d.u64())?),
            anchors: map.required(ANCHORS, "anchors", certificates)?,
            signer: map
                .required(SIGNER, "signer", |d| d.bytes())?
                .try_into()
                .map_err(|_| DecodeError::Invalid { field: "signer" })?,
        })
    }
}

/// `POST /v1/trust` over mutual TLS: which bundle a device holds. The answer is the signed bundle that it takes next,
/// or the newest one where it has that already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustReport {
    /// Number of the bundle held.
    pub held: u64,
}

const HELD: i64 = 1;

impl TrustReport {
    /// Longest encoding.
    pub const MAX: usize = 13;

    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(2)?.uint(KEY_VERSION, VERSION)?.uint(HELD, self.held)?;
        Ok(w.finish())
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_REQUEST, "trust report")?;
        Ok(Self { held: map.required(HELD, "trust bundle held", |d| d.u64())? })
    }
}
