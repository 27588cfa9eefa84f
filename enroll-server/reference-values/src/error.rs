//! Why a manifest or a release list is not taken. Nothing of a file that has an error is used.

use core::fmt;

/// Why a CoRIM is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than allowed.
    #[error("the file has {found} bytes; {limit} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not CBOR as it is wanted here.
    #[error("at byte {at}: {problem}")]
    Cbor {
        /// Offset in the file.
        at: usize,
        /// What is wrong.
        problem: CborProblem,
    },
    /// Something else than draft-ietf-rats-corim says.
    #[error("{place} (byte {at}): found {found}; wanted {wanted}")]
    Form {
        /// Where, by the draft's names.
        place: String,
        /// Offset in the file.
        at: usize,
        /// What was found.
        found: String,
        /// What the draft says.
        wanted: &'static str,
    },
    /// Something that has to be there is not.
    #[error("{place} (byte {at}): {field} is missing")]
    Missing {
        /// Where, by the draft's names.
        place: String,
        /// Offset in the file.
        at: usize,
        /// What is missing.
        field: &'static str,
    },
    /// Two tags of one manifest have the same identifier.
    #[error("{place}: the tag identifier {name:?} is that of an earlier tag too")]
    TagTwice {
        /// Where.
        place: String,
        /// The identifier.
        name: String,
    },
}

/// What is wrong with CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CborProblem {
    /// Ends in the middle of an item.
    Truncated,
    /// Not CBOR, or text that is not UTF-8.
    NotWellFormed,
    /// A length that is not said beforehand.
    IndefiniteLength,
    /// Nested too deep.
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// Too many items.
    TooManyItems {
        /// How many are allowed.
        limit: usize,
    },
    /// Too many entries in one map.
    TooManyEntries {
        /// How many are allowed.
        limit: usize,
    },
    /// A key that is an array, a map or tagged.
    Key,
    /// A key that was there before.
    KeyTwice,
    /// Something follows.
    TrailingBytes,
}

impl fmt::Display for CborProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the file ends in the middle of an item"),
            Self::NotWellFormed => f.write_str("this is not CBOR"),
            Self::IndefiniteLength => f.write_str("an item of indefinite length; a definite one is wanted"),
            Self::TooDeep { limit } => write!(f, "nested deeper than {limit} levels"),
            Self::TooManyItems { limit } => write!(f, "more than {limit} items"),
            Self::TooManyEntries { limit } => write!(f, "a map of more than {limit} entries"),
            Self::Key => f.write_str("a map key that is neither a number nor text"),
            Self::KeyTwice => f.write_str("a map key that is there twice"),
            Self::TrailingBytes => f.write_str("the item ends here, but more follows"),
        }
    }
}
