//! What a device does after a refusal: when it comes again, and what it writes down.

use core::time::Duration;

use shared::Reject;

use super::kit::{DAY, Device, START, challenged, refusal};
use crate::lifecycle::{Action, Errand, Event, Verdict};
use crate::platform::Slot;

/// Codes that this version does not know: their status says what to do.
const CODE: u16 = u16::MAX;
const OTHER_CODE: u16 = u16::MAX - 1;

const AFTER: Duration = Duration::from_secs(100);
/// The jitter of a first attempt.
const JITTER: Duration = Duration::from_secs(10);

impl Device {
    fn refused_by(&mut self, errand: Errand, code: u16, status: u16, random: u64) {
        self.answered_at_random(errand, Verdict::Rejected { code, status, retry_after: Some(AFTER) }, random);
    }

    /// Whether the refusal is to be written down. It is, then.
    fn writes(&mut self, code: u16, status: u16) -> bool {
        self.refused_by(Errand::Identity, code, status, 0);
        let writes = matches!(self.machine.next_action(&self.now()), Action::Save(_));
        if writes {
            self.tell(Event::Saved);
        }
        writes
    }
}

/// A server that is busy has set a time aside: whatever failed before, the device comes then. One that fails has not.
#[test]
fn the_time_that_a_busy_server_told_is_kept() {
    for (status, kept) in [(429, true), (503, false), (408, false)] {
        let mut device = Device::blank();
        for _ in 0..6 {
            device.unreachable();
            device.uptime += device.machine.errand(&device.now()).unwrap();
        }
        device.until_request();
        device.refused_by(Errand::Identity, CODE, status, u64::MAX);
        device.tell(Event::Saved);
        let left = device.machine.errand(&device.now()).unwrap();
        assert!(left >= AFTER, "{status}: {left:?}");
        assert_eq!(left < AFTER + JITTER, kept, "{status}: {left:?}");
    }
}

/// The same for a question that can wait.
#[test]
fn a_busy_server_is_asked_for_the_time_when_it_said() {
    for (status, kept) in [(429, true), (400, false)] {
        let mut device = Device::in_service();
        device.refused_by(Errand::Time, CODE, status, u64::MAX);
        let left = device.machine.learn.due() - device.uptime;
        assert!(left >= AFTER, "{status}: {left:?}");
        assert_eq!(left < AFTER + JITTER, kept, "{status}: {left:?}");
    }
}

/// A refusal is kept for whoever looks at the device; the same one again wears out no flash, unless it is final: its time says
/// when to ask again.
#[test]
fn a_refusal_is_written_down_once() {
    let mut device = Device::blank();
    device.until_request();
    assert!(device.writes(CODE, 503));
    assert!(!device.writes(CODE, 503), "the same again");
    assert!(device.writes(OTHER_CODE, 503), "another one");
    let stop = |device: &mut Device| {
        let answer = Verdict::Rejected { code: OTHER_CODE, status: 400, retry_after: None };
        device.answered(answer);
        let action = device.machine.next_action(&device.now());
        device.tell(Event::Saved);
        matches!(action, Action::Save(_))
    };
    assert!(stop(&mut device), "final now");
    assert!(stop(&mut device), "final again");
    assert!(device.writes(OTHER_CODE, 503), "no longer final");
}

/// A clock that ran ahead: the server tells the time, nothing is due, and the key that was made does not stay.
#[test]
fn a_key_that_is_not_needed_is_erased() {
    let mut device = Device::in_service();
    // The time that the server told before is forgotten with the power.
    device.restart();
    device.disconnected(Slot::A, Ok(()));
    device.uptime = DAY * 66;
    device.until(|action| matches!(action, Action::Challenge { errand: Errand::Identity, .. }));
    device.tell(challenged(Errand::Identity, START.after(DAY)));
    assert_eq!(device.machine.next_action(&device.now()), Action::Erase);
}

/// The longest that the device waits after `reject`, which came `times` in a row.
fn waits(device: &mut Device, reject: Reject, times: u32) -> Duration {
    let mut left = Duration::ZERO;
    for _ in 0..times {
        device.until_request();
        device.answered_at_random(Errand::Identity, refusal(reject), u64::MAX);
        device.tell(Event::Saved);
        left = device.machine.errand(&device.now()).unwrap();
    }
    left
}

/// A policy that wants evidence gets it at once. A server that wants it again, though it came, is asked ever less often.
#[test]
fn evidence_that_is_wanted_comes_at_once_and_not_again_and_again() {
    assert!(waits(&mut Device::due(), Reject::EvidenceWanted, 1) < JITTER);
    assert!(waits(&mut Device::due(), Reject::EvidenceWanted, 6) > JITTER * 2);
    // Of another refusal nothing of the kind follows.
    let mut device = Device::due();
    assert!(waits(&mut device, Reject::ExpiredNonce, 6) > JITTER * 2);
    assert!(!device.machine.evidence_asked);
}

/// Only a key that stands in another request is made anew.
#[test]
fn a_key_is_made_anew_where_it_was_used() {
    for (reject, anew) in [(Reject::KeyReused, true), (Reject::UsedNonce, false)] {
        let mut device = Device::blank();
        let left = waits(&mut device, reject, 1);
        device.uptime += left;
        let makes = matches!(device.machine.next_action(&device.now()), Action::MakeKey { .. });
        assert_eq!(makes, anew, "{reject:?}");
    }
}

/// An identity that the server does not take falls back to enrollment, soon. An enrollment has nothing to fall back to.
#[test]
fn who_is_to_enroll_again_does_so_once() {
    let mut device = Device::due();
    assert!(device.machine.renews());
    assert!(waits(&mut device, Reject::NotAuthenticated, 1) < JITTER);
    assert!(!device.machine.renews());
    assert!(waits(&mut device, Reject::NotAuthenticated, 5) > JITTER * 2, "ever less often");
    assert!(waits(&mut Device::blank(), Reject::NotAuthenticated, 5) > JITTER * 2);
}

/// What could not be sent at all, as without its key, is not tried again as it is.
#[test]
fn a_request_that_cannot_be_sent_is_made_anew() {
    for again in [true, false] {
        let mut device = Device::blank();
        device.until_request();
        device.tell(Event::RequestFailed { errand: Errand::Identity, again });
        device.uptime += device.machine.errand(&device.now()).unwrap();
        let same = matches!(device.machine.next_action(&device.now()), Action::Request { .. });
        assert_eq!(same, again);
    }
}

/// A policy that takes no second enrollment refuses who has fallen back to one. The identity in use is good still, and the power
/// fails every day.
#[test]
fn a_restart_does_not_lead_back_to_an_enrollment_that_was_refused_for_good() {
    let mut device = Device::due();
    device.until_request();
    device.refused(Reject::NotAuthenticated);
    device.uptime += DAY;
    device.until_request();
    assert!(!device.machine.renews(), "it enrolls anew");
    device.refused(Reject::AlreadyEnrolled);
    assert!(device.machine.renews());
    device.until(|action| matches!(action, Action::Connect { .. } | Action::Sleep { .. }));
    device.restart();
    assert!(device.machine.renews());
}
