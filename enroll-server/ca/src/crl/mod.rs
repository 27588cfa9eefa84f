//! Revocation lists: version 2 (RFC 5280, section 5), with number, reasons and next update; complete, or for one
//! distribution point.
//!
//! The list is written here and not by the library that signs certificates, which would build every entry anew: one
//! more entry would cost as much as all. For the same reason an entry is read back once, when it is written, and what is
//! read back of every list is all around the entries: that they stand in it, all and in order, is a comparison of bytes.
//! What is revoked is the store's to know, and that an entry stays until its certificate has ended.

mod check;
mod entries;
mod entry;

use shared::UnixTime;

use crate::certificate::CaCertificate;
use crate::der::{self, context, context_constructed, tlv};
use crate::issuer::{IssueError, Issuer};
use crate::lint::LintError;
use crate::profile::BACKDATE;
use crate::serial::Serial;
use crate::template::{AUTHORITY_KEY_ID, ECDSA_WITH_SHA256, der_time};
use crate::to_be_signed::assemble;

pub use entries::Entries;
pub use entry::Entry;

/// One revoked certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Serial,
    /// When it was revoked.
    pub at: UnixTime,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate was revoked (RFC 5280, section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No reason given; the list then has none either, as the RFC asks.
    Unspecified,
    /// The key is, or may be, in other hands.
    KeyCompromise,
    /// The name or another fact in it is no longer right.
    AffiliationChanged,
    /// A newer certificate has taken its place.
    Superseded,
    /// The device is out of service.
    CessationOfOperation,
    /// For a time only; the entry goes when the hold ends. The one reason that can be taken back.
    CertificateHold,
    /// The device lost its rights.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
    ];

    /// The stable name, as in the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::CertificateHold => "certificate-hold",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    /// The CRLReason (RFC 5280, section 5.3.1).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with this CRLReason.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether a revocation for this reason is for good.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::CertificateHold)
    }
}

/// Number and dates of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Rises with every list of the CA (RFC 5280, section 5.2.3).
    pub number: u64,
    /// When it is made. In the list it stands [`BACKDATE`] before, as in certificates: a peer whose clock is a little behind would
    /// take none of the CA's certificates with a list that does not hold yet.
    pub this_update: UnixTime,
    /// When the next one is there at the latest.
    pub next_update: UnixTime,
}

impl Issue {
    /// As it stands in the list of `ca`.
    fn dated(self, ca: &CaCertificate) -> Self {
        let this_update = self.this_update.before(BACKDATE).max(ca.validity().not_before);
        Self { this_update, ..self }
    }
}

/// Which certificates of its CA a list is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All of them.
    Complete,
    /// Those that name this distribution point, and nothing but end entities (RFC 5280, section 5.2.5).
    Point(&'a str),
}

/// Makes and signs the complete list of what `issuer` revoked; gives it in DER. The order of `revoked` does not
/// matter, and of several entries for one certificate the earliest counts, so that the same set gives the same list
/// (its signature apart).
///
/// # Errors
/// As [`sign`].
pub fn make(
    issuer: &Issuer,
    issue: Issue,
    revoked: impl IntoIterator<Item = Revoked>,
) -> Result<Vec<u8>, CrlError> {
    let mut sorted: Vec<Revoked> = revoked.into_iter().collect();
    sorted.sort_by_key(|entry| (entry.serial, entry.at, entry.reason));
    sorted.dedup_by_key(|entry| entry.serial);
    let mut entries = Entries::default();
    for revoked in sorted {
        entries.insert(Entry::write(revoked)?);
    }
    sign(issuer, issue, Scope::Complete, &entries)
}

/// Signs the list of `entries`; gives it in DER. The entries stand as they were written when they were put in.
///
/// # Errors
/// Where the CA is not valid now, the dates are out of order, or the key does not sign.
pub fn sign(issuer: &Issuer, issue: Issue, scope: Scope<'_>, entries: &Entries) -> Result<Vec<u8>, CrlError> {
    issuer.certificate().check_valid_at(issue.this_update)?;
    if issue.next_update <= issue.this_update {
        return Err(CrlError::NextUpdate(issue));
    }
    let issue = issue.dated(issuer.certificate());
    let signed = tbs_cert_list(issuer, issue, scope, entries)?;
    let signature = issuer.sign(&signed)?;
    let der = assemble(&signed, &signature);
    check::check(&der, issuer.certificate(), issue, scope, entries).map_err(IssueError::Differs)?;
    Ok(der)
}

/// RFC 5280, section 5.1.
fn tbs_cert_list(
    issuer: &Issuer,
    issue: Issue,
    scope: Scope<'_>,
    entries: &Entries,
) -> Result<Vec<u8>, CrlError> {
    let written = |at| der_time(at).map_err(IssueError::Library);
    let (this_update, next_update) = (written(issue.this_update)?, written(issue.next_update)?);
    let extensions = extensions(issuer.certificate().key_id(), issue.number, scope);
    let extensions = tlv(context_constructed(0), &[&tlv(der::SEQUENCE, &[&extensions])]);
    let (version, algorithm) = (tlv(der::INTEGER, &[&[1]]), algorithm());
    let ders = entries.ders();
    // Section 5.1.2.6: where nothing is revoked, the list is absent.
    let head = match ders.iter().map(|entry| entry.len()).sum() {
        0 => Vec::new(),
        length => der::head(der::SEQUENCE, length),
    };
    let subject = issuer.certificate().subject_der();
    // In one go: the entries have megabytes.
    let mut parts: Vec<&[u8]> = vec![&version, &algorithm, subject, &this_update, &next_update, &head];
    parts.extend(ders);
    parts.push(&extensions);
    Ok(tlv(der::SEQUENCE, &parts))
}

fn algorithm() -> Vec<u8> {
    tlv(der::SEQUENCE, &[&tlv(der::OID, &[ECDSA_WITH_SHA256])])
}

fn extensions(key_id: &[u8], number: u64, scope: Scope<'_>) -> Vec<u8> {
    let extension = |oid: &[u8], critical: &[u8], value: &[u8]| {
        tlv(der::SEQUENCE, &[&tlv(der::OID, &[oid]), critical, &tlv(der::OCTET_STRING, &[value])])
    };
    let authority = tlv(der::SEQUENCE, &[&tlv(context(0), &[key_id])]);
    let mut list = extension(AUTHORITY_KEY_ID, &[], &authority);
    list.extend(extension(CRL_NUMBER, &[], &der::unsigned(&number.to_be_bytes())));
    if let Scope::Point(url) = scope {
        // Section 5.2.5: critical, and the same name as in the certificates.
        let critical = tlv(der::BOOLEAN, &[&[0xff]]);
        list.extend(extension(ISSUING_DISTRIBUTION_POINT, &critical, &issuing_distribution_point(url)));
    }
    list
}

fn issuing_distribution_point(url: &str) -> Vec<u8> {
    let name = tlv(context_constructed(0), &[&tlv(context(6), &[url.as_bytes()])]);
    tlv(der::SEQUENCE, &[&tlv(context_constructed(0), &[&name]), &tlv(context(1), &[&[0xff]])])
}

// RFC 5280, sections 5.2.3 and 5.2.5: 2.5.29.20 and 2.5.29.28.
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];

/// Why no list was made.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The CA cannot sign now.
    #[error(transparent)]
    Ca(#[from] LintError),
    /// The next update is not after this one.
    #[error("a next update at {}, which is not after this one at {}", .0.next_update, .0.this_update)]
    NextUpdate(Issue),
    /// It could not be written or signed, or came out wrong.
    #[error(transparent)]
    Issue(#[from] IssueError),
}
