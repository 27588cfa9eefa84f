//! The machine: what it knows, and which submodule says what an event changes. What is to be done next is in [`due`].

mod acquire;
mod broker;
#[cfg(test)]
mod broker_tests;
mod candidate;
mod command;
mod due;
#[cfg(test)]
mod end_tests;
#[cfg(test)]
mod exchange_tests;
mod fall_back;
#[cfg(test)]
mod fall_back_tests;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod phase_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod tests;

use core::time::Duration;

use shared::UnixTime;

use super::schedule::{Retry, fraction};
use super::{Asker, Event, Now, Pace, Phase, Time};
use crate::platform::Slot;
use crate::slots::{Dates, Inspection, Purpose, State};

/// The lifecycle of one device.
#[derive(Clone, Debug)]
pub struct Machine {
    pace: Pace,
    /// Whether the device can give evidence again and again, so also when it renews.
    evidence_lasts: bool,
    /// What is durable, or is to be: see `unsaved`.
    state: State,
    unsaved: bool,
    /// The state that is durable.
    saved: Issued,
    /// Something lies in a slot that does not count.
    leftovers: bool,
    dates: [Option<Dates>; 2],
    time: Time,

    /// The vacant slot has a key.
    key_ready: bool,
    /// The request under way is known to be of no use any more; the next one needs a new nonce.
    request_stale: bool,
    /// The server wants evidence with this renewal, though the device does not give it unasked.
    evidence_asked: bool,
    /// The identity in use is not good enough to renew with, as it seems: see [`fall_back`].
    fall_back: Option<Duration>,
    /// It is shown to the server once more; the enrollment waits meanwhile.
    probing: bool,
    /// Uptime from which a renewal that somebody asked for is due.
    commanded: Option<Duration>,
    suspicious: bool,
    pending: bool,
    trust_wanted: bool,
    /// The last login failed in a way that may be the identity's fault.
    login_refused: bool,
    login_suspects: u32,
    /// So often the broker of the candidate could not be reached, which may have another one than the identity in use. One
    /// that is old at the start begins with as many as count.
    unreached: u32,
    renewal_suspects: u32,

    save: Retry,
    erase: Retry,
    server: Retry,
    learn: Retry,
    /// Limits how often the server is asked for a trust bundle.
    trust: Retry,
    /// When the server is told next which trust bundle is held.
    report: Duration,
    broker: Retry,
    suspicion: Retry,
    trial: Retry,
    /// How soon a command of the broker counts again.
    command: Retry,
    check_in: Retry,
}

/// The slots that a state names as those of issued identities.
#[derive(Clone, Copy, Debug)]
struct Issued {
    current: Option<Slot>,
    candidate: Option<Slot>,
}

impl Issued {
    fn by(state: &State) -> Self {
        Self { current: state.current().map(|current| current.slot), candidate: state.candidate() }
    }

    fn names(self, slot: Slot) -> bool {
        self.current == Some(slot) || self.candidate == Some(slot)
    }
}

