//! Verification of an IDevID chain (IEEE 802.1AR) up to a maker the server knows.
//!
//! Signatures, dates, path length, critical extensions and name constraints are checked by rustls-webpki; on
//! top stand the checks it leaves to others: the life of the trust anchor, key usage, the form of the
//! device's key and of its name. Revocation of IDevIDs is not looked at: the inventory decides.

use core::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use shared::{DeviceId, Reject, UnixTime, limits};
use webpki::{EndEntityCert, KeyUsage, aws_lc_rs as algorithms};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Extension};

use crate::key::PublicKey;
use crate::maker::{Endorsements, Maker, MakerCa};
use crate::oid;

/// Proof that an IDevID leads to a known maker and fits this protocol's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsedIdevid {
    device: DeviceId,
    maker: Maker,
    key: PublicKey,
}

impl EndorsedIdevid {
    /// The device, as its maker named it.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The maker that endorses it.
    #[must_use]
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// The IDevID key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Verifies a chain in DER, leaf first, trust anchor left out.
///
/// # Errors
/// Says what is wrong with it.
pub fn verify(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
) -> Result<EndorsedIdevid, EndorsementError> {
    let [leaf, intermediates @ ..] = chain else {
        return Err(EndorsementError::ChainLength { found: 0 });
    };
    if chain.len() > limits::MAX_CHAIN {
        return Err(EndorsementError::ChainLength { found: chain.len() });
    }
    if let Some(long) = chain.iter().find(|der| der.len() > limits::MAX_CERTIFICATE) {
        return Err(EndorsementError::TooLong { found: long.len() });
    }
    let parsed = parse(leaf)?;
    for der in intermediates {
        check_intermediate(&parse(der)?)?;
    }
    let ca = verify_path(leaf, intermediates, makers, now)
        .map_err(|error| blame(error, &parsed, intermediates, makers))?;
    // RFC 5280 leaves an anchor's dates open; an operator who lets a maker's CA run out means it to end.
    if !ca.is_valid_at(now) {
        return Err(EndorsementError::MakerExpired { maker: ca.maker().name.clone(), ended: ca.not_after() });
    }
    let (device, key) = check_leaf(&parsed)?;
    Ok(EndorsedIdevid { device, maker: ca.maker().clone(), key })
}

/// Why an IDevID is not endorsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementError {
    /// No certificate, or too many.
    #[error("a chain of {found} certificates; 1 to {} are allowed", limits::MAX_CHAIN)]
    ChainLength {
        /// Certificates found.
        found: usize,
    },
    /// A certificate is too long.
    #[error("a certificate of {found} bytes; {} are allowed", limits::MAX_CERTIFICATE)]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// A certificate cannot be read.
    #[error("a certificate that is not X.509 version 3 in DER, or has an extension twice or broken")]
    Malformed,
    /// No maker the server knows has signed it.
    #[error("an IDevID that no known maker has signed; the top of its chain is issued by {issuer:?}")]
    UnknownMaker {
        /// Issuer of the chain's last certificate.
        issuer: String,
    },
    /// The path to the maker is broken.
    #[error("a broken path to the maker")]
    Path(#[source] webpki::Error),
    /// The maker's CA is not valid now.
    #[error("an IDevID of maker {maker:?}, whose CA certificate is not valid now (it ends {ended})")]
    MakerExpired {
        /// Name of the maker.
        maker: String,
        /// End of its CA's life.
        ended: UnixTime,
    },
    /// A certificate in the middle is no CA, or may not sign certificates.
    #[error("a certificate in the middle of the chain that may not sign certificates")]
    Intermediate,
    /// The leaf may sign certificates.
    #[error("an IDevID with the CA bit or key usage keyCertSign")]
    LeafIsCa,
    /// The leaf's key usage does not allow signatures.
    #[error("an IDevID whose key usage lacks digitalSignature")]
    LeafKeyUsage,
    /// The leaf's key is not a P-256 key.
    #[error("an IDevID whose key is not an uncompressed point on P-256")]
    LeafKey,
    /// The subject has not exactly one serial number (IEEE 802.1AR, section 8.6).
    #[error("an IDevID whose subject has {found} serialNumber attributes; exactly one is wanted")]
    SerialNumbers {
        /// Attributes found.
        found: usize,
    },
    /// The serial number is no device identifier.
    #[error("an IDevID whose serialNumber is no device identifier")]
    DeviceId(#[source] shared::id::DeviceIdError),
    /// The serial number is not text.
    #[error("an IDevID whose serialNumber is not a PrintableString")]
    SerialNumberType,
}

impl EndorsementError {
    /// What the device is told.
    #[must_use]
    pub const fn reject(&self) -> Reject {
        match self {
            Self::UnknownMaker { .. } => Reject::UnknownMaker,
            Self::ChainLength { .. }
            | Self::TooLong { .. }
            | Self::Malformed
            | Self::Path(_)
            | Self::MakerExpired { .. }
            | Self::Intermediate
            | Self::LeafIsCa
            | Self::LeafKeyUsage
            | Self::LeafKey
            | Self::SerialNumbers { .. }
            | Self::DeviceId(_)
            | Self::SerialNumberType => Reject::BadEndorsement,
        }
    }
}

/// What makers' CAs may sign with.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
];

/// Reads a certificate as a whole: all extensions understood, none twice, nothing empty that must not be.
fn parse(der: &[u8]) -> Result<X509Certificate<'_>, EndorsementError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| EndorsementError::Malformed)?;
    // RFC 5280, section 4.1.2.2: positive, at most 20 bytes; DER has one spelling of it.
    let serial = match certificate.raw_serial() {
        [0, second, ..] if *second < 0x80 => false,
        [0] => false,
        serial => serial.len() <= 20 && serial.first().is_some_and(|first| *first < 0x80),
    };
    let sound = rest.is_empty()
        && serial
        && certificate.version() == x509_parser::x509::X509Version::V3
        && !certificate.extensions().is_empty()
        && certificate.extensions_map().is_ok()
        && certificate.iter_extensions().all(sound_extension);
    if sound { Ok(certificate) } else { Err(EndorsementError::Malformed) }
}

