//! One certificate as a view into its DER (RFC 5280, section 4.1).
//!
//! Parsing checks form, not truth: whether the signature is right, whether the dates have passed and what the
//! certificate may be used for is decided by [`verify_server`](super::verify_server).

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use shared::{UnixTime, limits};

use super::alt_name::AltNames;
use super::dates::Dates;
use super::distinguished::{Attribute, Name};
use super::extensions::Extensions;
use super::reader::{Reader, tag};
use super::{PathError, oid};
use crate::platform::PublicPoint;

/// A certificate with a P-256 key and an ECDSA-SHA256 signature, taken apart without copying.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    outline: Outline<'a>,
    dates: Dates,
    point: &'a PublicPoint,
    pub(super) extensions: Extensions<'a>,
}

impl<'a> Certificate<'a> {
    /// Takes one certificate apart; nothing may follow it.
    ///
    /// # Errors
    /// Says which rule it breaks: [`PathError::Malformed`], [`PathError::TooLarge`], or one of the reasons
    /// from [`PathError::Version`] to [`PathError::DuplicateExtension`].
    pub fn parse(der: &'a [u8]) -> Result<Self, PathError> {
        Outline::parse(der)?.certificate()
    }

    /// The signed part (TBSCertificate) in DER.
    #[must_use]
    pub const fn tbs(&self) -> &'a [u8] {
        self.outline.tbs
    }

    /// The serial number, big-endian, as it stands in the INTEGER: positive, 1 to 20 bytes.
    #[must_use]
    pub const fn serial(&self) -> &'a [u8] {
        self.outline.serial
    }

    /// The issuer's name: the content of its RDNSequence in DER.
    #[must_use]
    pub const fn issuer(&self) -> &'a [u8] {
        self.outline.issuer.as_bytes()
    }

    /// The subject's name: the content of its RDNSequence in DER.
    #[must_use]
    pub const fn subject(&self) -> &'a [u8] {
        self.outline.subject.as_bytes()
    }

    /// The subject's first common name, where it is text.
    #[must_use]
    pub fn subject_common_name(&self) -> Option<&'a str> {
        self.common_names().next()?.text()
    }

    /// The subject's serialNumber attribute, where it is text: the device identifier (IEEE 802.1AR).
    #[must_use]
    pub fn subject_serial_number(&self) -> Option<&'a str> {
        self.outline.subject.serial_number()?.text()
    }

    /// Beginning of validity, inclusive.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.dates.not_before
    }

    /// End of validity, inclusive.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.dates.not_after
    }

    /// SubjectPublicKeyInfo in DER, 91 bytes.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.outline.spki
    }

    /// The public key as an uncompressed point, not checked to lie on the curve.
    #[must_use]
    pub const fn public_point(&self) -> &'a PublicPoint {
        self.point
    }

    /// The signature: an ECDSA-Sig-Value in DER.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.outline.signature
    }

    /// The names in subjectAltName, where there is one.
    #[must_use]
    pub const fn alt_names(&self) -> Option<AltNames<'a>> {
        self.extensions.alt_names
    }

    /// Whether basicConstraints says that this is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// Whether extKeyUsage names clientAuth.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.extensions.ext_key_usage.is_some_and(|usage| usage.client_auth)
    }

    /// The key identifier of the certificate's own key.
    #[must_use]
    pub const fn subject_key_id(&self) -> Option<&'a [u8]> {
        self.extensions.subject_key_id
    }

    /// The key identifier of the issuer's key.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&'a [u8]> {
        self.extensions.authority_key_id?.key_id
    }

    /// Whether issuer and subject are one name (RFC 5280, section 6.1).
    pub(super) fn is_self_issued(&self) -> bool {
        self.outline.issuer == self.outline.subject
    }

    pub(super) fn common_names(&self) -> impl Iterator<Item = Attribute<'a>> {
        self.outline.subject.common_names()
    }

    pub(super) const fn dates(&self) -> Dates {
        self.dates
    }

    /// The public key, checked to lie on the curve.
    pub(super) fn key(&self) -> Result<VerifyingKey, PathError> {
        VerifyingKey::from_sec1_bytes(self.point).map_err(|_| PathError::PublicKey)
    }

    /// Checks the signature under the issuer's key.
    pub(super) fn check_signature(&self, issuer: &VerifyingKey) -> Result<(), PathError> {
        let signature = ecdsa_sig_value(self.outline.signature).ok_or(PathError::BadSignature)?;
        let digest = Sha256::digest(self.outline.tbs);
        issuer.verify_prehash(&digest, &signature).map_err(|_| PathError::BadSignature)
    }
}

/// What the certificate of any kind of key says on its surface: subject and key. Nothing is verified.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(Outline<'a>);

impl<'a> Summary<'a> {
    /// Takes one certificate apart as far as its fields; nothing may follow it.
    ///
    /// # Errors
    /// [`PathError::Malformed`], [`PathError::TooLarge`] or [`PathError::Version`].
    pub fn parse(der: &'a [u8]) -> Result<Self, PathError> {
        Outline::parse(der).map(Self)
    }

    /// SubjectPublicKeyInfo in DER.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.0.spki
    }

    /// The subject's serialNumber attribute, where it is text.
    #[must_use]
    pub fn subject_serial_number(&self) -> Option<&'a str> {
        self.0.subject.serial_number()?.text()
    }
}

