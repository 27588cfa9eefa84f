//! The revocation list of a root, read back: what it holds is carried over into the next one, since a root that is
//! kept apart has no database.

use shared::UnixTime;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::{CaCertificate, time};
use crate::crl::{Reason, Revoked};
use crate::parse_back::{check_algorithm, check_signature};
use crate::serial::Serial;

/// A root's list whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootList {
    number: u64,
    this_update: UnixTime,
    next_update: UnixTime,
    entries: Vec<(Vec<u8>, UnixTime, Reason)>,
}

/// Why bytes are not a root's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootListError {
    /// No revocation list with a number and a next update, or too long for one of a root.
    #[error("this is no complete revocation list (RFC 5280) of at most {MAX_ROOT_LIST} bytes")]
    Malformed,
    /// Of another CA.
    #[error("the revocation list is not one of this root")]
    OtherRoot,
    /// Not signed by the root.
    #[error("the signature of the revocation list does not verify under the root's key")]
    Signature,
    /// It holds what this software cannot carry over.
    #[error(
        "the revocation list holds a certificate that this software did not issue; it cannot make the next list"
    )]
    ForeignEntry,
}

/// Longest list of a root that is read: some thousand entries.
pub const MAX_ROOT_LIST: usize = 256 * 1024;

impl RootList {
    /// Reads a list in DER and verifies that `root` signed it.
    ///
    /// # Errors
    /// Says what it is instead.
    pub fn read(der: &[u8], root: &CaCertificate) -> Result<Self, RootListError> {
        use RootListError::{Malformed, OtherRoot, Signature};
        if der.len() > MAX_ROOT_LIST {
            return Err(Malformed);
        }
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| Malformed)?;
        let tbs = &list.tbs_cert_list;
        if !rest.is_empty() {
            return Err(Malformed);
        }
        if tbs.issuer.as_raw() != root.subject_der() {
            return Err(OtherRoot);
        }
        check_algorithm(&tbs.signature).map_err(|_| Malformed)?;
        let signature = &list.signature_value.data;
        check_signature(der, tbs.as_ref(), signature, root.public_point()).map_err(|_| Signature)?;
        // A critical extension would narrow what the list is for (RFC 5280, section 5.2.5): then it is not complete.
        if tbs.extensions().iter().any(|extension| extension.critical) {
            return Err(Malformed);
        }
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok()).ok_or(Malformed)?;
        let next_update = time(tbs.next_update.ok_or(Malformed)?.timestamp());
        let entries = tbs.revoked_certificates.iter().map(|entry| {
            let code = entry.reason_code().map_or(0, |(_, code)| code.0);
            let reason = Reason::ALL.into_iter().find(|reason| number_of(*reason) == code);
            let reason = reason.unwrap_or(Reason::Unspecified);
            (entry.raw_serial().to_vec(), time(entry.revocation_date.timestamp()), reason)
        });
        Ok(Self {
            number,
            this_update: time(tbs.this_update.timestamp()),
            next_update,
            entries: entries.collect(),
        })
    }

    /// Its number; rises with every list.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    #[must_use]
    pub const fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// When it runs out.
    #[must_use]
    pub const fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// How many certificates are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the certificate with this serial number, as it stands in DER, is on it.
    #[must_use]
    pub fn revokes(&self, serial: &[u8]) -> bool {
        self.entries.iter().any(|(found, ..)| found == serial)
    }

    /// What is on it, for the next list.
    ///
    /// # Errors
    /// [`RootListError::ForeignEntry`] where a serial number is none that this software gives out.
    pub fn entries(&self) -> Result<Vec<Revoked>, RootListError> {
        let entry = |(serial, at, reason): &(Vec<u8>, UnixTime, Reason)| {
            let serial = Serial::from_der_value(serial).ok_or(RootListError::ForeignEntry)?;
            Ok(Revoked { serial, at: *at, reason: *reason })
        };
        self.entries.iter().map(entry).collect()
    }
}

/// CRLReason (RFC 5280, section 5.3.1).
const fn number_of(reason: Reason) -> u8 {
    match reason {
        Reason::Unspecified => 0,
        Reason::KeyCompromise => 1,
        Reason::AffiliationChanged => 3,
        Reason::Superseded => 4,
        Reason::CessationOfOperation => 5,
        Reason::CertificateHold => 6,
        Reason::PrivilegeWithdrawn => 9,
    }
}
