//! One simulated device: the lifecycle of the real ones, and nothing that decides beside it.
//!
//! Storage and keys never fail here, and a broker takes whoever has a certificate that has not ended. What an exchange
//! with the enrollment server brings is told by the simulation.

use core::time::Duration;

use agent_core::lifecycle::{Action, Asker, Errand, Event, Machine, Now, Pace, Verdict};
use agent_core::platform::{Slot, TransportError};
use agent_core::slots::{Asked, Dates, Inspection, Purpose, State};
use agent_core::x509::Validity;
use shared::message::latest::EvidenceKind;

use super::scenario::{Nature, START};

/// What a device does until something happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Waits, off the broker or on it, for so long at most.
    Waits(Duration),
    /// Calls the enrollment server.
    Calls(Call),
    /// It has what it needed.
    IsDone,
}

/// What it calls the enrollment server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Time,
    Nonce,
    Trust,
    Renewal,
    Enrollment,
}

#[derive(Debug)]
pub(super) struct Device {
    machine: Machine,
    begun: Duration,
    has_clock: bool,
    only_time: bool,
    /// Since when it is at the broker.
    online: Option<Duration>,
    dates: Dates,
    /// What the server's certificate is held against in the call under way.
    validity: Validity,
}

impl Device {
    /// Switched on at `now`.
    pub(super) fn new(nature: &Nature, now: Duration, random: u64) -> Self {
        let mut state = State::blank(START);
        state.request(Asked::bare_renewal());
        state.issued();
        let records = Inspection {
            stored: state.clone(),
            state,
            dates: [Some(nature.dates), None],
            leftovers: false,
            repaired: false,
        };
        // The weekly questions are no part of the storms: they can wait, and are spread over the week.
        let pace = Pace { check_in: Duration::ZERO, trust_check: Duration::ZERO, ..Pace::DEFAULT };
        let wall = nature.has_clock.then(|| START.after(now));
        let booted = Now { uptime: Duration::ZERO, wall };
        Self {
            machine: Machine::new(&records, pace, nature.evidence, booted, random),
            begun: now,
            has_clock: nature.has_clock,
            only_time: nature.only_time,
            online: None,
            dates: nature.dates,
            validity: Validity::NotEndedBy(START),
        }
    }

    fn now(&self, now: Duration) -> Now {
        let wall = self.has_clock.then(|| START.after(now));
        Now { uptime: now.saturating_sub(self.begun), wall }
    }

    /// What its certificate has left of its life; zero where it has ended.
    pub(super) fn left(&self, now: Duration) -> Duration {
        self.dates.not_after.since(START.after(now))
    }

    /// Does what is to be done until it has to wait. `random` is drawn anew for each event.
    pub(super) fn go_on(&mut self, now: Duration, mut random: impl FnMut() -> u64) -> Doing {
        let device_now = self.now(now);
        if let Some(since) = self.online.take() {
            let lasted = Some(now.saturating_sub(since));
            let event =
                Event::Disconnected { result: Ok(()), slot: Slot::A, lasted, validity: self.validity };
            self.machine.handle(event, device_now, random());
        }
        loop {
            let event = match self.machine.next_action(&device_now) {
                Action::Save(_) => Event::Saved,
                Action::Erase => Event::Erased,
                Action::MakeKey { .. } => Event::KeyMade,
                Action::Challenge { errand, validity } => {
                    self.validity = validity;
                    return Doing::Calls(if errand == Errand::Time { Call::Time } else { Call::Nonce });
                }
                Action::Request { purpose, validity } => {
                    self.validity = validity;
                    let renews = purpose == Purpose::Renew;
                    return Doing::Calls(if renews { Call::Renewal } else { Call::Enrollment });
                }
                Action::FetchTrust { validity } => {
                    self.validity = validity;
                    return Doing::Calls(Call::Trust);
                }
                // The next identity is there and durable: what remains is the broker's.
                Action::Connect { slot: Slot::B, .. } => return Doing::IsDone,
                Action::Connect { slot, validity } => {
                    self.validity = validity;
                    if self.left(now).is_zero() {
                        // TLS alert certificate_expired.
                        let result = Err(TransportError::Tls);
                        Event::Disconnected { result, slot, lasted: None, validity }
                    } else if self.only_time && self.machine.time().known(&device_now).is_some() {
                        return Doing::IsDone;
                    } else {
                        self.online = Some(now);
                        let errand = self.machine.errand(&device_now);
                        return Doing::Waits(errand.unwrap_or(Duration::MAX));
                    }
                }
                Action::Sleep { duration } => return Doing::Waits(duration),
            };
            self.machine.handle(event, device_now, random());
        }
    }

    /// The server was not reached, or said nothing.
    pub(super) fn failed(&mut self, call: Call, error: TransportError, now: Duration, random: u64) {
        let event = Event::ExchangeFailed { errand: errand(call), error, validity: self.validity };
        self.machine.handle(event, self.now(now), random);
    }

    /// It was told to come again: wire code, HTTP status, and when.
    pub(super) fn refused(
        &mut self,
        call: Call,
        (code, status): (u16, u16),
        retry_after: Option<Duration>,
        now: Duration,
        random: u64,
    ) {
        let answer = Verdict::Rejected { code, status, retry_after };
        self.answered(call, answer, now, random);
    }

    /// It has what it called for; `dates` are those of the certificate that it would be.
    pub(super) fn served(&mut self, call: Call, dates: Dates, now: Duration, random: u64) {
        let server_time = START.after(now);
        let validity = self.validity;
        let event = match call {
            Call::Time | Call::Nonce => Event::Challenged {
                errand: errand(call),
                server_time,
                nonce: [0; 32],
                kind: EvidenceKind::IdevidEat,
                renewal_wanted: false,
                validity,
            },
            Call::Trust => Event::TrustFetched { newer: false, validity },
            Call::Renewal | Call::Enrollment => {
                return self.answered(call, Verdict::Issued { dates }, now, random);
            }
        };
        self.machine.handle(event, self.now(now), random);
    }

    fn answered(&mut self, call: Call, answer: Verdict, now: Duration, random: u64) {
        let (server_time, validity) = (START.after(now), self.validity);
        let event = Event::Answered { errand: errand(call), server_time, answer, validity };
        self.machine.handle(event, self.now(now), random);
    }

    /// An operator wants it to renew.
    pub(super) fn told(&mut self, now: Duration, random: u64) {
        self.machine.handle(Event::RenewAsked { by: Asker::Broker }, self.now(now), random);
    }

    /// There is another trust bundle.
    pub(super) fn trust_asked(&mut self, now: Duration, random: u64) {
        self.machine.handle(Event::TrustAsked, self.now(now), random);
    }

    /// How long until it wants something of the enrollment server, where it is at the broker.
    pub(super) fn errand(&self, now: Duration) -> Option<Duration> {
        self.online.map(|_| self.machine.errand(&self.now(now)).unwrap_or(Duration::MAX))
    }
}

const fn errand(call: Call) -> Errand {
    match call {
        Call::Time => Errand::Time,
        Call::Trust => Errand::Trust,
        Call::Nonce | Call::Renewal | Call::Enrollment => Errand::Identity,
    }
}
