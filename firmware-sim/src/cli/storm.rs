//! `firmware-sim storm`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use enroll_server::store::Rate;

use super::{Failure, year::new_seed};
use crate::progress::bar;
use crate::storm::{Report, Scenario, StormOptions, run as run_storm};

/// Let a fleet of up to millions come at once, in virtual time
///
/// Each device is the lifecycle of the real agent, the server's admission is that of the real server; time, network and
/// the server's work are simulated. Shows whether the peak stays within the capacity, how long devices wait, how often
/// they ask, and that nobody is locked out. Without --scenario all of them, one after the other.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// What happens
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// Number of devices
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    devices: u32,
    /// What the server may begin, as in its limits.rate: 1000/s, 300/m, 5000/h [default: what suits the scenario]
    #[arg(long, value_name = "RATE")]
    capacity: Option<Rate>,
    /// Draw from this seed; the same seed gives the same storm [default: a new one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Print nothing but one JSON array to standard output, with an object for each scenario
    #[arg(long)]
    json: bool,
    /// Write the plots of load and of waits into this folder, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

const HELP: &str = "\
Exit status: 0 all bounds hold, 1 one does not, 2 the command line is wrong.

A device takes about 1 KiB of memory. See docs/storms.md for what the bounds are.";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => new_seed()?,
    };
    let scenarios = arguments.scenario.map_or_else(|| Scenario::ALL.to_vec(), |only| vec![only]);
    if let Some(folder) = &arguments.svg {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut out = io::stdout();
    let mut reports: Vec<Report> = Vec::new();
    let mut drawn = Ok(());
    for scenario in scenarios {
        let bar = bar(arguments.devices.into(), scenario.name());
        let Arguments { devices, capacity, .. } = *arguments;
        let options = StormOptions { scenario, devices, capacity, seed, plant: None };
        let report = run_storm(&options, |done| bar.set_position(done.into()));
        bar.finish_and_clear();
        if !arguments.json {
            report.tell(&mut out)?;
        }
        if let (Some(folder), Ok(())) = (&arguments.svg, &drawn) {
            // What was found out is told all the same.
            drawn = report.draw(folder).map(|_| ()).map_err(|error| format!("{}: {error}", folder.display()));
        }
        reports.push(report);
    }
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&reports)?)?;
    }
    drawn?;
    Ok(if reports.iter().all(Report::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
