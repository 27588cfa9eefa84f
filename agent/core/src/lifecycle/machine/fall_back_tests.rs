//! How a device whose renewal failed enrolls, and comes back to renewal while its identity is good.

use core::time::Duration;

use shared::Reject;

use super::kit::{DAY, Device, START, challenged};
use crate::lifecycle::{Action, Asker, Errand, Event, Pace, Verdict};
use crate::platform::TransportError;
use crate::slots::{Asked, Purpose};

const HOUR: Duration = Duration::from_secs(3_600);

/// What the server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Enrollment,
    Renewal,
    /// For a nonce, with the identity in use.
    WithIdentity,
    WithoutIdentity,
}

use Question::{Enrollment, Renewal, WithIdentity, WithoutIdentity};

impl Device {
    /// Its renewal was closed as often as it has patience, and the enrollment in its place is ready to go.
    fn fallen_back() -> Self {
        let mut device = Self::due();
        device.until_request();
        device.closed_patiently();
        assert_eq!(device.asks(), WithoutIdentity);
        device.until_request();
        device
    }

    fn closed_patiently(&mut self) {
        for _ in 0..Pace::DEFAULT.patience {
            self.exchange_failed(Errand::Identity, TransportError::Closed);
        }
    }

    /// The next question for an identity.
    fn asks(&mut self) -> Question {
        self.until(|action| {
            matches!(action, Action::Request { .. } | Action::Challenge { errand: Errand::Identity, .. })
        });
        match self.machine.next_action(&self.now()) {
            Action::Request { purpose: Purpose::Enroll, .. } => Enrollment,
            Action::Request { purpose: Purpose::Renew, .. } => Renewal,
            _ if self.machine.renews() => WithIdentity,
            _ => WithoutIdentity,
        }
    }

    fn held(&mut self) {
        self.answered(Verdict::Pending { retry_after: HOUR });
    }

    /// Its request is held, until it asks something else.
    fn held_until_it_asks_otherwise(&mut self) -> Question {
        for _ in 0..50 {
            match self.asks() {
                Enrollment => self.held(),
                other => return other,
            }
        }
        panic!("it enrolls and enrolls");
    }

    fn nonce_comes(&mut self) {
        self.tell(challenged(Errand::Identity, START.after(self.uptime)));
    }

    fn cannot_attest(&mut self) {
        self.tell(Event::RequestFailed { errand: Errand::Identity, again: true });
    }

    fn asked(&self) -> Option<Asked> {
        self.machine.state().asked()
    }
}

/// A group may hold second enrollments. A good certificate does not run out for that: the server may have been ill when it closed
/// the connections.
#[test]
fn a_held_enrollment_is_given_up_where_the_identity_is_taken_again() {
    let mut device = Device::fallen_back();
    let since = device.uptime;
    assert_eq!(device.held_until_it_asks_otherwise(), WithIdentity);
    let after = device.uptime - since;
    assert!(after >= DAY && after < DAY + HOUR * 2, "{after:?}");
    device.nonce_comes();
    assert_eq!(device.asked(), None, "the key stands in the request that is held");
    device.until(|action| matches!(action, Action::Erase));
    device.until(|action| matches!(action, Action::MakeKey { .. }));
    device.until_request();
    assert_eq!(device.asks(), Renewal);
    device.issued();
}

/// An operator approves one key. It goes on being asked for where the identity is still not taken, whatever comes of the question.
#[test]
fn a_held_enrollment_stays_the_same_where_the_identity_is_not_taken() {
    let mut device = Device::fallen_back();
    let request = device.asked();
    let closed = |device: &mut Device| device.exchange_failed(Errand::Identity, TransportError::Closed);
    let refused = |device: &mut Device| device.refused(Reject::DeviceSuspended);
    let late = |device: &mut Device| device.exchange_failed(Errand::Identity, TransportError::TimedOut);
    for fails in [closed, refused, late, closed] {
        let since = device.uptime;
        assert_eq!(device.held_until_it_asks_otherwise(), WithIdentity);
        let after = device.uptime - since;
        assert!(after >= DAY - HOUR && after < DAY + HOUR * 6, "{after:?}");
        fails(&mut device);
        assert_eq!((device.asks(), device.asked()), (Enrollment, request));
    }
    device.issued();
}

