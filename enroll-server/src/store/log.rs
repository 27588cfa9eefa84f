//! What the store knows of the log: which leaves there are, in which order, and which checkpoint was signed last.

use ca::Serial;

use shared::UnixTime;

use super::{Missed, Reply, Sha256};

/// Where the log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHead {
    /// Size of the last checkpoint that was signed.
    pub size: u64,
    /// That checkpoint, a signed note; `None` before the first.
    pub note: Option<String>,
    /// How many leaves there are in all: those from `size` on wait for the next checkpoint.
    pub leaves: u64,
}

/// One leaf, by what it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRow {
    /// Its index in the log.
    pub position: u64,
    /// What it tells of: `issued`, `revoked`, `discarded` or `event`.
    pub kind: String,
    /// The serial number of its certificate.
    pub serial: Option<Vec<u8>>,
    /// The number of its event.
    pub event: Option<u64>,
}

/// A row of the table of certificates, word for word: an audit has to name a row that holds what none should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRow {
    /// Serial number.
    pub serial: Vec<u8>,
    /// Device.
    pub device: String,
    /// State.
    pub state: String,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub key_sha256: Vec<u8>,
    /// Start of its life, in seconds since 1970.
    pub not_before: i64,
    /// End of its life, in seconds since 1970.
    pub not_after: i64,
    /// The certificate in DER.
    pub der: Option<Vec<u8>>,
    /// When it was revoked, in seconds since 1970.
    pub revoked: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// SHA-256 of the issuing CA's certificate, where the CA is known.
    pub issuer_sha256: Option<Sha256>,
    /// The revocation list that it is on when it is revoked; 0: the complete one alone.
    pub crl_partition: i64,
    /// The address of that list, where there is such a list.
    pub crl_url: Option<String>,
}

/// How a device stands, word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Device.
    pub device: String,
    /// State.
    pub state: String,
}

/// The part of the store that the log is kept from.
pub trait LogStore {
    /// Where the log stands.
    fn log_head(&self) -> Reply<'_, LogHead>;

    /// Whether other servers may be on the same database, so that they have to agree on who keeps the log.
    fn is_shared(&self) -> bool;

    /// The contents of leaves from `from` on, in their order, `limit` at most: of those that wait, and of those that were
    /// logged, which are made again from what they tell of.
    ///
    /// [`StoreError::Damaged`](super::StoreError::Damaged) where one cannot be made again.
    fn waiting_leaves(&self, from: u64, limit: u32) -> Reply<'_, Vec<Vec<u8>>>;

    /// Notes that `note` was signed over `size` leaves, if `before` is still the size of the last one. Tells whether it
    /// was.
    fn advance_log(&self, before: u64, size: u64, note: String) -> Reply<'_, bool>;

    /// From now on events get numbers greater than `last`: this database is older than a log of `last` leaves, whose events
    /// have numbers up to that at most.
    fn pass_over_events(&self, last: u64) -> Reply<'_, ()>;

    /// Brings in what this database does not know of because it is older than what was published, and stops signing; gives
    /// what operators are told. In one transaction: afterwards nothing but the note says that the database was old.
    fn catch_up(&self, missed: Missed, now: UnixTime) -> Reply<'_, String>;

    /// The leaves from `position` on, in their order; `limit` at most.
    fn leaf_rows(&self, position: u64, limit: u32) -> Reply<'_, Vec<LeafRow>>;

    /// The leaves of one certificate, in their order.
    fn leaves_of(&self, serial: Serial) -> Reply<'_, Vec<LeafRow>>;

    /// Certificates by serial number, from the one after `after`; `limit` at most.
    fn certificate_rows(&self, after: Vec<u8>, limit: u32) -> Reply<'_, Vec<CertificateRow>>;

    /// How many certificates there are, in whatever state.
    fn count_certificates(&self) -> Reply<'_, u64>;

    /// The addresses of all revocation lists but the complete ones.
    fn list_addresses(&self) -> Reply<'_, Vec<String>>;

    /// Devices by name, from the one after `after`; `limit` at most.
    fn device_rows(&self, after: String, limit: u32) -> Reply<'_, Vec<DeviceRow>>;
}
