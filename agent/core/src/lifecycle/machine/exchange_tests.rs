//! What a device makes of an exchange with the server that failed.

use core::time::Duration;

use super::kit::{DAY, Device, START, challenged, is_longest};
use crate::lifecycle::{Action, Asker, Cause, Errand, Event, Pace};
use crate::platform::TransportError;
use crate::slots::Purpose;
use crate::x509::PathError;

/// With a renewal the identity in use is shown. Where it may be what the server does not take, the device enrolls anew, but not
/// before it has seen that as often as it has patience; whatever else fails is no reason to.
#[test]
fn what_may_be_the_identitys_fault_counts_against_it() {
    for (error, counts) in [
        (TransportError::Closed, true),
        (TransportError::Tls, true),
        (TransportError::TooLarge, true),
        (TransportError::Unreachable, false),
        (TransportError::TurnedAway, false),
        (TransportError::TimedOut, false),
        (TransportError::Protocol, false),
        (TransportError::Certificate(PathError::Expired), false),
        (TransportError::Certificate(PathError::Malformed), false),
    ] {
        let mut device = Device::due();
        for _ in 0..Pace::DEFAULT.patience {
            assert_eq!(device.machine.purpose(), Purpose::Renew, "{error:?}");
            device.exchange_failed(Errand::Identity, error);
        }
        let then = if counts { Purpose::Enroll } else { Purpose::Renew };
        assert_eq!(device.machine.purpose(), then, "{error:?}");
    }
}

/// What counts is what came one after the other. A server that has taken the identity, as it does with the question for a
/// nonce, and dies in the request after it has not refused it; a question without the identity shows nothing.
#[test]
fn an_identity_that_was_taken_is_suspected_no_more() {
    for (errand, then) in [(Errand::Identity, Purpose::Renew), (Errand::Time, Purpose::Enroll)] {
        let mut device = Device::due();
        for _ in 1..Pace::DEFAULT.patience {
            device.exchange_failed(Errand::Identity, TransportError::Closed);
        }
        device.tell(challenged(errand, START.after(device.uptime)));
        device.exchange_failed(Errand::Identity, TransportError::Closed);
        assert_eq!(device.machine.purpose(), then, "{errand:?}");
    }
    // Nor where the server is seen to be away in between; an answer that does not come in time shows nothing.
    for (between, then) in
        [(TransportError::Unreachable, Purpose::Renew), (TransportError::TimedOut, Purpose::Enroll)]
    {
        let mut device = Device::due();
        for error in [TransportError::Closed, TransportError::Closed, between, TransportError::Closed] {
            device.exchange_failed(Errand::Identity, error);
        }
        assert_eq!(device.machine.purpose(), then, "{between:?}");
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
/// The longest first delay of who needs the server now, and that of who can wait.
const SOON: Duration = Duration::from_secs(10);
const CALMLY: Duration = Duration::from_secs(60);

impl Device {
    /// How long it waits after the server was away `times`.
    fn waits(&mut self, times: u32) -> Duration {
        for _ in 0..times {
            self.exchange_failed(Errand::Identity, TransportError::Unreachable);
        }
        self.machine.server.due() - self.uptime
    }
}

/// A server that is away is asked less often by who has more than a day left, and for whom nobody waits.
#[test]
fn whoever_can_wait_asks_less_often() {
    for (uptime, bound) in [
        (DAY * 65, CALMLY),
        (DAY * 89 - Duration::from_secs(1), CALMLY),
        (DAY * 89, SOON),
        (DAY * 90 - HOUR, SOON),
    ] {
        let mut device = Device::due();
        device.uptime = uptime;
        let left = device.waits(1);
        assert!(is_longest(left, bound), "{uptime:?}: {left:?}");
    }
    // With every failure twice as long, up to six hours, or one.
    assert!(is_longest(Device::due().waits(30), HOUR * 6));
    assert!(is_longest(Device::blank().waits(1), SOON));
    assert!(is_longest(Device::blank().waits(30), HOUR));
    let mut commanded = Device::in_service();
    commanded.tell(Event::RenewAsked { by: Asker::Local });
    assert_eq!(commanded.machine.cause(&commanded.now()), Some(Cause::Commanded));
    assert!(is_longest(commanded.waits(1), SOON));
}

/// A server that closes at once is there, and soon has time; whatever else fails says that the question can wait.
#[test]
fn a_busy_server_is_asked_again_sooner_than_one_that_is_away() {
    for errand in [Errand::Time, Errand::Trust] {
        let left = |error| {
            let mut device = Device::in_service();
            device.exchange_failed(errand, error);
            let retry = if errand == Errand::Time { &device.machine.learn } else { &device.machine.trust };
            retry.due() - device.uptime
        };
        let (busy, away) = (left(TransportError::TurnedAway), left(TransportError::Unreachable));
        assert!(is_longest(busy, CALMLY) && is_longest(away, HOUR), "{errand:?}: {busy:?}, {away:?}");
    }
}

/// A generator or a storage that fails may recover, and is not worn out meanwhile.
#[test]
fn a_key_that_cannot_be_made_is_tried_again_after_a_pause() {
    let mut device = Device::blank();
    for _ in 0..10 {
        device.until(|action| matches!(action, Action::MakeKey { .. }));
        let now = device.now();
        device.machine.handle(Event::KeyFailed, now, u64::MAX);
        let action = device.machine.next_action(&now);
        assert!(matches!(action, Action::Sleep { .. }), "{action:?}");
    }
}
