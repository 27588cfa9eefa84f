//! What operators make so that devices come in, as an audit looks at it: word for word, since it has to name a row that holds
//! what none should. No SQL here.

use super::{Reply, Sha256};

/// What kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A one-time token.
    Token,
    /// A symmetric key or a batch.
    Credential,
    /// A registered attestation key.
    AttestationKey,
}

impl Grant {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Token, Self::Credential, Self::AttestationKey];
}

/// A row of one of their tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Its public name; of an attestation key, the instance identifier in hexadecimal.
    pub name: String,
    /// What the event says that made it, in words.
    pub words: String,
    /// The one device that it is for.
    pub device: Option<String>,
    /// SHA-256 of what never changes of the row, which that event says too: see `docs/log.md`.
    pub sha256: Sha256,
    /// When it was made, in seconds since 1970.
    pub made: i64,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl GrantRow {
    /// What the event says that it was made by.
    pub(in crate::store) fn said(&self) -> String {
        format!("{}, row {}", self.words, hex::encode(self.sha256))
    }
}

/// The part of the store that these are audited from.
pub trait GrantRows {
    /// Rows by name, from the one after `after`, or the first; `limit` at most.
    fn grant_rows(&self, grant: Grant, after: Option<String>, limit: u32) -> Reply<'_, Vec<GrantRow>>;
}
