//! Reference values that were imported: what is kept of them, and what is asked of a store.

use appraisal::ReferenceValues;
use appraisal::policy::KnownGood;
use reference_values::{Release, ReleaseKey};
use shared::UnixTime;

use super::{Reply, Sha256};
use crate::written::{Hex, OptionalHex, OptionalText, Text};

/// What a store does with reference values.
pub trait ReferenceStore {
    /// Adds a key that a maker signs releases with; gives `false` where it is there already.
    fn add_release_key(&self, key: ReleaseKey, now: UnixTime) -> Reply<'_, KeyAdded>;

    /// The keys that count, by maker.
    fn release_keys(&self) -> Reply<'_, Vec<StoredKey>>;

    /// Removes a key: nothing it signs is taken any more. `false` where there is none.
    fn remove_release_key(&self, sha256: Sha256, now: UnixTime) -> Reply<'_, bool>;

    /// Imports a release: all of its sets or none. The plan alone is made where `terms` say so.
    fn import_release(&self, release: Release, terms: ImportTerms) -> Reply<'_, ReleaseOutcome>;

    /// All versions of all sets, by maker, name and version, newest first.
    fn reference_sets(&self) -> Reply<'_, Vec<ReferenceSetRow>>;

    /// The values of one set, `limit` at most.
    fn reference_values_of(&self, set: i64, limit: u32) -> Reply<'_, Vec<KnownGood>>;

    /// The sets, in whatever state, that hold a digest, and the value in each.
    fn find_digest(&self, digest: Vec<u8>) -> Reply<'_, Vec<(ReferenceSetRow, KnownGood)>>;

    /// Withdraws a set: its values do not count any more. `false` where it is not in force.
    fn withdraw_reference(&self, set: i64, reason: String, now: UnixTime) -> Reply<'_, bool>;

    /// Everything that counts, and the number of this state of things.
    fn active_reference(&self) -> Reply<'_, (u64, ReferenceValues)>;
}

/// On which terms a release is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportTerms {
    /// SHA-256 of the file.
    pub file_sha256: Sha256,
    /// Name of a set that has none of its own.
    pub name: String,
    /// Version of a set that has none of its own; by default one more than the newest.
    pub version: Option<u64>,
    /// Whether an older version may take the place of a newer one, and a withdrawn one come back.
    pub force: bool,
    /// Whether only the plan is made.
    pub dry_run: bool,
    /// When.
    pub now: UnixTime,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// It was imported, or would be; a line a set.
    Imported(Vec<SetImport>),
    /// At least one set was refused, so none was imported.
    Refused(Vec<SetRefused>),
}

/// What became of one set.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SetImport {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// How many values it has.
    pub values: usize,
    /// What changed.
    pub change: SetChange,
    /// The version whose place it takes.
    pub replaces: Option<u64>,
}

/// What an import does to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SetChange {
    /// There was no such set in force.
    Added,
    /// It takes the place of another version.
    Superseded,
    /// This very version is in force.
    Unchanged,
}

impl SetChange {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Superseded => "superseded",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a set is not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetRefused {
    /// It is older than what is known.
    #[error("{name:?} version {found} is older than version {newest}, which was imported before")]
    Older {
        /// The set.
        name: String,
        /// Its version.
        found: u64,
        /// The newest version.
        newest: u64,
    },
    /// The same version with another content was imported before.
    #[error("{name:?} version {version} was imported before with another content")]
    Differs {
        /// The set.
        name: String,
        /// Its version.
        version: u64,
    },
    /// It was withdrawn.
    #[error("{name:?} version {version} was withdrawn")]
    Withdrawn {
        /// The set.
        name: String,
        /// Its version.
        version: u64,
    },
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAdded {
    /// It is new, or counts again.
    Added,
    /// It is there already, for this maker.
    Known,
    /// It is there for another maker, who may not be taken for this one.
    OfAnother(String),
}

/// A release key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StoredKey {
    /// Whose it is.
    pub maker: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[serde(with = "Hex")]
    pub sha256: Sha256,
    /// When it was added.
    #[serde(with = "Text::<UnixTime>")]
    pub added: UnixTime,
    /// The SubjectPublicKeyInfo.
    #[serde(skip)]
    pub spki: Vec<u8>,
}

/// How a version of a set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferenceState {
    /// It counts, within its time.
    Active,
    /// Another version took its place.
    Superseded,
    /// An operator withdrew it.
    Withdrawn,
}

impl ReferenceState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Superseded, Self::Withdrawn];

    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// One version of a set of reference values.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ReferenceSetRow {
    /// Number in the database.
    pub id: i64,
    /// Whose devices it is for.
    pub maker: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// How it stands.
    pub state: ReferenceState,
    /// How many values it has.
    pub values: u64,
    /// The form it came in.
    pub format: String,
    /// Identifier of the manifest it came in.
    pub manifest: Option<String>,
    /// Profile of that manifest.
    pub profile: Option<String>,
    /// SHA-256 of the file it came in.
    #[serde(with = "Hex")]
    pub file_sha256: Sha256,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that signed it; nothing where it was not signed.
    #[serde(with = "OptionalHex")]
    pub signer_sha256: Option<Sha256>,
    /// Subject of the certificate that signed it.
    pub signer: Option<String>,
    /// The first second in which it counts.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub not_before: Option<UnixTime>,
    /// The last second in which it counts.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub not_after: Option<UnixTime>,
    /// When it was imported.
    #[serde(with = "Text::<UnixTime>")]
    pub imported: UnixTime,
    /// When it was superseded or withdrawn.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub ended: Option<UnixTime>,
}
