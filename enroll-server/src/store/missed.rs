//! What an older database does not know of, and the published log and revocation list do.

use ca::Serial;

use super::{Revocation, Sha256};

/// What was published after the state of the database.
#[derive(Clone, Debug, Default)]
pub struct Missed {
    /// What the log has more, where it has more.
    pub log: Option<MissedLog>,
    /// The revocation lists that are newer than what the database knows, one for each CA at most.
    pub lists: Vec<MissedList>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Certificates.
    pub certificates: u64,
    /// Revocations, and devices that were put on hold again.
    pub revocations: u64,
    /// Rows of the audit trail that are gone: how many, and the highest number. The log has commitments to them only.
    pub events: u64,
    /// The first and the last of those rows.
    pub lost: Option<(u64, u64)>,
    /// Entries of the lists of which neither database nor log knows the certificate.
    pub unknown: u64,
}
