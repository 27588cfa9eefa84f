//! `firmware-sim year`.

use core::time::Duration;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::{Failure, INTERRUPTED, interrupted};
use crate::progress::bar;
use crate::year::{Progress, YearOptions, run as run_year};

/// Let a fleet live through a year of virtual time: renewals, revocations, outages, power cuts
///
/// The enrollment server, the agents, the broker and all TLS between them are real; time jumps whenever nobody has
/// anything to do, so a year takes minutes. What happens when is drawn from the seed. At the end every living device
/// has to be at work with one good identity, every revoked one refused, every certificate asked for and recorded.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Number of devices
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    devices: u32,
    /// Days to live through
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Days that a certificate lives
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=180))]
    certificate_days: u32,
    /// Hours between two telemetry messages of a device
    #[arg(long, default_value_t = 168, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=8760))]
    telemetry: u32,
    /// Draw from this seed; the same seed makes the same plan [default: a new one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Print nothing but one JSON object to standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => {
            let seed = new_seed()?;
            // Before anything can go wrong: a year that ends in an error is only found again by its seed.
            writeln!(io::stderr(), "seed {seed}")?;
            seed
        }
    };
    let mut options = YearOptions::new(seed);
    options.devices = usize::try_from(arguments.devices)?;
    options.days = arguments.days.into();
    options.certificate_days = arguments.certificate_days.into();
    options.telemetry_hours = arguments.telemetry.into();
    let progress = Progress::default();
    let visible = io::stderr().is_terminal();
    let report = tokio::select! {
        outcome = Box::pin(run_year(&options, &progress)) => outcome?,
        () = show(&progress, options.days, visible) => return Ok(ExitCode::FAILURE),
        // What was set up goes down with the future, the temporary directory too.
        () = interrupted() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let mut out = io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.tell(&mut out)?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn new_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    rand_core::RngCore::try_fill_bytes(&mut rand_core::OsRng, &mut bytes)?;
    Ok(u32::from_be_bytes(bytes).into())
}

/// Moves a bar, day by day, for ever.
async fn show(progress: &Progress, days: u64, visible: bool) {
    if !visible {
        return core::future::pending().await;
    }
    let bar = bar(days, "days");
    loop {
        bar.set_position(progress.day());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
