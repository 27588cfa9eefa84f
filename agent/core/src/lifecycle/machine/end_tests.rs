//! What ends: certificates, candidates, and the time that a device may go back to.

use core::time::Duration;

use super::kit::{DAY, Device, START};
use crate::lifecycle::{Action, Cause, Event, Pace};
use crate::platform::{Slot, TransportError};
use crate::x509::Validity;

const SECOND: Duration = Duration::from_secs(1);

fn login(device: &Device) -> Option<Slot> {
    match device.machine.next_action(&device.now()) {
        Action::Connect { slot, .. } => Some(slot),
        _ => None,
    }
}

/// RFC 5280, section 4.1.2.5: the last second counts. Before the server has said what time it is, nothing has certainly
/// ended.
#[test]
fn an_identity_logs_in_up_to_its_last_second() {
    let mut device = Device::in_service();
    device.disconnected(Slot::A, Ok(()));
    // The server cannot be asked for the next one meanwhile.
    let end = device.machine.dates(Slot::A).unwrap().not_after;
    device.uptime = end.since(START);
    device.unreachable();
    assert_eq!(login(&device), Some(Slot::A));
    device.uptime += SECOND;
    device.unreachable();
    assert_eq!(login(&device), None);
}

/// A candidate that ended untried is given up: the identity in use would wait for it for ever.
#[test]
fn a_candidate_that_has_ended_is_given_up() {
    let mut device = Device::due();
    device.until_request();
    device.issued();
    assert_eq!(device.machine.state().candidate(), Some(Slot::B));
    let end = device.machine.dates(Slot::B).unwrap().not_after;
    device.uptime = end.since(START);
    device.disconnected(Slot::B, Err(TransportError::Unreachable));
    assert_eq!(device.machine.state().candidate(), Some(Slot::B), "its last second");
    device.uptime += SECOND;
    device.disconnected(Slot::B, Err(TransportError::Unreachable));
    assert_eq!(device.machine.state().candidate(), None);
    assert!(
        matches!(device.machine.next_action(&device.now()), Action::Save(state) if state.candidate().is_none())
    );
    device.tell(Event::Saved);
    assert_eq!(device.machine.next_action(&device.now()), Action::Erase, "its key does not stay");
}

/// The least that the time can be survives a loss of power, and wears out the flash once a day at most.
#[test]
fn the_floor_is_kept_with_every_write_and_once_a_day_by_itself() {
    let mut device = Device::in_service();
    let kept = device.machine.state().floor();
    let mut told = |after: Duration| {
        device.uptime += after;
        let validity = Validity::At(START.after(device.uptime));
        device.tell(Event::TrustFetched { newer: false, validity });
        match device.machine.next_action(&device.now()) {
            Action::Save(state) => Some(state.floor().since(kept)),
            _ => None,
        }
    };
    assert_eq!(told(DAY - SECOND), None, "not for less than a day");
    assert_eq!(told(SECOND), Some(DAY));
    device.tell(Event::Saved);

    // Whatever else is written takes it along.
    device.uptime += Duration::from_secs(60);
    device.tell(Event::TrustFetched { newer: false, validity: Validity::At(START.after(device.uptime)) });
    assert!(!matches!(device.machine.next_action(&device.now()), Action::Save(_)));
    device.disconnected(Slot::A, Ok(()));
    device.uptime = DAY * 65;
    device.until_request();
    assert_eq!(device.machine.state().floor().since(kept), DAY + Duration::from_secs(60));
}

/// A key that is gone, as after a flash that lost it: the identity before goes on, or the device enrolls anew by what its maker
/// put in, since without its key it cannot renew either.
#[test]
fn an_identity_without_its_key_is_not_waited_for() {
    let mut device = Device::due();
    device.until_request();
    device.issued();
    device.tell(Event::IdentityUnusable { slot: Slot::B });
    assert_eq!(device.machine.state().candidate(), None);
    assert!(device.machine.renews(), "the one in use is as good as before");

    let mut device = Device::in_service();
    device.disconnected(Slot::A, Ok(()));
    device.tell(Event::IdentityUnusable { slot: Slot::A });
    assert!(!device.machine.renews());
    assert_eq!(device.machine.next_action(&device.now()), Action::MakeKey { cause: Cause::BrokerRefused });
    assert_eq!(
        device.machine.state().current().map(|current| current.slot),
        Some(Slot::A),
        "until the next one is there"
    );
}

/// The server learns which trust bundle a device holds: soon after it came into service, within an hour after somebody asked,
/// and each week.
#[test]
fn the_trust_bundle_is_reported() {
    let mut device = Device::in_service();
    device.disconnected(Slot::A, Ok(()));
    let reported = |device: &mut Device| {
        device.tell(Event::TrustFetched { newer: false, validity: Validity::At(START) });
        device.machine.trust_due().unwrap() - device.uptime
    };
    device.uptime = device.machine.trust_due().unwrap();
    assert!(matches!(device.machine.next_action(&device.now()), Action::FetchTrust { .. }));
    assert_eq!(reported(&mut device), Pace::DEFAULT.trust_check / 2, "by the dice of these tests");
    device.uptime += Pace::DEFAULT.suspicion;
    device.tell(Event::TrustAsked);
    assert_eq!(device.machine.trust_due(), Some(device.uptime));
    // Another one may follow a newer one.
    device.tell(Event::TrustFetched { newer: true, validity: Validity::At(START) });
    assert_eq!(device.machine.trust_due(), Some(device.uptime));

    let blank = Device::blank();
    assert_eq!(blank.machine.trust_due(), None, "who has no identity has none to report with");
}
