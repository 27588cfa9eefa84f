//! Faults of the server's machine: what a server does not lose, whatever happens to it. docs/faults.md has the figures and
//! the commands of the long runs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod invariants;
mod io_errors;
mod kill;
mod power;
mod restored;
mod soak;

/// The server's, since the soak measures what a server holds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The server in a process of its own that the harnesses here kill, starve and look at.
#[test]
#[ignore = "run by the harnesses, in a process of its own"]
fn child() {
    tests::faults::serve();
}
