//! What an older database does not know of, and the published log and revocation list do.

use ca::Serial;

use super::{Revocation, Sha256};
use crate::audit::LostRows;
use crate::issuance::sha256;

/// What was published after the state of the database.
#[derive(Clone, Debug, Default)]
pub struct Missed {
    /// What the log has more, where it has more.
    pub log: Option<MissedLog>,
    /// The revocation lists that are newer than what the database knows, one for each CA at most.
    pub lists: Vec<MissedList>,
    /// The number of the last list that the database knows of.
    pub known: u64,
}

impl Missed {
    /// What an operator is told: what was found, and what came of it.
    pub(in crate::store) fn told(&self, done: &CaughtUp) -> String {
        let leaves = self.log.as_ref().map_or(0, |log| log.leaves.len());
        let (number, known) = (self.lists.iter().map(|list| list.number).max(), self.known);
        let lists = number.map_or_else(
            || format!("the revocation list is not newer than {known}"),
            |number| format!("the revocation list has the number {number} and the database knows {known}"),
        );
        let mut text = format!(
            "the database is older than what was published: the log has {leaves} leaves more, {lists}; brought in again: {} \
             certificates, {} revocations",
            done.certificates, done.revocations,
        );
        if let Some((first, last)) = done.lost {
            text = format!("{text}; {}", LostRows(first..=last));
        }
        if done.unknown > 0 {
            text = format!(
                "{text}; {} entries of the lists are of certificates that are no device's, or that nobody knows, and stay there",
                done.unknown
            );
        }
        text
    }
}

/// The leaves of the log from the size on that the database knows of.
#[derive(Clone, Debug)]
pub struct MissedLog {
    /// That size.
    pub from: u64,
    /// The entries after it, in their order.
    pub leaves: Vec<Vec<u8>>,
    /// The checkpoint over all of them, a signed note.
    pub note: String,
}

/// What stands in the place of the hash of a certificate's key where that stands in another row already: the request came again,
/// and was recorded anew, before it was noticed that the database is old. A key is in one row only; that with the answer to the
/// request keeps it.
pub(crate) fn in_place_of_key(serial: &[u8]) -> Sha256 {
    sha256(&[b"from the log, key\0".as_slice(), serial].concat())
}

/// A revocation list.
#[derive(Clone, Debug)]
pub struct MissedList {
    /// Its CRL number.
    pub number: u64,
    /// SHA-256 of the certificate of the CA that signed it.
    pub issuer: Sha256,
    /// What it says.
    pub entries: Vec<(Serial, Revocation)>,
}

/// What was brought in again, and what was not.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct CaughtUp {
    /// Certificates.
    pub(in crate::store) certificates: u64,
    /// Revocations, and devices that were put on hold again.
    pub(in crate::store) revocations: u64,
    /// The first and the last row of the audit trail that is gone. The log has commitments to them only.
    pub(in crate::store) lost: Option<(u64, u64)>,
    /// Entries of the lists of which neither database nor log knows the certificate; brokers' and servers' are in neither.
    pub(in crate::store) unknown: u64,
}
