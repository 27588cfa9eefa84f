//! What the leaves of a log say, ordered by what they tell of, to be compared with the database.

use std::collections::HashMap;

use transparency::Leaf;
use x509_parser::prelude::FromDer as _;

use super::finding::{Finding, FindingKind};
use crate::issuance::sha256;
use crate::store::Sha256;

/// What the log says of one serial number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfSerial {
    pub(super) certificate: Option<LoggedCertificate>,
    pub(super) revocation: Option<LoggedRevocation>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedCertificate {
    pub(super) index: u64,
    pub(super) issuer: Sha256,
    pub(super) sha256: Sha256,
    /// Whether it was given up before anyone got it.
    pub(super) discarded: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedRevocation {
    pub(super) index: u64,
    pub(super) issuer: Sha256,
    pub(super) at: u64,
    pub(super) reason: u8,
}

/// What the log says of one row of the audit trail.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedEvent {
    pub(super) index: u64,
    pub(super) commitment: Sha256,
}

/// A leaf with the number of an event that an earlier leaf has too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeated {
    pub(super) number: u64,
    pub(super) index: u64,
}

impl Repeated {
    pub(super) fn finding(self) -> Finding {
        let detail = format!("logged again by leaf {}", self.index);
        Finding::new(FindingKind::LeafTwice, format!("event {}", self.number), detail)
    }
}

/// How many leaves there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Certificates that were issued.
    pub issued: u64,
    /// Certificates that were revoked.
    pub revoked: u64,
    /// Certificates that were signed and given up.
    pub discarded: u64,
    /// Rows of the audit trail.
    pub events: u64,
}

/// What a log says.
#[derive(Debug, Default)]
pub struct Record {
    pub(super) serials: HashMap<Vec<u8>, OfSerial>,
    /// What is logged of events, by their numbers: of several leaves with one number, the last.
    pub(super) events: HashMap<u64, LoggedEvent>,
    /// Leaves with a number that was logged before. Whether that is right the database says: where rows of the trail were
    /// lost with one, the next began behind those that it had.
    pub(super) repeated: Vec<Repeated>,
    pub(super) counts: Counts,
    pub(super) findings: Vec<Finding>,
}

impl Record {
    /// Takes the leaf `index` in.
    pub(super) fn take(&mut self, index: u64, entry: &[u8]) {
        let leaf = match Leaf::decode(entry) {
            Ok(leaf) => leaf,
            Err(error) => {
                return self.found(FindingKind::LeafUnreadable, format!("leaf {index}"), error.to_string());
            }
        };
        match leaf {
            Leaf::Issued { issuer, certificate, .. } => {
                self.counts.issued += 1;
                self.certificate(index, issuer, certificate, false);
            }
            Leaf::Discarded { issuer, certificate, .. } => {
                self.counts.discarded += 1;
                self.certificate(index, issuer, certificate, true);
            }
            Leaf::Revoked { at, issuer, serial, reason } => {
                self.counts.revoked += 1;
                let slot = &mut self.serials.entry(serial.to_vec()).or_default().revocation;
                if slot.replace(LoggedRevocation { index, issuer, at, reason }).is_some() {
                    let detail = format!("revoked again by leaf {index}");
                    self.found(FindingKind::LeafTwice, hex::encode(serial), detail);
                }
            }
            Leaf::Event { number, commitment, .. } => {
                self.counts.events += 1;
                if self.events.insert(number, LoggedEvent { index, commitment }).is_some() {
                    self.repeated.push(Repeated { number, index });
                }
            }
        }
    }

    fn certificate(&mut self, index: u64, issuer: Sha256, der: &[u8], discarded: bool) {
        let Some(serial) = serial_of(der) else {
            let detail = "holds no certificate with a serial number of this CA's";
            return self.found(FindingKind::LeafUnreadable, format!("leaf {index}"), detail.to_owned());
        };
        let logged = LoggedCertificate { index, issuer, sha256: sha256(der), discarded };
        let slot = &mut self.serials.entry(serial.clone()).or_default().certificate;
        if let Some(before) = slot.replace(logged) {
            let detail = format!("signed by leaf {} and again by leaf {index}", before.index);
            self.found(FindingKind::LeafTwice, hex::encode(&serial), detail);
        }
    }

    fn found(&mut self, kind: FindingKind, subject: String, detail: String) {
        self.findings.push(Finding::new(kind, subject, detail));
    }
}

/// The serial number of a certificate, as the database has it.
pub(super) fn serial_of(der: &[u8]) -> Option<Vec<u8>> {
    let (rest, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let serial = ca::Serial::from_der_value(certificate.raw_serial())?;
    rest.is_empty().then(|| serial.as_bytes().to_vec())
}
