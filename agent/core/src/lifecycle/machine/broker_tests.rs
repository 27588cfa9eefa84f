//! What a device makes of a connection to the broker that ended.

use core::time::Duration;

use shared::Reject;

use super::kit::{Device, START, is_longest};
use crate::lifecycle::{Event, Pace};
use crate::platform::{Slot, TransportError};
use crate::x509::Validity;

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
            let (now, validity) = (device.now(), Validity::At(START));
            let ended = Event::Disconnected { result: REFUSED, slot: Slot::A, lasted: None, validity };
            device.machine.handle(ended, now, u64::MAX);
        }
        let left = device.machine.broker.due() - device.uptime;
        assert!(is_longest(left, bound), "stopped {stopped}: {left:?}");
    }
}
