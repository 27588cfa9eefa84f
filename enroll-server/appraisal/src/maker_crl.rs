//! Revocation lists of makers (RFC 5280, section 5): which endorsements a maker took back.
//!
//! A list is checked as a whole when it is taken in, every entry included: nothing is parsed later, when a
//! device asks. What becomes of a device whose certificate is listed is decided in `revocation`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use shared::{UnixTime, limits};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Version;

use crate::key::hex;
use crate::maker::{MakerCa, time};
use crate::oid;
use crate::path::{self, PathError};
use crate::signed::Signed;

/// Longest revocation list, in bytes: about a hundred thousand entries.
pub const MAX_CRL: usize = 4 * 1024 * 1024;
/// Longest CRL number, in bytes (RFC 5280, section 5.2.3).
pub const MAX_NUMBER: usize = 20;

/// Names who issues: SHA-256 over a CA's name and its SubjectPublicKeyInfo, both in DER. Two makers may have one
/// name, and one key may get a new name: their serial numbers are not the same ones.
pub type IssuerId = [u8; 32];

/// The [`IssuerId`] of a certificate's subject.
pub(crate) fn issuer_id(certificate: &X509Certificate<'_>) -> IssuerId {
    let mut context = Context::new(&SHA256);
    context.update(certificate.subject().as_raw());
    context.update(certificate.public_key().raw);
    let mut id = [0; 32];
    id.copy_from_slice(context.finish().as_ref());
    id
}

/// A revocation list of a maker, genuine and complete. Whether it is current is asked when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakerCrl {
    issuer: IssuerId,
    issuer_name: String,
    number: [u8; MAX_NUMBER],
    this_update: UnixTime,
    next_update: UnixTime,
    revoked: BTreeSet<Vec<u8>>,
}

impl MakerCrl {
    /// Checks a list in DER that `maker` signed, or one of the CAs below it; `chain` has the certificates of such
    /// CAs, in any order.
    ///
    /// # Errors
    /// Says why the list cannot be believed.
    pub fn new(der: &[u8], chain: &[&[u8]], maker: &MakerCa) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL {
            return Err(CrlError::TooLong { found: der.len() });
        }
        let (rest, crl) = CertificateRevocationList::from_der(der).map_err(|_| CrlError::Malformed)?;
        if !rest.is_empty() || crl.tbs_cert_list.signature != crl.signature_algorithm {
            return Err(CrlError::Malformed);
        }
        // RFC 5280, section 5.1.2.1: version 2, for there are extensions.
        if crl.version() != Some(X509Version::V2) {
            return Err(CrlError::Malformed);
        }
        let number = check_extensions(&crl)?;
        let signer = signer(&crl, chain, maker)?;
        let next_update = crl.next_update().ok_or(CrlError::NoNextUpdate)?;
        let this_update = time(crl.last_update().timestamp());
        let next_update = time(next_update.timestamp());
        if next_update <= this_update {
            return Err(CrlError::Dates);
        }
        Ok(Self {
            issuer: signer,
            issuer_name: crl.issuer().to_string(),
            number,
            this_update,
            next_update,
            revoked: entries(der, &crl)?,
        })
    }

    /// Whose list it is.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// The issuer's name, for people to read.
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// The CRL number, big-endian, filled up with zeros in front: compares as the numbers do.
    #[must_use]
    pub const fn number(&self) -> &[u8; MAX_NUMBER] {
        &self.number
    }

    /// The CRL number in hexadecimal, without zeros in front.
    #[must_use]
    pub fn number_text(&self) -> String {
        let digits = hex(&self.number);
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() { "0".into() } else { digits.into() }
    }

    /// When it was made.
    #[must_use]
    pub const fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// Until when a newer one was promised.
    #[must_use]
    pub const fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// How many certificates it lists.
    #[must_use]
    pub fn revoked(&self) -> usize {
        self.revoked.len()
    }

    /// Whether the list is in force: made before `now`, and no newer one is due.
    #[must_use]
    pub fn is_current(&self, now: UnixTime) -> bool {
        self.this_update <= now && now <= self.next_update
    }

    /// Whether it lists the certificate with this serial number.
    pub(crate) fn lists(&self, serial: &[u8]) -> bool {
        self.revoked.contains(magnitude(serial))
    }
}

