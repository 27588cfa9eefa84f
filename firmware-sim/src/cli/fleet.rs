//! `firmware-sim fleet`.

use core::time::Duration;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, INTERRUPTED, interrupted};
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
    /// Give up so many seconds after the start of the last device
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    patience: u64,
    /// Go on until Ctrl-C
    #[arg(long)]
    keep_running: bool,
    /// Print nothing but one JSON object to standard output
    ///
    /// Times are of so many devices as stand beside them, and null where no device came so far.
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
    /// Of how many devices the times are: the others did not come so far.
    identity_devices: usize,
    identity_p50_ms: Option<u128>,
    identity_p99_ms: Option<u128>,
    handshake_devices: usize,
    handshake_p50_ms: Option<u128>,
    handshake_p99_ms: Option<u128>,
    online_devices: usize,
    p50_ms: Option<u128>,
    p99_ms: Option<u128>,
}

/// One time of all devices that have it.
struct Times(Vec<Duration>);

impl Times {
    /// In milliseconds; there is none where no device has come so far.
    fn percentile(&self, percent: usize) -> Option<u128> {
        (!self.0.is_empty()).then(|| percentile(&self.0, percent).as_millis())
    }
}

impl Report {
    fn of(tally: &Tally) -> Self {
        let times = |time: fn(&Milestones) -> Option<Duration>| Times(tally.sorted(time));
        let (identity, handshake, online) =
            (times(|d| d.identity), times(|d| d.handshake), times(|d| d.online));
        Self {
            devices: tally.devices().len(),
            enrolled: tally.enrolled(),
            connected: tally.connected(),
            published: tally.published(),
            failed: tally.devices().len() - tally.published(),
            identity_devices: identity.0.len(),
            identity_p50_ms: identity.percentile(50),
            identity_p99_ms: identity.percentile(99),
            handshake_devices: handshake.0.len(),
            handshake_p50_ms: handshake.percentile(50),
            handshake_p99_ms: handshake.percentile(99),
            online_devices: online.0.len(),
            p50_ms: online.percentile(50),
            p99_ms: online.percentile(99),
        }
    }

    fn tell(&self, out: &mut impl io::Write) -> io::Result<()> {
        let Self { devices, enrolled, connected, published, .. } = self;
        writeln!(
            out,
            "{devices} devices: {enrolled} enrolled, {connected} connected, {published} published"
        )?;
        for (what, of, p50, p99) in [
            ("time to identity", self.identity_devices, self.identity_p50_ms, self.identity_p99_ms),
            ("broker login", self.handshake_devices, self.handshake_p50_ms, self.handshake_p99_ms),
            ("blank to published", self.online_devices, self.p50_ms, self.p99_ms),
        ] {
            match p50.zip(p99) {
                Some((p50, p99)) => {
                    writeln!(out, "{what:<18}  p50 {p50} ms, p99 {p99} ms, of {of} devices")?;
                }
                None => writeln!(out, "{what:<18}  no device came so far")?,
            }
        }
        Ok(())
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
    let patience = match arguments.keep_running {
        true => Duration::MAX,
        // The last device is waited for as long as a fleet that starts at once.
        false => options.ramp + Duration::from_secs(arguments.patience),
    };
    let asked = tokio::select! {
        _over_or_not = tokio::time::timeout(patience, counting) => false,
        () = interrupted() => true,
    };
    bars.clear();
    fleet.finish(Duration::from_secs(10)).await;

    let report = Report::of(&tally);
    let mut out = io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.tell(&mut out)?;
        for device in tally.devices().iter().filter(|device| device.publish.is_none()).take(10) {
            let trouble = device.ended.as_ref().or(device.trouble.as_ref());
            writeln!(out, "failed: {}", trouble.map_or("not in time", String::as_str))?;
        }
    }
    if asked && !arguments.keep_running {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
