//! What is revoked, as lists and OCSP answers want to know it.

use ca::{CrlAddress, Serial};
use shared::UnixTime;

use super::issuer::IssuerNumber;
use super::model::Revocation;

/// Everything that lists are made of, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationState {
    /// Number of the last change that is in it.
    pub upto: u64,
    /// How each revoked certificate stands.
    pub entries: Vec<Listing>,
    /// The lists that certificates name, besides the complete ones.
    pub partitions: Vec<Partition>,
}

/// What changed since a [`RevocationState`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationChanges {
    /// Number of the last change that is in it.
    pub upto: u64,
    /// How each certificate stands that may have changed, in the order of the changes.
    pub changes: Vec<Listing>,
    /// As in [`RevocationState::partitions`].
    pub partitions: Vec<Partition>,
}

/// What the database says to whoever has read it up to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationsSince {
    /// The next changes, some thousands at most.
    Known(RevocationChanges),
    /// So old changes are not known any more: everything has to be read again.
    Forgotten,
    /// The database has no such change: it is an older one, put in place meanwhile.
    DatabaseOlder,
}

/// How a certificate stands on its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The certificate.
    pub serial: Serial,
    /// Its CA.
    pub issuer: IssuerNumber,
    /// The list that it names; 0 for the complete one.
    pub partition: u32,
    /// The last second of its life.
    pub not_after: UnixTime,
    /// Since when and why it is on them; `None` where it is not.
    pub revocation: Option<Revocation>,
}

/// A certificate of one of this server's CAs that is no device's, and is revoked: a broker's, a server's, or this server's own at
/// brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedPeer {
    /// The certificate.
    pub serial: Serial,
    /// Its CA.
    pub issuer: IssuerNumber,
    /// The last second of its life.
    pub not_after: UnixTime,
    /// Whose it is, for a person.
    pub subject: String,
    /// Since when and why it is revoked.
    pub revocation: Revocation,
}

/// How certificates are put on lists of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitioning {
    /// Where the lists are.
    pub address: CrlAddress,
    /// How many certificates name one list. Changing it changes nothing for certificates that there are.
    pub size: u32,
}

/// A list that certificates name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its CA.
    pub issuer: IssuerNumber,
    /// Its number, from 1.
    pub number: u32,
    /// Its address, as in the certificates.
    pub url: String,
    /// When the last certificate that names it ends.
    pub ends: UnixTime,
}

/// What an OCSP answer says of a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The CA that signed it.
    pub issuer: IssuerNumber,
    /// Since when and why it is revoked, or on hold.
    pub revocation: Option<Revocation>,
}