/// RFC 5280 gives its lists of names, usages, points and identifiers at least one entry; basic constraints
/// alone may be an empty SEQUENCE, since both its parts may be left out.
fn sound_extension(extension: &X509Extension<'_>) -> bool {
    let parsed = extension.parsed_extension();
    let may_be_empty =
        matches!(parsed, ParsedExtension::BasicConstraints(_) | ParsedExtension::UnsupportedExtension { .. });
    let empty = matches!(extension.value, [] | [_, 0]) && !may_be_empty;
    // The last byte of an object identifier has its top bit clear (X.690, section 8.19.2).
    let oid = extension.oid.as_bytes().last().is_some_and(|last| *last < 0x80);
    oid && !empty && !matches!(parsed, ParsedExtension::ParseError { .. })
}

fn check_intermediate(certificate: &X509Certificate<'_>) -> Result<(), EndorsementError> {
    let signs = certificate
        .key_usage()
        .map_err(|_| EndorsementError::Malformed)?
        .is_none_or(|usage| usage.value.key_cert_sign());
    if certificate.is_ca() && signs { Ok(()) } else { Err(EndorsementError::Intermediate) }
}

fn check_leaf(certificate: &X509Certificate<'_>) -> Result<(DeviceId, PublicKey), EndorsementError> {
    if certificate.is_ca() {
        return Err(EndorsementError::LeafIsCa);
    }
    if let Some(usage) = certificate.key_usage().map_err(|_| EndorsementError::Malformed)? {
        if usage.value.key_cert_sign() {
            return Err(EndorsementError::LeafIsCa);
        }
        if !usage.value.digital_signature() {
            return Err(EndorsementError::LeafKeyUsage);
        }
    }
    let key = PublicKey::from_spki_der(certificate.public_key().raw).ok_or(EndorsementError::LeafKey)?;
    let mut serials = certificate
        .subject()
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().as_bytes() == oid::SERIAL_NUMBER);
    let (Some(serial), None) = (serials.next(), serials.next()) else {
        let found = certificate.subject().iter_attributes();
        let found = found.filter(|a| a.attr_type().as_bytes() == oid::SERIAL_NUMBER).count();
        return Err(EndorsementError::SerialNumbers { found });
    };
    // IEEE 802.1AR, section 8.6: X520SerialNumber, a PrintableString; some makers write UTF8String.
    let text = serial.as_str().map_err(|_| EndorsementError::SerialNumberType)?;
    Ok((DeviceId::new(text).map_err(EndorsementError::DeviceId)?, key))
}

/// Finds the path to a maker. The usage is that of a TLS client, where the certificate names usages at all.
fn verify_path<'m>(
    leaf: &[u8],
    intermediates: &[&[u8]],
    makers: &'m Endorsements,
    now: UnixTime,
) -> Result<&'m MakerCa, webpki::Error> {
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf)?;
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    let anchors: Vec<_> = makers.iter().map(|ca| ca.anchor.clone()).collect();
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
    let path = leaf.verify_for_usage(
        ALGORITHMS,
        &anchors,
        &intermediates,
        time,
        KeyUsage::client_auth(),
        None,
        None,
    )?;
    let found = path.anchor();
    makers.iter().find(|ca| ca.anchor == *found).ok_or(webpki::Error::UnknownIssuer)
}

/// Tells an unknown maker from a broken chain of a known one: the maker's names are anyone's to take, so only
/// the key identifier that the top of the chain points to counts.
fn blame(
    error: webpki::Error,
    leaf: &X509Certificate<'_>,
    intermediates: &[&[u8]],
    makers: &Endorsements,
) -> EndorsementError {
    let top = intermediates.last().and_then(|der| parse(der).ok());
    let top = top.as_ref().unwrap_or(leaf);
    let authority = top.iter_extensions().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let known = match authority {
        Some(id) => makers.iter().any(|ca| ca.key_id.as_deref() == Some(id)),
        None => !matches!(error, webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey),
    };
    if known {
        EndorsementError::Path(error)
    } else {
        EndorsementError::UnknownMaker { issuer: top.issuer().to_string() }
    }
}
