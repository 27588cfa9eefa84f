//! Renewal over the whole flow, in virtual time: when it takes place, who may ask for it, and what a broker cannot do.

mod support;

use core::time::Duration;

use agent_core::lifecycle::Phase;
use shared::{UnixTime, endpoint};

use support::world::{BUILT, START, World};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A thousand devices that enroll in the same second renew all over the window from 2/3 to 5/6 of their certificates'
/// life: Pearson's chi-squared test against the even distribution, in twenty parts of the window. With 19 degrees of
/// freedom 43.8 is passed by chance once in a thousand times; the seeds are fixed.
#[test]
fn a_thousand_devices_renew_all_over_the_window() {
    const DEVICES: usize = 1000;
    const PARTS: usize = 20;
    let mut parts = [0_usize; PARTS];
    let life = 90 * 86_400;
    let (from, by) = (START + life * 2 / 3, START + life * 5 / 6);
    for seed in 0..DEVICES as u64 {
        let mut world = World::new();
        world.seed = seed + 1;
        let status = world.enroll_once().unwrap();
        let at = status.identity.unwrap().renew_at.as_secs();
        // The certificate began when the answer was made, a moment after the start.
        assert!((from..=by + 60).contains(&at), "device {seed} renews at {at}, outside of {from} to {by}");
        let part = (at - from) * PARTS as u64 / (by + 60 - from);
        parts[usize::try_from(part).unwrap().min(PARTS - 1)] += 1;
    }
    let expected = (DEVICES / PARTS) as f64;
    let chi_squared: f64 = parts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    assert!(chi_squared < 43.8, "chi-squared is {chi_squared:.1} for {parts:?}");
    // As even as a grid would be no good sign either: devices must not be in step. Below 5.4 once in a thousand times.
    assert!(chi_squared > 5.4, "chi-squared is {chi_squared:.1} for {parts:?}");
}

/// Without any word through the broker, a renewal that the server wants takes place within two days by the answer to
/// the device's own check-in; and a check-in costs one question and one login.
#[test]
fn what_the_server_wants_comes_with_its_next_answer() {
    let mut world = World::new();
    world.check_in = DAY;
    world.run_for(DAY * 10);
    let questions = world.asked(endpoint::CHALLENGE);
    assert!((7..=16).contains(&questions), "{questions} questions in ten days");
    assert_eq!(world.count("rotated"), 0, "nobody wants a renewal");
    assert_eq!(world.count("unreachable"), 0);
    world.office.borrow_mut().renewal_wanted = true;
    world.run_for(DAY * 2);
    assert_eq!(world.count("rotated"), 1);
    assert_eq!(world.status().phase, Phase::Operational);
    assert_eq!(world.office.borrow().issued.len(), 2, "once, and no more");
}

/// A server that is away when the device checks in costs nothing but a few questions; the broker is served on.
#[test]
fn a_check_in_that_fails_does_no_harm() {
    let mut world = World::new();
    world.check_in = DAY;
    world.run_for(HOUR);
    world.office.borrow_mut().away = true;
    let (asked, logins) = (world.asked(endpoint::CHALLENGE), world.hall.borrow().logins);
    world.run_for(DAY * 10);
    let asked = world.asked(endpoint::CHALLENGE) - asked;
    assert!((1..=60).contains(&asked), "{asked} questions in ten days");
    let logins = world.hall.borrow().logins - logins;
    assert!(logins <= asked + 1, "{logins} logins for {asked} questions");
    assert_eq!(world.status().phase, Phase::Operational);
}

/// A broker that tells the device to renew every minute, for a month: the certificate authority and the device's flash
/// see a few renewals a day.
#[test]
fn a_hostile_broker_makes_no_storm() {
    let world = World::new();
    for minute in 0..30 * 24 * 60 {
        world.command(60 + minute * 60, br#"{"command":"renew"}"#);
    }
    world.run_for(DAY * 30);
    let issued = world.office.borrow().issued.len();
    assert!((10..=60).contains(&issued), "{issued} certificates in a month");
    assert_eq!(world.count("unreachable"), 0);
}

/// What a device shows with a renewal, here always: a policy that wants it gets it.
#[test]
fn evidence_comes_with_renewals() {
    let world = World::new();
    world.office.borrow_mut().wants_evidence = true;
    world.run_for(DAY * 160);
    let office = world.office.borrow();
    assert!(office.issued.len() >= 3, "{} certificates", office.issued.len());
    assert_eq!(office.with_evidence, office.issued.len() - 1);
}

const YEAR: i64 = 31_556_952;

/// A device that a timer starts, and that is off in between: each run begins with the same faith in the clock.
#[test]
fn a_timer_renews_in_time_whatever_the_clock_says() {
    for wall in [Some(0), None, Some(-(START as i64)), Some(-YEAR), Some(YEAR), Some(20 * YEAR)] {
        let mut world = World::new();
        world.wall = wall;
        world.enroll_once().unwrap();
        world.office.borrow_mut().valid.1 = world.time.real().after(DAY * 300);
        for day in 0..70 {
            world.time.pass(DAY * 3);
            let renewed = world.renew_if_due().unwrap();
            let identity = world.status().identity.unwrap();
            assert!(identity.not_after > world.time.real(), "clock {wall:?}, look {day}");
            assert_eq!(renewed.is_some(), renewed.is_some_and(|s| s.identity.as_ref() == Some(&identity)));
        }
        let issued = world.office.borrow().issued.len();
        assert!((3..=4).contains(&issued), "clock {wall:?}: {issued} certificates in 210 days");
        assert_eq!(world.count("key-made"), issued, "clock {wall:?}: no key for a look");
    }
}

/// What somebody asks for is done in one run, although servers are refused on the word of the clock first.
#[test]
fn a_clock_that_is_far_ahead_does_not_keep_one_run_from_renewing() {
    let mut world = World::new();
    world.wall = Some(20 * YEAR);
    world.enroll_once().unwrap();
    let before = world.time.uptime();
    world.renew_once().unwrap();
    assert_eq!(world.office.borrow().issued.len(), 2);
    let took = world.time.uptime() - before;
    assert!(took < Duration::from_secs(120), "{took:?}: a service manager waits for it");
    assert_eq!(world.count("unreachable"), 6, "three each");

    // A server whose certificate has ended is refused all the same.
    world.office.borrow_mut().valid.1 = UnixTime::from_secs(BUILT - 1);
    world.renew_once().unwrap_err();
    world.renew_if_due().unwrap_err();
    assert_eq!(world.office.borrow().issued.len(), 2);
}

/// A server that is away is asked once.
#[test]
fn a_look_that_finds_no_server_ends() {
    let world = World::new();
    world.enroll_once().unwrap();
    world.office.borrow_mut().away = true;
    world.renew_if_due().unwrap_err();
    assert_eq!(world.count("unreachable"), 1);
}
