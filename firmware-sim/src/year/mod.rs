//! A fleet that lives through a year of virtual time, with everything that a year brings.
//!
//! Real are the enrollment server, the agents, the broker, TLS, HTTP, MQTT and the sockets between them. Simulated are
//! the time, the flash, the power, and who does what when, which a seed decides. Nothing here measures speed.

mod check;
mod clock;
mod device;
mod director;
mod excuse;
mod flash;
mod ledger;
mod log;
mod moved;
mod network;
mod plan;
mod plant;
mod renewals;
mod report;
mod rollover;
mod site;
mod time;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use enroll_server::clock::Clock as _;
use shared::UnixTime;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;

use check::Evidence;
use device::{Common, Life};
use director::Director;
use ledger::Ledger;
use plan::{DAY, Plan, Size};
use report::Frame;
use rollover::Rolling;
use site::Site;

use crate::rollover::RolloverError;
use crate::stage::StageError;
use crate::workplace::Workplace;

pub use plant::Plant;
pub use report::Report;
pub use time::{Participant, Sleep, VirtualTime};

/// How to run it.
#[derive(Clone, Copy, Debug)]
pub struct YearOptions {
    /// Number of devices.
    pub devices: usize,
    /// Length of the year in days.
    pub days: u64,
    /// Days that a certificate lives.
    pub certificate_days: u64,
    /// Hours between two telemetry messages of a device.
    pub telemetry_hours: u64,
    /// What decides everything that chance would.
    pub seed: u64,
    /// A defect to be found; for tests of the simulation itself.
    pub plant: Option<Plant>,
    /// How long nothing may move, in real time, before it is given up.
    pub patience: Duration,
}

impl YearOptions {
    /// 200 devices, 365 days, certificates of 90 days, telemetry once a week.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            devices: 200,
            days: 365,
            certificate_days: 90,
            telemetry_hours: 7 * 24,
            seed,
            plant: None,
            patience: Duration::from_secs(120),
        }
    }

    const fn size(&self) -> Size {
        Size {
            devices: self.devices,
            length: Duration::from_secs(self.days * DAY.as_secs()),
            certificate: Duration::from_secs(self.certificate_days * DAY.as_secs()),
            grace: Duration::from_secs(30 * DAY.as_secs()),
        }
    }
}

