//! The agent's program: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Variables that are no UTF-8 are none of the agent's.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    agent::cli::main(std::env::args_os(), environment).into()
}
