//! A storm in virtual time: the lifecycle of up to millions of devices before the admission of the server, without
//! sockets, keys or certificates.
//!
//! Both sides are what runs in production: `agent_core::lifecycle::Machine`, and `enroll_server::admission::Admission`.
//! What is simulated is time, the network (a tenth of a second each way), and how long the server takes. It shows what the two do to
//! each other; how fast a server is, is measured elsewhere.

mod device;
mod plant;
mod queue;
mod record;
mod report;
mod scenario;
mod server;
mod svg;
#[cfg(test)]
mod tests;

use core::time::Duration;

use agent_core::platform::TransportError;
use enroll_server::admission::{Place, window};
use enroll_server::store::Rate;
use rand_core::RngCore as _;
use shared::Reject;

pub use plant::Plant;
pub use report::Report;
pub use scenario::Scenario;

use crate::chance::Dice;
use device::{Call, Device, Doing};
use queue::{Queue, What};
use record::Record;
use scenario::{DAY, Nature, Plan, dates};
use server::{Server, Ticket};

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct StormOptions {
    /// What happens.
    pub scenario: Scenario,
    /// Number of devices.
    pub devices: u32,
    /// Requests that the server is allowed to begin; `None`: what suits scenario and number.
    pub capacity: Option<Rate>,
    /// All chance.
    pub seed: u64,
    /// A defect.
    pub plant: Option<Plant>,
}

/// Lets it happen. `progress` is told how many devices have what they need.
#[must_use]
pub fn run(options: &StormOptions, progress: impl FnMut(u32)) -> Report {
    let plan = Plan::new(options.scenario, options.devices, options.capacity, options.seed);
    Storm::new(options, plan).run(progress)
}

/// From a device to the server, and back.
const NETWORK: Duration = Duration::from_millis(100);
/// Nothing takes longer: whoever has nothing by then is locked out.
const END: Duration = Duration::from_secs(200 * 86_400);
/// How often the plants' server lets devices come again.
const SAME: Duration = Duration::from_secs(5);

struct Storm {
    plan: Plan,
    plant: Option<Plant>,
    server: Server,
    queue: Queue,
    places: Vec<Slot>,
    dice: Dice,
    record: Record,
    seed: u64,
    events: u64,
}

/// What is kept of a device.
struct Slot {
    nature: Nature,
    /// Gone once it has what it needs.
    device: Option<Box<Device>>,
    /// Counts its steps: an alarm set at an earlier one is void.
    step: u32,
    call: Option<UnderWay>,
    /// When it first called for what it needs.
    since: Option<Duration>,
    /// Its next request belongs to a question that was let in.
    prepaid: bool,
}

#[derive(Clone, Copy)]
struct UnderWay {
    call: Call,
    place: Place,
    life: u8,
    /// Let in, its answer to come.
    admitted: bool,
}

impl Storm {
    fn new(options: &StormOptions, mut plan: Plan) -> Self {
        let mut queue = Queue::default();
        let mut places = Vec::new();
        for number in 0..options.devices {
            let nature = plan.device();
            queue.at(nature.begins, number, What::Starts);
            for (at, what) in [(nature.told, What::Told), (nature.trust, What::TrustAsked)] {
                if let Some(at) = at {
                    queue.at(at, number, what);
                }
            }
            places.push(Slot { nature, device: None, step: 0, call: None, since: None, prepaid: false });
        }
        Self {
            server: Server::new(plan.capacity, options.plant == Some(Plant::AdmitsAll)),
            record: Record::new(plan.column, window(plan.capacity)),
            plan,
            plant: options.plant,
            queue,
            places,
            dice: Dice::new(options.seed, "devices", 0),
            seed: options.seed,
            events: 0,
        }
    }

    fn run(mut self, mut progress: impl FnMut(u32)) -> Report {
        while let Some((now, number, what)) = self.queue.next() {
            if now > END || self.record.done as usize == self.places.len() {
                break;
            }
            self.weather(now);
            self.event(now, number, what);
            self.events += 1;
            if self.events.is_multiple_of(65_536) {
                progress(self.record.done);
            }
        }
        let lost = self.places.iter().filter(|slot| slot.device.is_some()).count();
        Report::new(&self.plan, &self.record, self.seed, lost)
    }

    /// The server goes and comes.
    fn weather(&mut self, now: Duration) {
        let Some((from, to)) = self.plan.away else { return };
        let away = (from..to).contains(&now);
        if away && !self.server.is_away() {
            self.server.goes();
        } else if !away && self.server.is_away() {
            self.server.returns();
        }
    }

    fn event(&mut self, now: Duration, number: u32, what: What) {
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let random = self.dice.next_u64();
        match what {
            What::Starts => slot.device = Some(Box::new(Device::new(&slot.nature, now, random))),
            What::Wakes(step) if step != slot.step => return,
            What::Wakes(_) => {}
            What::Arrives => return self.arrives(now, number),
            What::Shaken => return self.shaken(now, number),
            What::Answered => return self.answered(now, number),
            What::Told | What::TrustAsked => {
                let Some(device) = &mut slot.device else { return };
                if what == What::Told {
                    device.told(now, random);
                } else {
                    device.trust_asked(now, random);
                }
                // At the broker it stays there until it wants something else; a call goes to its end.
                if let (Some(errand), None) = (device.errand(now), slot.call) {
                    slot.step += 1;
                    self.queue.at(now.saturating_add(errand), number, What::Wakes(slot.step));
                }
                return;
            }
        }
        self.go_on(now, number);
    }

