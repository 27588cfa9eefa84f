//! Tells devices, each in its turn, for as long as the server runs.
//!
//! Keeps nothing that is not in the store but connections: a teller that dies is taken over by the next one, in this
//! process or another.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use shared::{DeviceId, UnixTime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::RENEW;
use super::identity::{Identity, certified};
use super::link::{Handed, Link, LinkError};
use super::online::StatusTopics;
use super::place::{Address, Birth, Place};
use crate::authorities::{Authorities, InOffice};
use crate::brokers::Brokers;
use crate::clock::Clock;
use crate::config::Mqtt;
use crate::issuance::chain;
use crate::policies::Policies;
use crate::random;
use crate::serve::unless_stopped;
use crate::store::{DueRenewal, Store, StoreError, TellOutcome, Told};
use crate::telemetry::Metrics;
use crate::work_lease::{Term, WorkLease};

/// The name of the lease.
const LEASE: &str = "mqtt-renewals";
/// How often the store is asked who is due.
const POLL: Duration = Duration::from_millis(250);
/// How often one who has not the lease asks for it.
const STANDBY: Duration = Duration::from_secs(2);
/// What a lease lasts beyond three deadlines.
const MARGIN: Duration = Duration::from_secs(10);
/// Devices that are told together.
const BATCH: u32 = 32;
/// Births that wait to be looked at.
const BIRTHS: usize = 1_024;
/// Most brokers: those of the settings, and those that policies name instead.
const MAX_PLACES: usize = 64;
/// How often it is looked whether the certificate has to be made anew.
const KEPT: Duration = Duration::from_secs(600);
/// The longest until a device is told again.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What a teller is made of.
#[derive(Debug)]
pub(crate) struct TellerParts {
    pub(crate) settings: Mqtt,
    pub(crate) identity: Identity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) brokers: Brokers,
    pub(crate) policies: Arc<Policies>,
    pub(crate) in_office: Arc<InOffice>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Tells devices.
#[derive(Debug)]
pub(crate) struct Teller {
    parts: TellerParts,
    lease: WorkLease,
    places: BTreeMap<Address, Place>,
    opening: JoinSet<(Address, Result<Link, LinkError>)>,
    births: (mpsc::Sender<Birth>, mpsc::Receiver<Birth>),
    troubles: u32,
    /// When it was last looked whether the certificate has to be made anew, and the CAs in office then.
    kept: Option<(Instant, Arc<Authorities>)>,
}

/// A command under way.
struct UnderWay {
    due: DueRenewal,
    address: Address,
    handed: Handed,
}

impl Teller {
    /// A teller that has done nothing yet.
    pub(crate) fn new(parts: TellerParts) -> Self {
        tracing::debug!("devices are told through MQTT");
        Self {
            parts,
            // Two that tell are no harm: a device that is told twice renews once.
            lease: WorkLease::new(LEASE),
            places: BTreeMap::new(),
            opening: JoinSet::new(),
            births: mpsc::channel(BIRTHS),
            troubles: 0,
            kept: None,
        }
    }

