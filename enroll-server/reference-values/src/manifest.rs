//! What a file of reference values says, whichever form it came in.

use core::fmt;

use appraisal::policy::KnownGood;
use shared::UnixTime;

/// What a file says. Who says it, and whether it is to be believed, is not said yet: see [`crate::Release`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The form it came in.
    pub format: Format,
    /// Its identifier: the `corim-id`; a list has none.
    pub id: Option<String>,
    /// The profile it follows (draft-ietf-rats-corim, section 4.1.4).
    pub profile: Option<String>,
    /// Who made it, as it says itself.
    pub entities: Vec<String>,
    /// The vendors it names.
    pub vendors: Vec<String>,
    /// For which maker's devices it is, where it says so.
    pub maker: Option<String>,
    /// When it counts.
    pub validity: Validity,
    /// Its values, in sets that have versions of their own.
    pub sets: Vec<Versioned>,
    /// What was left out, and what is not looked at.
    pub notes: Notes,
}

/// The forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A concise reference integrity manifest (draft-ietf-rats-corim).
    #[default]
    Corim,
    /// A release list as comma-separated values.
    Csv,
    /// A release list in JSON.
    Json,
}

impl Format {
    /// The stable name, as in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corim => "corim",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

/// A set of values under one name. A later version takes the place of an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned {
    /// Its name: the `tag-id` of a CoMID, the name of a list.
    pub name: Option<String>,
    /// Its version: the `tag-version` of a CoMID (section 5.1.1.2), the number of a list's release.
    pub version: Option<u64>,
    /// SHA-256 of what it was read from.
    pub sha256: [u8; 32],
    /// Its values.
    pub known: Vec<KnownGood>,
}

/// First and last second; unlimited where it is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Option<UnixTime>,
    /// The last second.
    pub not_after: Option<UnixTime>,
}

impl Validity {
    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: match (self.not_after, other.not_after) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
        }
    }

    /// Whether it is over at `now`, or never begins.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.not_after.is_some_and(|last| last < now || self.not_before.is_some_and(|first| last < first))
    }
}

/// What a reader of the file has to know: nothing is left out in silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    list: Vec<Note>,
    more: usize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What became of it.
    pub kind: NoteKind,
    /// Where, by the format's names.
    pub place: String,
    /// What it is, and why.
    pub what: String,
}

/// What became of a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// It is not among the values: it says something that evidence cannot be held against.
    NotTaken,
    /// The value was taken without it: it says something more about the same thing.
    NotCompared,
    /// For information.
    Information,
}

impl NoteKind {
    /// The stable name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTaken => "not-taken",
            Self::NotCompared => "not-compared",
            Self::Information => "information",
        }
    }
}

/// Most notes that are kept; the rest is counted.
const MAX_NOTES: usize = 500;

impl Notes {
    pub(crate) fn add(&mut self, kind: NoteKind, place: &impl fmt::Display, what: impl Into<String>) {
        if self.list.len() < MAX_NOTES {
            self.list.push(Note { kind, place: place.to_string(), what: what.into() });
        } else {
            self.more += 1;
        }
    }

    /// The notes, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Note] {
        &self.list
    }

    /// How many there were beyond those.
    #[must_use]
    pub const fn more(&self) -> usize {
        self.more
    }
}

impl Manifest {
    /// The number of values in all sets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.known.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
