//! The store: devices, certificates, tokens, makers and the audit trail, behind one trait.

mod model;

pub use model::{
    Binding, Certificate, CertificateState, Device, DeviceState, Event, ImportReport, InventoryEntry, Maker,
    Revocation, RevocationReason, RevokedEntry, RevokedList, Serial, Sha256, StoredEvidence, Token,
};

/// Why the store did not do it. Nothing was changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the database, or too much is queued: the same call may succeed later.
    #[error("the database is busy")]
    Busy,
    /// No space is left for the database.
    #[error("the database is full")]
    Full,
    /// The medium failed; whether the last change is durable is not known. A repetition of the same request
    /// finds out.
    #[error("the database failed: {0}")]
    Failed(String),
    /// The database was made by a newer version of this program.
    #[error("the database has version {found}, this program knows versions up to {known}")]
    TooNew {
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A row holds something that this program never writes.
    #[error("the database holds an invalid {field}")]
    Damaged {
        /// Which column.
        field: &'static str,
    },
}
