//! The certificate verifier against certificates made for one rule each, and against hostile bytes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod chain;
mod der;
mod hostile;
mod rules;
