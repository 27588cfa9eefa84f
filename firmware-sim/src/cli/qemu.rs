//! `firmware-sim qemu`.

use core::time::Duration;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::{Failure, INTERRUPTED, interrupted};
use crate::board::Board;
use crate::qemu::{Count, Options, run as run_qemu};

/// Boot devices as images of machine code in QEMU: they enroll, publish, renew and publish again
///
/// Builds the board's image, writes a factory identity into each device's flash image, and boots it beside an
/// enrollment server and a broker of this machine. Needs qemu-system-arm and a toolchain for bare metal; says how
/// to install what is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The board
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// Number of devices, one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    devices: u32,
    /// Seconds that a device may take for all of it
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    patience: u64,
    /// Cut each device's power this often at random moments, before it is let through
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    power_cuts: u32,
    /// Print nothing but one JSON object to standard output, as its last line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let options = Options {
        board: arguments.board,
        devices: arguments.devices,
        patience: Duration::from_secs(arguments.patience),
        power_cuts: arguments.power_cuts,
        count: Count::Nothing,
    };
    let mut story: Box<dyn io::Write + Send> =
        if arguments.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let summary = tokio::select! {
        outcome = run_qemu(&options, story.as_mut()) => outcome?,
        // What was set up goes down with the future, the machines too.
        () = interrupted() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if arguments.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
    } else {
        let good = summary.devices.len() - summary.failed;
        writeln!(
            story,
            "\n{good} of {} enrolled, published, renewed and published again.",
            summary.devices.len()
        )?;
    }
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