/// Why the simulation could not go on. Devices that are lost are no such error: they stand in the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum YearError {
    /// The directory for server, factory and broker cannot be made.
    #[error("cannot make a temporary directory")]
    Directory(#[source] io::Error),
    /// Server, broker or factory could not be set up.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The operator's commands failed.
    #[error("the enrollment server did not carry out what its operator asked for")]
    Operator(#[from] enroll_server::admin::AdminError),
    /// The rollover of the CA could not go on.
    #[error("the rollover of the CA could not go on")]
    Rollover(#[source] Box<RolloverError>),
    /// What the server says of its CAs cannot be read.
    #[error(transparent)]
    Load(#[from] enroll_server::startup::LoadError),
    /// The server's log cannot be read.
    #[error("the server's log cannot be audited")]
    Log(#[from] enroll_server::transparency_log::audit::AuditError),
    /// The server's database cannot be read.
    #[error("the server's database cannot be read")]
    Store(#[from] enroll_server::store::StoreError),
    /// The thread of the devices could not be made, or was lost.
    #[error("the thread of the devices failed")]
    Thread(#[source] io::Error),
    /// Nothing moved any more.
    #[error("on day {day} nothing moved for {} s; the clock is held by: {}", patience.as_secs(), holders.join(", "))]
    Stuck {
        /// The day.
        day: u64,
        /// How long nothing moved.
        patience: Duration,
        /// Who was at work.
        holders: Vec<String>,
    },
}

impl From<RolloverError> for YearError {
    fn from(error: RolloverError) -> Self {
        Self::Rollover(Box::new(error))
    }
}

/// When the year begins.
const BEGIN: UnixTime = match UnixTime::from_civil(2027, 1, 1, 0, 0, 0) {
    Some(time) => time,
    None => device::BUILT,
};

/// How far a simulation is; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Days that have gone by.
    #[must_use]
    pub fn day(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lives through a year.
///
/// # Errors
/// Where it could not go on.
pub async fn run(options: &YearOptions, progress: &Progress) -> Result<Report, YearError> {
    let begun = Instant::now();
    let dir = Workplace::new("firmware-sim-year-").map_err(YearError::Directory)?;
    let (size, time) = (options.size(), VirtualTime::new(BEGIN));
    let plan = Plan::draw(options.seed, &size);
    // At work until everybody takes part.
    let who = time.join("the director");
    let site = Box::pin(Site::build(dir.path(), &size, &time, options.plant)).await?;
    let named = site.devices.iter().zip(&plan.devices);
    // Two questions for what an operator wants may be so far apart, and the pace of retries comes on top.
    let wanted_within = size.report() * 2 + DAY / 4;
    let ledger = Ledger::new(
        &time,
        wanted_within,
        named.map(|(spec, nature)| (spec.id().to_owned(), nature.enrolls_again)),
    );
    let common = Common {
        time: time.clone(),
        ledger: ledger.clone(),
        telemetry: Duration::from_secs(options.telemetry_hours * 3600),
        report: size.report(),
        plant: options.plant,
    };
    let (devices, power) = Devices::start(options.seed, &site, &plan, &common)?;

    let mut director = Director {
        time: time.clone(),
        who,
        site,
        ledger: ledger.clone(),
        power,
        outages: [0, 0],
        put_off: Vec::new(),
        agenda: BTreeMap::new(),
        rolling: Rolling::default(),
    };
    let watched = watch_over(&time, options.patience, progress);
    let outcome = tokio::select! {
        outcome = Box::pin(director.run(&plan, &size)) => outcome,
        stuck = watched => Err(stuck),
    };
    let report = match outcome {
        Ok(()) => conclude(options.seed, &director, begun).await,
        Err(error) => Err(error),
    };
    devices.finish().await;
    director.site.stop_broker().await;
    director.site.stop_server().await;
    report
}

/// Asks the database, and judges.
async fn conclude(seed: u64, director: &Director, begun: Instant) -> Result<Report, YearError> {
    let Director { time, site, ledger, .. } = director;
    let certificates = match site.admin() {
        Some(admin) => admin.certificates(None).await?,
        None => Vec::new(),
    };
    let moved = director.moved(&certificates).await?;
    let audited = log::audit(&site.config).await?;
    let issued = site.issued();
    let (now, elapsed) = (time.now(), time.elapsed());
    Ok(ledger.read(|book| {
        let evidence = Evidence { book, certificates: &certificates, issued: &issued, now, elapsed };
        let mut findings = evidence.findings();
        if let Some(moved) = &moved {
            findings.violations.extend(moved.findings(book, elapsed));
        }
        let refused = director.rolling.refused;
        let moved = moved.map_or(0, |moved| moved.devices(book, elapsed));
        let frame = Frame { seed, elapsed, real: begun.elapsed(), steps: time.steps(), refused, moved };
        Report::of(&frame, book, &certificates, &audited, findings)
    }))
}

/// Ends when nothing has moved for so long. Says meanwhile which day it is.
async fn watch_over(time: &VirtualTime, patience: Duration, progress: &Progress) -> YearError {
    let (mut steps, mut moved) = (time.steps(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let day = time.elapsed().as_secs() / DAY.as_secs();
        progress.0.store(day, Ordering::Relaxed);
        let now = time.steps();
        if now != steps {
            (steps, moved) = (now, Instant::now());
        } else if moved.elapsed() > patience {
            return YearError::Stuck { day, patience, holders: time.holders() };
        }
    }
}

/// All devices, on a thread of their own: their futures are not `Send`.
struct Devices {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Devices {
    fn start(
        seed: u64,
        site: &Site,
        plan: &Plan,
        common: &Common,
    ) -> Result<(Self, Vec<watch::Sender<bool>>), YearError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(YearError::Thread)?;
        let mut power = Vec::new();
        let mut begun = Vec::new();
        for (number, (spec, nature)) in site.devices.iter().zip(&plan.devices).enumerate() {
            let (on, is_on) = watch::channel(true);
            power.push(on);
            let nature = nature.clone();
            // Joined here, so that the clock does not move before all are there.
            let who = common.time.join(spec.id());
            begun.push((who, number, spec.clone(), nature, is_on));
        }
        let common = common.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("devices".to_owned())
            // Debug builds keep large futures on the stack while they are made.
            .stack_size(16 * 1024 * 1024)
            .spawn(move || {
                let tasks = LocalSet::new();
                for (who, number, spec, nature, is_on) in begun {
                    let life = Life::new(number, spec, &nature, seed, common.clone(), is_on);
                    tasks.spawn_local(life.run(who));
                }
                runtime.block_on(tasks.run_until(async {
                    // Told, or left alone: either way it is over.
                    let _told = stopped.await;
                }));
            })
            .map_err(YearError::Thread)?;
        Ok((Self { stop, thread }, power))
    }

    /// Takes the power of all.
    async fn finish(self) {
        drop(self.stop);
        let joined = tokio::task::spawn_blocking(move || self.thread.join().is_ok()).await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("the thread of the devices panicked");
        }
    }
}