/// The lists a server holds, one for each issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct MakerCrls(HashMap<IssuerId, Arc<MakerCrl>>);

impl MakerCrls {
    /// Of two lists of one issuer, the one with the higher number counts.
    pub(crate) fn insert(&mut self, crl: MakerCrl) {
        let newer = self.0.get(&crl.issuer).is_none_or(|held| held.number < crl.number);
        if newer {
            self.0.insert(crl.issuer, Arc::new(crl));
        }
    }

    pub(crate) fn of(&self, issuer: &IssuerId) -> Option<&MakerCrl> {
        self.0.get(issuer).map(Arc::as_ref)
    }
}

/// Why a maker's revocation list is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Longer than [`MAX_CRL`].
    #[error("the revocation list has {found} bytes; {MAX_CRL} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not a revocation list of version 2 in DER.
    #[error("this is not a revocation list of version 2 in DER, or a part of it is broken")]
    Malformed,
    /// It speaks of a part of the issuer's certificates only.
    #[error(
        "the list is a part of a list (a delta, or for one distribution point); ask the maker for the whole"
    )]
    Partial,
    /// An extension that changes its meaning in a way this server does not know.
    #[error("the list has a critical extension that is not understood")]
    UnknownCritical,
    /// No CRL number, or one beyond 20 bytes.
    #[error("the list has no CRL number of at most {MAX_NUMBER} bytes (RFC 5280, section 5.2.3)")]
    NoNumber,
    /// No date of the next list.
    #[error("the list does not say when the next one comes (RFC 5280, section 5.1.2.5)")]
    NoNextUpdate,
    /// Its dates are the wrong way round.
    #[error("the list ends before it begins")]
    Dates,
    /// A certificate given with it is not one of a CA that could be below the maker, or there are too many.
    #[error("a certificate given with the list is not that of a CA that can be below a maker's")]
    Chain(#[from] PathError),
    /// A certificate given with it was issued by somebody else.
    #[error(
        "a certificate given with the list was issued neither by this maker's CA nor by another CA given: {subject}"
    )]
    Unlinked {
        /// Whose certificate it is.
        subject: String,
    },
    /// The maker and the CAs given have other names than the list's issuer.
    #[error(
        "the list was issued by none of the maker's CAs given; give the certificate of the one that issued it"
    )]
    OtherIssuer,
    /// The issuer may not sign lists.
    #[error("the list's issuer may not sign revocation lists (key usage without cRLSign)")]
    KeyUsage,
    /// It is signed with an algorithm that is not supported.
    #[error(
        "the list is signed with algorithm {found}; supported are ECDSA on P-256, P-384 and P-521 and RSA of 2048 bits \
         or more (PKCS #1), with SHA-256 or longer"
    )]
    Algorithm {
        /// Its object identifier.
        found: String,
    },
    /// The signature is wrong.
    #[error("the list's signature does not verify under its issuer's key")]
    Signature,
}

