//! The `enroll-server` program; everything is in the library.

use std::process::ExitCode;

/// A request allocates some hundred times on one thread and frees much of it on another: see docs/speed.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    enroll_server::cli::run()
}
