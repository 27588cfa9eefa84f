//! `ca`: one file a subcommand.

mod csr;
mod import;
mod rollover;
mod root_ceremony;
mod root_crl;
mod sign;
mod tpm_create;

use core::time::Duration;

use super::args::{Ca, Global};
use super::failure::Failure;
use super::output::Output;

pub(super) fn run(global: &Global, command: Ca, output: &Output) -> Result<(), Failure> {
    match command {
        Ca::TpmCreate(options) => tpm_create::run(&options, output),
        Ca::RootCeremony(options) => root_ceremony::run(options, output),
        Ca::Csr(options) => csr::run(global, options, output),
        Ca::Sign(options) => sign::run(options, output),
        Ca::Import(options) => import::run(global, options, output),
        Ca::RootCrl(options) => root_crl::run(options, output),
        Ca::Status(asked) => rollover::status(global, asked, output),
        Ca::Rollover(command) => rollover::run(global, command, output),
        Ca::TrustBundle(asked) => rollover::trust_bundle(&asked, output),
        Ca::PublishBundle { files } => rollover::publish(global, &files, output),
    }
}

fn days(days: impl Into<u64>) -> Duration {
    Duration::from_secs(days.into() * 86_400)
}

/// A fingerprint in four lines of eight pairs, to be read out.
fn read_out(fingerprint: &str) -> String {
    let pairs: Vec<&str> = fingerprint.split(':').collect();
    pairs.chunks(8).map(|line| format!("  {}\n", line.join(":"))).collect()
}
