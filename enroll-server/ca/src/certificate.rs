//! A CA's certificate, read and checked.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use shared::{UnixTime, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::lint::LintError;
use crate::profile::Validity;
use crate::template::{ECDSA_WITH_SHA256, spki};

/// The certificate of a CA with a P-256 key, fit for issuing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaCertificate {
    der: Vec<u8>,
    subject: Vec<u8>,
    subject_text: String,
    point: [u8; 65],
    key_id: Vec<u8>,
    validity: Validity,
    path_length: Option<u32>,
    self_issued: bool,
}

/// Why a certificate is not that of a CA of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaCertificateError {
    /// Not an X.509 certificate in DER, or too long.
    #[error("this is not an X.509 version 3 certificate in DER of at most {} bytes", limits::MAX_CERTIFICATE)]
    Malformed,
    /// No CA bit, or key usage without keyCertSign and cRLSign.
    #[error("the certificate may not sign certificates and revocation lists")]
    NotACa,
    /// Not a P-256 key.
    #[error("the certificate's key is not an uncompressed point on P-256")]
    Key,
    /// No subject key identifier (RFC 5280, section 4.2.1.2).
    #[error("the certificate has no subject key identifier")]
    KeyId,
    /// The subject is empty or has a part with several attributes.
    #[error("the certificate's subject is empty, or has several attributes in one part")]
    Subject,
}

impl CaCertificate {
    /// Reads and checks a CA certificate in DER. Its signature and issuer are not looked at: the operator trusts
    /// it, and peers verify it.
    ///
    /// # Errors
    /// Says what it lacks.
    pub fn from_der(der: &[u8]) -> Result<Self, CaCertificateError> {
        use CaCertificateError::{Key, KeyId, Malformed, NotACa, Subject};
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Malformed)?;
        if !rest.is_empty() || der.len() > limits::MAX_CERTIFICATE || certificate.extensions_map().is_err() {
            return Err(Malformed);
        }
        let constraints = certificate.basic_constraints().map_err(|_| Malformed)?.map(|c| c.value);
        let usage = certificate.key_usage().map_err(|_| Malformed)?.map(|u| u.value);
        let signs = usage.is_some_and(|usage| usage.key_cert_sign() && usage.crl_sign());
        let constraints = constraints.filter(|constraints| constraints.ca && signs).ok_or(NotACa)?;
        let key = certificate.public_key();
        let point: [u8; 65] = key.subject_public_key.data.as_ref().try_into().map_err(|_| Key)?;
        if key.raw != spki(&point) {
            return Err(Key);
        }
        let key_id = certificate.iter_extensions().find_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) if !id.0.is_empty() => Some(id.0.to_vec()),
            _ => None,
        });
        let subject = certificate.subject();
        if subject.iter().next().is_none() || subject.iter().any(|rdn| rdn.iter().count() != 1) {
            return Err(Subject);
        }
        Ok(Self {
            der: der.to_vec(),
            subject: subject.as_raw().to_vec(),
            subject_text: subject.to_string(),
            point,
            key_id: key_id.ok_or(KeyId)?,
            validity: Validity {
                not_before: time(certificate.validity().not_before.timestamp()),
                not_after: time(certificate.validity().not_after.timestamp()),
            },
            path_length: constraints.path_len_constraint,
            self_issued: certificate.subject() == certificate.issuer(),
        })
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject, for people to read.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject_text
    }

    /// The subject in DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The organisation (O) of the subject, where there is exactly one.
    #[must_use]
    pub fn organization(&self) -> Option<String> {
        let (_, certificate) = X509Certificate::from_der(&self.der).ok()?;
        let mut found = certificate.subject().iter_organization();
        match (found.next(), found.next()) {
            (Some(one), None) => one.as_str().ok().map(str::to_owned),
            _ => None,
        }
    }

    /// The serial number as it stands in DER, big-endian.
    #[must_use]
    pub fn serial(&self) -> Vec<u8> {
        X509Certificate::from_der(&self.der)
            .map(|(_, certificate)| certificate.raw_serial().to_vec())
            .unwrap_or_default()
    }

    /// Its key: an uncompressed point.
    #[must_use]
    pub const fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    /// Its subject key identifier.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// Its life.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it is its own issuer: a root.
    #[must_use]
    pub const fn is_self_issued(&self) -> bool {
        self.self_issued
    }

    /// How many CAs may stand below it; any number where it does not say.
    #[must_use]
    pub const fn path_length(&self) -> Option<u32> {
        self.path_length
    }

    /// Whether `issuer` signed it, by name and by signature (RFC 5280, section 6.1.3). Dates are not looked at.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        issuer.has_signed(&self.der)
    }

    /// Whether this CA signed the certificate `der`, by name and by signature (RFC 5280, section 6.1.3). Dates are not
    /// looked at.
    #[must_use]
    pub fn has_signed(&self, der: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
        let algorithm = &certificate.signature_algorithm;
        if certificate.issuer().as_raw() != self.subject
            || algorithm != &certificate.tbs_certificate.signature
            || algorithm.algorithm.as_bytes() != ECDSA_WITH_SHA256
        {
            return false;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        key.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data).is_ok()
    }

    /// Whether it can sign at `now`: after its begin and before its last second.
    ///
    /// # Errors
    /// [`LintError::CaNotValid`] where it cannot.
    pub fn check_valid_at(&self, now: UnixTime) -> Result<(), LintError> {
        let Validity { not_before, not_after } = self.validity;
        // At the very last second nothing it signed could be used.
        if not_before <= now && now < not_after {
            Ok(())
        } else {
            Err(LintError::CaNotValid { not_before, not_after, now })
        }
    }

    pub(crate) fn to_pki(&self) -> CertificateDer<'_> {
        CertificateDer::from(self.der.as_slice())
    }
}

/// A certificate's date; dates before 1970 count as 1970.
pub(crate) fn time(secs: i64) -> UnixTime {
    UnixTime::from_secs(u64::try_from(secs).unwrap_or(0))
}
