//! What is asked: a request of anyone, bounded in size and number.

use der::asn1::OctetStringRef;
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_ocsp::{CertId, OcspRequest, Request};

use crate::serial::Serial;

/// Longest request in bytes: [`MAX_ASKED`] certificates with SHA-256 take about 2,000.
pub const MAX_REQUEST: usize = 4096;
/// Most certificates in one request. RFC 5019, section 2.1.1, wants one; a chain has a few.
pub const MAX_ASKED: usize = 16;
/// Longest nonce in bytes (RFC 9654, section 2.1).
pub const MAX_NONCE: usize = 128;

/// A request that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    asked: Vec<Asked>,
    nonce: Option<Vec<u8>>,
}

/// One certificate that is asked about, as the client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(super) hash: Option<Hash>,
    pub(super) issuer_name_hash: Vec<u8>,
    pub(super) issuer_key_hash: Vec<u8>,
    serial: Option<Serial>,
    cert_id: Vec<u8>,
}

/// How a client names the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

/// Not a request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_REQUEST`].
    #[error("{found} bytes are more than the {MAX_REQUEST} of a request")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not an OCSPRequest in DER.
    #[error("this is not an OCSPRequest in DER")]
    NotARequest,
    /// No certificate or too many.
    #[error("{found} certificates are asked about; 1 to {MAX_ASKED} are allowed")]
    Number {
        /// How many.
        found: usize,
    },
    /// The nonce is empty, longer than [`MAX_NONCE`], not an OCTET STRING, or there twice.
    #[error("the nonce is not one OCTET STRING of 1 to {MAX_NONCE} bytes (RFC 9654)")]
    Nonce,
    /// The hash of a CertID has parameters, of which there are none.
    #[error("the hash algorithm of a CertID has parameters: SHA-1 and SHA-256 have none, or NULL (RFC 5754)")]
    Parameters,
    /// An extension that has to be understood, and is not.
    #[error("there is a critical extension that is not known")]
    Critical,
}

impl Query {
    /// Reads a request. A signature on it is not looked at: who asks makes no difference.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_REQUEST {
            return Err(Malformed::TooLong { found: bytes.len() });
        }
        let request = OcspRequest::from_der(bytes).map_err(|_| Malformed::NotARequest)?.tbs_request;
        let list = &request.request_list;
        if list.is_empty() || list.len() > MAX_ASKED {
            return Err(Malformed::Number { found: list.len() });
        }
        let mut nonce = None;
        for extension in request.request_extensions.iter().flatten() {
            match extension.extn_id {
                NONCE if nonce.is_some() => return Err(Malformed::Nonce),
                NONCE => nonce = Some(read_nonce(extension.extn_value.as_bytes())?),
                // We have no other form than the one that every client understands.
                RESPONSE_TYPES => {}
                _ if extension.critical => return Err(Malformed::Critical),
                _ => {}
            }
        }
        Ok(Self { asked: list.iter().map(Asked::of).collect::<Result<_, _>>()?, nonce })
    }

    /// The certificates that are asked about.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// The nonce that the answer has to repeat.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

impl Asked {
    fn of(request: &Request) -> Result<Self, Malformed> {
        if request.single_request_extensions.iter().flatten().any(|extension| extension.critical) {
            return Err(Malformed::Critical);
        }
        let CertId { hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number } = &request.req_cert;
        let hash = match hash_algorithm.oid {
            SHA1 => Some(Hash::Sha1),
            SHA256 => Some(Hash::Sha256),
            _ => None,
        };
        // RFC 5754, section 2: absent, or NULL. The CertID stands in the answer as it came: with others every question, however
        // long, would be another one.
        if hash.is_some() && hash_algorithm.parameters.as_ref().is_some_and(|found| !found.is_null()) {
            return Err(Malformed::Parameters);
        }
        Ok(Self {
            hash,
            issuer_name_hash: issuer_name_hash.as_bytes().to_vec(),
            issuer_key_hash: issuer_key_hash.as_bytes().to_vec(),
            serial: Serial::from_der_value(serial_number.as_bytes()),
            cert_id: request.req_cert.to_der().map_err(|_| Malformed::NotARequest)?,
        })
    }

    /// The serial number; `None` where it is none of ours.
    #[must_use]
    pub const fn serial(&self) -> Option<Serial> {
        self.serial
    }

    /// The CertID as it came, in DER.
    #[must_use]
    pub fn cert_id(&self) -> &[u8] {
        &self.cert_id
    }
}

/// RFC 9654, section 2.1: `Nonce ::= OCTET STRING (SIZE(1..128))`.
fn read_nonce(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let nonce = OctetStringRef::from_der(value).map_err(|_| Malformed::Nonce)?.as_bytes();
    if (1..=MAX_NONCE).contains(&nonce.len()) { Ok(nonce.to_vec()) } else { Err(Malformed::Nonce) }
}

// RFC 6960, sections 4.4.1 and 4.4.3; RFC 3279, section 2.2.1, and RFC 5754, section 2.
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const RESPONSE_TYPES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.4");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
