//! What is answered (RFC 6960, section 4.2.1).

use shared::UnixTime;

use super::request::{Asked, Query};
use super::responder::Responder;
use crate::crl::Reason;
use crate::der::{self, context, context_constructed, tlv};
use crate::issuer::IssueError;
use crate::key::{IssuerKey as _, KeyError};
use crate::template::{ECDSA_WITH_SHA256, generalized_time};

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Issued and not revoked.
    Good,
    /// Revoked, or on hold.
    Revoked {
        /// Since when.
        at: UnixTime,
        /// Why.
        reason: Reason,
    },
    /// Not known to the responder: of another CA, or not among those that it knows.
    Unknown,
}

/// A certificate and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The certificate as it was named.
    pub asked: &'a Asked,
    /// How it stands.
    pub status: Status,
}

/// When an answer was made, and until when it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Now.
    pub at: UnixTime,
    /// When there is newer information at the latest.
    pub next_update: UnixTime,
}

/// Why a question is not answered; the answer to that is not signed (RFC 6960, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The request cannot be read.
    MalformedRequest,
    /// Something is wrong with the responder.
    InternalError,
    /// It cannot answer now.
    TryLater,
    /// It does not answer for this CA (RFC 5019, section 2.2.3).
    Unauthorized,
}

impl Failure {
    /// The OCSPResponse in DER.
    #[must_use]
    pub const fn der(self) -> [u8; 5] {
        let status = match self {
            Self::MalformedRequest => 1,
            Self::InternalError => 2,
            Self::TryLater => 3,
            Self::Unauthorized => 6,
        };
        [der::SEQUENCE, 3, der::ENUMERATED, 1, status]
    }
}

/// Why no answer was made.
#[derive(Debug, thiserror::Error)]
pub enum OcspError {
    /// A date has no form.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The responder's key did not sign.
    #[error("the key of the OCSP responder does not sign")]
    Key(#[from] KeyError),
}

impl Responder {
    /// Signs the answers to a query; gives the OCSPResponse in DER.
    ///
    /// # Errors
    /// Where a date cannot be written, or the key does not sign.
    pub fn respond(
        &self,
        answers: &[Answer<'_>],
        query: &Query,
        produced: Produced,
    ) -> Result<Vec<u8>, OcspError> {
        let singles: Vec<Vec<u8>> =
            answers.iter().map(|answer| single(answer, produced)).collect::<Result<_, _>>()?;
        let singles: Vec<&[u8]> = singles.iter().map(Vec::as_slice).collect();
        let data = tlv(
            der::SEQUENCE,
            &[
                &tlv(context_constructed(2), &[&tlv(der::OCTET_STRING, &[self.key_hash()])]),
                &written(produced.at)?,
                &tlv(der::SEQUENCE, &singles),
                &extensions(query.nonce()),
            ],
        );
        let signature = self.key().sign(&data)?;
        let algorithm = tlv(der::SEQUENCE, &[&tlv(der::OID, &[ECDSA_WITH_SHA256])]);
        let certificates = tlv(der::SEQUENCE, &[self.certificate().der()]);
        let basic = tlv(
            der::SEQUENCE,
            &[
                &data,
                &algorithm,
                &tlv(der::BIT_STRING, &[&[0], &signature]),
                &tlv(context_constructed(0), &[&certificates]),
            ],
        );
        let bytes =
            tlv(der::SEQUENCE, &[&tlv(der::OID, &[BASIC_RESPONSE]), &tlv(der::OCTET_STRING, &[&basic])]);
        let successful = tlv(der::ENUMERATED, &[&[0]]);
        Ok(tlv(der::SEQUENCE, &[&successful, &tlv(context_constructed(0), &[&bytes])]))
    }
}

fn written(at: UnixTime) -> Result<Vec<u8>, OcspError> {
    Ok(tlv(der::GENERALIZED_TIME, &[&generalized_time(at).map_err(IssueError::Library)?]))
}

/// A SingleResponse.
fn single(answer: &Answer<'_>, produced: Produced) -> Result<Vec<u8>, OcspError> {
    let status = match answer.status {
        Status::Good => tlv(context(0), &[]),
        Status::Revoked { at, reason } => revoked(at, reason)?,
        Status::Unknown => tlv(context(2), &[]),
    };
    let next = tlv(context_constructed(0), &[&written(produced.next_update)?]);
    Ok(tlv(der::SEQUENCE, &[answer.asked.cert_id(), &status, &written(produced.at)?, &next]))
}

fn revoked(at: UnixTime, reason: Reason) -> Result<Vec<u8>, OcspError> {
    let reason = reason
        .written()
        .map(|code| tlv(context_constructed(0), &[&tlv(der::ENUMERATED, &[&[code]])]))
        .unwrap_or_default();
    Ok(tlv(context_constructed(1), &[&written(at)?, &reason]))
}

/// The responseExtensions: the nonce, as it came (RFC 9654, section 2.1); absent without one.
fn extensions(nonce: Option<&[u8]>) -> Vec<u8> {
    let Some(nonce) = nonce else { return Vec::new() };
    let value = tlv(der::OCTET_STRING, &[&tlv(der::OCTET_STRING, &[nonce])]);
    let extension = tlv(der::SEQUENCE, &[&tlv(der::OID, &[NONCE]), &value]);
    tlv(context_constructed(1), &[&tlv(der::SEQUENCE, &[&extension])])
}

// RFC 6960, sections 4.2.1 and 4.4.1: 1.3.6.1.5.5.7.48.1.x.
const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
