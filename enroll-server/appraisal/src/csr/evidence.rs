//! Evidence inside a CSR, for clients that have no other place for it: the attribute of
//! draft-ietf-lamps-csr-attestation (`id-aa-evidence`, now called `id-aa-attestation`, 1.2.840.113549.1.9.16.2.59).
//!
//! Finds and bounds it; verifies nothing. The CSR's signature covers the attribute, so
//! [`check_with_evidence`](super::check_with_evidence) comes first. Which nonce the evidence has to answer is for
//! the protocol around it to say. Types that this server does not know are skipped, as others may verify them.

use minicbor::Decoder;
use shared::limits::{MAX_CERTIFICATE, MAX_CHAIN, MAX_CSR, MAX_EVIDENCE};
use shared::message::latest::EvidenceKind;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::der::{Malformed, Reader, tag};
use crate::oid;

/// Longest CSR with evidence in it.
pub const MAX_CSR_WITH_EVIDENCE: usize = MAX_CSR + MAX_EVIDENCE + MAX_CHAIN * MAX_CERTIFICATE + 256;
/// Most statements in one bundle.
const MAX_STATEMENTS: usize = 8;

/// Evidence that came inside a CSR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceInCsr {
    /// Its kind.
    pub kind: EvidenceKind,
    /// The evidence, in the form of its kind.
    pub body: Vec<u8>,
    /// Certificates that came with it, in DER, leaf first where their names tell the order.
    pub endorsements: Vec<Vec<u8>>,
}

/// Why the evidence in a CSR cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrEvidenceError {
    /// The CSR is too long.
    #[error("a CSR of {found} bytes; {MAX_CSR_WITH_EVIDENCE} are allowed with evidence in it")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not DER of the form that was expected.
    #[error("a CSR whose {part} is not what its ASN.1 says, in DER")]
    Malformed {
        /// Which part.
        part: &'static str,
    },
    /// The attribute twice, or with more than one value.
    #[error("a CSR with {found} attestation bundles; one is allowed")]
    Bundles {
        /// Bundles found.
        found: usize,
    },
    /// Too many statements.
    #[error("a bundle of {found} statements or more; {MAX_STATEMENTS} are allowed")]
    Statements {
        /// Statements read until it was given up.
        found: usize,
    },
    /// Several statements that this server could verify.
    #[error("a bundle with {found} statements of kinds that this server verifies; one is allowed")]
    Several {
        /// Statements found.
        found: usize,
    },
    /// A certificate is too long, or there are too many.
    #[error(
        "certificates of {found} bytes at most, {count} of them; {MAX_CERTIFICATE} bytes and {MAX_CHAIN} are allowed"
    )]
    Certificates {
        /// Length of the longest.
        found: usize,
        /// How many.
        count: usize,
    },
    /// The evidence is too long.
    #[error("evidence of {found} bytes; {MAX_EVIDENCE} are allowed")]
    Evidence {
        /// Bytes found.
        found: usize,
    },
}

/// Finds the evidence in a CSR in DER; `None` where there is no bundle, or none of its statements is of a kind that
/// this server knows.
///
/// # Errors
/// Says what is wrong with the bundle.
pub fn evidence(der: &[u8]) -> Result<Option<EvidenceInCsr>, CsrEvidenceError> {
    if der.len() > MAX_CSR_WITH_EVIDENCE {
        return Err(CsrEvidenceError::TooLong { found: der.len() });
    }
    let bundles = bundles(der).map_err(|_| CsrEvidenceError::Malformed { part: "list of attributes" })?;
    match bundles.as_slice() {
        [] => Ok(None),
        [bundle] => read_bundle(*bundle),
        more => Err(CsrEvidenceError::Bundles { found: more.len() }),
    }
}

/// The type of a statement that holds evidence of this kind as it is, in an OCTET STRING: the value of its object
/// identifier in DER.
#[must_use]
pub fn statement_type(kind: EvidenceKind) -> Vec<u8> {
    // No kind has a number that takes two bytes.
    let number = u8::try_from(kind.code()).unwrap_or(0x7f) & 0x7f;
    [oid::EVIDENCE_KINDS, &[number]].concat()
}

/// All values of the attribute, over all its occurrences.
fn bundles(der: &[u8]) -> Result<Vec<Reader<'_>>, Malformed> {
    let mut request = Reader::new(der).nested(tag::SEQUENCE)?;
    let mut info = request.nested(tag::SEQUENCE)?;
    // RFC 2986, section 4.1: version, subject, key, attributes.
    info.read(tag::INTEGER)?;
    info.read(tag::SEQUENCE)?;
    info.read(tag::SEQUENCE)?;
    let mut attributes = info.nested(tag::context_constructed(0))?;
    let mut found = Vec::new();
    while !attributes.is_empty() {
        let mut attribute = attributes.nested(tag::SEQUENCE)?;
        let kind = attribute.oid()?;
        let mut values = attribute.nested_non_empty(tag::SET)?;
        attribute.finish()?;
        while kind == oid::ATTESTATION && !values.is_empty() {
            found.push(values.nested(tag::SEQUENCE)?);
        }
    }
    Ok(found)
}

