//! What a device makes of a connection to the broker that ended.

use core::time::Duration;

use shared::Reject;

use super::kit::{DAY, Device, START, challenged, is_longest};
use crate::flow::BrokerAccepted;
use crate::lifecycle::{Action, Asker, Errand, Event, Pace, Verdict};
use crate::platform::{Slot, TransportError};
use crate::slots::Dates;
use crate::x509::{PathError, Validity};

const CLOSED: Result<(), TransportError> = Err(TransportError::Closed);
/// MQTT 5, table 3-1: not authorized.
const REFUSED: Result<(), TransportError> = Err(TransportError::Refused(0x87));
const PATIENCE: u32 = Pace::DEFAULT.patience;

/// A closed connection may mean a refused identity, but not after a minute of good service; and who was let in and left in
/// peace is not suspected any more.
#[test]
fn good_service_takes_suspicion_away() {
    let settled = Pace::DEFAULT.settled;
    let short = settled - Duration::from_millis(1);
    for (lasted, result, then) in [
        (None, CLOSED, 2),
        (Some(short), CLOSED, 2),
        (Some(settled), CLOSED, 0),
        (Some(settled * 2), CLOSED, 0),
        (None, Ok(()), 1),
        (Some(Duration::ZERO), Ok(()), 0),
        (Some(settled), Ok(()), 0),
    ] {
        let mut device = Device::in_service();
        device.disconnected(Slot::A, CLOSED);
        assert_eq!(device.machine.login_suspects, 1);
        device.disconnected_after(lasted, Slot::A, result);
        assert_eq!(device.machine.login_suspects, then, "{lasted:?}, {result:?}");
    }
}

/// Who is refused believes it; who finds the connection closed wants to see it as often as it has patience.
#[test]
fn a_refusal_is_believed_at_once_and_a_closed_connection_later() {
    let mut device = Device::in_service();
    for _ in 0..PATIENCE {
        assert!(!device.machine.login_refused);
        device.disconnected(Slot::A, CLOSED);
    }
    assert!(device.machine.login_refused);

    let mut device = Device::in_service();
    device.disconnected(Slot::A, REFUSED);
    assert!(device.machine.login_refused);
}

/// A broker may know of a new identity later than the device has it.
#[test]
fn an_identity_on_trial_is_not_given_up_at_once() {
    for result in [REFUSED, CLOSED] {
        let mut device = Device::due();
        device.until_request();
        device.issued();
        for _ in 0..PATIENCE {
            assert_eq!(device.machine.state().candidate(), Some(Slot::B), "{result:?}");
            device.disconnected(Slot::B, result);
        }
        assert_eq!(device.machine.state().candidate(), None, "{result:?}");
    }
}

/// The enrollment server knows why a broker refuses; who asks it for the next identity anyway will hear.
#[test]
fn the_server_is_asked_why_unless_it_is_asked_already() {
    for (mut device, asks) in [(Device::in_service(), true), (Device::due(), false)] {
        device.disconnected(Slot::A, REFUSED);
        assert_eq!(device.machine.suspicious, asks);
    }
}

/// Whom the server has told to stop has nobody who helps it with the broker.
#[test]
fn who_is_stopped_comes_back_to_its_broker_less_often() {
    for (stopped, bound) in [(false, Pace::DEFAULT.broker_most), (true, Pace::DEFAULT.suspicion)] {
        let mut device = Device::in_service();
        if stopped {
            device.refused(Reject::DeviceRevoked);
        }
        for _ in 0..30 {
            device.not_let_in(Slot::A, REFUSED);
        }
        let left = device.machine.broker.due() - device.uptime;
        assert!(is_longest(left, bound), "stopped {stopped}: {left:?}");
    }
}

const UNREACHABLE: Result<(), TransportError> = Err(TransportError::Unreachable);

impl Device {
    /// A device with a candidate whose broker could not be reached so often.
    fn unreached(times: u32) -> Self {
        let mut device = Self::due();
        device.until_request();
        device.issued();
        for _ in 0..times {
            device.not_let_in(Slot::B, UNREACHABLE);
        }
        device
    }

    /// The broker does not let it in. The delays are the longest.
    fn not_let_in(&mut self, slot: Slot, result: Result<(), TransportError>) {
        let (now, validity) = (self.now(), Validity::At(START));
        self.machine.handle(Event::Disconnected { result, slot, lasted: None, validity }, now, u64::MAX);
    }

