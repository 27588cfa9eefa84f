//! `firmware-sim fleet`.

use core::time::Duration;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, interrupted};
use crate::device::{Behaviour, DeviceSpec, Job, Milestones, Overrides, Stack};
use crate::factory::ServerAddress;
use crate::fleet::{Fleet, FleetOptions, Tally, percentile};
use crate::progress::FleetBars;

/// Run many devices that the factory made, against any server and broker
///
/// Ends when every device has published once, or after --patience; with --keep-running, at Ctrl-C. The broker is
/// the one that the enrollment server names.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The factory's directory
    #[arg(long)]
    dir: PathBuf,
    /// Run only so many of its devices [default: all]
    #[arg(long)]
    devices: Option<usize>,
    /// Which code the devices run
    #[arg(long, value_enum, default_value_t)]
    stack: Stack,
    /// The enrollment server [default: as in each device.toml]
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<ServerAddress>,
    /// The server's signed trust bundle [default: trust.bundle in each device's folder]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Threads [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Spread the devices' starts over so many seconds
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    ramp: u32,
    /// Seconds between two telemetry messages of a device
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    patience: u64,
    /// Go on until Ctrl-C
    #[arg(long)]
    keep_running: bool,
    /// Print nothing but one JSON object to standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    devices: usize,
    enrolled: usize,
    connected: usize,
    published: usize,
    failed: usize,
    identity_p50_ms: u128,
    identity_p99_ms: u128,
    handshake_p50_ms: u128,
    handshake_p99_ms: u128,
    p50_ms: u128,
    p99_ms: u128,
}

impl Report {
    fn of(tally: &Tally) -> Self {
        let at = |time: fn(&Milestones) -> Option<Duration>, percent| {
            percentile(&tally.sorted(time), percent).as_millis()
        };
        Self {
            devices: tally.devices().len(),
            enrolled: tally.enrolled(),
            connected: tally.connected(),
            published: tally.published(),
            failed: tally.devices().len() - tally.published(),
            identity_p50_ms: at(|d| d.identity, 50),
            identity_p99_ms: at(|d| d.identity, 99),
            handshake_p50_ms: at(|d| d.handshake, 50),
            handshake_p99_ms: at(|d| d.handshake, 99),
            p50_ms: at(|d| d.online, 50),
            p99_ms: at(|d| d.online, 99),
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let overrides = Overrides { server: arguments.server, trust_bundle: arguments.trust };
    let devices = DeviceSpec::load_lot(&arguments.dir, arguments.devices, &overrides)?;
    let mut options = FleetOptions::new(Behaviour {
        stack: arguments.stack,
        job: Job::Run,
        telemetry_interval: Duration::from_secs(arguments.interval),
        ..Behaviour::default()
    });
    options.threads = arguments.threads.unwrap_or(options.threads);
    options.ramp = Duration::from_secs(arguments.ramp.into());

    let bars = FleetBars::new(devices.len(), io::stderr().is_terminal());
    let (fleet, mut told) = Fleet::start(&devices, &options)?;
    let mut tally = Tally::begin(devices.len(), tokio::time::Instant::now());
    let counting = async {
        while let Some(told) = told.recv().await {
            tally.take(&told);
            bars.show(&tally);
            let over = tally.published() + tally.ended_in_error() >= devices.len();
            if over && !arguments.keep_running {
                break;
            }
        }
    };
    let patience = Duration::from_secs(if arguments.keep_running { u64::MAX } else { arguments.patience });
    tokio::select! {
        _over_or_not = tokio::time::timeout(patience, counting) => {}
        () = interrupted() => {}
    }
    bars.clear();
    fleet.finish(Duration::from_secs(10)).await;

    let report = Report::of(&tally);
    let mut out = io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        let Report { devices, enrolled, connected, published, .. } = report;
        writeln!(
            out,
            "{devices} devices: {enrolled} enrolled, {connected} connected, {published} published"
        )?;
        writeln!(
            out,
            "time to identity    p50 {} ms, p99 {} ms",
            report.identity_p50_ms, report.identity_p99_ms
        )?;
        writeln!(
            out,
            "broker login        p50 {} ms, p99 {} ms",
            report.handshake_p50_ms, report.handshake_p99_ms
        )?;
        writeln!(out, "blank to published  p50 {} ms, p99 {} ms", report.p50_ms, report.p99_ms)?;
        for device in tally.devices().iter().filter(|device| device.publish.is_none()).take(10) {
            let trouble = device.ended.as_ref().or(device.trouble.as_ref());
            writeln!(out, "failed: {}", trouble.map_or("not in time", String::as_str))?;
        }
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
