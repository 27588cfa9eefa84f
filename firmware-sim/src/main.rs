//! The `firmware-sim` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    firmware_sim::cli::main()
}
