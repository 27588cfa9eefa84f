//! `firmware-sim device`.

use core::time::Duration;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, interrupted};
use crate::device::{Behaviour, DeviceSpec, Job, Overrides, Stack};
use crate::factory::ServerAddress;
use crate::fleet::{Fleet, FleetOptions, What};

/// Run one device that the factory made, until Ctrl-C
///
/// It enrolls if needed, connects, publishes, renews and reconnects, as a device in the field does; its state is
/// in its folder, so that it goes on where it was when it is started again.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The device's folder, for example DIR/devices/SN-1
    #[arg(long)]
    dir: PathBuf,
    /// Which code the device runs
    #[arg(long, value_enum, default_value_t)]
    stack: Stack,
    /// The enrollment server [default: as in device.toml]
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<ServerAddress>,
    /// The server's signed trust bundle [default: trust.bundle in the device's folder]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Enroll once and end
    #[arg(long)]
    enroll: bool,
    /// Seconds between two telemetry messages
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let overrides = Overrides { server: arguments.server, trust_bundle: arguments.trust };
    let device = DeviceSpec::load(&arguments.dir, &overrides)?;
    let behaviour = Behaviour {
        stack: arguments.stack,
        job: if arguments.enroll { Job::Enroll } else { Job::Run },
        telemetry_interval: Duration::from_secs(arguments.interval),
        ..Behaviour::default()
    };
    let (fleet, mut told) = Fleet::start(&[device], &FleetOptions::new(behaviour))?;
    let begun = tokio::time::Instant::now();
    let mut out = io::stdout();
    loop {
        tokio::select! {
            told = told.recv() => match told {
                Some(told) => {
                    let at = told.at.saturating_duration_since(begun).as_millis();
                    match told.what {
                        What::Begun => {}
                        What::Milestone(milestone) => writeln!(out, "{at:>8} ms  {milestone}")?,
                        What::Ended(outcome) => {
                            outcome?;
                            writeln!(out, "{at:>8} ms  done")?;
                        }
                    }
                }
                None => return Ok(ExitCode::SUCCESS),
            },
            () = interrupted() => fleet.stop(),
        }
    }
}
