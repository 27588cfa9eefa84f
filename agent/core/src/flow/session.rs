//! One connection to the broker, seen from the core: what to publish and when to leave, without I/O.

use core::time::Duration;

use shared::message::latest::BrokerSettings;
use shared::{DeviceId, UnixTime};

use super::command::Command;
use super::drive::{Run, keep, now, random, tell};
use super::{BrokerAccepted, Control, Notice, Publication, Settings, World, payload};
use crate::lifecycle::{Action, Asker, Event, Now};
use crate::platform::{Observer as _, Session, Slot, Step};
use crate::x509::Validity;

/// The core's side of a connection.
pub(super) struct Serving<'c, W: World> {
    pub(super) keys: &'c mut W::Keys,
    pub(super) storage: &'c mut W::Storage,
    pub(super) clock: &'c W::Clock,
    pub(super) rng: &'c mut W::Rng,
    pub(super) observer: &'c mut W::Observer,
    pub(super) run: &'c mut Run,
    pub(super) control: &'c Control,
    pub(super) settings: &'c Settings<'c>,
    pub(super) device: &'c DeviceId,
    pub(super) slot: Slot,
    pub(super) chain: &'c [&'c [u8]],
    pub(super) broker: &'c BrokerSettings<'c>,
    pub(super) certificate_ends: UnixTime,
    pub(super) validity: Validity,
    /// Room for one payload.
    pub(super) payload: &'c mut [u8],
    pub(super) progress: Progress,
}

/// How far a connection is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Uptime at acceptance.
    pub(super) accepted: Option<Duration>,
    status_due: bool,
    telemetry_due: Duration,
    in_flight: Option<Publication>,
    farewell: Option<Farewell>,
}

/// How a connection is brought to its end.
#[derive(Debug, PartialEq, Eq)]
enum Farewell {
    /// The agent stops: the retained status has to say so, since an orderly end suppresses the last will.
    SayOffline,
    Leave,
}

impl<W: World> Session for Serving<'_, W> {
    async fn accepted(&mut self) {
        let now = now(self.clock);
        self.progress.accepted = Some(now.uptime);
        self.progress.status_due = true;
        self.progress.telemetry_due = now.uptime;
        self.observer.notice(&Notice::BrokerAccepted { slot: self.slot });
        let before = self.run.machine.state().current().map(|current| current.slot);
        let proof = BrokerAccepted::by_session(self.slot);
        self.tell(Event::Accepted { proof, validity: self.validity }, now);
        // The new identity is made the one in use before anything is published with it, and only then the old
        // one is erased.
        loop {
            let action = self.run.machine.next_action(&now);
            let erasing = action == Action::Erase;
            if erasing || !matches!(action, Action::Save(_)) {
                self.announce(before);
            }
            if !erasing && !matches!(action, Action::Save(_)) {
                break;
            }
            let random = random(self.rng, self.device, now.uptime);
            keep(self.keys, self.storage, self.observer, self.run, action, now, random).await;
        }
        if self.run.trial_only {
            self.progress.farewell = Some(Farewell::Leave);
        }
    }

    fn next(&mut self) -> Step<'_> {
        let now = now(self.clock);
        let poll = self.settings.poll.max(Duration::from_millis(1));
        if self.progress.in_flight.is_some() {
            // The driver asks again although its publication is not acknowledged yet.
            return Step::Wait(poll);
        }
        match self.farewell(&now) {
            Some(Farewell::SayOffline) => {
                self.progress.farewell = Some(Farewell::Leave);
                return self.publish_status(false);
            }
            Some(Farewell::Leave) => return Step::Leave,
            None => {}
        }
        if self.control.take_status() || self.progress.status_due {
            self.progress.status_due = false;
            return self.publish_status(true);
        }
        if self.progress.telemetry_due <= now.uptime {
            let interval = self.settings.telemetry_interval.max(Duration::from_millis(10));
            self.progress.telemetry_due = now.uptime.saturating_add(interval);
            return self.publish_telemetry(&now);
        }
        let errand = self.run.machine.errand(&now).unwrap_or(poll);
        Step::Wait(self.progress.telemetry_due.saturating_sub(now.uptime).min(errand).min(poll))
    }

    fn published(&mut self) {
        if let Some(what) = self.progress.in_flight.take() {
            self.observer.notice(&Notice::Published { what, sequence: self.run.sequence });
        }
    }

    fn command(&mut self, payload: &[u8]) {
        let Some(command) = Command::parse(payload) else {
            self.observer.notice(&Notice::CommandRefused { length: payload.len() });
            return;
        };
        self.observer.notice(&Notice::Command { name: command.name() });
        match command {
            Command::Status => self.progress.status_due = true,
            Command::Trust => self.tell(Event::TrustAsked, now(self.clock)),
            Command::Renew => self.tell(Event::RenewAsked { by: Asker::Broker }, now(self.clock)),
        }
    }
}

impl<W: World> Serving<'_, W> {
    /// Whether and how to leave.
    fn farewell(&mut self, now: &Now) -> Option<Farewell> {
        if let Some(farewell) = self.progress.farewell.take() {
            let again = if farewell == Farewell::Leave { Farewell::Leave } else { Farewell::SayOffline };
            self.progress.farewell = Some(again);
            return Some(farewell);
        }
        if self.control.take_renew() {
            self.tell(Event::RenewAsked { by: Asker::Local }, *now);
        }
        if self.control.is_stopped() {
            return Some(Farewell::SayOffline);
        }
        let errand = self.run.machine.errand(now).is_some_and(|left| left.is_zero());
        errand.then_some(Farewell::Leave)
    }

    fn publish_status(&mut self, online: bool) -> Step<'_> {
        self.progress.in_flight = Some(Publication::Status);
        let software = self.settings.software_version;
        let payload = payload::status(self.payload, online, self.device, self.certificate_ends, software);
        Step::Publish { topic: self.broker.status_topic, payload, retain: true }
    }

    fn publish_telemetry(&mut self, now: &Now) -> Step<'_> {
        self.progress.in_flight = Some(Publication::Telemetry);
        self.run.sequence = self.run.sequence.wrapping_add(1);
        let payload = payload::telemetry(self.payload, self.device, self.run.sequence, now.uptime.as_secs());
        Step::Publish { topic: self.broker.telemetry_topic, payload, retain: false }
    }

    /// Tells once which identity is in use, as soon as that is durable.
    fn announce(&mut self, before: Option<Slot>) {
        let order = self.run.machine.dates(self.slot).map(|dates| dates.order);
        let durable = self.run.stored.state().current().is_some_and(|c| c.slot == self.slot && c.accepted);
        if !durable || self.run.announced == order {
            return;
        }
        self.run.announced = order;
        if let Some(from) = before.filter(|from| *from != self.slot) {
            self.observer.notice(&Notice::Rotated { from, to: self.slot });
        }
        self.observer.notice(&Notice::IdentityActivated { slot: self.slot, chain: self.chain });
    }

    fn tell(&mut self, event: Event, now: Now) {
        let random = random(self.rng, self.device, now.uptime);
        tell(self.run, event, now, random, self.observer);
    }
}
