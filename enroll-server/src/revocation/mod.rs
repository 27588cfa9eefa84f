//! Publishes what is revoked: as files, over HTTP, and to programs that run the server inside themselves.
//!
//! A list is made anew at every revocation and well before the last one runs out. What is revoked is the
//! store's to know.

mod publisher;

use shared::UnixTime;

pub use publisher::{PublishError, Publisher};

/// What is revoked, as published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// CRL number of the list of the CA that issues; 0 before the first.
    pub number: u64,
    /// When it was made.
    pub this_update: UnixTime,
    /// When it runs out.
    pub next_update: UnixTime,
    /// The list of the CA that issues, in DER.
    pub der: Vec<u8>,
    /// The lists of all CAs that have a key, one after the other, in PEM.
    pub pem: String,
    /// Serial numbers on any of them, big-endian without leading zeros, sorted.
    pub serials: Vec<Vec<u8>>,
}

impl Revocations {
    /// Whether a certificate with this serial number, big-endian with or without leading zeros, is on the list.
    #[must_use]
    pub fn contains(&self, serial: &[u8]) -> bool {
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        let (_, significant) = serial.split_at(zeros);
        self.serials.binary_search_by(|listed| listed.as_slice().cmp(significant)).is_ok()
    }
}
