//! `firmware-sim psa-token`: what a platform's tool does on Linux, for the agent's `identity.psa_command`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::device::root_of_trust;

/// Make a PSA attestation token of a simulated device over a challenge, and write it to standard output
///
/// For the agent on Linux: identity.psa_command = ["firmware-sim", "psa-token", "--dir", "DIR/devices/SN-1"]
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Folder of the device
    #[arg(long)]
    dir: PathBuf,
    /// The challenge: 32, 48 or 64 bytes in hexadecimal
    challenge: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let challenge = hex::decode(&arguments.challenge).unwrap_or_default();
    if !matches!(challenge.len(), 32 | 48 | 64) {
        return Err("a challenge has 32, 48 or 64 bytes, in hexadecimal".into());
    }
    let (root_of_trust, _chain) = root_of_trust(&arguments.dir)?;
    io::stdout().write_all(&root_of_trust.sign(&challenge)?)?;
    Ok(ExitCode::SUCCESS)
}
