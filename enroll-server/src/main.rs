//! The `enroll-server` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    enroll_server::cli::run()
}
