//! A CA rollover with a living fleet: every step of it, with devices that publish all the while and some that are away.
//!
//! The server, the broker and the devices are those of the demonstration. What has to hold is measured at the broker.

mod gaps;
mod strangers;

pub(crate) use strangers::{Stranger, servers_moved};

use core::time::Duration;
use std::io::{self, Write};

use ca::hierarchy::ISSUING_LIFETIME;
use enroll_server::rollover::{
    self, NewCa, NotYet, Order, OrderError, OrderOptions, SignerOptions, StartOptions,
};
use enroll_server::store::{Page, Store};
use tokio::time::Instant;

use crate::broker::AdminError;
use crate::device::{Behaviour, DeviceError, DeviceSpec, Job, Stack};
use crate::fleet::{Fleet, FleetOptions, Told, What};
use crate::stage::{Setting, Stage, StageError};
use crate::workplace::Workplace;
use gaps::Gaps;

/// How to run it.
#[derive(Clone, Copy, Debug)]
pub struct RolloverOptions {
    /// Number of devices; three in ten are away at first, half of the rest run the code of Linux.
    pub devices: u32,
}

/// What came of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    /// Number of devices.
    pub devices: usize,
    /// Devices that were away.
    pub away: usize,
    /// The switch was refused while devices had not confirmed the trust bundle, and named just those.
    pub switch_refused: bool,
    /// The retirement was refused while devices needed the old CA, and named just those.
    pub retirement_refused: bool,
    /// Client certificates of the old CA that server and broker took before it was retired: 2 of 2.
    pub old_taken_before: usize,
    /// The same afterwards: none.
    pub old_taken_after: usize,
    /// The broker's and the server's certificate are of the new CA.
    pub servers_moved: bool,
    /// Devices with a live certificate of the new CA, and none of the old one, at the end.
    pub moved: usize,
    /// Devices that confirmed the trust bundle without the old root.
    pub confirmed: usize,
    /// Logins at the broker that were refused by one side or the other, of devices that were there all the time.
    pub failed_logins: usize,
    /// Logins that took longer than a time limit, and were tried again.
    pub slow_logins: usize,
    /// The longest time that a device was without the broker, in milliseconds.
    pub longest_gap_ms: u64,
    /// Times that a device left the broker and came back.
    pub reconnects: usize,
    /// From the first step to the last, in milliseconds.
    pub took_ms: u64,
}

impl Summary {
    /// Whether all is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.switch_refused
            && self.retirement_refused
            && (self.old_taken_before, self.old_taken_after) == (2, 0)
            && self.servers_moved
            && self.moved == self.devices
            && self.confirmed == self.devices
            && self.failed_logins == 0
    }
}

