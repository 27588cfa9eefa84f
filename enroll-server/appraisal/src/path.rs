//! The path from a device's certificate up to a maker the server knows, for every kind of evidence that has one.
//!
//! Signatures, dates, path length, critical extensions and name constraints are checked by rustls-webpki; on
//! top stand the checks it leaves to others: the form of each certificate, the life of the trust anchor, and the
//! key usage of intermediates. What the leaf may be and whom it names is for the kind to say. Revocation is
//! looked at elsewhere ([`crate::revocation`]); the path says which certificates that is about.

use core::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use shared::{DeviceId, Reject, UnixTime, limits};
use webpki::{EndEntityCert, KeyUsage, aws_lc_rs as algorithms};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Extension};

use crate::device_name::{self, NameError};
use crate::maker::{Endorsements, MakerCa};
use crate::revocation::Link;

/// What differs from kind to kind.
#[derive(Clone, Copy)]
pub(crate) struct PathRules<'r> {
    /// What the certificates may be signed with.
    pub(crate) algorithms: &'r [&'r dyn SignatureVerificationAlgorithm],
    /// The extended key usage of the leaf.
    pub(crate) usage: KeyUsage,
    /// Most certificates, leaf included, trust anchor excluded.
    pub(crate) max_chain: usize,
    /// Longest certificate, in bytes.
    pub(crate) max_certificate: usize,
}

impl PathRules<'static> {
    /// ECDSA only, the limits of the protocol, and the usage of a TLS client where the leaf names usages at all.
    pub(crate) const ECDSA: Self = Self {
        algorithms: ECDSA,
        usage: KeyUsage::client_auth(),
        max_chain: limits::MAX_CHAIN,
        max_certificate: limits::MAX_CERTIFICATE,
    };
}

/// What makers' CAs may sign with.
pub(crate) const ECDSA: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
];

/// TPM makers sign with RSA as well; the keys of their CAs have 2048 bits at least.
pub(crate) const ECDSA_OR_RSA: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ECDSA_P521_SHA256,
    algorithms::ECDSA_P521_SHA384,
    algorithms::ECDSA_P521_SHA512,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
];

/// A leaf whose path leads to a known maker; made by [`verify`] only.
#[derive(Debug)]
pub(crate) struct Endorsed<'c, 'm> {
    leaf: X509Certificate<'c>,
    ca: &'m MakerCa,
    links: Vec<Link>,
}

impl<'c, 'm> Endorsed<'c, 'm> {
    /// The leaf. That it is no CA in disguise is not checked yet.
    pub(crate) const fn leaf(&self) -> &X509Certificate<'c> {
        &self.leaf
    }

    /// The certificates of the path, leaf first, each with its issuer.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The CA that the path leads to.
    pub(crate) const fn ca(&self) -> &'m MakerCa {
        self.ca
    }
}

