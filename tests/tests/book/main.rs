//! The book and the pages beside it tell the truth: every command is one that its program takes, shell blocks run as
//! they stand or say why not, links lead somewhere, what is generated is current.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod commands;
mod configuration;
mod structure;
mod walks;