/// Why it could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RolloverError {
    /// Something did not come in time.
    #[error("{0} did not come about in time")]
    TooSlow(String),
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
    /// Devices could not be started.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The observer at the broker failed.
    #[error(transparent)]
    Observer(#[from] AdminError),
    /// The rollover was not begun.
    #[error(transparent)]
    Start(#[from] rollover::StartError),
    /// An order was not carried out.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] enroll_server::store::StoreError),
    /// A certificate could not be made or read.
    #[error("{0}")]
    Certificate(String),
    /// The story could not be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// Runs it and tells its story to `story`.
///
/// # Errors
/// Where it could not go on.
pub async fn run(
    options: &RolloverOptions,
    story: &mut (dyn Write + Send),
) -> Result<Summary, RolloverError> {
    let folder = Workplace::new("firmware-sim-");
    let what = "cannot make a temporary directory".to_owned();
    let folder = folder.map_err(|source| RolloverError::Io { what, source })?;
    let stage = Box::pin(Stage::build(folder.path(), &Setting::local(options.devices))).await?;
    let mut run = Rolling::new(&stage)?;
    let summary = Box::pin(run.all(story)).await;
    run.finish().await;
    Box::pin(stage.strike()).await;
    summary
}

/// Pause before devices are told the same again.
const AGAIN: Duration = Duration::from_secs(5);

struct Rolling<'s> {
    stage: &'s Stage,
    store: &'s dyn Store,
    here: Vec<DeviceSpec>,
    away: Vec<DeviceSpec>,
    fleets: Vec<Fleet>,
    gaps: Gaps,
    patience: Duration,
}

impl<'s> Rolling<'s> {
    fn new(stage: &'s Stage) -> Result<Self, RolloverError> {
        let devices = stage.devices()?;
        let (away, here) =
            devices.into_iter().enumerate().partition::<Vec<_>, _>(|(place, _)| place % 10 < 3);
        let specs =
            |list: Vec<(usize, DeviceSpec)>| list.into_iter().map(|(_, spec)| spec).collect::<Vec<_>>();
        let (here, away) = (specs(here), specs(away));
        let patience =
            Duration::from_secs(60) + Duration::from_millis(500) * u32::try_from(here.len()).unwrap_or(0);
        let gaps = Gaps::watch(&stage.broker, away.iter().map(|spec| spec.id().to_owned()).collect());
        Ok(Self {
            stage,
            store: stage.server.admin().store().as_ref(),
            here,
            away,
            fleets: Vec::new(),
            gaps,
            patience,
        })
    }

    async fn all(&mut self, story: &mut (dyn Write + Send)) -> Result<Summary, RolloverError> {
        let (here, away) = (self.here.len(), self.away.len());
        let all = here + away;
        let away_fleet = self.start(&self.away.clone(), Stack::Mcu)?;
        let (linux, mcu) = self.here.split_at(here / 2);
        for (devices, stack) in [(linux.to_vec(), Stack::Linux), (mcu.to_vec(), Stack::Mcu)] {
            let fleet = self.start(&devices, stack)?;
            self.fleets.push(fleet);
        }
        self.until("all devices online", |rolling| rolling.stage.broker.connected() == all).await?;
        if !away_fleet.finish(Duration::from_secs(30)).await {
            return Err(RolloverError::TooSlow("the end of the devices that go away".into()));
        }
        self.until("the farewell of some", |rolling| rolling.stage.broker.connected() == here).await?;
        writeln!(story, "{all} devices are enrolled and publish; {away} of them have gone away.")?;
        let files = &self.stage.config.files;
        let old = Stranger::of(&files.issuing_certificate, &files.issuing_key)?;
        let ports = [self.stage.server.bound().https.port(), self.stage.broker.address().port()];
        let old_taken_before = old.taken(&ports).await;

        let begun = Instant::now();
        self.gaps.begin();
        let started = rollover::start(&self.stage.config, self.store, &start_options(), now()).await?;
        let number = started.number;
        writeln!(
            story,
            "Prepared: {} under a new root, trust bundle 2 with both.",
            started.plan.issuing.subject()
        )?;
        self.confirmed_until(2, here).await?;
        let switch_refused = self.refused(number, Order::Switch).await?;
        writeln!(
            story,
            "Confirmed by {here}; the switch is refused for the other {away} ({switch_refused})."
        )?;
        // They go by the old root's certificate for the new one.
        self.order(Order::Switch, true).await?;
        let wanted = &started.plan.issuing;
        self.until("a new certificate for server and broker", |rolling| {
            servers_moved(&rolling.stage.config, wanted)
        })
        .await?;
        writeln!(story, "Switched: the new CA signs; the certificates of server and broker are renewed.")?;

        self.renew_all(number, here, away as u64).await?;
        let retirement_refused = self.refused(number, Order::Retire).await?;
        writeln!(
            story,
            "{here} have renewed; retirement is refused for the other {away} ({retirement_refused})."
        )?;
        let fleet = self.start(&self.away.clone(), Stack::Mcu)?;
        self.fleets.push(fleet);
        self.until("the return of those away", |rolling| rolling.stage.broker.connected() == all).await?;
        self.renew_all(number, all, 0).await?;
        self.confirmed_until(2, all).await?;
        writeln!(story, "They came back with the old root alone, and have moved too.")?;
        self.order(Order::Retire, false).await?;
        let moved_servers = servers_moved(&self.stage.config, wanted);
        self.confirmed_until(3, all).await?;
        let mut old_taken_after = 2;
        let since = Instant::now();
        while old_taken_after > 0 && since.elapsed() < self.patience {
            old_taken_after = old.taken(&ports).await;
        }
        writeln!(story, "Retired: trust bundle 3 is with all devices, the old CA is refused everywhere.")?;
        self.until("a settled fleet", |rolling| rolling.stage.broker.connected() == all).await?;

        let standing = self.store.standing(number, now()).await?.unwrap_or_default();
        let measured = self.gaps.end();
        let summary = Summary {
            devices: all,
            away,
            switch_refused,
            retirement_refused,
            old_taken_before,
            old_taken_after,
            servers_moved: moved_servers,
            moved: usize::try_from(standing.living - standing.unmoved).unwrap_or(0),
            confirmed: self.confirmed(3).await?,
            failed_logins: measured.failed,
            slow_logins: measured.slow,
            longest_gap_ms: u64::try_from(measured.longest.as_millis()).unwrap_or(u64::MAX),
            reconnects: measured.reconnects,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        writeln!(
            story,
            "{} devices moved in {:.1} s; {} reconnects, the longest gap {} ms, {} failed logins.",
            summary.moved,
            begun.elapsed().as_secs_f32(),
            summary.reconnects,
            summary.longest_gap_ms,
            summary.failed_logins
        )?;
        Ok(summary)
    }

    fn start(&self, devices: &[DeviceSpec], stack: Stack) -> Result<Fleet, RolloverError> {
        let (fleet, mut told) = Fleet::start(devices, &FleetOptions::new(behaviour(stack)))?;
        let gaps = self.gaps.failures();
        let names: Vec<String> = devices.iter().map(|spec| spec.id().to_owned()).collect();
        tokio::spawn(async move {
            while let Some(Told { device, what, .. }) = told.recv().await {
                if let (What::Milestone(milestone), Some(name)) = (what, names.get(device)) {
                    gaps.told(name, &milestone);
                }
            }
        });
        Ok(fleet)
    }

    /// Tells every device that is connected to renew, and then to report, which shows that it goes by its new
    /// certificate; again and again, until all but `left` have a certificate of the new CA alone.
    async fn renew_all(&self, number: u32, connected: usize, left: u64) -> Result<(), RolloverError> {
        let since = Instant::now();
        let specs = self.here.iter().chain(self.away.iter().take(connected - self.here.len()));
        let ids: Vec<_> = specs.filter_map(|spec| shared::DeviceId::new(spec.id()).ok()).collect();
        let mut commands =
            [r#"{"command":"renew"}"#, r#"{"command":"trust"}"#, r#"{"command":"trust"}"#].iter().cycle();
        loop {
            let unmoved = self.unmoved(number).await?;
            if unmoved.len() as u64 == left {
                return Ok(());
            }
            if since.elapsed() > self.patience {
                return Err(RolloverError::TooSlow(format!("the renewal of all but {left} devices")));
            }
            let command = commands.next().copied().unwrap_or_default();
            for id in ids.iter().filter(|id| unmoved.iter().any(|unmoved| unmoved == id.as_str())) {
                self.stage.observer.command(id, command).await?;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Devices with a certificate of the old CA.
    async fn unmoved(&self, number: u32) -> Result<Vec<String>, RolloverError> {
        let page = self.store.unmoved(number, Page::first(1_000), now()).await?;
        Ok(page
            .devices
            .into_iter()
            .filter(|device| device.old_certificate)
            .map(|device| device.device)
            .collect())
    }

    /// Whether an order is refused, and the devices that are in its way are just those that are away.
    async fn refused(&self, number: u32, order: Order) -> Result<bool, RolloverError> {
        let away = self.away.len() as u64;
        let refused = match self.order(order, false).await {
            Err(RolloverError::Order(OrderError::NotYet(NotYet::Unconfirmed { unconfirmed, .. }))) => {
                unconfirmed == away
            }
            Err(RolloverError::Order(OrderError::NotYet(NotYet::Unmoved { unmoved, .. }))) => unmoved == away,
            Err(error) => return Err(error),
            Ok(()) => false,
        };
        let page = self.store.unmoved(number, Page::first(1_000), now()).await?;
        let counts = |device: &enroll_server::store::Unmoved| order == Order::Retire || device.unconfirmed;
        let mut named: Vec<_> = page.devices.into_iter().filter(counts).map(|device| device.device).collect();
        if order == Order::Switch {
            named.retain(|name| self.away.iter().any(|spec| spec.id() == name.as_str()));
        }
        let mut wanted: Vec<_> = self.away.iter().map(|spec| spec.id().to_owned()).collect();
        wanted.sort();
        Ok(refused && named == wanted)
    }

    async fn order(&self, order: Order, force: bool) -> Result<(), RolloverError> {
        let options = OrderOptions { order, force, signer: SignerOptions::default() };
        rollover::take(&self.stage.config, self.store, &options, now()).await?;
        Ok(())
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), RolloverError> {
        let since = Instant::now();
        while !done(self) {
            if since.elapsed() > self.patience {
                return Err(RolloverError::TooSlow(what.to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn confirmed(&self, bundle: u64) -> Result<usize, RolloverError> {
        let spread = self.store.spread(now()).await?;
        let found = spread.trust.iter().find(|(number, _)| *number == Some(bundle));
        Ok(found.map_or(0, |(_, devices)| usize::try_from(*devices).unwrap_or(0)))
    }

    /// Tells every device to report its trust bundle, again and again, until so many have confirmed this one. Without
    /// that they would do so within about a week.
    async fn confirmed_until(&self, bundle: u64, devices: usize) -> Result<(), RolloverError> {
        let since = Instant::now();
        let mut told = None;
        while self.confirmed(bundle).await? != devices {
            if since.elapsed() > self.patience {
                return Err(RolloverError::TooSlow(format!("trust bundle {bundle} with {devices} devices")));
            }
            if told.is_none_or(|told: Instant| told.elapsed() > AGAIN) {
                told = Some(Instant::now());
                let unmoved = self.store.spread(now()).await?;
                tracing::info!(?unmoved, bundle, "devices are told to report");
                for id in self
                    .here
                    .iter()
                    .chain(&self.away)
                    .filter_map(|spec| shared::DeviceId::new(spec.id()).ok())
                {
                    self.stage.observer.command(&id, r#"{"command":"trust"}"#).await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn finish(self) {
        for fleet in self.fleets {
            if !fleet.finish(Duration::from_secs(20)).await {
                tracing::warn!("some simulated devices did not stop in time");
            }
        }
    }
}

/// A new issuing CA under a new root, with everything by default.
pub(crate) fn start_options() -> StartOptions {
    StartOptions {
        new: NewCa::Made {
            new_root: true,
            root_key: None,
            encrypt: false,
            passphrase_file: None,
            lifetime: ISSUING_LIFETIME,
        },
        no_cross: false,
        signer: SignerOptions::default(),
    }
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

fn now() -> shared::UnixTime {
    use enroll_server::clock::Clock as _;
    enroll_server::clock::SystemClock.now()
}
