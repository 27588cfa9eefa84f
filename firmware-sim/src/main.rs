//! The `firmware-sim` program; everything is in the library.

use std::process::ExitCode;

/// As in `enroll-server`, which runs inside of this program where it is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firmware_sim::cli::main()
}
