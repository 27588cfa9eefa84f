//! Reference values (RFC 9334, section 8.3) out of what makers give: CoRIM manifests (draft-ietf-rats-corim),
//! signed or not, and plain release lists in CSV or JSON.
//!
//! Pure: bytes, keys and the time in; values, with who stands behind them, out. Stores nothing, and judges no
//! device: that is for `appraisal`. What of a manifest is not understood is named, never dropped in silence.

#![forbid(unsafe_code)]

mod cbor;
mod corim;
mod error;
mod key;
mod list;
mod manifest;
mod release;

pub use error::{CborProblem, ManifestError};
pub use key::{ReleaseKey, ReleaseKeyError};
pub use list::{ListError, Problem};
pub use manifest::{Format, Manifest, Note, NoteKind, Notes, Validity, Versioned};
pub use release::{Authority, Offer, Release, ReleaseError, Trust, open};

/// Longest CoRIM, in bytes.
pub const MAX_CORIM: usize = 4 * 1024 * 1024;
/// Longest release list, in bytes.
pub const MAX_LIST: usize = 32 * 1024 * 1024;
/// Most values in one release list; a CoRIM is bounded by its length.
pub const MAX_VALUES: usize = 250_000;
/// Longest detached signature, in bytes.
pub const MAX_SIGNATURE: usize = 1024;

/// Reads a file without asking who stands behind it: for looking at one, and for fuzzing.
///
/// # Errors
/// As [`open`], for what concerns the form.
pub fn read_unverified(bytes: &[u8]) -> Result<Manifest, ReleaseError> {
    release::read_unverified(bytes)
}
