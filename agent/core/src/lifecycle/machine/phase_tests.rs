//! Where a device says that it stands, from its first start to the server's final word.

use core::time::Duration;

use shared::Reject;

use super::kit::{DAY, Device, START};
use crate::lifecycle::{Action, Asker, Event, Phase, Verdict};
use crate::platform::{Slot, TransportError};

#[test]
fn from_blank_to_its_first_renewal() {
    let mut device = Device::blank();
    assert_eq!(device.phase(), Phase::Unenrolled);
    assert!(!device.machine.renews(), "it enrolls by what its maker put in");
    assert!(matches!(device.machine.next_action(&device.now()), Action::MakeKey { .. }));
    device.tell(Event::KeyFailed);
    assert_eq!(device.phase(), Phase::Unenrolled, "there is nothing to ask with");
    device.until(|action| matches!(action, Action::Challenge { .. }));
    assert_eq!(device.phase(), Phase::Enrolling, "it has a key");
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
    let refusal = device.machine.state().refusal().unwrap();
    assert_eq!((refusal.at(), refusal.code), (START.after(device.uptime), Reject::DeviceRevoked.code()));

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

/// Who runs for one renewal goes by this.
#[test]
fn another_identity_is_wanted_until_it_is_there_and_was_tried() {
    let wants = |device: &Device| device.machine.wants_another(&device.now());
    assert!(wants(&Device::blank()));
    let mut device = Device::in_service();
    assert!(!wants(&device));
    // A command takes effect after a while.
    let now = device.now();
    device.machine.handle(Event::RenewAsked { by: Asker::Broker }, now, u64::MAX);
    assert_eq!((device.phase(), wants(&device)), (Phase::Operational, true));

    let mut device = Device::due();
    assert!(wants(&device));
    device.until_request();
    device.issued();
    assert_eq!((device.phase(), wants(&device)), (Phase::OnTrial, true));
    device.accepted(Slot::B);
    assert!(!wants(&device));
}
