//! Renewals that somebody asks for, and what the server wants to see with them.

use core::time::Duration;

use shared::Reject;
use shared::message::latest::EvidenceKind;

use super::Machine;
use super::kit::{DAY, Device, START, challenged, refusal};
use crate::flow::BrokerAccepted;
use crate::lifecycle::{Action, Asker, Cause, Errand, Event, Now, Pace, Phase, Verdict};
use crate::platform::Slot;
use crate::slots::{Asked, Dates, Inspection, Purpose, State};
use crate::x509::Validity;

fn now(uptime: Duration) -> Now {
    Now { uptime, wall: Some(START.after(uptime)) }
}

/// A device in service; its certificate began at the start and is renewed after 65 days. It has nothing else to ask.
fn in_service(evidence_lasts: bool) -> Machine {
    started(evidence_lasts, now(Duration::ZERO))
}

/// Of a certificate of 90 days.
fn dates(order: u64) -> Dates {
    let (not_after, renew_at) = (START.after(DAY * 90), START.after(DAY * 65));
    Dates { not_before: START, not_after, renew_at, order }
}

fn started(evidence_lasts: bool, at: Now) -> Machine {
    let mut state = State::blank(START);
    state.request(Asked::bare_renewal());
    state.issued();
    state.accept(&BrokerAccepted::for_test(Slot::A));
    let dates = dates(1);
    let (stored, dates) = (state.clone(), [Some(dates), None]);
    let records = Inspection { state, dates, leftovers: false, repaired: false, stored };
    let pace = Pace { check_in: Duration::ZERO, trust_check: Duration::ZERO, ..Pace::DEFAULT };
    Machine::new(&records, pace, evidence_lasts, at, 0)
}

/// Whoever knows the time waits for the renewal; whoever does not asks for it first, and then waits.
#[test]
fn the_server_is_asked_for_the_time_and_for_nothing_else() {
    assert_eq!(in_service(true).errand(&now(Duration::ZERO)), Some(DAY * 65));

    let blind = |uptime| Now { uptime, wall: None };
    let mut machine = started(true, blind(Duration::ZERO));
    let asks = machine.errand(&blind(Duration::ZERO)).unwrap();
    assert!(asks < Duration::from_secs(3600), "{asks:?}");
    let action = machine.next_action(&blind(asks));
    assert!(matches!(action, Action::Challenge { errand: Errand::Time, .. }), "{action:?}");
    machine.handle(challenged(Errand::Time, START.after(DAY)), blind(asks), 0);
    assert_eq!(machine.errand(&blind(asks)), Some(DAY * 64));
}

/// How often a device renews within `days` whose broker says so every `pause`, and each renewal of which goes well.
fn renewals(days: u32, pause: Duration) -> u32 {
    let mut machine = in_service(true);
    let (mut time, mut count) = (Duration::ZERO, 0);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    while time < DAY * days {
        time += pause;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        machine.handle(Event::RenewAsked { by: Asker::Broker }, now(time), random);
        if machine.cause(&now(time)) == Some(Cause::Commanded) {
            count += 1;
            machine.end_acquisition(&now(time));
        }
    }
    count
}

/// A broker can have a device renew, and so cost it wear and the CA signatures: a few times a day, whatever it says
/// and however cleverly it waits in between.
#[test]
fn no_broker_makes_a_storm_of_renewals() {
    for minutes in [1, 5, 30, 60, 6 * 60, 24 * 60, 25 * 60, 48 * 60] {
        let count = renewals(60, Duration::from_secs(minutes * 60));
        assert!(count <= 60 * 4, "{count} renewals in 60 days, with a command every {minutes} minutes");
        assert!(count >= 10, "{count}: an operator's command is obeyed");
    }
}

/// Nor can it keep a device from renewing by saying so again and again.
#[test]
fn no_broker_delays_a_renewal() {
    let mut machine = in_service(true);
    let mut time = DAY * 60;
    while time < DAY * 65 {
        machine.handle(Event::RenewAsked { by: Asker::Broker }, now(time), u64::MAX);
        if machine.cause(&now(time)).is_some() {
            machine.end_acquisition(&now(time));
        }
        time += Duration::from_secs(600);
    }
    for _ in 0..100 {
        machine.handle(Event::RenewAsked { by: Asker::Broker }, now(time), u64::MAX);
    }
    assert!(machine.cause(&now(time)).is_some(), "its time has come");
    assert_eq!(machine.errand(&now(time)), Some(Duration::ZERO), "and nothing holds it up");
}

/// Who is at the device does not wait for what the broker has used up.
#[test]
fn someone_at_the_device_is_heard_at_once() {
    let mut machine = in_service(true);
    for minute in 0..600 {
        let time = Duration::from_secs(minute * 60);
        machine.handle(Event::RenewAsked { by: Asker::Broker }, now(time), u64::MAX);
        if machine.cause(&now(time)).is_some() {
            machine.end_acquisition(&now(time));
        }
    }
    let time = now(Duration::from_secs(36_000));
    machine.handle(Event::RenewAsked { by: Asker::Local }, time, u64::MAX);
    assert_eq!(machine.cause(&time), Some(Cause::Commanded));
    assert_eq!(machine.phase(&time), Phase::Renewing);
}

