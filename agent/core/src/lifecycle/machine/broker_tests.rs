//! What a device makes of a connection to the broker that ended.

use core::time::Duration;

use super::kit::Device;
use crate::lifecycle::Pace;
use crate::platform::{Slot, TransportError};

/// A closed connection may mean a refused identity, but not after a minute of good service; and who was let in and left in
/// peace is not suspected any more.
#[test]
fn good_service_takes_suspicion_away() {
    let settled = Pace::DEFAULT.settled;
    let short = settled - Duration::from_millis(1);
    let closed = Err(TransportError::Closed);
    for (lasted, result, then) in [
        (None, closed, 2),
        (Some(short), closed, 2),
        (Some(settled), closed, 0),
        (Some(settled * 2), closed, 0),
        (None, Ok(()), 1),
        (Some(Duration::ZERO), Ok(()), 0),
        (Some(settled), Ok(()), 0),
    ] {
        let mut device = Device::in_service();
        device.disconnected(Slot::A, closed);
        assert_eq!(device.machine.login_suspects, 1);
        device.disconnected_after(lasted, Slot::A, result);
        assert_eq!(device.machine.login_suspects, then, "{lasted:?}, {result:?}");
    }
}