impl Machine {
    /// The machine of a device that found `records`. `evidence_lasts` says whether the device can give evidence
    /// as often as it is asked, as with an IDevID, or once, as with a token.
    #[must_use]
    pub fn new(records: &Inspection, pace: Pace, evidence_lasts: bool, now: Now, random: u64) -> Self {
        let state = records.state.clone();
        let enrolled = state.current().is_some();
        // A site that gets its power back does not call all at once; a blank device has no one to wait for.
        let spread = |whole| if enrolled { fraction(whole, random) } else { Duration::ZERO };
        let begin = now.uptime.saturating_add(spread(pace.broker_first));
        let mut machine = Self {
            time: Time::new(state.floor()),
            unsaved: !records.is_stored(),
            saved: Issued::by(&records.stored),
            leftovers: records.leftovers,
            dates: records.dates,
            key_ready: state.asked().is_some(),
            request_stale: false,
            evidence_asked: false,
            fall_back: Self::fallen_back(&state, &now),
            probing: false,
            commanded: None,
            suspicious: false,
            pending: false,
            trust_wanted: false,
            login_refused: false,
            login_suspects: 0,
            unreached: 0,
            renewal_suspects: 0,
            save: Retry::at(now.uptime),
            erase: Retry::at(now.uptime),
            server: Retry::at(now.uptime.saturating_add(spread(pace.server_first))),
            learn: Retry::at(begin),
            trust: Retry::at(now.uptime),
            // The broker comes first.
            report: if pace.trust_check.is_zero() {
                Duration::MAX
            } else {
                begin.saturating_add(pace.settled).saturating_add(fraction(pace.trust_check, random))
            },
            broker: Retry::at(begin),
            suspicion: Retry::at(now.uptime),
            trial: Retry::at(now.uptime),
            command: Retry::at(now.uptime),
            check_in: Retry::at(
                begin.saturating_add(pace.settled).saturating_add(fraction(pace.check_in, random)),
            ),
            pace,
            evidence_lasts,
            state,
        };
        if let Some(refusal) = machine.state.final_refusal() {
            // Starting again is no reason to ask again; without a clock, a random part of the time stands for
            // what is left of it.
            let left = machine.time.known(&now).map_or_else(
                || fraction(pace.final_retry, random),
                |time| refusal.at().after(pace.final_retry).since(time).min(pace.final_retry),
            );
            machine.server.set(now.uptime.saturating_add(left));
        }
        if machine.candidate_age(&now).is_some_and(|age| age > machine.pace.final_retry) {
            // It had its chances, however often the device has started since and counted anew.
            machine.unreached = machine.pace.patience;
        }
        machine.prepare(&now);
        machine
    }

    /// Takes what happened. `random` is fresh each time.
    pub fn handle(&mut self, event: Event, now: Now, random: u64) {
        match event {
            Event::Saved => {
                self.unsaved = false;
                self.saved = Issued::by(&self.state);
                self.save.succeed(now.uptime);
            }
            Event::SaveFailed => {
                self.save.fail(
                    now.uptime,
                    Duration::ZERO,
                    self.pace.server_first,
                    self.pace.server_most,
                    random,
                );
            }
            Event::Erased => {
                self.leftovers = false;
                self.erase.succeed(now.uptime);
            }
            Event::EraseFailed => {
                self.erase.fail(
                    now.uptime,
                    Duration::ZERO,
                    self.pace.server_first,
                    self.pace.server_most,
                    random,
                );
            }
            Event::KeyMade => {
                self.key_ready = true;
                // What lay there went first; to erase now would take the new key.
                self.leftovers = false;
            }
            Event::KeyFailed => self.key_failed(&now, random),
            Event::Challenged { errand, server_time, nonce, kind, renewal_wanted, validity } => {
                self.time.learn(server_time, validity, &now);
                self.checked_in(&now, random);
                // Where a renewal is under way already, that is the one.
                if renewal_wanted && self.cause(&now).is_none() {
                    self.renew_asked(Asker::Server, &now, random);
                }
                self.challenged(errand, nonce, kind, &now);
            }
            Event::Answered { errand, server_time, answer, validity } => {
                self.time.learn(server_time, validity, &now);
                self.answered(errand, answer, &now, random);
            }
            Event::RequestFailed { errand, again } => self.request_failed(errand, again, &now, random),
            Event::AnswerNotKept => self.retry(None, &now, random),
            Event::ExchangeFailed { errand, error, validity } => {
                self.exchange_failed(errand, error, validity, &now, random);
            }
            Event::TrustFetched { newer, validity } => {
                self.time.succeeded(validity, &now);
                self.trust_fetched(newer, &now, random);
            }
            Event::TrustAsked => {
                // It may have gone to all devices at once.
                let soon = now.uptime.saturating_add(fraction(self.pace.suspicion, random));
                self.report = self.report.min(soon);
            }
            Event::Accepted { proof, validity } => {
                self.time.succeeded(validity, &now);
                self.accepted(&proof);
            }
            Event::Disconnected { result, slot, lasted, validity } => {
                self.disconnected(result, slot, lasted, validity, &now, random);
            }
            Event::IdentityUnusable { slot } => self.identity_unusable(slot, &now, random),
            Event::RenewAsked { by } => self.renew_asked(by, &now, random),
        }
        self.drop_ended_candidate(&now);
        self.prepare(&now);
        self.keep_floor();
    }