fn read_bundle(mut bundle: Reader<'_>) -> Result<Option<EvidenceInCsr>, CsrEvidenceError> {
    let malformed = |part| move |_: Malformed| CsrEvidenceError::Malformed { part };
    let statements = bundle.nested_non_empty(tag::SEQUENCE).map_err(malformed("list of statements"))?;
    let certificates = if bundle.is_empty() {
        Vec::new()
    } else {
        let certs = bundle.nested_non_empty(tag::SEQUENCE).map_err(malformed("list of certificates"))?;
        read_certificates(certs).map_err(malformed("list of certificates"))?
    };
    bundle.finish().map_err(malformed("attestation bundle"))?;
    let longest = certificates.iter().map(|der| der.len()).max().unwrap_or(0);
    if longest > MAX_CERTIFICATE || certificates.len() > MAX_CHAIN {
        return Err(CsrEvidenceError::Certificates { found: longest, count: certificates.len() });
    }
    let known = read_statements(statements)?;
    match known.as_slice() {
        [] => Ok(None),
        [(_, body)] if body.len() > MAX_EVIDENCE => Err(CsrEvidenceError::Evidence { found: body.len() }),
        [(kind, body)] => Ok(Some(EvidenceInCsr {
            kind: *kind,
            body: body.to_vec(),
            endorsements: in_order(certificates).into_iter().map(<[u8]>::to_vec).collect(),
        })),
        more => Err(CsrEvidenceError::Several { found: more.len() }),
    }
}

/// The statements of kinds that are known.
fn read_statements(mut statements: Reader<'_>) -> Result<Vec<(EvidenceKind, &[u8])>, CsrEvidenceError> {
    let mut known = Vec::new();
    let mut found = 0;
    while !statements.is_empty() {
        found += 1;
        if found > MAX_STATEMENTS {
            return Err(CsrEvidenceError::Statements { found });
        }
        let read = read_statement(&mut statements);
        known.extend(read.map_err(|_| CsrEvidenceError::Malformed { part: "attestation statement" })?);
    }
    Ok(known)
}

fn read_statement<'b>(statements: &mut Reader<'b>) -> Result<Option<(EvidenceKind, &'b [u8])>, Malformed> {
    let mut statement = statements.nested(tag::SEQUENCE)?;
    let kind = statement.oid()?;
    let (form, content) = statement.any()?;
    statement.finish()?;
    if kind == oid::CMW {
        // CMW ::= CHOICE { json UTF8String, cbor OCTET STRING }; nothing that is known comes in JSON.
        return Ok(if form == tag::OCTET_STRING { from_cmw(content)? } else { None });
    }
    let Some([number]) = kind.strip_prefix(oid::EVIDENCE_KINDS) else { return Ok(None) };
    match EvidenceKind::from_wire(u64::from(*number)) {
        Some(kind) if form == tag::OCTET_STRING => Ok(Some((kind, content))),
        Some(_) => Err(Malformed),
        None => Ok(None),
    }
}

/// Reads a conceptual message wrapper (draft-ietf-rats-msg-wrap, section 3.1): `[type, value, ? indicator]`.
fn from_cmw(content: &[u8]) -> Result<Option<(EvidenceKind, &[u8])>, Malformed> {
    let broken = |_| Malformed;
    let mut d = Decoder::new(content);
    let Some(length @ 2..=3) = d.array().map_err(broken)? else { return Err(Malformed) };
    let kind = match d.datatype().map_err(broken)? {
        minicbor::data::Type::String => {
            let media_type = d.str().map_err(broken)?;
            MEDIA_TYPES.iter().find(|(known, _)| *known == media_type).map(|(_, kind)| *kind)
        }
        _ => (d.u64().map_err(broken)? == EAT_CWT).then_some(EvidenceKind::IdevidEat),
    };
    let value = d.bytes().map_err(broken)?;
    let is_evidence = length == 2 || d.u8().map_err(broken)? & CMW_EVIDENCE != 0;
    if d.position() != content.len() {
        return Err(Malformed);
    }
    Ok(kind.filter(|_| is_evidence).map(|kind| (kind, value)))
}

/// Media types of evidence (RFC 9782; RFC 9783, section 11.2).
const MEDIA_TYPES: [(&str, EvidenceKind); 3] = [
    ("application/eat+cwt", EvidenceKind::IdevidEat),
    ("application/eat+cwt; eat_profile=\"tag:psacertified.org,2023:psa#tfm\"", EvidenceKind::PsaToken),
    ("application/psa-attestation-token", EvidenceKind::PsaToken),
];
/// The CoAP Content-Format of `application/eat+cwt` (RFC 9782, table 2).
const EAT_CWT: u64 = 263;
/// The bit of a CMW's indicator that says evidence.
const CMW_EVIDENCE: u8 = 0x04;

/// The X.509 certificates among the `CertificateChoices`; others are skipped.
fn read_certificates(mut certificates: Reader<'_>) -> Result<Vec<&[u8]>, Malformed> {
    let mut found = Vec::new();
    while !certificates.is_empty() {
        match certificates.whole()? {
            (tag::SEQUENCE, der) => found.push(der),
            // other [3]
            (form, _) if form == tag::context_constructed(3) => {}
            _ => return Err(Malformed),
        }
    }
    Ok(found)
}

/// Puts certificates into the order of a chain, since the draft promises none: the one that has issued no other
/// first, then each one's issuer. Where names do not tell, the order stays.
fn in_order(certificates: Vec<&[u8]>) -> Vec<&[u8]> {
    let parsed: Option<Vec<_>> = certificates
        .iter()
        .map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| (*der, certificate)))
        .collect();
    let Some(parsed) = parsed else { return certificates };
    let mut next = parsed.iter().find(|(der, leaf)| {
        !parsed.iter().any(|(other, issued)| other != der && issued.issuer() == leaf.subject())
    });
    let mut chain = Vec::new();
    while let Some((der, certificate)) = next {
        chain.push(*der);
        next = parsed
            .iter()
            .find(|(der, issuer)| issuer.subject() == certificate.issuer() && !chain.contains(der));
    }
    drop(parsed);
    if chain.len() == certificates.len() { chain } else { certificates }
}
