//! The enrollment server: challenges devices, has their evidence appraised, issues LDevIDs, keeps the
//! inventory, publishes revocations.
//!
//! As a library it runs inside another process exactly as it runs in production: see [`startup::Server`]. It
//! appraises no evidence and signs no certificate itself; that is done by the crates `appraisal` and `ca`,
//! which know neither HTTP nor SQL.

#![forbid(unsafe_code)]

pub mod admin;
pub mod admission;
pub mod api;
pub mod attestation_keys;
pub mod audit;
pub mod authorities;
pub mod authorization;
pub mod brokers;
pub mod ceremony;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credential;
pub mod dashboard;
mod dial;
pub mod est;
pub mod explanation;
pub mod failpoint;
pub mod files;
pub mod hook;
pub mod in_force;
pub mod intent_key;
pub mod inventory;
pub mod issuance;
mod json_object;
pub mod longest_answer;
pub mod maker_crls;
pub mod mqtt;
pub mod new_folder;
pub mod nonce;
pub mod ocsp;
pub mod outgoing;
pub mod peers;
pub mod policies;
mod random;
pub mod revocation;
pub mod rollover;
mod serve;
pub mod startup;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod tls_files;
pub mod tpm_credential;
pub mod transparency_log;
pub mod webhook;
mod work_lease;
mod written;

#[cfg(test)]
#[path = "../tests/kit/device.rs"]
mod kit;

#[cfg(test)]
#[path = "../tests/kit/receiver.rs"]
mod receiver;
