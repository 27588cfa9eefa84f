//! The demonstration: a factory, the enrollment server as in production, a broker, devices that come from blank
//! to MQTT over mutual TLS, and proof that those who should be refused are refused.

mod crew;
mod refusals;
mod report;

use core::time::Duration;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use crate::broker::AdminError;
use crate::device::{Behaviour, DeviceError, Job, Stack};
use crate::factory::FactoryError;

use crate::stage::{Setting, Stage, StageError};
use crate::workplace::Workplace;
use crew::Crew;
pub use report::Summary;

/// How to run it.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Number of devices.
    pub devices: u32,
    /// Which code they run.
    pub stack: Stack,
    /// Where everything is kept; must not exist, or be empty. A temporary directory, removed at the end, where
    /// it is not given.
    pub state: Option<PathBuf>,
    /// Whether everything stays up at the end, until it is interrupted.
    pub keep_running: bool,
    /// Whether to show progress bars, where standard error is a terminal.
    pub progress: bool,
}

/// Why the demonstration could not go on. Devices that fail, or are not refused, are no such error: they stand
/// in the [`Summary`].
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The state directory is in use.
    #[error("{0} exists already; choose another directory or remove it first")]
    Exists(PathBuf),
    /// A file failed.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Server, broker or factory could not be set up.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The factory failed.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// The operator's commands failed.
    #[error("the enrollment server did not carry out what its operator asked for")]
    Operator(#[from] enroll_server::admin::AdminError),
    /// The observer at the broker failed.
    #[error(transparent)]
    Observer(#[from] AdminError),
    /// Devices could not be started.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It was interrupted before its end.
    #[error("interrupted before the end")]
    Interrupted,
    /// The story could not be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// Runs the demonstration and tells its story to `story`. Everything is down again when it returns; with
/// `keep_running`, that is when `interrupted` resolves.
///
/// # Errors
/// Where it could not go on, and [`DemoError::Interrupted`] where `interrupted` resolves before its end.
pub async fn run(
    options: &DemoOptions,
    story: &mut (dyn Write + Send),
    interrupted: impl Future<Output = ()>,
) -> Result<Summary, DemoError> {
    let (dir, _temporary) = state_dir(options)?;
    let mut interrupted = core::pin::pin!(interrupted);
    let (stage, crew, summary) = tokio::select! {
        played = Box::pin(play(&dir, options, story)) => played?,
        // What was set up goes down with the future.
        () = &mut interrupted => return Err(DemoError::Interrupted),
    };
    if options.keep_running {
        report::how_to_connect(&stage, options, story)?;
        interrupted.await;
    }
    if !crew.finish(Duration::from_secs(10)).await {
        tracing::warn!("some simulated devices did not stop in time");
    }
    Box::pin(stage.strike()).await;
    Ok(summary)
}

/// The demonstration up to its end, when everything is still up.
async fn play(
    dir: &Path,
    options: &DemoOptions,
    story: &mut (dyn Write + Send),
) -> Result<(Stage, Crew, Summary), DemoError> {
    let stage = Box::pin(Stage::build(dir, &Setting::local(options.devices))).await?;
    report::opening(&stage, options, story)?;

    let behaviour = behaviour(options.stack);
    let crew = Crew::start(&stage, &behaviour, options.progress)?;
    let patience = Duration::from_secs(30) + Duration::from_millis(500) * options.devices;
    let begun = Instant::now();
    let all_online = crew.wait_online(&stage, patience).await;
    let tally = crew.tally();
    report::table(&stage, &tally, all_online, begun.elapsed(), story)?;
    let mut summary = Summary::of(&stage, &tally);

    for proof in Box::pin(refusals::prove_all(&stage, &crew, &behaviour)).await? {
        report::proof(&proof, story)?;
        summary.refused.insert(proof.scenario, proof.refused);
    }
    summary.conclude();
    report::ending(&stage, options, &summary, story)?;
    Ok((stage, crew, summary))
}

fn behaviour(stack: Stack) -> Behaviour {
    let behaviour = Behaviour {
        stack,
        job: Job::Run,
        telemetry_interval: Duration::from_secs(2),
        ..Behaviour::default()
    };
    behaviour.impatient()
}

/// The directory, and what removes it at the end where it is a temporary one.
fn state_dir(options: &DemoOptions) -> Result<(PathBuf, Option<Workplace>), DemoError> {
    let Some(dir) = &options.state else {
        let what = || "cannot make a temporary directory".to_owned();
        let temporary =
            Workplace::new("firmware-sim-").map_err(|source| DemoError::Io { what: what(), source })?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    let failed = |source| DemoError::Io { what: format!("cannot make {}", dir.display()), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let dir = dir.canonicalize().map_err(failed)?;
    if std::fs::read_dir(&dir).map_err(failed)?.next().is_some() {
        return Err(DemoError::Exists(dir));
    }
    Ok((dir, None))
}
