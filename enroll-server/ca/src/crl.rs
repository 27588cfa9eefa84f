//! Revocation lists: version 2 (RFC 5280, section 5), complete, with number, reasons and next update.
//!
//! What is revoked is the store's to know, and that an entry stays until its certificate has ended.

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams};
use shared::UnixTime;
use x509_parser::prelude::{FromDer as _, ParsedExtension};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::time;
use crate::issuer::{IssueError, Issuer};
use crate::lint::LintError;
use crate::parse_back::{Mismatch, check_algorithm, check_signature, same};
use crate::serial::Serial;
use crate::template::date;

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

    const fn rcgen(self) -> Option<RevocationReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Self::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Self::Superseded => Some(RevocationReason::Superseded),
            Self::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
            Self::CertificateHold => Some(RevocationReason::CertificateHold),
            Self::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        }
    }
}

/// Number and dates of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Rises with every list of the CA (RFC 5280, section 5.2.3).
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one is there at the latest.
    pub next_update: UnixTime,
}

/// Makes and signs the list of what `issuer` revoked; gives it in DER. The order of `revoked` does not matter,
/// and of several entries for one certificate the earliest counts, so that the same set gives the same list
/// (its signature apart).
///
/// # Errors
/// Where the CA is not valid now, the dates are out of order, or the key does not sign.
pub fn make(
    issuer: &Issuer,
    issue: Issue,
    revoked: impl IntoIterator<Item = Revoked>,
) -> Result<Vec<u8>, CrlError> {
    issuer.certificate().check_valid_at(issue.this_update)?;
    if issue.next_update <= issue.this_update {
        return Err(CrlError::NextUpdate(issue));
    }
    let mut entries: Vec<Revoked> = revoked.into_iter().collect();
    entries.sort_by_key(|entry| (entry.serial, entry.at, entry.reason));
    entries.dedup_by_key(|entry| entry.serial);
    let revoked_certs = entries
        .iter()
        .map(|entry| {
            Ok(RevokedCertParams {
                serial_number: entry.serial.as_bytes().to_vec().into(),
                revocation_time: date(entry.at)?,
                reason_code: entry.reason.rcgen(),
                invalidity_date: None,
            })
        })
        .collect::<Result<_, rcgen::Error>>()
        .map_err(IssueError::Library)?;
    let params = CertificateRevocationListParams {
        this_update: date(issue.this_update).map_err(IssueError::Library)?,
        next_update: date(issue.next_update).map_err(IssueError::Library)?,
        crl_number: issue.number.into(),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::PreSpecified(issuer.certificate().key_id().to_vec()),
    };
    let ca = issuer.rcgen()?;
    let der = params.signed_by(&ca).map_err(|error| ca.key().blame(error))?.der().to_vec();
    check(&der, issuer, issue, &entries).map_err(IssueError::Differs)?;
    Ok(der)
}

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

/// Compares a signed list with what was to be signed.
fn check(der: &[u8], issuer: &Issuer, issue: Issue, entries: &[Revoked]) -> Result<(), Mismatch> {
    let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| Mismatch::Malformed)?;
    let tbs = &list.tbs_cert_list;
    same(rest.is_empty(), Mismatch::Malformed)?;
    same(list.version().is_some_and(|version| version.0 == 1), Mismatch::Version)?;
    check_algorithm(&tbs.signature)?;
    same(tbs.issuer.as_raw() == issuer.certificate().subject_der(), Mismatch::Issuer)?;
    let next = tbs.next_update.map(|at| time(at.timestamp()));
    same(time(tbs.this_update.timestamp()) == issue.this_update, Mismatch::Validity)?;
    same(next == Some(issue.next_update), Mismatch::Validity)?;
    let number = list.crl_number().and_then(|number| u64::try_from(number).ok());
    same(number == Some(issue.number), Mismatch::Entries)?;
    let found = tbs.revoked_certificates.iter().map(|found| {
        let reason = found.reason_code().map(|(_, code)| code.0);
        (Serial::from_der_value(found.raw_serial()), time(found.revocation_date.timestamp()), reason)
    });
    let wanted = entries.iter().map(|entry| {
        let reason = entry.reason.rcgen().map(|reason| reason as u8);
        (Some(entry.serial), entry.at, reason)
    });
    same(found.eq(wanted), Mismatch::Entries)?;
    let authority = tbs.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    same(authority == Some(issuer.certificate().key_id()), Mismatch::Extensions)?;
    same(tbs.extensions().len() == 2, Mismatch::Extensions)?;
    check_signature(der, tbs.as_ref(), &list.signature_value.data, issuer.certificate().public_point())
}
