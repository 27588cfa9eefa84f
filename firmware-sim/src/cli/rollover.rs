//! `firmware-sim rollover`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::{Failure, INTERRUPTED, interrupted};
use crate::rollover::{RolloverOptions, run as run_rollover};

/// Replace root and issuing CA under devices that go on publishing, some of them away at first
///
/// Sets up what `demo` sets up, then takes every step of a CA rollover: a new root with a certificate by the old one,
/// the trust bundle with both, the switch, the renewal of every device, the retirement of the old CA, refused while
/// devices need it. Measures how long each device was without its broker.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Number of devices
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    devices: u32,
    /// Print nothing but one JSON object to standard output, as its last line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut story: Box<dyn io::Write + Send> =
        if arguments.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let options = RolloverOptions { devices: arguments.devices };
    let summary = tokio::select! {
        outcome = Box::pin(run_rollover(&options, story.as_mut())) => outcome?,
        // What was set up goes down with the future, the temporary directory too.
        () = interrupted() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if arguments.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
    }
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
