//! Puts an agent together and runs it: what `agent run`, `enroll`, `renew`, `reset` and `status` do, also for
//! programs that run the agent in-process.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use agent_core::flow::{Agent, Control, Notice, OnceError, Platform, RunError, Settings, Status};
use agent_core::lifecycle::Pace;
use agent_core::platform::{Attester as _, Observer};
use rand_core::OsRng;
use shared::UnixTime;
use shared::limits::MAX_REQUEST_LARGE;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{self, ControlError, Listener};
use crate::export::{ExportError, Exporter};
use crate::heartbeat::Heartbeat;
use crate::hook::{self, Change, HookWorker};
use crate::keystore::DeviceKeyStore;
use crate::live::Live;
use crate::mqtt::MqttBroker;
use crate::observer::DaemonObserver;
use crate::provision::{CREDENTIAL_FILE, DeviceAttester, Provision, ProvisionError};
use crate::proxy::{Proxy, ProxyError};
use crate::state_dir::{StateDir, StateDirError};
use crate::storage::FileStorage;
use crate::systemd::{Notifier, watchdog_period};
use crate::transport::HttpsTransport;

/// No agent of this version existed before: the least that the time can be. To be raised with each release.
pub const BUILT: UnixTime = match UnixTime::from_civil(2026, 11, 1, 0, 0, 0) {
    Some(time) => time,
    None => UnixTime::from_secs(0),
};

/// What surrounds an agent beside its configuration. The default is silence.
#[derive(Default)]
pub struct Surroundings {
    /// Where states are told.
    pub notifier: Notifier,
    /// After how long without a sign of life the agent is restarted, if it is.
    pub watchdog: Option<Duration>,
    /// Pace of retries and renewal.
    pub pace: Pace,
    /// Hears every notice, after the daemon's own observer.
    pub tap: Option<Tap>,
}