/// Verifies a chain in DER, leaf first, trust anchor left out.
pub(crate) fn verify<'c, 'm>(
    chain: &[&'c [u8]],
    makers: &'m Endorsements,
    rules: &PathRules<'_>,
    now: UnixTime,
) -> Result<Endorsed<'c, 'm>, PathError> {
    let [leaf, intermediates @ ..] = chain else {
        return Err(PathError::ChainLength { found: 0, allowed: rules.max_chain });
    };
    if chain.len() > rules.max_chain {
        return Err(PathError::ChainLength { found: chain.len(), allowed: rules.max_chain });
    }
    if let Some(long) = chain.iter().find(|der| der.len() > rules.max_certificate) {
        return Err(PathError::TooLong { found: long.len(), allowed: rules.max_certificate });
    }
    let parsed = parse(leaf)?;
    for der in intermediates {
        // A maker's own CA vouches for devices by the operator's word, whether it is sent along or not.
        if makers.iter().any(|ca| ca.der() == *der) {
            continue;
        }
        let certificate = parse(der)?;
        check_intermediate(&certificate)?;
        check_names_no_device(&certificate)?;
    }
    let (ca, used) = find_path(leaf, intermediates, makers, rules, now)
        .map_err(|error| blame(error, &parsed, intermediates, makers))?;
    // RFC 5280 leaves an anchor's dates open; an operator who lets a maker's CA run out means it to end.
    if !ca.is_valid_at(now) {
        return Err(PathError::MakerExpired { maker: ca.maker().name.clone(), ended: ca.not_after() });
    }
    let links = links(&used, ca)?;
    Ok(Endorsed { leaf: parsed, ca, links })
}

/// Why a chain does not lead to a known maker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No certificate, or too many.
    #[error("a chain of {found} certificates; 1 to {allowed} are allowed")]
    ChainLength {
        /// Certificates found.
        found: usize,
        /// Most that are allowed.
        allowed: usize,
    },
    /// A certificate is too long.
    #[error("a certificate of {found} bytes; {allowed} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// A certificate cannot be read.
    #[error("a certificate that is not X.509 version 3 in DER, or has an extension twice or broken")]
    Malformed,
    /// No maker the server knows has signed it.
    #[error("a certificate that no known maker has signed; the top of its chain is issued by {issuer:?}")]
    UnknownMaker {
        /// Issuer of the chain's last certificate.
        issuer: String,
    },
    /// The path to the maker is broken.
    #[error("a broken path to the maker")]
    Broken(#[source] webpki::Error),
    /// The maker's CA is not valid now.
    #[error("a certificate of maker {maker:?}, whose CA certificate is not valid now (it ends {ended})")]
    MakerExpired {
        /// Name of the maker.
        maker: String,
        /// End of its CA's life.
        ended: UnixTime,
    },
    /// A certificate in the middle is no CA, or may not sign certificates.
    #[error("a certificate in the middle of the chain that may not sign certificates")]
    Intermediate,
    /// A certificate in the middle names a device: what a device holds vouches for no other one.
    #[error(
        "a device's own certificate in the middle of the chain: {device} cannot vouch for another device, and a CA that can has no serialNumber in its subject"
    )]
    DeviceInTheMiddle {
        /// The device that it names.
        device: DeviceId,
    },
    /// A certificate in the middle has a name that cannot be read as a device's, and is not for certain a CA's.
    #[error(
        "a certificate in the middle of the chain that may be a device's own; a CA that vouches for devices has neither a serialNumber in its subject nor a hardwareModuleName"
    )]
    UnclearName(#[source] NameError),
}

impl PathError {
    /// What the device is told.
    #[must_use]
    pub const fn reject(&self) -> Reject {
        match self {
            Self::UnknownMaker { .. } => Reject::UnknownMaker,
            Self::ChainLength { .. }
            | Self::TooLong { .. }
            | Self::Malformed
            | Self::Broken(_)
            | Self::MakerExpired { .. }
            | Self::Intermediate
            | Self::DeviceInTheMiddle { .. }
            | Self::UnclearName(_) => Reject::BadEndorsement,
        }
    }
}

/// Reads the certificate of a CA, as [`parse`] does; it may have so many bytes.
pub(crate) fn parse_ca(der: &[u8], allowed: usize) -> Result<X509Certificate<'_>, PathError> {
    if der.len() > allowed {
        return Err(PathError::TooLong { found: der.len(), allowed });
    }
    let certificate = parse(der)?;
    check_intermediate(&certificate)?;
    Ok(certificate)
}

/// Reads a certificate as a whole: all extensions understood, none twice, nothing empty that must not be.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PathError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| PathError::Malformed)?;
    // RFC 5280, section 4.1.2.2: positive, at most 20 bytes; DER has one spelling of it.
    let serial = match certificate.raw_serial() {
        [0, second, ..] if *second < 0x80 => false,
        [0] => false,
        serial => serial.len() <= 20 && serial.first().is_some_and(|first| *first < 0x80),
    };
    let sound = rest.is_empty()
        && serial
        && one_algorithm(der, &certificate)
        && certificate.version() == x509_parser::x509::X509Version::V3
        && !certificate.extensions().is_empty()
        && certificate.extensions_map().is_ok()
        && certificate.iter_extensions().all(sound_extension);
    if sound { Ok(certificate) } else { Err(PathError::Malformed) }
}