    fn go_on(&mut self, now: Duration, number: u32) {
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let Some(device) = &mut slot.device else { return };
        slot.step += 1;
        let dice = &mut self.dice;
        match device.go_on(now, || dice.next_u64()) {
            Doing::Waits(wait) => {
                if device.errand(now).is_some() {
                    self.record.logins.count(now);
                }
                if wait < END {
                    self.queue.at(now.saturating_add(wait), number, What::Wakes(slot.step));
                }
            }
            Doing::Calls(call) => {
                if call != Call::Trust {
                    slot.since = slot.since.or(Some(now));
                }
                slot.call = Some(UnderWay { call, place: Place::Ordinary, life: 0, admitted: false });
                if call == Call::Enrollment {
                    self.record.fell_back += 1;
                }
                self.queue.at(now.saturating_add(NETWORK), number, What::Arrives);
            }
            Doing::IsDone => {
                let since = slot.since.unwrap_or(now).max(self.plan.bounds.from);
                self.record.done(now, now.saturating_sub(since));
                slot.device = None;
            }
        }
    }

    fn arrives(&mut self, now: Duration, number: u32) {
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let Some(under_way) = &mut slot.call else { return };
        self.record.attempts += 1;
        if self.server.is_away() {
            self.record.in_vain += 1;
            return self.failed(now, number, TransportError::Unreachable);
        }
        self.record.calls.count(now);
        match self.server.arrives(number, now) {
            Some((place, at)) => {
                (under_way.place, under_way.life) = (place, self.server.life);
                self.queue.at(at, number, What::Shaken);
            }
            None => {
                self.record.closed += 1;
                let error = match self.plant {
                    Some(Plant::TakenForRefusal) => TransportError::Closed,
                    _ => TransportError::TurnedAway,
                };
                self.failed(now, number, error);
            }
        }
    }

    fn shaken(&mut self, now: Duration, number: u32) {
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let (Some(under_way), Some(device)) = (&mut slot.call, &slot.device) else { return };
        if under_way.life != self.server.life {
            return self.failed(now, number, TransportError::TurnedAway);
        }
        self.record.handshakes.count(now);
        let left = device.left(now);
        let renews = matches!(under_way.call, Call::Renewal | Call::Enrollment);
        let prepaid = renews && slot.prepaid;
        let ticket = Ticket { place: under_way.place, left, prepaid };
        match self.server.asks(number, under_way.call, ticket, now) {
            Ok(at) => {
                under_way.admitted = true;
                if !prepaid {
                    self.record.begun.count(now);
                }
                self.record.admitted.count(now);
                self.queue.at(at.saturating_add(NETWORK), number, What::Answered);
            }
            Err(later) => {
                self.record.turned_away += 1;
                // On the wire it is whole seconds.
                let after = Duration::from_secs(later.after.as_secs().max(1));
                let after = match self.plant {
                    Some(Plant::SameTime) => Some(SAME),
                    Some(Plant::NoTime) => None,
                    Some(Plant::GivesUp) => Some(DAY),
                    Some(Plant::AdmitsAll | Plant::TakenForRefusal) | None => Some(after),
                };
                self.turned_away(now, number, after);
            }
        }
    }

    fn turned_away(&mut self, now: Duration, number: u32, after: Option<Duration>) {
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let (Some(UnderWay { call, .. }), Some(device)) = (slot.call.take(), &mut slot.device) else {
            return;
        };
        // Every answer tells the time.
        self.record.successes += u64::from(call == Call::Time);
        let busy = (Reject::TooManyRequests.code(), Reject::TooManyRequests.http_status());
        device.refused(call, busy, after, now, self.dice.next_u64());
        self.go_on(now, number);
    }

    fn failed(&mut self, now: Duration, number: u32, error: TransportError) {
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let (Some(UnderWay { call, .. }), Some(device)) = (slot.call.take(), &mut slot.device) else {
            return;
        };
        device.failed(call, error, now, self.dice.next_u64());
        self.go_on(now, number);
    }

    fn answered(&mut self, now: Duration, number: u32) {
        let life = self.plan.life;
        let Some(slot) = self.places.get_mut(number as usize) else { return };
        let Some(under_way) = slot.call else { return };
        if under_way.life != self.server.life {
            return self.failed(now, number, TransportError::Closed);
        }
        let (Some(UnderWay { call, .. }), Some(device)) = (slot.call.take(), &mut slot.device) else {
            return;
        };
        self.server.answered(number);
        self.record.successes += 1;
        slot.prepaid = call == Call::Nonce;
        // A certificate that was good when the storm came and is not any more by the time it is renewed.
        if call == Call::Renewal
            && slot.nature.dates.not_after > scenario::START
            && device.left(now).is_zero()
        {
            self.record.ran_out += 1;
        }
        let dates = dates(scenario::START.after(now), life, self.dice.next_u64());
        device.served(call, dates, now, self.dice.next_u64());
        self.go_on(now, number);
    }
}