/// Hears notices; must return soon.
pub type Tap = Box<dyn FnMut(&Notice<'_>)>;

impl Surroundings {
    /// Of a service: the service manager is told what it wants to know.
    #[must_use]
    pub fn of_service(environment: &BTreeMap<String, String>) -> Self {
        Self {
            notifier: Notifier::from_environment(environment),
            watchdog: watchdog_period(environment, std::process::id()),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}

/// Why an agent could not start, or what became of what it was asked to do once.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A provisioned file cannot be used.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The proxy cannot listen.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The exported files cannot be erased.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The control socket cannot be made.
    #[error("the control socket in the state directory cannot be made")]
    Socket(#[source] io::Error),
    /// The running agent cannot be asked.
    #[error(transparent)]
    Control(ControlError),
    /// Signals cannot be heard.
    #[error("signals cannot be handled")]
    Signal(#[source] io::Error),
    /// The status cannot be written as JSON.
    #[error("the status cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// There is an answer, but nobody can read it.
    #[error("the answer could not be written to standard output")]
    Answer(#[source] io::Error),
    /// The agent cannot run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What it was asked to do once was not done.
    #[error(transparent)]
    Once(#[from] OnceError),
}

/// Runs an agent until `control` asks it to stop: enrolls if needed, connects, publishes, renews, reconnects.
/// To be awaited on a tokio runtime; the future is not `Send`.
///
/// # Errors
/// Where it cannot start; once it runs, all else is retried.
pub async fn run(config: &Config, control: Arc<Control>) -> Result<(), StartError> {
    run_with(config, control, Surroundings::default()).await
}

/// As [`run`], within other surroundings.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: &Config,
    control: Arc<Control>,
    surroundings: Surroundings,
) -> Result<(), StartError> {
    let dir = StateDir::open(&config.state_dir)?;
    let lock = dir.lock()?;
    let provision = Provision::load(config)?;
    let listener = Listener::bind(&dir, &lock).map_err(StartError::Socket)?;
    let notifier = surroundings.notifier.clone();
    let (mut agent, worker) = assemble(config, &dir, &provision, surroundings)?;
    prepare(&mut agent, &provision).await?;
    let live = agent.world().observer.daemon.live().clone();
    let outcome = {
        let run = Box::pin(agent.run(&control));
        let serve = control::serve(&listener, Arc::clone(&control), live);
        let proxy = proxy_beside(config, &dir, &provision);
        tokio::select! {
            outcome = run => outcome,
            // Serves for ever; were it to end, the agent would go on without it.
            () = serve => Ok(()),
            () = proxy => Ok(()),
        }
    };
    notifier.notify("STOPPING=1");
    drop(agent);
    worker.finish().await;
    Ok(outcome?)
}

/// Serves the proxy, where there is one, and never ends: a port that cannot be opened must not stop the agent.
async fn proxy_beside(config: &Config, dir: &StateDir, provision: &Provision) {
    if let Some(settings) = &config.proxy {
        Proxy::new(config, settings.clone(), dir.clone(), provision).keep_serving().await;
    }
    core::future::pending().await
}

/// Enrolls once, where there is no identity yet, and returns when the identity is durable.
///
/// # Errors
/// Says what became of it; to be tried again where the server was away.
pub async fn enroll(config: &Config, control: &Control) -> Result<Status, StartError> {
    once(config, async |agent| Ok(Box::pin(agent.enroll_once(control)).await?)).await
}

/// Renews once, and returns when the broker has taken the new identity.
///
/// # Errors
/// Says what became of it; the old identity stays in use.
pub async fn renew(config: &Config, control: &Control) -> Result<Status, StartError> {
    once(config, async |agent| Ok(Box::pin(agent.renew_once(control)).await?)).await
}

/// As [`renew`], where it is due by the server's time; `None` where it is not.
///
/// # Errors
/// As [`renew`].
pub async fn renew_if_due(config: &Config, control: &Control) -> Result<Option<Status>, StartError> {
    once(config, async |agent| Ok(Box::pin(agent.renew_if_due(control)).await?)).await
}

/// Brings what an earlier run left undone to its end, as an export that failed. Does nothing where an agent runs, which sees
/// to that itself, and where root asks about another user's agent.
///
/// # Errors
/// Where the records or what was provisioned cannot be read.
pub async fn tidy(config: &Config) -> Result<(), StartError> {
    match once(config, async |_agent| Ok(())).await {
        Err(StartError::StateDir(StateDirError::Busy { .. } | StateDirError::NotOfRoot { .. })) => Ok(()),
        outcome => outcome,
    }
}

/// Erases keys, certificates, state and exported files.
///
/// # Errors
/// Where something could not be erased; to be called again.
pub async fn reset(config: &Config) -> Result<(), StartError> {
    once(config, async |agent| {
        agent.reset().await?;
        agent.world_mut().storage.remove(CREDENTIAL_FILE).map_err(RunError::from)?;
        if let Some(exporter) = exporter(config) {
            exporter.clear()?;
        }
        agent.world().observer.daemon.changed(Change::Reset);
        Ok(())
    })
    .await
}

/// Where the device stands. Changes nothing, and may be asked while the agent runs.
///
/// # Errors
/// Where the records or the identity cannot be read.
pub async fn status(config: &Config) -> Result<Status, StartError> {
    let dir = match StateDir::look(&config.state_dir)? {
        Some(dir) => dir,
        None => StateDir::open(&config.state_dir)?,
    };
    let provision = Provision::load(config)?;
    let (mut agent, _worker) = assemble(config, &dir, &provision, Surroundings::default())?;
    Ok(agent.status().await?)
}

/// The agent of this crate. Its buffers hold the event log of a platform with a TPM.
type DaemonAgent<'p> = Agent<
    'p,
    Platform<
        DeviceKeyStore,
        FileStorage,
        SystemClock,
        OsRng,
        DeviceAttester<'p>,
        HttpsTransport,
        MqttBroker,
        Tapped,
    >,
    MAX_REQUEST_LARGE,
    // What a request is made of lies in the answer's buffer.
    MAX_REQUEST_LARGE,
>;

/// Holds the state directory while something is done once.
async fn once<T>(
    config: &Config,
    work: impl AsyncFnOnce(&mut DaemonAgent<'_>) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let dir = StateDir::open(&config.state_dir)?;
    let _lock = dir.lock()?;
    let provision = Provision::load(config)?;
    let (mut agent, worker) = assemble(config, &dir, &provision, Surroundings::default())?;
    prepare(&mut agent, &provision).await?;
    let outcome = work(&mut agent).await;
    drop(agent);
    worker.finish().await;
    outcome
}

/// Clears away what a crash left, in the records and in the exported files.
async fn prepare(agent: &mut DaemonAgent<'_>, provision: &Provision) -> Result<(), RunError> {
    let world = agent.world_mut();
    world.storage.tidy()?;
    world.observer.daemon.catch_up(provision.trust_bundle()).await;
    Ok(())
}

/// Puts the parts together.
fn assemble<'p>(
    config: &'p Config,
    dir: &StateDir,
    provision: &'p Provision,
    surroundings: Surroundings,
) -> Result<(Box<DaemonAgent<'p>>, HookWorker), ProvisionError> {
    let Surroundings { notifier, watchdog, pace, tap } = surroundings;
    let heartbeat =
        watchdog.map_or_else(Heartbeat::silent, |period| Heartbeat::new(notifier.clone(), period));
    let exporter = exporter(config);
    let attester = provision.attester(dir)?;
    let (hooks, worker) = hook::start(
        config.hook.clone(),
        attester.device_id().clone(),
        exporter.as_ref().map(|exporter| exporter.directory().to_owned()),
    );
    let reader = FileStorage::new(dir.clone());
    let daemon = DaemonObserver::new(reader, exporter, hooks, notifier, Live::new());
    let world = Platform {
        keys: provision.key_store(),
        storage: FileStorage::new(dir.clone()),
        clock: SystemClock::new(BUILT, heartbeat.clone()),
        rng: OsRng,
        attester,
        transport: HttpsTransport::new(config.network, heartbeat.clone()),
        broker: MqttBroker::new(config.network, heartbeat),
        observer: Tapped { daemon, tap },
    };
    let mut settings =
        Settings::new(&config.server.host, config.server.port, provision.trust_bundle(), BUILT);
    settings.software_version = &config.firmware.version;
    settings.telemetry_interval = config.telemetry_interval;
    settings.pace = Pace { check_in: config.check_in, ..pace };
    Ok((Box::new(Agent::new(world, settings)), worker))
}

fn exporter(config: &Config) -> Option<Exporter> {
    config.export.clone().map(Exporter::new)
}

/// The daemon's observer, and whoever else wants to hear.
struct Tapped {
    daemon: DaemonObserver,
    tap: Option<Tap>,
}

impl Observer for Tapped {
    fn notice(&mut self, notice: &Notice<'_>) {
        self.daemon.notice(notice);
        if let Some(tap) = &mut self.tap {
            tap(notice);
        }
    }
}
