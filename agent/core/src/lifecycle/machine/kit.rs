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
        let records = Inspection {
            state: State::blank(START),
            dates: [None; 2],
            leftovers: false,
            repaired: false,
            changed: false,
        };
        let now = Now { uptime: Duration::ZERO, wall: Some(START) };
        Self { machine: Machine::new(&records, Pace::DEFAULT, true, now, 0), uptime: Duration::ZERO }
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

    pub(super) fn answered(&mut self, answer: Verdict) {
        let (server_time, validity) = (START.after(self.uptime), Validity::At(START));
        self.tell(Event::Answered { errand: Errand::Identity, server_time, answer, validity });
    }

    pub(super) fn refused(&mut self, reject: Reject) {
        let (code, status) = (reject.code(), reject.http_status());
        self.answered(Verdict::Rejected { code, status, retry_after: None });
    }

    /// Does what is to be done, and gives each nonce that is asked for, up to what is `wanted`.
    pub(super) fn until(&mut self, wanted: impl Fn(&Action) -> bool) {
        for _ in 0..50 {
            let action = self.machine.next_action(&self.now());
            if wanted(&action) {
                return;
            }
            match action {
                Action::Sleep { duration } => self.uptime += duration,
                Action::Save(_) => self.tell(Event::Saved),
                Action::Erase => self.tell(Event::Erased),
                Action::MakeKey { .. } => self.tell(Event::KeyMade),
                Action::Challenge { .. } => {
                    let (server_time, validity) = (START.after(self.uptime), Validity::At(START));
                    let (nonce, kind) = ([1; 32], EvidenceKind::IdevidEat);
                    self.tell(Event::Challenged {
                        server_time,
                        nonce,
                        kind,
                        renewal_wanted: false,
                        validity,
                    });
                }
                Action::FetchTrust { validity } => self.tell(Event::TrustFetched { newer: false, validity }),
                // The broker lets it in, and it stays until there is something to do.
                Action::Connect { slot, .. } => {
                    self.uptime += self.machine.errand(&self.now()).unwrap_or_default();
                    self.disconnected(slot, Ok(()));
                }
                Action::Request { .. } => panic!("{action:?} comes first"),
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
        let dates =
            Dates { not_after: now.after(DAY * 90), renew_at: now.after(DAY * 65), order: now.as_secs() };
        self.answered(Verdict::Issued { dates });
        self.until(|action| matches!(action, Action::Connect { .. }));
    }

    pub(super) fn accepted(&mut self, slot: Slot) {
        self.until(|action| matches!(action, Action::Connect { slot: found, .. } if *found == slot));
        self.tell(Event::Accepted { proof: BrokerAccepted::for_test(slot), validity: Validity::At(START) });
        self.tell(Event::Saved);
    }

    pub(super) fn disconnected(&mut self, slot: Slot, result: Result<(), TransportError>) {
        let validity = Validity::At(START);
        self.tell(Event::Disconnected { result, slot, lasted: None, validity });
    }

    /// The server is asked whatever is due, and is not there; the device stays with its broker, or goes there.
    pub(super) fn unreachable(&mut self) {
        for _ in 0..20 {
            let action = self.machine.next_action(&self.now());
            let errand = match action {
                Action::MakeKey { .. } => {
                    self.tell(Event::KeyMade);
                    continue;
                }
                Action::Save(_) => {
                    self.tell(Event::Saved);
                    continue;
                }
                Action::Erase => {
                    self.tell(Event::Erased);
                    continue;
                }
                Action::Challenge { errand, .. } => errand,
                Action::Request { .. } => Errand::Identity,
                Action::FetchTrust { .. } => Errand::Trust,
                Action::Connect { .. } | Action::Sleep { .. } => return,
            };
            let (now, validity) = (self.now(), Validity::At(START));
            // The longest delay, so that it is not asked again at once.
            let error = TransportError::Unreachable;
            self.machine.handle(Event::ExchangeFailed { errand, error, validity }, now, u64::MAX);
        }
        panic!("the server is asked without pause");
    }

    /// The power fails and comes back: what is durable is left, and the clock.
    pub(super) fn restart(&mut self) {
        let dates = [self.machine.dates(Slot::A), self.machine.dates(Slot::B)];
        let state = self.machine.state().clone();
        let records = Inspection { state, dates, leftovers: false, repaired: false, changed: false };
        self.machine = Machine::new(&records, Pace::DEFAULT, true, self.now(), 0);
    }

    /// A device in service.
    pub(super) fn in_service() -> Self {
        let mut device = Self::blank();
        device.until_request();
        device.issued();
        device.accepted(Slot::A);
        device
    }
}
