//! The server from outside: over real TLS, through real files, as a real process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod acceptor;
mod administrators;
mod admission;
mod broker_hooks;
mod cli;
mod dashboard;
mod est;
mod events;
mod faults;
mod hostile;
mod inventory;
#[path = "../kit/mod.rs"]
mod kit;
mod lists;
mod log;
mod log_tampering;
mod maker_crl;
mod matrix;
mod peer_revocation;
mod policies;
mod policy_cli;
mod protocol;
mod reference;
mod revocation;
mod rollover;
mod routes;
mod webhooks;