    /// The state: durable, or about to be.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What is known about the time.
    #[must_use]
    pub const fn time(&self) -> &Time {
        &self.time
    }

    /// Dates of the identity in a slot.
    #[must_use]
    pub const fn dates(&self, slot: Slot) -> Option<Dates> {
        let [a, b] = self.dates;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// Where the device stands.
    #[must_use]
    pub fn phase(&self, now: &Now) -> Phase {
        let current = self.state.current();
        let stopped = self.is_stopped();
        match current {
            _ if stopped && (current.is_none() || self.login_refused) => Phase::Stopped,
            _ if self.pending => Phase::Pending,
            None if self.key_ready || self.state.next().is_some() => Phase::Enrolling,
            None => Phase::Unenrolled,
            Some(_) if self.state.candidate().is_some() => Phase::OnTrial,
            Some(current) if !current.accepted => Phase::OnTrial,
            Some(_) if self.cause(now).is_some() && !stopped => Phase::Renewing,
            Some(_) => Phase::Operational,
        }
    }

    /// Whether the next identity is asked for with the one in use, not by what the maker put in.
    #[must_use]
    pub fn renews(&self) -> bool {
        self.purpose() == Purpose::Renew
    }

    /// Whether another identity than the one in use is wanted by now, or is there to be tried.
    #[must_use]
    pub fn wants_another(&self, now: &Now) -> bool {
        self.cause(now).is_some() || self.commanded.is_some() || self.state.candidate().is_some()
    }

    fn is_stopped(&self) -> bool {
        self.state.final_refusal().is_some()
    }

    /// The server was there and said what there is to say.
    fn checked_in(&mut self, now: &Now, random: u64) {
        let half = self.pace.check_in / 2;
        let next = now.uptime.saturating_add(half).saturating_add(fraction(self.pace.check_in, random));
        self.check_in.succeed(next);
    }

    fn has_ended(&self, slot: Slot, now: &Now) -> bool {
        let end = self.dates(slot).map(|dates| dates.not_after);
        end.zip(self.time.authenticated(now)).is_some_and(|(end, time)| time > end)
    }

    /// The floor goes to storage with every write, and on its own once a day at most: flash wears out.
    fn keep_floor(&mut self) {
        let floor = self.time.floor();
        let stale = floor.since(self.state.floor()) >= Duration::from_secs(24 * 3600);
        if self.unsaved || stale {
            self.unsaved |= stale;
            self.state.raise_floor(floor);
        }
    }

    fn trust_fetched(&mut self, newer: bool, now: &Now, random: u64) {
        if newer {
            // Another one may follow it, and the server believes only what it is told.
            self.report = now.uptime;
            self.trust.succeed(now.uptime);
        } else {
            let every = self.pace.trust_check;
            let next = (every / 2).saturating_add(fraction(every, random));
            self.report = if every.is_zero() { Duration::MAX } else { now.uptime.saturating_add(next) };
            self.trust.succeed(now.uptime.saturating_add(self.pace.suspicion.min(next)));
        }
        if self.trust_wanted {
            self.broker.set(now.uptime.saturating_add(fraction(self.pace.broker_first, random)));
        }
        self.trust_wanted = false;
    }

    fn server_time_or_floor(&self, now: &Now) -> UnixTime {
        self.time.authenticated(now).unwrap_or_else(|| self.time.floor())
    }
}