/// The fields of a certificate of any kind, its algorithms and extensions not looked into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline<'a> {
    tbs: &'a [u8],
    serial: &'a [u8],
    inner_algorithm: &'a [u8],
    pub(super) issuer: Name<'a>,
    validity: &'a [u8],
    pub(super) subject: Name<'a>,
    spki: &'a [u8],
    extensions: Option<&'a [u8]>,
    outer_algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Outline<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, PathError> {
        if der.len() > limits::MAX_CERTIFICATE {
            return Err(PathError::TooLarge);
        }
        let mut outer = Reader::new(der);
        let mut certificate = outer.nested(tag::SEQUENCE)?;
        outer.finish()?;
        let tbs = certificate.element(tag::SEQUENCE)?;
        let outer_algorithm = certificate.element(tag::SEQUENCE)?.whole;
        let signature = certificate.bit_string_bytes()?;
        certificate.finish()?;

        let mut fields = Reader::new(tbs.content);
        let mut version =
            Reader::new(fields.optional(tag::context_constructed(0))?.ok_or(PathError::Version)?);
        if version.integer()? != [2] {
            return Err(PathError::Version);
        }
        version.finish()?;
        let serial = fields.integer()?;
        let inner_algorithm = fields.element(tag::SEQUENCE)?.whole;
        let issuer = Name::parse(fields.read(tag::SEQUENCE)?)?;
        let validity = fields.read(tag::SEQUENCE)?;
        let subject = Name::parse(fields.read(tag::SEQUENCE)?)?;
        let spki = fields.element(tag::SEQUENCE)?.whole;
        // No unique identifiers (RFC 5280, section 4.1.2.8): whatever else stands here is refused.
        let extensions = fields.optional(tag::context_constructed(3))?;
        fields.finish()?;
        Ok(Self {
            tbs: tbs.whole,
            serial,
            inner_algorithm,
            issuer,
            validity,
            subject,
            spki,
            extensions,
            outer_algorithm,
            signature,
        })
    }

    /// Looks into everything.
    pub(super) fn certificate(self) -> Result<Certificate<'a>, PathError> {
        if self.inner_algorithm != self.outer_algorithm {
            return Err(PathError::AlgorithmMismatch);
        }
        if self.inner_algorithm != oid::ECDSA_SHA256 {
            return Err(PathError::SignatureAlgorithm);
        }
        // RFC 5280, section 4.1.2.2. An INTEGER in its shortest form is zero only as one zero byte.
        if !matches!(self.serial, [0x01..=0x7f] | [0x00..=0x7f, _, ..]) || self.serial.len() > 20 {
            return Err(PathError::Serial);
        }
        if self.issuer.is_empty() {
            return Err(PathError::EmptyIssuer);
        }
        let point = self.spki.strip_prefix(oid::P256_SPKI_HEAD).ok_or(PathError::PublicKey)?;
        let point: &PublicPoint = point.try_into().map_err(|_| PathError::PublicKey)?;
        if point.first() != Some(&4) {
            return Err(PathError::PublicKey);
        }
        let dates = Dates::parse(self.validity)?;
        let extensions = self.extensions.map_or_else(|| Ok(Extensions::default()), Extensions::parse)?;
        Ok(Certificate { outline: self, dates, point, extensions })
    }
}

/// An ECDSA-Sig-Value (RFC 3279, section 2.2.3): r and s, each positive and at most 32 bytes.
fn ecdsa_sig_value(der: &[u8]) -> Option<Signature> {
    let mut outer = Reader::new(der);
    let mut parts = outer.nested(tag::SEQUENCE).ok()?;
    let r = scalar(parts.integer().ok()?)?;
    let s = scalar(parts.integer().ok()?)?;
    parts.finish().ok()?;
    outer.finish().ok()?;
    // Refuses zero and what is not below the order of the group.
    Signature::from_scalars(r, s).ok()
}

fn scalar(integer: &[u8]) -> Option<[u8; 32]> {
    let magnitude = match integer {
        [0x00, rest @ ..] => rest,
        [0x01..=0x7f, ..] => integer,
        _ => return None,
    };
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(magnitude.len())?;
    padded.get_mut(start..)?.copy_from_slice(magnitude);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::{ecdsa_sig_value, scalar};

    #[test]
    fn scalars_are_padded_and_positive() {
        assert_eq!(scalar(&[1]).map(|s| s[31]), Some(1));
        assert_eq!(scalar(&[0x00, 0xff]).map(|s| s[31]), Some(0xff));
        assert_eq!(scalar(&[0x80]), None);
        assert!(scalar(&[0x7f; 32]).is_some());
        assert_eq!(scalar(&[0x7f; 33]), None);
    }

    #[test]
    fn signatures_of_zero_are_refused() {
        assert!(ecdsa_sig_value(b"\x30\x06\x02\x01\x01\x02\x01\x01").is_some());
        assert!(ecdsa_sig_value(b"\x30\x06\x02\x01\x00\x02\x01\x01").is_none());
        assert!(ecdsa_sig_value(b"\x30\x06\x02\x01\x01\x02\x01\x00").is_none());
        assert!(ecdsa_sig_value(b"\x30\x08\x02\x01\x01\x02\x01\x01\x05\x00").is_none());
        assert!(ecdsa_sig_value(b"\x30\x06\x02\x01\x01\x02\x01\x01\x05\x00").is_none());
        assert!(ecdsa_sig_value(b"\x30\x00").is_none());
        assert!(ecdsa_sig_value(b"").is_none());
    }
}
