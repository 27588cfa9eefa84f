//! What crosses crates: end to end, interoperation, faults.
//!
//! The library holds what several tests share: processes and ports ([`harness`]), faults of the server's machine
//! ([`faults`]), the simulation from seeds ([`simulation`]), the bodies of the fuzz targets ([`fuzz`]), one recorded enrollment
//! ([`exchange`]), expressions of PromQL ([`promql`]), what a TPM said in another ([`tpm_exchange`]) and the pages of the
//! documentation taken apart ([`page`]) and walked through ([`walk`]).

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

pub mod dice;
pub mod exchange;
pub mod faults;
pub mod fuzz;
pub mod harness;
pub mod page;
pub mod promql;
pub mod simulation;
pub mod tpm_exchange;
pub mod walk;
