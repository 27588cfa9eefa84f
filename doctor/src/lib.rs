//! Says in plain words why mutual TLS fails, and what to do: for `agent doctor` and `enroll-server doctor`.
//!
//! [`chain`], [`files`] and [`alert`] judge bytes, purely; [`check`] goes to a server, in the order in which a
//! connection is made. Nothing here decides for a program: what a device believes is judged by its own verifier, which
//! is passed in ([`Access::strict`]). No key is read from a disk here, and none is ever shown.

#![forbid(unsafe_code)]

mod address;
pub mod alert;
mod broker;
pub mod chain;
mod check;
mod dial;
pub mod files;
pub mod finding;
mod handshake;
mod heard;
pub mod identity;
mod refusal;
pub mod report;

pub use address::host_and_port;
pub use check::{Access, Limits, Mqtt, Strict, Target, check};
pub use finding::{Cause, Finding};
pub use report::{Diagnosis, Report, State, Step};
