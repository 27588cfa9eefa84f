//! Holds the crate against the test vectors in `vectors/`, and the vectors against an independent CBOR library.
//!
//! The files are written by hand except for what follows from the rest; `UPDATE_VECTORS=1 cargo test -p shared
//! --test vectors` writes that anew: `hex` (from `fields` and `keys`, by serde_cbor, not by this crate), the
//! signatures, and the table of refusals.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cose;
mod files;
mod independent;
mod mac0;
mod malformed;
mod messages;
mod refusals;