    /// Tells until `stop`.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // What is broken off by the stop is done again: a device that was told and is not known to be is told twice.
        while let Some(pause) = unless_stopped(&mut stop, self.round()).await
            && unless_stopped(&mut stop, tokio::time::sleep(pause)).await.is_some()
        {}
        self.lease.give_back(self.parts.store.as_ref()).await;
    }

    /// One look at who is due, and the telling of some. Gives the pause until the next.
    pub(super) async fn round(&mut self) -> Duration {
        match self.try_round().await {
            Ok(pause) => {
                self.troubles = 0;
                pause
            }
            Err(error) => {
                self.troubles = self.troubles.saturating_add(1).min(30);
                tracing::warn!(error = chain(&error), "who is to be told cannot be read or noted");
                STANDBY.saturating_mul(self.troubles)
            }
        }
    }

    async fn try_round(&mut self) -> Result<Duration, StoreError> {
        if !self.keep_lease().await? {
            // Another replica is at the brokers, under the same name: two would throw each other out.
            self.leave();
            return Ok(STANDBY);
        }
        self.keep_identity().await;
        self.keep_links();
        self.take_births().await?;
        let due = self.parts.store.due_renewals(self.parts.clock.now(), BATCH).await?;
        if due.is_empty() {
            return Ok(POLL);
        }
        let begun = Instant::now();
        let told = self.tell(due).await;
        let commands = told.iter().filter(|told| !matches!(told.outcome, TellOutcome::Postponed(_))).count();
        self.parts.store.note_told(told, self.parts.clock.now()).await?;
        let needed = Duration::from_secs(1)
            .saturating_mul(u32::try_from(commands).unwrap_or(u32::MAX))
            .checked_div(self.parts.settings.rate)
            .unwrap_or_default();
        Ok(needed.saturating_sub(begun.elapsed()))
    }

    async fn keep_lease(&mut self) -> Result<bool, StoreError> {
        let lasts = self.parts.settings.timeout.saturating_mul(3).saturating_add(MARGIN);
        let term = Term { lasts, renewed_after: MARGIN / 4 };
        self.lease.keep(term, self.parts.store.as_ref(), self.parts.clock.as_ref()).await
    }

    /// Has the certificate made anew where its time has come, or another CA issues; then all connections are made anew
    /// too.
    async fn keep_identity(&mut self) {
        let authorities = self.parts.in_office.now();
        // A CA that is replaced may be refused at the brokers soon.
        let looked = |(at, known): &(Instant, Arc<Authorities>)| {
            at.elapsed() < KEPT && Arc::ptr_eq(known, &authorities)
        };
        if self.kept.as_ref().is_some_and(looked) {
            return;
        }
        self.kept = Some((Instant::now(), Arc::clone(&authorities)));
        let (identity, now) = (self.parts.identity.clone(), self.parts.clock.now());
        // The CA's key may be in a token or behind a command.
        let kept = tokio::task::spawn_blocking(move || identity.keep(authorities.issuer(), now)).await;
        match kept {
            Ok(Ok(Some(made))) => {
                self.leave();
                let noted = self.parts.store.add_peer_event(made.serial, certified(&made, now)).await;
                if let Err(error) = noted {
                    tracing::warn!(error = chain(&error), "an event could not be written to the audit trail");
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error = chain(&error),
                    "the server's client certificate at the brokers is not renewed"
                );
            }
            Err(error) => tracing::error!(%error, "the server's client certificate was not looked at"),
        }
    }

    /// Closes all connections.
    fn leave(&mut self) {
        self.opening.abort_all();
        for address in core::mem::take(&mut self.places).into_keys() {
            self.parts.metrics.mqtt_connected(&address.to_string(), None);
        }
    }

    /// Takes what was opened, notices what ended, and opens what is missing.
    fn keep_links(&mut self) {
        let now = Instant::now();
        for broker in self.parts.brokers.all() {
            let address = Address { host: broker.host.clone(), port: broker.port };
            self.places.entry(address).or_default();
        }
        while let Some(opened) = self.opening.try_join_next() {
            // An attempt that was aborted is nobody's any more.
            let Ok((address, opened)) = opened else { continue };
            let Some(place) = self.places.get_mut(&address) else { continue };
            match opened {
                Ok(link) => {
                    tracing::info!(broker = %address, "connected to the broker, to tell devices");
                    place.opened(link);
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(broker = %address, error, "no connection to the broker; devices are not told");
                    place.failed(error, now);
                }
            }
        }
        let mut wanted = Vec::new();
        for (address, place) in &mut self.places {
            if let Some(why) = place.look(now) {
                tracing::warn!(broker = %address, why, "the connection to the broker ended");
            }
            self.parts.metrics.mqtt_connected(&address.to_string(), Some(place.link.is_some()));
            if place.wants_link(now) {
                place.opening = true;
                wanted.push(address.clone());
            }
        }
        for address in wanted {
            let filter = self.status_topics(&address).map(|topics| topics.filter());
            let (identity, births) = (self.parts.identity.clone(), self.births.0.clone());
            let limit = self.parts.settings.timeout;
            self.opening.spawn(async move {
                let opened = Link::open(identity, address.clone(), filter, births, limit).await;
                (address, opened)
            });
        }
    }

    /// Where devices of a broker publish their status, as the settings say.
    fn status_topics(&self, address: &Address) -> Option<StatusTopics> {
        let brokers = self.parts.brokers.all();
        let mut here = brokers.filter(|broker| broker.host == address.host && broker.port == address.port);
        here.next().and_then(|broker| StatusTopics::new(&broker.status_topic))
    }

    async fn take_births(&mut self) -> Result<(), StoreError> {
        let mut online = Vec::new();
        while let Ok(birth) = self.births.1.try_recv() {
            let topics = self.status_topics(&birth.broker);
            online.extend(topics.and_then(|topics| topics.online(&birth.topic, &birth.payload)));
        }
        // Most come online when nothing is wanted of anyone: that takes no write.
        if !online.is_empty() && self.parts.store.count_wanted_renewals().await?.wanted > 0 {
            let due = self.parts.store.devices_online(online, self.parts.clock.now()).await?;
            tracing::debug!(due, "devices of which a renewal is wanted came online");
        }
        Ok(())
    }

    /// Hands commands to the brokers, all before the first answer is waited for.
    async fn tell(&mut self, due: Vec<DueRenewal>) -> Vec<Told> {
        let (mut told, mut under_way) = (Vec::new(), Vec::new());
        for due in due {
            match self.hand_over(&due).await {
                Ok((address, handed)) => under_way.push(UnderWay { due, address, handed }),
                Err((problem, pause)) => told.push(self.postponed(due.device, problem, pause)),
            }
        }
        for UnderWay { due, address, handed } in under_way {
            let Some(outcome) = handed.outcome().await else {
                let problem = "the connection to the broker ended before it took the command".to_owned();
                if let Some(place) = self.places.get_mut(&address) {
                    place.failed(problem.clone(), Instant::now());
                }
                told.push(self.postponed(due.device, problem, POLL));
                continue;
            };
            self.parts.metrics.mqtt_command(matches!(outcome, TellOutcome::Taken));
            let next = self.again(due.attempts);
            tracing::debug!(device = %due.device, ?outcome, %next, "the broker was handed a command");
            told.push(Told { device: due.device, outcome, next });
        }
        told
    }

    async fn hand_over(&mut self, due: &DueRenewal) -> Result<(Address, Handed), (String, Duration)> {
        let Some((address, topic)) = self.destination(&due.device, &due.group).await else {
            return Err(("the settings give the device no broker".to_owned(), LONGEST));
        };
        let now = Instant::now();
        if self.places.len() >= MAX_PLACES && !self.places.contains_key(&address) {
            return Err((format!("there are more than {MAX_PLACES} brokers"), LONGEST));
        }
        let place = self.places.entry(address.clone()).or_default();
        let Some(link) = &place.link else { return Err(place.postponed(now)) };
        match link.publish(topic, RENEW).await {
            Some(handed) => Ok((address, handed)),
            None => {
                place.failed("the broker does not take commands".to_owned(), now);
                Err(place.postponed(now))
            }
        }
    }

    /// Where a device gets its commands: as it was told with its certificate.
    async fn destination(
        &self,
        device: &DeviceId,
        group: &appraisal::GroupName,
    ) -> Option<(Address, String)> {
        let broker = match self.parts.brokers.only() {
            Some(only) => only,
            None => &self.parts.brokers.assign(device, group).await?.broker,
        };
        let in_force = self.parts.policies.current();
        let own = in_force.set.for_group(group).map(|policy| policy.ruling(device).policy.broker());
        let told = broker.told(&own.cloned().unwrap_or_default(), device);
        Some((Address { host: told.host, port: told.port }, told.command_topic))
    }

    fn postponed(&self, device: DeviceId, problem: String, pause: Duration) -> Told {
        let next = self.parts.clock.now().after(pause.max(Duration::from_secs(1)));
        Told { device, outcome: TellOutcome::Postponed(problem), next }
    }

    /// When a device that was told so often is told again: between half and all of a time that doubles.
    fn again(&self, attempts: u32) -> UnixTime {
        let factor = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
        let whole = self.parts.settings.again.saturating_mul(factor).min(LONGEST);
        let pause = whole / 2 + random::part(whole / 2, random::number());
        self.parts.clock.now().after(pause.max(Duration::from_secs(1)))
    }
}