/// RFC 5280, section 4.1.1.2: the algorithm beside the signature, which nobody signed, is the one that was signed,
/// to the byte. The parser lets other tags pass there.
fn one_algorithm(der: &[u8], certificate: &X509Certificate<'_>) -> bool {
    /// Tag [0], INTEGER 2, and the tag and length of the serial number, which is at most 20 bytes long.
    const BEFORE: usize = 5 + 2;
    let signed = certificate.tbs_certificate.as_ref();
    let beside = head_length(der).and_then(|head| der.get(head + signed.len()..));
    let Some([0x30, length @ 0..=0x7f, ..]) = beside else { return false };
    let beside = beside.and_then(|bytes| bytes.get(..2 + usize::from(*length)));
    let at = head_length(signed).map(|head| head + BEFORE + certificate.raw_serial().len());
    let inside = at.and_then(|at| signed.get(at..at + 2 + usize::from(*length)));
    inside.is_some() && inside == beside
}

/// Bytes of tag and length in front of a certificate, or of what is signed in it.
fn head_length(der: &[u8]) -> Option<usize> {
    match der.get(1)? {
        0..=0x7f => Some(2),
        0x81 => Some(3),
        0x82 => Some(4),
        _ => None,
    }
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

fn check_intermediate(certificate: &X509Certificate<'_>) -> Result<(), PathError> {
    let signs = certificate
        .key_usage()
        .map_err(|_| PathError::Malformed)?
        .is_none_or(|usage| usage.value.key_cert_sign());
    if certificate.is_ca() && signs { Ok(()) } else { Err(PathError::Intermediate) }
}

/// The root of a DICE device is a CA, for its own layers: it leads to the maker, and its key lies in one device. A
/// name that is no device's here may be one to its maker, so only a certificate without any is a CA's.
fn check_names_no_device(certificate: &X509Certificate<'_>) -> Result<(), PathError> {
    match device_name::device(certificate) {
        Ok((device, _)) => Err(PathError::DeviceInTheMiddle { device }),
        Err(NameError::None) => Ok(()),
        Err(error) => Err(PathError::UnclearName(error)),
    }
}

/// Finds the path to a maker; gives its certificates in DER too, leaf first.
fn find_path<'m>(
    leaf: &[u8],
    intermediates: &[&[u8]],
    makers: &'m Endorsements,
    rules: &PathRules<'_>,
    now: UnixTime,
) -> Result<(&'m MakerCa, Vec<Vec<u8>>), webpki::Error> {
    let der = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&der)?;
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    let anchors: Vec<_> = makers.iter().map(|ca| ca.anchor.clone()).collect();
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
    let path =
        leaf.verify_for_usage(rules.algorithms, &anchors, &intermediates, time, rules.usage, None, None)?;
    let found = path.anchor();
    let used = path.intermediate_certificates().map(|certificate| certificate.der().to_vec());
    let used = core::iter::once(der.to_vec()).chain(used).collect();
    // A CA whose certificate was renewed is there twice, with one name and one key: the one in force counts.
    let mut fitting = makers.iter().filter(|ca| ca.anchor == *found);
    let first = fitting.next().ok_or(webpki::Error::UnknownIssuer)?;
    let ca =
        if first.is_valid_at(now) { first } else { fitting.find(|ca| ca.is_valid_at(now)).unwrap_or(first) };
    Ok((ca, used))
}

/// Each certificate of a path with who issued it.
fn links(path: &[Vec<u8>], ca: &MakerCa) -> Result<Vec<Link>, PathError> {
    let path = path.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
    let above = path.iter().skip(1);
    let mut links: Vec<_> = path.iter().zip(above).map(|(below, above)| Link::new(below, above)).collect();
    links.extend(path.last().map(|top| Link::under(top, *ca.issuer_id())));
    Ok(links)
}

/// Tells an unknown maker from a broken chain of a known one: the maker's names are anyone's to take, so only
/// the key identifier that the top of the chain points to counts.
fn blame(
    error: webpki::Error,
    leaf: &X509Certificate<'_>,
    intermediates: &[&[u8]],
    makers: &Endorsements,
) -> PathError {
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
        PathError::Broken(error)
    } else {
        PathError::UnknownMaker { issuer: top.issuer().to_string() }
    }
}
