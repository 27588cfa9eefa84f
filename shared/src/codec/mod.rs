//! Bounded CBOR (RFC 8949): a check of the whole item first, then typed reading in one pass, without an
//! allocator and without recursion.
//!
//! The protocol uses core deterministic encoding (RFC 8949, section 4.2.1), so a map's keys come in order,
//! each once; readers walk a map from front to back and skip keys they do not know.

mod read;
mod well_formed;
mod write;

pub use read::{MapReader, certificates, text};
pub use well_formed::check;
pub use write::{EncodeError, Writer};

/// Why bytes are not the expected CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the cap for its kind.
    #[error("{found} bytes are more than the {limit} allowed")]
    TooLong {
        /// The cap.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// Ends in the middle of an item.
    #[error("ends in the middle of an item, at byte {at}")]
    Truncated {
        /// Offset of the item that is cut.
        at: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`](crate::limits::MAX_DEPTH).
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The cap.
        limit: usize,
    },
    /// Not in core deterministic encoding: indefinite length, long form, keys out of order or twice.
    #[error("not in core deterministic encoding at byte {at}")]
    NotDeterministic {
        /// Offset of the offending item.
        at: usize,
    },
    /// Something follows the item.
    #[error("the message ends at byte {at}, but more follows")]
    TrailingBytes {
        /// Where the item ends.
        at: usize,
    },
    /// A version this build does not speak.
    #[error("version {found} is not spoken here")]
    UnsupportedVersion {
        /// The version found.
        found: u64,
    },
    /// A field that must be there is not.
    #[error("field '{field}' is missing")]
    Missing {
        /// Name of the field, as in the protocol reference.
        field: &'static str,
    },
    /// A field has another type, length or value than allowed.
    #[error("field '{field}' has the wrong type, length or value")]
    Invalid {
        /// Name of the field, as in the protocol reference.
        field: &'static str,
    },
}
