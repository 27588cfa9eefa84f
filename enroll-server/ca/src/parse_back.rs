//! The check of a signed certificate against what was to be signed, before anyone sees it.
//!
//! It is byte for byte where DER allows only one form. It guards against defects of the signing library, such
//! as a default serial number, and against a remote key that signs something else.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use shared::limits;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

use crate::certificate::time;
use crate::profile::Validity;
use crate::template::{ECDSA_WITH_SHA256, Template, spki};

/// Where a signed certificate or revocation list differs from what was to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is not what it should be at all, in DER.
    #[error("it cannot be read")]
    Malformed,
    /// Longer than devices can hold.
    #[error("{found} bytes are more than the {most} that a device can hold")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// The cap.
        most: usize,
    },
    /// Not version 3, or for a revocation list not version 2.
    #[error("the version differs")]
    Version,
    /// Another algorithm than ecdsa-with-SHA256.
    #[error("the signature algorithm differs")]
    Algorithm,
    /// Another serial number.
    #[error("the serial number differs")]
    Serial,
    /// Another issuer.
    #[error("the issuer differs")]
    Issuer,
    /// Other dates.
    #[error("the dates differ")]
    Validity,
    /// Another subject.
    #[error("the subject differs")]
    Subject,
    /// Another key.
    #[error("the key differs")]
    Key,
    /// An extension is missing, too many, or differs.
    #[error("the extensions differ")]
    Extensions,
    /// Another number, or other entries.
    #[error("the revoked certificates or the number differ")]
    Entries,
    /// The signature does not verify under the CA's key.
    #[error("the signature does not verify under the CA's key")]
    Signature,
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signer<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) point: &'a [u8; 65],
    /// Absent where a certificate signs itself.
    pub(crate) key_id: Option<&'a [u8]>,
}

/// Compares a signed certificate with its template.
pub(crate) fn check(der: &[u8], template: &Template, signer: Signer<'_>) -> Result<(), Mismatch> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Mismatch::Malformed)?;
    if !rest.is_empty() {
        return Err(Mismatch::Malformed);
    }
    if der.len() > limits::MAX_CERTIFICATE {
        return Err(Mismatch::TooLong { found: der.len(), most: limits::MAX_CERTIFICATE });
    }
    let tbs = &certificate.tbs_certificate;
    let validity = Validity {
        not_before: time(tbs.validity.not_before.timestamp()),
        not_after: time(tbs.validity.not_after.timestamp()),
    };
    same(tbs.version == X509Version::V3, Mismatch::Version)?;
    check_algorithm(&tbs.signature)?;
    check_algorithm(&certificate.signature_algorithm)?;
    same(tbs.raw_serial() == template.serial.to_der_value(), Mismatch::Serial)?;
    same(tbs.issuer.as_raw() == signer.subject, Mismatch::Issuer)?;
    same(validity == template.validity, Mismatch::Validity)?;
    same(tbs.subject.as_raw() == template.subject_der(), Mismatch::Subject)?;
    same(tbs.subject_pki.raw == spki(&template.point), Mismatch::Key)?;
    same(tbs.issuer_uid.is_none() && tbs.subject_uid.is_none(), Mismatch::Extensions)?;
    let wanted = template.extensions(signer.key_id);
    let found = tbs.extensions();
    let has = |oid: &[u8], critical, value: &[u8]| {
        found.iter().any(|e| e.oid.as_bytes() == oid && e.critical == critical && e.value == value)
    };
    let all = wanted.iter().all(|e| has(e.oid, e.critical, &e.value));
    same(all && found.len() == wanted.len(), Mismatch::Extensions)?;
    check_signature(tbs.as_ref(), &certificate.signature_value.data, signer.point)
}

/// RFC 5758, section 3.2: the parameters are absent.
pub(crate) fn check_algorithm(found: &AlgorithmIdentifier<'_>) -> Result<(), Mismatch> {
    let right = found.algorithm.as_bytes() == ECDSA_WITH_SHA256 && found.parameters.is_none();
    same(right, Mismatch::Algorithm)
}

pub(crate) fn check_signature(signed: &[u8], signature: &[u8], point: &[u8; 65]) -> Result<(), Mismatch> {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(signed, signature).map_err(|_| Mismatch::Signature)
}

pub(crate) const fn same(same: bool, otherwise: Mismatch) -> Result<(), Mismatch> {
    if same { Ok(()) } else { Err(otherwise) }
}