    fn connects_next(&mut self) -> Slot {
        self.until(|action| matches!(action, Action::Connect { .. }));
        match self.machine.next_action(&self.now()) {
            Action::Connect { slot, .. } => slot,
            action => panic!("{action:?}"),
        }
    }
}

/// The settings of a broker come with the identity, and may be wrong: the one before goes on with its own, and the candidate
/// is tried again from time to time.
#[test]
fn a_candidate_whose_broker_cannot_be_reached_leaves_the_identity_in_use_at_work() {
    let mut device = Device::unreached(1);
    let candidate = device.machine.state().candidate();
    assert_eq!(candidate, Some(Slot::B));
    assert_eq!(device.connects_next(), Slot::A);
    // That connection ends when the candidate is due again.
    let stays = device.machine.errand(&device.now()).unwrap();
    let before = device.uptime;
    assert!(stays <= Pace::DEFAULT.suspicion, "{stays:?}");
    device.uptime += stays;
    device.disconnected_after(Some(stays), Slot::A, Ok(()));
    assert_eq!((device.connects_next(), device.uptime), (Slot::B, before + stays));
    device.accepted(Slot::B);
    assert_eq!(device.machine.state().current().map(|current| current.slot), Some(Slot::B));
}

/// Where the broker of the identity in use is there all the while, the next renewal brings other settings.
#[test]
fn settings_that_lead_nowhere_are_replaced_by_the_next_renewal() {
    let mut device = Device::unreached(PATIENCE);
    device.accepted(Slot::A);
    assert_eq!(device.machine.state().candidate(), None);
    let wait = device.machine.server.due().saturating_sub(device.uptime);
    assert!(wait > Duration::ZERO && wait <= Pace::DEFAULT.final_retry, "{wait:?}");
    device.disconnected_after(Some(wait), Slot::A, Ok(()));
    device.until_request();
    device.issued();
    assert_eq!(device.connects_next(), Slot::B);

    // A network that is away for both says nothing of the settings.
    let mut device = Device::unreached(PATIENCE * 3);
    device.not_let_in(Slot::A, UNREACHABLE);
    assert_eq!(device.machine.state().candidate(), Some(Slot::B));
    assert_eq!(device.connects_next(), Slot::B, "the one that was tried last comes last");
    device.not_let_in(Slot::B, UNREACHABLE);
    device.accepted(Slot::A);
    assert_eq!(device.machine.state().candidate(), Some(Slot::B));
}

/// That nobody was there before the candidate came says nothing of its settings.
#[test]
fn what_failed_before_a_candidate_came_does_not_count_against_it() {
    let mut device = Device::due();
    device.not_let_in(Slot::A, UNREACHABLE);
    device.until_request();
    device.issued();
    for _ in 1..PATIENCE {
        device.not_let_in(Slot::B, UNREACHABLE);
    }
    device.accepted(Slot::A);
    assert_eq!(device.machine.state().candidate(), Some(Slot::B));
}

/// Whoever has put the settings right can say so, and need not wait.
#[test]
fn an_operator_can_have_a_candidate_replaced_that_was_never_reached() {
    for (by, times, replaced) in [
        (Asker::Local, 1, true),
        (Asker::Server, 1, true),
        (Asker::Broker, 1, false),
        (Asker::Local, 0, false),
    ] {
        let mut device = Device::unreached(times);
        device.tell(Event::RenewAsked { by });
        assert_eq!(device.machine.state().candidate().is_none(), replaced, "{by:?}, {times}");
        if replaced {
            device.until_request();
        }
    }
}

/// A device that starts again and again, as `agent renew` does by a timer, counts nothing for long. A candidate of yesterday has
/// had its chances all the same.
#[test]
fn a_candidate_that_is_old_at_the_start_is_replaced_when_somebody_asks_or_the_other_broker_is_there() {
    for (age, replaced) in [(DAY, false), (DAY + Duration::from_secs(1), true)] {
        let mut device = Device::unreached(0);
        device.uptime += age;
        device.restart();
        assert_eq!(device.connects_next(), Slot::B, "it is tried all the same");
        device.tell(Event::RenewAsked { by: Asker::Local });
        assert_eq!(device.machine.state().candidate().is_none(), replaced, "{age:?}");

        let mut device = Device::unreached(0);
        device.uptime += age;
        device.restart();
        device.not_let_in(Slot::B, UNREACHABLE);
        device.accepted(Slot::A);
        assert_eq!(device.machine.state().candidate().is_none(), replaced, "{age:?}");
    }
}