/// That nobody is there says nothing of the identity: it is shown again after the next answer.
#[test]
fn a_server_that_is_away_does_not_count() {
    for error in [TransportError::Unreachable, TransportError::TurnedAway] {
        let mut device = Device::fallen_back();
        assert_eq!(device.held_until_it_asks_otherwise(), WithIdentity);
        device.exchange_failed(Errand::Identity, error);
        assert_eq!(device.asks(), Enrollment, "neither way waits for the other");
        device.held();
        assert_eq!(device.asks(), WithIdentity);
    }
}

/// With its TPM broken a device can make no evidence, and not even the question for a nonce; a renewal without evidence goes by
/// the key in use alone. Where that is not taken, the enrollment has its day again.
#[test]
fn a_device_that_cannot_make_evidence_renews_without() {
    let mut device = Device::fallen_back();
    device.machine.evidence_lasts = false;
    let since = device.uptime;
    let mut attempts = 0;
    while device.asks() != Renewal {
        device.cannot_attest();
        attempts += 1;
        assert!(attempts < 100_000 && device.uptime < since + DAY * 3, "{:?}", device.asks());
        device.uptime += HOUR;
    }
    assert!(device.uptime >= since + DAY, "a broken TPM may recover");
    device.closed_patiently();
    assert_eq!(device.asks(), WithoutIdentity);
    device.cannot_attest();
    assert_eq!(device.asks(), WithoutIdentity);
    device.uptime += DAY;
    device.cannot_attest();
    assert_eq!(device.asks(), WithIdentity);
}

/// A server that refuses the enrollment for the time being may have taken the identity again.
#[test]
fn an_enrollment_that_is_refused_for_a_day_gives_the_identity_its_turn() {
    let mut device = Device::fallen_back();
    let since = device.uptime;
    while device.asks() != WithIdentity {
        assert!(device.uptime < since + DAY * 3, "it enrolls and enrolls");
        if device.asks() == Enrollment {
            device.refused(Reject::Unavailable);
        } else {
            device.nonce_comes();
        }
        device.uptime += HOUR;
    }
    assert!(device.uptime >= since + DAY);
}

/// A certificate that came and could not be stored is there for this very request.
#[test]
fn a_full_disk_is_no_reason_to_ask_for_another_certificate() {
    let mut device = Device::fallen_back();
    device.uptime += DAY * 2;
    device.tell(Event::AnswerNotKept);
    assert_eq!(device.asks(), Enrollment);
}

/// The server said in so many words that this identity is no good, and that is durable.
#[test]
fn an_identity_that_was_refused_is_not_shown_again() {
    for restarts in [false, true] {
        let mut device = Device::due();
        device.until_request();
        device.refused(Reject::CertificateRevoked);
        for _ in 0..30 {
            device.until_request();
            assert_eq!(device.asks(), Enrollment);
            device.held();
            if restarts {
                device.restart();
            } else {
                device.uptime += DAY / 10;
            }
            device.asked_for_at_the_device(1);
        }
    }
}

/// One whose certificate has ended has nothing to lose.
#[test]
fn an_identity_that_has_ended_is_not_shown_again() {
    let mut device = Device::fallen_back();
    device.uptime = DAY * 91;
    for _ in 0..3 {
        assert_eq!(device.asks(), Enrollment);
        device.held();
    }
}

impl Device {
    fn asked_for_at_the_device(&mut self, random: u64) {
        let now = self.now();
        self.machine.handle(Event::RenewAsked { by: Asker::Local }, now, random);
    }
}

/// A start sends the request first that may have left, and needs no day after that: it may not last one.
#[test]
fn a_start_brings_the_enrollment_to_an_answer_and_renews_then() {
    let mut device = Device::fallen_back();
    device.restart();
    assert_eq!(device.asks(), Enrollment);
    device.held();
    assert_eq!(device.asks(), WithIdentity);
    device.nonce_comes();
    device.until_request();
    assert_eq!(device.asks(), Renewal);
}

/// Who asks at the device may do so with a process that lives for one attempt: either way has its turn.
#[test]
fn whoever_asks_at_the_device_gets_either_way() {
    for (random, first) in [(0, Enrollment), (1, WithIdentity)] {
        for restarts in [false, true] {
            let mut device = Device::fallen_back();
            device.held();
            if restarts {
                device.restart();
            }
            device.asked_for_at_the_device(random);
            assert_eq!(device.asks(), first, "restarts: {restarts}");
        }
    }
}