/// A device that gives evidence only where it is asked to: a refused renewal without it is followed by one with it,
/// after a challenge and within seconds; the next renewal begins without again.
#[test]
fn evidence_is_given_where_the_policy_wants_it() {
    let mut machine = in_service(false);
    let at = now(Duration::from_secs(60));
    let validity = Validity::At(START);
    machine.handle(Event::RenewAsked { by: Asker::Local }, at, 0);
    assert!(matches!(machine.next_action(&at), Action::MakeKey { cause: Cause::Commanded }));
    machine.handle(Event::KeyMade, at, 0);
    assert!(matches!(machine.next_action(&at), Action::Save(_)));
    machine.handle(Event::Saved, at, 0);
    assert!(matches!(machine.next_action(&at), Action::Request { purpose: Purpose::Renew, .. }));
    assert_eq!(machine.state().asked().and_then(|asked| asked.evidence()), None);

    let answer = refusal(Reject::EvidenceWanted);
    let refused = Event::Answered { errand: Errand::Identity, server_time: START, answer, validity };
    machine.handle(refused, at, u64::MAX);
    machine.handle(Event::Saved, at, 0);
    let at = now(at.uptime + Pace::DEFAULT.server_first);
    let action = machine.next_action(&at);
    assert!(matches!(action, Action::Challenge { errand: Errand::Identity, .. }), "{action:?}");
    let (nonce, kind) = ([7; 32], EvidenceKind::Dice);
    let errand = Errand::Identity;
    let challenged =
        Event::Challenged { errand, server_time: START, nonce, kind, renewal_wanted: true, validity };
    machine.handle(challenged, at, 0);
    assert!(matches!(machine.next_action(&at), Action::Save(_)));
    machine.handle(Event::Saved, at, 0);
    assert!(matches!(machine.next_action(&at), Action::Request { purpose: Purpose::Renew, .. }));
    assert_eq!(machine.state().asked().and_then(|asked| asked.evidence()), Some((nonce, kind)));

    let dates = dates(2);
    let answer = Verdict::Issued { dates };
    machine.handle(Event::Answered { errand: Errand::Identity, server_time: START, answer, validity }, at, 0);
    assert!(!machine.evidence_asked);
    assert_eq!(machine.cause(&at), None, "what the server wanted is done");
}

/// The server asks for a renewal with its answer to a question about the time.
#[test]
fn the_next_answer_tells_of_a_renewal() {
    let mut machine = in_service(true);
    machine.pace.check_in = DAY;
    let due = machine.errand(&now(Duration::ZERO)).unwrap();
    assert!(due <= DAY + Pace::DEFAULT.settled + Pace::DEFAULT.broker_first, "{due:?}");
    let at = now(due);
    let action = machine.next_action(&at);
    assert!(matches!(action, Action::Challenge { errand: Errand::Time, .. }), "{action:?}");
    let answered = |renewal_wanted| Event::Challenged {
        errand: Errand::Time,
        server_time: at.wall.unwrap(),
        nonce: [1; 32],
        kind: EvidenceKind::IdevidEat,
        renewal_wanted,
        validity: Validity::At(at.wall.unwrap()),
    };
    let mut calm = machine.clone();
    calm.handle(answered(false), at, 0);
    assert_eq!(calm.commanded, None);
    machine.handle(answered(true), at, u64::MAX);
    let soon = now(at.uptime + Pace::DEFAULT.server_first);
    assert_eq!(machine.cause(&soon), Some(Cause::Commanded));
    let left = machine.errand(&at).unwrap();
    assert!(left <= Pace::DEFAULT.server_first, "{left:?}");
}

/// Who enrolls goes at its own pace, unless somebody stands at the device: a broker's word does not hasten it.
#[test]
fn an_enrollment_under_way_is_hastened_at_the_device_only() {
    let mut device = Device::blank();
    device.unreachable();
    let later = device.machine.errand(&device.now()).unwrap();
    assert!(later > Duration::ZERO);
    for by in [Asker::Broker, Asker::Server] {
        device.tell(Event::RenewAsked { by });
        assert_eq!(device.machine.errand(&device.now()), Some(later), "{by:?}");
    }
    device.tell(Event::RenewAsked { by: Asker::Local });
    assert_eq!(device.machine.errand(&device.now()), Some(Duration::ZERO));
}

/// With nothing to ask, a device comes once in half to one and a half of the time between check-ins.
#[test]
fn check_ins_are_spread_around_their_time() {
    for (random, after) in [(0, 0.5), (u64::MAX / 2, 1.0), (u64::MAX, 1.5)] {
        let mut device = Device::in_service();
        let now = device.now();
        device.machine.handle(challenged(Errand::Time, START), now, random);
        // The report of the trust bundle has a time of its own.
        device.machine.handle(
            Event::TrustFetched { newer: false, validity: Validity::At(START) },
            now,
            u64::MAX,
        );
        let left = device.machine.until_question(&now).unwrap().as_secs_f64();
        let wanted = Pace::DEFAULT.check_in.as_secs_f64() * after;
        assert!((left - wanted).abs() < 1.0, "{left} seconds, not {wanted}");
    }
}