/// With the identity in use at its end, there is nothing to go back to.
#[test]
fn a_candidate_is_tried_at_once_where_no_other_identity_is_left() {
    let mut device = Device::due();
    device.until_request();
    device.uptime = DAY * 91;
    device.issued();
    device.not_let_in(Slot::B, UNREACHABLE);
    assert_eq!(device.connects_next(), Slot::B);
}

/// Whoever forgets to renew a broker's certificate does not bring all its devices to the enrollment server.
#[test]
fn a_broker_whose_certificate_has_ended_does_not_become_a_storm_of_questions() {
    let mut device = Device::in_service();
    device.tell(challenged(Errand::Time, START));
    let mut questions = 0;
    while device.uptime < DAY * 2 {
        // No clock of its own: the server is asked for the time.
        let mut now = device.now();
        now.wall = None;
        match device.machine.next_action(&now) {
            Action::Connect { slot, validity } => {
                let result = match validity {
                    Validity::At(_) => Err(TransportError::Certificate(PathError::Expired)),
                    Validity::NotEndedBy(_) => UNREACHABLE,
                };
                let ended = Event::Disconnected { result, slot, lasted: None, validity };
                device.machine.handle(ended, now, u64::MAX);
            }
            Action::Challenge { errand, .. } => {
                questions += 1;
                device.machine.handle(challenged(errand, START.after(device.uptime)), now, u64::MAX);
            }
            Action::FetchTrust { validity } => {
                device.machine.handle(Event::TrustFetched { newer: false, validity }, now, u64::MAX);
            }
            Action::Sleep { duration } => device.uptime += duration,
            Action::Save(_) => device.machine.handle(Event::Saved, now, u64::MAX),
            action => panic!("{action:?}"),
        }
    }
    assert!(questions <= 2 * 24 + 2, "{questions} questions in two days");
}

/// A server that has lost the time makes certificates that have ended already; the next ones would be no better.
#[test]
fn certificates_that_are_due_when_they_come_are_not_asked_for_without_pause() {
    let mut device = Device::due();
    let mut certificates = 0;
    while device.uptime < DAY * 75 {
        device.until_request();
        let now = START.after(device.uptime);
        let dates = Dates {
            not_before: now.before(DAY),
            not_after: now,
            renew_at: now.before(DAY),
            order: now.as_secs(),
        };
        let answer = Verdict::Issued { dates };
        device.answered_at_random(Errand::Identity, answer, u64::MAX);
        device.until(|action| matches!(action, Action::Connect { .. } | Action::Sleep { .. }));
        device.uptime += Duration::from_secs(1);
        certificates += 1;
    }
    assert!(certificates < 25, "{certificates} certificates in ten days");
}

/// The disk is full, or cannot be written to any more: the broker took the new identity, and both are durable. The device stays at
/// work with the new one, in this life and in the next.
#[test]
fn an_accepted_identity_goes_on_while_nothing_can_be_written() {
    let mut device = Device::due();
    device.until_request();
    device.issued();
    let saved = device.machine.state().clone();
    assert_eq!(saved.candidate(), Some(Slot::B));
    device.tell(Event::Accepted { proof: BrokerAccepted::for_test(Slot::B), validity: Validity::At(START) });
    for _ in 0..10 {
        assert!(matches!(device.machine.next_action(&device.now()), Action::Save(_)));
        let now = device.now();
        device.machine.handle(Event::SaveFailed, now, u64::MAX);
        let action = device.machine.next_action(&now);
        assert!(matches!(action, Action::Connect { slot: Slot::B, .. }), "{action:?}");
        let stays = device.machine.errand(&now).unwrap();
        device.uptime += stays;
        device.disconnected_after(Some(stays), Slot::B, Ok(()));
    }
    device.restart_from(saved);
    assert_eq!(device.connects_next(), Slot::B);
    device.accepted(Slot::B);
    assert_eq!(device.machine.state().current().map(|current| current.slot), Some(Slot::B));
}

/// A certificate that the durable state knows nothing of could be lost: the one in use goes on.
#[test]
fn an_identity_that_is_not_durable_does_not_log_in() {
    let mut device = Device::due();
    device.until_request();
    let now = START.after(device.uptime);
    let dates =
        Dates { not_before: now, not_after: now.after(DAY * 90), renew_at: now.after(DAY * 65), order: 9 };
    device.answered(Verdict::Issued { dates });
    let now = device.now();
    device.machine.handle(Event::SaveFailed, now, u64::MAX);
    assert_eq!(device.machine.login_slot(&now), Some(Slot::A));
}
