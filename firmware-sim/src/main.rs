//! Parses, wires and runs.

use std::process::ExitCode;

use clap::Parser as _;
use firmware_sim::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::start_logging(&cli);
    Box::pin(cli::run(cli)).await
}
