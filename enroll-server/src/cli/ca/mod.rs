//! `ca`: one file a subcommand.

mod tpm_create;

use super::args::Ca;
use super::failure::Failure;
use super::output::Output;

pub(super) fn run(command: Ca, output: &Output) -> Result<(), Failure> {
    match command {
        Ca::TpmCreate(options) => tpm_create::run(&options, output),
    }
}
