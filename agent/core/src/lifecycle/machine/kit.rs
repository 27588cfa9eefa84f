//! A device for tests whose every answer is chosen by the test.

use core::time::Duration;

use shared::message::latest::EvidenceKind;
use shared::{Reject, UnixTime};

use super::Machine;
use crate::flow::BrokerAccepted;
use crate::lifecycle::{Action, Errand, Event, Now, Pace, Phase, Verdict};
use crate::platform::{Slot, TransportError};
use crate::slots::{Dates, Inspection, State};
use crate::x509::Validity;

pub(super) const START: UnixTime = UnixTime::from_secs(1_800_000_000);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A device whose clock is right and whose storage never fails.
pub(super) struct Device {
    pub(super) machine: Machine,
    pub(super) uptime: Duration,
}

impl Device {
    pub(super) fn blank() -> Self {
        Self::started(State::blank(START), [None; 2], Duration::ZERO)
    }

    fn started(state: State, dates: [Option<Dates>; 2], uptime: Duration) -> Self {
        let stored = state.clone();
        let records = Inspection { state, dates, leftovers: false, repaired: false, stored };
        let now = Now { uptime, wall: Some(START.after(uptime)) };
        Self { machine: Machine::new(&records, Pace::DEFAULT, true, now, 0), uptime }
    }

    pub(super) fn now(&self) -> Now {
        Now { uptime: self.uptime, wall: Some(START.after(self.uptime)) }
    }

    pub(super) fn phase(&self) -> Phase {
        self.machine.phase(&self.now())
    }

    pub(super) fn tell(&mut self, event: Event) {
        let now = self.now();
        self.machine.handle(event, now, 0);
    }

    /// The server answers, and `random` decides how long the device waits.
    pub(super) fn answered_at_random(&mut self, errand: Errand, answer: Verdict, random: u64) {
        let (now, server_time, validity) = (self.now(), START.after(self.uptime), Validity::At(START));
        self.machine.handle(Event::Answered { errand, server_time, answer, validity }, now, random);
    }

    pub(super) fn answered(&mut self, answer: Verdict) {
        self.answered_at_random(Errand::Identity, answer, 0);
    }

    pub(super) fn refused(&mut self, reject: Reject) {
        self.answered(refusal(reject));
    }

    /// Does what takes nobody else; `false` where it is something else that is to be done.
    fn does_alone(&mut self, action: &Action) -> bool {
        match action {
            Action::Save(_) => self.tell(Event::Saved),
            Action::Erase => self.tell(Event::Erased),
            Action::MakeKey { .. } => self.tell(Event::KeyMade),
            _ => return false,
        }
        true
    }

    /// Does what is to be done, and gives each nonce that is asked for, up to what is `wanted`.
    pub(super) fn until(&mut self, wanted: impl Fn(&Action) -> bool) {
        for _ in 0..50 {
            let action = self.machine.next_action(&self.now());
            if wanted(&action) {
                return;
            }
            if self.does_alone(&action) {
                continue;
            }
            match action {
                Action::Sleep { duration } => self.uptime += duration,
                Action::Challenge { errand, .. } => self.tell(challenged(errand, START.after(self.uptime))),
                Action::FetchTrust { validity } => self.tell(Event::TrustFetched { newer: false, validity }),
                // The broker lets it in, and it stays until there is something to do.
                Action::Connect { slot, .. } => {
                    self.uptime += self.machine.errand(&self.now()).unwrap_or_default();
                    self.disconnected(slot, Ok(()));
                }
                _ => panic!("{action:?} comes first"),
            }
        }
        panic!("nothing of the kind");
    }

    pub(super) fn until_request(&mut self) {
        self.until(|action| matches!(action, Action::Request { .. }));
    }

    /// A certificate of 90 days.
    pub(super) fn issued(&mut self) {
        let now = START.after(self.uptime);
        let dates = Dates {
            not_before: now,
            not_after: now.after(DAY * 90),
            renew_at: now.after(DAY * 65),
            order: now.as_secs(),
        };
        self.answered(Verdict::Issued { dates });
        self.until(|action| matches!(action, Action::Connect { .. }));
    }

    pub(super) fn accepted(&mut self, slot: Slot) {
        self.until(|action| matches!(action, Action::Connect { slot: found, .. } if *found == slot));
        self.tell(Event::Accepted { proof: BrokerAccepted::for_test(slot), validity: Validity::At(START) });
        self.tell(Event::Saved);
    }

    pub(super) fn disconnected(&mut self, slot: Slot, result: Result<(), TransportError>) {
        self.disconnected_after(None, slot, result);
    }

    /// A connection ended that had `lasted` so long since the broker let the device in.
    pub(super) fn disconnected_after(
        &mut self,
        lasted: Option<Duration>,
        slot: Slot,
        result: Result<(), TransportError>,
    ) {
        let validity = Validity::At(START);
        self.tell(Event::Disconnected { result, slot, lasted, validity });
    }

    /// The server is asked whatever is due, and is not there; the device stays with its broker, or goes there.
    pub(super) fn unreachable(&mut self) {
        for _ in 0..20 {
            let action = self.machine.next_action(&self.now());
            if self.does_alone(&action) {
                continue;
            }
            let errand = match action {
                Action::Challenge { errand, .. } => errand,
                Action::Request { .. } => Errand::Identity,
                Action::FetchTrust { .. } => Errand::Trust,
                _ => return,
            };
            self.exchange_failed(errand, TransportError::Unreachable);
        }
        panic!("the server is asked without pause");
    }

    /// An exchange with the server fails. The delay is the longest, so that it is not asked again at once.
    pub(super) fn exchange_failed(&mut self, errand: Errand, error: TransportError) {
        let (now, validity) = (self.now(), Validity::At(START));
        self.machine.handle(Event::ExchangeFailed { errand, error, validity }, now, u64::MAX);
    }

    /// The power fails and comes back: what is durable is left, and the clock.
    pub(super) fn restart(&mut self) {
        self.restart_from(self.machine.state().clone());
    }

    /// The same where it is not the machine's state that is durable.
    pub(super) fn restart_from(&mut self, state: State) {
        let dates = [self.machine.dates(Slot::A), self.machine.dates(Slot::B)];
        *self = Self::started(state, dates, self.uptime);
    }

    /// A device in service.
    pub(super) fn in_service() -> Self {
        let mut device = Self::blank();
        device.until_request();
        device.issued();
        device.accepted(Slot::A);
        device
    }

    /// A device in service whose renewal is due, between two connections.
    pub(super) fn due() -> Self {
        let mut device = Self::in_service();
        device.disconnected(Slot::A, Ok(()));
        device.uptime = DAY * 65;
        device
    }
}

/// Whether this is the longest delay below `bound`: a millisecond short of it.
pub(super) fn is_longest(delay: Duration, bound: Duration) -> bool {
    delay < bound && delay + Duration::from_millis(1) >= bound
}

/// The server gives a nonce, and wants nothing else.
pub(super) const fn challenged(errand: Errand, server_time: UnixTime) -> Event {
    let (kind, validity) = (EvidenceKind::IdevidEat, Validity::At(START));
    Event::Challenged { errand, server_time, nonce: [1; 32], kind, renewal_wanted: false, validity }
}

/// What the server answers where it refuses, and says nothing of when to come again.
pub(super) const fn refusal(reject: Reject) -> Verdict {
    Verdict::Rejected { code: reject.code(), status: reject.http_status(), retry_after: None }
}
