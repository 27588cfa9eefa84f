//! `firmware-sim demo`.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, INTERRUPTED, interrupted};
use crate::demo::{DemoError, DemoOptions, run as run_demo};
use crate::device::Stack;

/// Run everything: blank devices make keys, prove what they are, get certificates and publish over mutual TLS
///
/// Sets up a factory, the enrollment server as in production, an MQTT broker with mutual TLS and N devices, all
/// on free ports of this machine and in a temporary directory. Then it proves that those who should be refused
/// are refused: changed firmware, a cloned identity, an unknown maker, no certificate, a revoked device.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Number of devices
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Which code the devices run
    #[arg(long, value_enum, default_value_t)]
    stack: Stack,
    /// Keep keys, certificates, database and flash images here; must not exist, or be empty [default: a
    /// temporary directory that is removed at the end]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print nothing but one JSON object to standard output, as its last line
    ///
    /// devices, enrolled, connected, published and failed are numbers; refused is a map from scenario to
    /// whether it was refused; p50_ms and p99_ms are the time from a blank device to its first acknowledged
    /// publication.
    #[arg(long)]
    json: bool,
    /// Leave everything up at the end, print how to connect, and wait for Ctrl-C
    #[arg(long)]
    keep_running: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let options = DemoOptions {
        devices: arguments.devices,
        stack: arguments.stack,
        state: arguments.state,
        keep_running: arguments.keep_running,
        progress: io::stderr().is_terminal(),
    };
    let mut story: Box<dyn io::Write + Send> =
        if arguments.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let summary = match Box::pin(run_demo(&options, story.as_mut(), interrupted())).await {
        Err(DemoError::Interrupted) => return Ok(ExitCode::from(INTERRUPTED)),
        outcome => outcome?,
    };
    if arguments.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
    }
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
