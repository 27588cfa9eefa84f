//! `POST /v1/enroll` and `POST /v1/renew`: what a device asks to be certified, and its proof.

use super::{EvidenceKind, KEY_VERSION, Nonce, VERSION, device, nonce, open};
use crate::codec::{DecodeError, EncodeError, MapReader, Writer, certificates};
use crate::id::DeviceId;
use crate::limits::{MAX_CHAIN, MAX_CSR, MAX_REQUEST_LARGE};

/// First enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollRequest<'a> {
    /// Who asks.
    pub device: DeviceId,
    /// PKCS#10 in DER (RFC 2986); decides the key and nothing else.
    pub csr: &'a [u8],
    /// The proof, bound to nonce and CSR key.
    pub evidence: FreshEvidence<'a>,
    /// Number of the trust bundle the device holds; older devices do not tell it.
    pub trust: Option<u64>,
}

/// Evidence made for one nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshEvidence<'a> {
    /// The nonce of the challenge.
    pub nonce: Nonce,
    /// What `body` is.
    pub kind: EvidenceKind,
    /// [`EvidenceKind::IdevidEat`]: COSE_Sign1; [`EvidenceKind::OneTimeToken`]: the token's text;
    /// [`EvidenceKind::Tpm2`]: [`crate::evidence::TpmEvidence`].
    pub body: &'a [u8],
    /// The IDevID's chain in DER, leaf first, trust anchor left out; empty where the kind has none.
    pub endorsements: heapless::Vec<&'a [u8], MAX_CHAIN>,
}

/// Re-enrollment, sent over mutual TLS with the current LDevID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewRequest<'a> {
    /// Who asks; has to be the device of the TLS identity, which alone gives authority.
    pub device: DeviceId,
    /// PKCS#10 in DER with a new key.
    pub csr: &'a [u8],
    /// Fresh evidence, where the server's policy asks for it.
    pub evidence: Option<FreshEvidence<'a>>,
    /// Number of the trust bundle the device holds; older devices do not tell it.
    pub trust: Option<u64>,
}

const DEVICE: i64 = 1;
const CSR: i64 = 2;
const NONCE: i64 = 3;
const KIND: i64 = 4;
const BODY: i64 = 5;
const ENDORSEMENTS: i64 = 6;
const TRUST: i64 = 8;

impl<'a> EnrollRequest<'a> {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        encode(&self.device, self.csr, Some(&self.evidence), self.trust, out)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let request = RenewRequest::decode(bytes)?;
        let evidence = request.evidence.ok_or(DecodeError::Missing { field: "nonce" })?;
        Ok(Self { device: request.device, csr: request.csr, evidence, trust: request.trust })
    }
}

impl<'a> RenewRequest<'a> {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        encode(&self.device, self.csr, self.evidence.as_ref(), self.trust, out)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_REQUEST_LARGE, "request")?;
        let device = device(&mut map, DEVICE)?;
        let csr = bounded(map.required(CSR, "csr", |d| d.bytes())?, MAX_CSR, "csr")?;
        let evidence = match map.optional(NONCE, "nonce", |d| d.bytes())? {
            Some(bytes) => Some(FreshEvidence::decode(nonce(bytes)?, &mut map)?),
            None => None,
        };
        let trust = map.optional(TRUST, "trust bundle held", |d| d.u64())?;
        Ok(Self { device, csr, evidence, trust })
    }
}

impl<'a> FreshEvidence<'a> {
    fn decode(nonce: Nonce, map: &mut MapReader<'a>) -> Result<Self, DecodeError> {
        let kind = EvidenceKind::from_wire(map.required(KIND, "kind", |d| d.u64())?)
            .ok_or(DecodeError::Invalid { field: "kind" })?;
        let body = bounded(map.required(BODY, "evidence", |d| d.bytes())?, kind.max_body(), "evidence")?;
        let endorsements = map.optional(ENDORSEMENTS, "endorsements", certificates)?.unwrap_or_default();
        Ok(Self { nonce, kind, body, endorsements })
    }
}

fn encode(
    device: &DeviceId,
    csr: &[u8],
    evidence: Option<&FreshEvidence<'_>>,
    trust: Option<u64>,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let proof = evidence.map_or(0, |e| if e.endorsements.is_empty() { 3 } else { 4 });
    let pairs = 3 + proof + u64::from(trust.is_some());
    let mut w = Writer::new(out);
    w.map(pairs)?.uint(KEY_VERSION, VERSION)?.text(DEVICE, device.as_str())?.bytes(CSR, csr)?;
    if let Some(evidence) = evidence {
        w.bytes(NONCE, &evidence.nonce)?.uint(KIND, evidence.kind.code())?.bytes(BODY, evidence.body)?;
        if !evidence.endorsements.is_empty() {
            w.byte_strings(ENDORSEMENTS, &evidence.endorsements)?;
        }
    }
    if let Some(number) = trust {
        w.uint(TRUST, number)?;
    }
    Ok(w.finish())
}

fn bounded<'b>(bytes: &'b [u8], limit: usize, field: &'static str) -> Result<&'b [u8], DecodeError> {
    if bytes.is_empty() || bytes.len() > limit { Err(DecodeError::Invalid { field }) } else { Ok(bytes) }
}
