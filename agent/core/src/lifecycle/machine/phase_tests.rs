//! Where a device says that it stands, from its first start to the server's final word.

use core::time::Duration;

use shared::message::latest::EvidenceKind;
use shared::{Reject, UnixTime};

use super::Machine;
use crate::flow::BrokerAccepted;
use crate::lifecycle::{Action, Errand, Event, Now, Pace, Phase, Verdict};
use crate::platform::{Slot, TransportError};
use crate::slots::{Dates, Inspection, State};
use crate::x509::Validity;

const START: UnixTime = UnixTime::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A device whose clock is right and whose storage never fails.
struct Device {
    machine: Machine,
    uptime: Duration,
}

impl Device {
    fn blank() -> Self {
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

    fn now(&self) -> Now {
        Now { uptime: self.uptime, wall: Some(START.after(self.uptime)) }
    }

    fn phase(&self) -> Phase {
        self.machine.phase(&self.now())
    }

    fn tell(&mut self, event: Event) {
        let now = self.now();
        self.machine.handle(event, now, 0);
    }

    fn answered(&mut self, answer: Verdict) {
        let (server_time, validity) = (START.after(self.uptime), Validity::At(START));
        self.tell(Event::Answered { errand: Errand::Identity, server_time, answer, validity });
    }

    fn refused(&mut self, reject: Reject) {
        let (code, status) = (reject.code(), reject.http_status());
        self.answered(Verdict::Rejected { code, status, retry_after: None });
    }

    /// Does what is to be done, and gives each nonce that is asked for, up to what is `wanted`.
    fn until(&mut self, wanted: impl Fn(&Action) -> bool) {
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
                Action::Request { .. } | Action::Connect { .. } => panic!("{action:?} comes first"),
            }
        }
        panic!("nothing of the kind");
    }

    fn until_request(&mut self) {
        self.until(|action| matches!(action, Action::Request { .. }));
    }

    /// A certificate of 90 days.
    fn issued(&mut self) {
        let now = START.after(self.uptime);
        let dates =
            Dates { not_after: now.after(DAY * 90), renew_at: now.after(DAY * 65), order: now.as_secs() };
        self.answered(Verdict::Issued { dates });
        self.until(|action| matches!(action, Action::Connect { .. }));
    }

    fn accepted(&mut self, slot: Slot) {
        self.until(|action| matches!(action, Action::Connect { slot: found, .. } if *found == slot));
        self.tell(Event::Accepted { proof: BrokerAccepted::for_test(slot), validity: Validity::At(START) });
        self.tell(Event::Saved);
    }

    fn disconnected(&mut self, slot: Slot, result: Result<(), TransportError>) {
        let validity = Validity::At(START);
        self.tell(Event::Disconnected { result, slot, lasted: None, validity });
    }

    /// A device in service.
    fn in_service() -> Self {
        let mut device = Self::blank();
        device.until_request();
        device.issued();
        device.accepted(Slot::A);
        device
    }
}

#[test]
fn from_blank_to_its_first_renewal() {
    let mut device = Device::blank();
    assert_eq!(device.phase(), Phase::Unenrolled);
    assert!(!device.machine.renews(), "it enrolls by what its maker put in");
    assert!(matches!(device.machine.next_action(&device.now()), Action::MakeKey { .. }));
    device.tell(Event::KeyFailed);
    assert_eq!(device.phase(), Phase::Unenrolled, "there is nothing to ask with");
    device.until_request();
    assert_eq!(device.phase(), Phase::Enrolling);
    device.answered(Verdict::Pending { retry_after: Duration::from_secs(60) });
    assert_eq!(device.phase(), Phase::Pending, "an operator decides");
    device.until_request();
    device.issued();
    assert_eq!(device.phase(), Phase::OnTrial, "the broker has not seen it");
    device.accepted(Slot::A);
    assert_eq!(device.phase(), Phase::Operational);

    device.disconnected(Slot::A, Ok(()));
    device.uptime += DAY * 64;
    assert_eq!(device.phase(), Phase::Operational);
    device.uptime += DAY;
    assert_eq!(device.phase(), Phase::Renewing);
    assert!(device.machine.renews(), "by the identity in use");
    device.until_request();
    assert_eq!(device.phase(), Phase::Renewing);
    device.issued();
    assert_eq!(device.phase(), Phase::OnTrial, "the next one has not been seen either");
    device.accepted(Slot::B);
    assert_eq!(device.phase(), Phase::Operational);
}

#[test]
fn a_final_refusal_stops_who_has_nothing_that_works() {
    let mut device = Device::blank();
    device.until_request();
    device.refused(Reject::DeviceRevoked);
    assert_eq!(device.phase(), Phase::Stopped);

    // With an identity that the broker takes it works on.
    let mut device = Device::in_service();
    device.disconnected(Slot::A, Ok(()));
    device.uptime += DAY * 66;
    device.until_request();
    device.refused(Reject::DeviceRevoked);
    assert_eq!(device.phase(), Phase::Operational, "it does not ask again and again");
    device.disconnected(Slot::A, Err(TransportError::Refused(0x87)));
    assert_eq!(device.phase(), Phase::Stopped, "the broker has refused it too");
}
