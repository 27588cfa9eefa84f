//! The messages of the native protocol: CBOR maps with integer keys, each with its version under key 0.
//!
//! A reader refuses a version it does not speak and skips keys it does not know. Borrowed views: nothing is
//! copied, and nothing here checks a signature.

pub mod v1;

/// The version that this build speaks.
pub mod latest {
    pub use super::v1::*;
}