/// Checks the list's own extensions; gives the CRL number.
fn check_extensions(crl: &CertificateRevocationList<'_>) -> Result<[u8; MAX_NUMBER], CrlError> {
    crl.tbs_cert_list.extensions_map().map_err(|_| CrlError::Malformed)?;
    let mut number = None;
    for extension in crl.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } => return Err(CrlError::Malformed),
            ParsedExtension::CRLNumber(found) => number = Some(found.to_bytes_be()),
            ParsedExtension::AuthorityKeyIdentifier(_) => {}
            // Both make the list speak of some certificates only; what it does not list may be revoked all the
            // same (RFC 5280, sections 5.2.4 and 5.2.5).
            _ if matches!(extension.oid.as_bytes(), oid::ISSUING_DISTRIBUTION_POINT | oid::DELTA_CRL) => {
                return Err(CrlError::Partial);
            }
            _ if extension.critical => return Err(CrlError::UnknownCritical),
            _ => {}
        }
    }
    let number = number.ok_or(CrlError::NoNumber)?;
    let mut padded = [0; MAX_NUMBER];
    let start = MAX_NUMBER.checked_sub(number.len()).ok_or(CrlError::NoNumber)?;
    padded.get_mut(start..).ok_or(CrlError::NoNumber)?.copy_from_slice(&number);
    Ok(padded)
}

/// Finds who signed the list among the maker and the CAs below it, and checks the signature.
fn signer(
    crl: &CertificateRevocationList<'_>,
    chain: &[&[u8]],
    maker: &MakerCa,
) -> Result<IssuerId, CrlError> {
    let allowed = limits::MAX_TPM_CHAIN;
    if chain.len() > allowed {
        return Err(PathError::ChainLength { found: chain.len(), allowed }.into());
    }
    let mut trusted: Vec<_> = maker.certificate().into_iter().collect();
    let mut open = chain
        .iter()
        .map(|der| path::parse_ca(der, limits::MAX_TPM_CERTIFICATE))
        .collect::<Result<Vec<_>, _>>()?;
    // Each round takes in what a CA that is trusted already has signed.
    while let Some(first) = open.first() {
        let subject = first.subject().to_string();
        let (leads, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|ca| {
            trusted.iter().any(|above| {
                ca.issuer().as_raw() == above.subject().as_raw() && Signed::certificate(ca).is_by(above)
            })
        });
        if leads.is_empty() {
            return Err(CrlError::Unlinked { subject });
        }
        trusted.extend(leads);
        open = rest;
    }
    let named: Vec<_> = trusted.iter().filter(|ca| ca.subject().as_raw() == crl.issuer().as_raw()).collect();
    if named.is_empty() {
        return Err(CrlError::OtherIssuer);
    }
    let signed = Signed::list(crl);
    if !signed.is_supported() {
        return Err(CrlError::Algorithm { found: crl.signature_algorithm.algorithm.to_id_string() });
    }
    let issuer = named.into_iter().find(|ca| signed.is_by(ca)).ok_or(CrlError::Signature)?;
    let usage = issuer.key_usage().map_err(|_| PathError::Malformed)?;
    if usage.is_some_and(|usage| !usage.value.crl_sign()) {
        return Err(CrlError::KeyUsage);
    }
    Ok(issuer_id(issuer))
}

/// Reads every entry now. Two parsers have to agree on them, so that none gets lost between the lines.
fn entries(der: &[u8], crl: &CertificateRevocationList<'_>) -> Result<BTreeSet<Vec<u8>>, CrlError> {
    let second = OwnedCertRevocationList::from_der(der).map_err(|error| match error {
        webpki::Error::UnsupportedCriticalExtension => CrlError::UnknownCritical,
        _ => CrlError::Malformed,
    })?;
    let second = CertRevocationList::from(second);
    let mut revoked = BTreeSet::new();
    for entry in crl.iter_revoked_certificates() {
        entry.extensions_map().map_err(|_| CrlError::Malformed)?;
        // A certificateIssuer is critical: the entry would be about another CA's certificate (section 5.3.3).
        if entry.extensions().iter().any(|extension| extension.critical) {
            return Err(CrlError::UnknownCritical);
        }
        let serial = entry.raw_serial();
        let positive = serial.first().is_some_and(|first| *first < 0x80);
        if !positive || !matches!(second.find_serial(serial), Ok(Some(_))) {
            return Err(CrlError::Malformed);
        }
        revoked.insert(magnitude(serial).to_vec());
    }
    Ok(revoked)
}

/// A serial number without the zeros in front.
fn magnitude(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}
