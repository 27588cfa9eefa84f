//! One simulated device, on the stack of a microcontroller or on that of the Linux daemon.

mod attester;
mod connector;
mod linux;
mod mcu;
mod milestones;
mod spec;

use core::time::Duration;
use std::sync::Arc;

use agent_core::flow::{Control, Notice, OnceError, RunError};
use agent_core::lifecycle::Pace;
use shared::Reject;

use crate::factory::SettingsError;
use crate::faults::Fault;
use crate::flash::ImageError;

pub(crate) use attester::{Factory, firmware};
pub use connector::{TokioConnector, TokioStream};
pub use milestones::{Milestone, Milestones};
pub use spec::{DeviceSpec, Overrides, root_of_trust};

/// Which code a simulated device runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// The microcontroller's: embedded-tls, P-256 in software, minimq, records in a NOR flash image.
    #[default]
    Mcu,
    /// The Linux daemon's: rustls, rumqttc, records in files.
    Linux,
}

/// What a device is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Enroll if needed, connect, publish, renew, reconnect, until it is stopped.
    Run,
    /// Enroll once and end.
    Enroll,
}

/// How a device behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Its stack.
    pub stack: Stack,
    /// What it does.
    pub job: Job,
    /// Time between two telemetry messages.
    pub telemetry_interval: Duration,
    /// Pace of retries and renewal.
    pub pace: Pace,
    /// What goes wrong; on the microcontroller's stack only.
    pub faults: Faults,
}

/// What goes wrong on a device, and at which operation, counted from 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes and erasures of records.
    pub storage: (Fault, u64),
    /// Exchanges with the enrollment server.
    pub network: (Fault, u64),
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            stack: Stack::Mcu,
            job: Job::Run,
            telemetry_interval: Duration::from_secs(10),
            pace: Pace::DEFAULT,
            faults: Faults::default(),
        }
    }
}

impl Behaviour {
    /// Retries within a second, so that a demonstration does not have to wait for what a device in the field
    /// would do in minutes. With `first` and `most` of each delay as short as that, a fleet of any size would
    /// be a storm.
    #[must_use]
    pub const fn impatient(mut self) -> Self {
        let (short, second) = (Duration::from_millis(100), Duration::from_secs(1));
        self.pace = Pace {
            server_first: short,
            server_most: second,
            broker_first: short,
            broker_most: second,
            suspicion: second,
            settled: second,
            ..Pace::DEFAULT
        };
        self
    }
}

/// Why a device could not run, or what became of what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file of the device cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the device does not hold what it should.
    #[error("{path} does not hold {expected}")]
    Form {
        /// Which file.
        path: std::path::PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// No server is known.
    #[error("no enrollment server is set in {path}; give --server HOST:PORT and --trust FILE")]
    NoServer {
        /// The settings' file.
        path: std::path::PathBuf,
    },
    /// The flash image cannot be used.
    #[error(transparent)]
    Flash(#[from] ImageError),
    /// The thread or runtime of a device could not be made.
    #[error("no thread for simulated devices could be made")]
    Thread(#[source] std::io::Error),
    /// This program, which makes PSA tokens for the Linux agent, cannot be found.
    #[error("the path of this program is not known")]
    Program(#[source] std::io::Error),
    /// The Linux agent could not do it.
    #[error(transparent)]
    Linux(Box<agent::StartError>),
    /// The device's records or its trust bundle cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It did not get its identity.
    #[error(transparent)]
    Once(#[from] OnceError),
}

impl DeviceError {
    /// The server's refusal, if that is what it is.
    #[must_use]
    pub fn refusal(&self) -> Option<Reject> {
        let once = match self {
            Self::Once(once) => once,
            Self::Linux(error) => match error.as_ref() {
                agent::StartError::Once(once) => once,
                _ => return None,
            },
            _ => return None,
        };
        match once {
            OnceError::Refused { code } => Reject::from_code(*code),
            _ => None,
        }
    }
}

/// Runs a device to its end; `tap` is told of everything that happens. To be awaited on a tokio runtime; the
/// future is not `Send`.
///
/// # Errors
/// Says why the device could not run, or why it did not get its identity.
pub async fn run(
    spec: &DeviceSpec,
    behaviour: &Behaviour,
    control: Arc<Control>,
    tap: Box<dyn FnMut(&Notice<'_>)>,
) -> Result<(), DeviceError> {
    match behaviour.stack {
        Stack::Mcu => mcu::run(spec, behaviour, control, tap).await,
        Stack::Linux => linux::run(spec, behaviour, control, tap).await,
    }
}
