//! Makers: whose CAs endorse IDevIDs. A maker CA is a trust anchor, and is checked once, when it is added.
//!
//! Whether the policy allows a maker's devices is decided elsewhere.

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use serde::{Deserialize, Serialize};
use shared::{UnixTime, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::key::hex;
use crate::maker_crl::{IssuerId, MakerCrl, MakerCrls, issuer_id};
use crate::oid;

/// SHA-256 of a maker CA's certificate in DER.
pub type Fingerprint = [u8; 32];

/// A maker's name and the fingerprint of its CA, for policies and records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Maker {
    /// The name that the operator gave.
    pub name: String,
    /// Of the maker CA's certificate.
    #[serde(with = "crate::serial::hash")]
    pub fingerprint: Fingerprint,
}

impl Maker {
    /// The fingerprint in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint_hex(&self) -> String {
        hex(&self.fingerprint)
    }
}

/// The certificate of a maker's CA, fit to be a trust anchor.
#[derive(Clone, Debug)]
pub struct MakerCa {
    maker: Maker,
    der: Vec<u8>,
    pub(crate) anchor: TrustAnchor<'static>,
    pub(crate) key_id: Option<Vec<u8>>,
    issuer_id: IssuerId,
    not_before: UnixTime,
    not_after: UnixTime,
    subject: String,
}

impl MakerCa {
    /// Checks the certificate of a maker's CA in DER: a version 3 certificate with the CA bit, allowed to sign
    /// certificates (RFC 5280, sections 4.2.1.3 and 4.2.1.9), with an EC or RSA key.
    ///
    /// # Errors
    /// Says why it cannot be a trust anchor.
    pub fn new(name: &str, der: &[u8]) -> Result<Self, MakerError> {
        if name.is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
            return Err(MakerError::Name);
        }
        if der.len() > limits::MAX_TPM_CERTIFICATE {
            return Err(MakerError::TooLong { found: der.len() });
        }
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| MakerError::Malformed)?;
        if !rest.is_empty() {
            return Err(MakerError::Malformed);
        }
        let constraints = certificate.basic_constraints().map_err(|_| MakerError::Malformed)?;
        if !constraints.is_some_and(|c| c.value.ca) {
            return Err(MakerError::NotACa);
        }
        let usage = certificate.key_usage().map_err(|_| MakerError::Malformed)?;
        if usage.is_some_and(|u| !u.value.key_cert_sign()) {
            return Err(MakerError::KeyUsage);
        }
        // What a CA signs with is looked at where a path is verified: RSA counts for TPMs and for TLS client
        // authentication only.
        let algorithm = certificate.public_key().algorithm.algorithm.as_bytes();
        if algorithm != oid::EC_PUBLIC_KEY && algorithm != oid::RSA_ENCRYPTION {
            return Err(MakerError::Key);
        }
        let key_id = certificate.iter_extensions().find_map(|e| match e.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let anchor_der = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&anchor_der).map_err(|_| MakerError::Malformed)?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
        Ok(Self {
            maker: Maker { name: name.into(), fingerprint },
            der: der.to_vec(),
            anchor: anchor.to_owned(),
            key_id,
            issuer_id: issuer_id(&certificate),
            not_before: time(certificate.validity().not_before.timestamp()),
            not_after: time(certificate.validity().not_after.timestamp()),
            subject: certificate.subject().to_string(),
        })
    }

    /// Name and fingerprint.
    #[must_use]
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate, read as it was when it was added. A trust anchor is name and key (RFC 5280, section 6.1.1), and
    /// the operator vouches for it: the form that the certificates below it must have, a legal serial number for
    /// one, is not asked of it.
    pub(crate) fn certificate(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.der).ok().map(|(_, certificate)| certificate)
    }

    /// Names it as an issuer of certificates and of revocation lists.
    #[must_use]
    pub const fn issuer_id(&self) -> &IssuerId {
        &self.issuer_id
    }

    /// The subject, for people to read.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The last second of its life.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Whether `now` lies within its life.
    #[must_use]
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// The makers a server knows: the endorsements that evidence is held against (RFC 9334, section 8.2).
#[derive(Clone, Debug, Default)]
pub struct Endorsements {
    makers: Vec<MakerCa>,
    crls: MakerCrls,
}

impl Endorsements {
    /// Collects maker CAs; the order does not matter.
    #[must_use]
    pub fn new(makers: Vec<MakerCa>) -> Self {
        Self { makers, crls: MakerCrls::default() }
    }

    /// Adds what the makers revoked.
    #[must_use]
    pub fn with_crls(mut self, crls: impl IntoIterator<Item = MakerCrl>) -> Self {
        crls.into_iter().for_each(|crl| self.crls.insert(crl));
        self
    }

    /// The revocation list of this issuer, where there is one.
    pub(crate) fn crl(&self, issuer: &IssuerId) -> Option<&MakerCrl> {
        self.crls.of(issuer)
    }

    /// All maker CAs.
    pub fn iter(&self) -> impl Iterator<Item = &MakerCa> {
        self.makers.iter()
    }
}

/// Why a certificate cannot be that of a maker's CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakerError {
    /// The name is empty, too long, or has control characters.
    #[error("a maker's name has 1 to {MAX_NAME} characters and no control characters")]
    Name,
    /// Longer than [`limits::MAX_TPM_CERTIFICATE`].
    #[error("the certificate has {found} bytes; {} are allowed", limits::MAX_TPM_CERTIFICATE)]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not an X.509 certificate of version 3 in DER.
    #[error("this is not an X.509 version 3 certificate in DER")]
    Malformed,
    /// No CA bit; perhaps a device's certificate.
    #[error("the certificate has no CA bit; give the maker's CA certificate, not a device's")]
    NotACa,
    /// Key usage without keyCertSign.
    #[error("the certificate's key usage does not allow it to sign certificates")]
    KeyUsage,
    /// Neither an EC nor an RSA key.
    #[error(
        "the certificate's key is neither an EC nor an RSA key; IDevIDs signed with ECDSA on P-256 or P-384, and \
         TPMs' EK certificates signed with ECDSA or RSA are supported"
    )]
    Key,
}

/// Longest name of a maker, in characters.
const MAX_NAME: usize = 64;

/// A certificate's date; dates before 1970 count as 1970.
pub(crate) fn time(secs: i64) -> UnixTime {
    UnixTime::from_secs(u64::try_from(secs).unwrap_or(0))
}
