//! What an audit finds, in one table: stable name and meaning.

use core::fmt;

macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FindingKind { $($(#[doc = $doc])+ $name,)+ }

        impl FindingKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name, as in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, as a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

findings! {
    /// The checkpoint is not signed by the log's key, or is no checkpoint.
    Checkpoint = "checkpoint";
    /// A tile or a bundle of entries is missing.
    TileMissing = "tile-missing";
    /// A tile does not hold the hashes of the entries, or a bundle cannot be taken apart.
    TileDiffers = "tile-differs";
    /// The entries do not lead to the root that the checkpoint has.
    RootDiffers = "root-differs";
    /// The log does not extend the earlier checkpoint.
    NotConsistent = "not-consistent";
    /// The log is shorter than the database knows it to be.
    LogShorter = "log-shorter";
    /// The log has more leaves than the database knows of: the database is an older one.
    DatabaseOlder = "database-older";
    /// A leaf cannot be read.
    LeafUnreadable = "leaf-unreadable";
    /// Something is in the log twice that can happen once only.
    LeafTwice = "leaf-twice";
    /// The database knows of another leaf at this place of the log.
    OrderDiffers = "order-differs";
    /// A certificate in the database is not in the log.
    CertificateNotLogged = "certificate-not-logged";
    /// A certificate in the log is not in the database.
    CertificateMissing = "certificate-missing";
    /// A certificate in the database is another one than in the log.
    CertificateDiffers = "certificate-differs";
    /// A column of a certificate's row does not say what the logged certificate says.
    ColumnDiffers = "column-differs";
    /// A revocation in the database is not in the log.
    RevocationNotLogged = "revocation-not-logged";
    /// A certificate that the log has as revoked is not revoked in the database.
    RevocationMissing = "revocation-missing";
    /// A revocation in the database has another time or reason than in the log.
    RevocationDiffers = "revocation-differs";
    /// A device is out of service, or is not, against what the audit trail last said of it.
    DeviceStateDiffers = "device-state-differs";
    /// No row of the audit trail says that this maker, or this key for releases, was added.
    TrustNotLogged = "trust-not-logged";
    /// No row of the audit trail says that this token, credential or attestation key was made.
    GrantNotLogged = "grant-not-logged";
    /// A token or a credential is not what the audit trail says was made.
    GrantDiffers = "grant-differs";
    /// A token or a credential is in force that the audit trail has as revoked.
    GrantInForce = "grant-in-force";
    /// A credential that the audit trail has as made is not in the database.
    CredentialMissing = "credential-missing";
    /// A row of the audit trail is not in the log.
    EventNotLogged = "event-not-logged";
    /// A row of the audit trail that was logged is not in the database.
    EventMissing = "event-missing";
    /// A row of the audit trail is not what was logged.
    EventDiffers = "event-differs";
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Of what: a serial number, the number of an event, the name of a token, the path of a tile, the index of a leaf.
    pub subject: String,
    /// More, for a person.
    pub detail: String,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, subject: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { kind, subject: subject.to_string(), detail: detail.into() }
    }
}

impl serde::Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut out = to.serialize_struct("Finding", 3)?;
        out.serialize_field("finding", self.kind.name())?;
        out.serialize_field("subject", &self.subject)?;
        out.serialize_field("detail", &self.detail)?;
        out.end()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind.name(), self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::FindingKind;

    /// The table in the documentation says what the code says.
    #[test]
    fn the_documentation_has_every_kind() {
        let row = |kind: &FindingKind| format!("| `{}` | {} |\n", kind.name(), kind.meaning());
        let table: String = FindingKind::ALL.iter().map(row).collect();
        let text = include_str!("../../../../docs/log.md");
        assert!(text.contains(&table), "docs/log.md should have this table:\n{table}");
    }
}
