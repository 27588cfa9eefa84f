//! The bounds hold, and the defects that they are there to find break them.
//!
//! The long form is `firmware-sim storm --devices 1000000`: see docs/storms.md.

use super::{Plant, Report, Scenario, StormOptions, run};

/// 2,500 a second come back, and there are 2,000 handshakes a second.
const SHORT_OF_HANDSHAKES: u32 = 150_000;

fn storm(scenario: Scenario, devices: u32, plant: Option<Plant>) -> Report {
    run(&StormOptions { scenario, devices, capacity: None, seed: 7, plant }, |_| {})
}

/// The short form of what docs/storms.md shows for a million: certificates that end in the same second, and no server
/// for the first six hours of their renewal window.
#[test]
fn a_hundred_thousand_that_end_in_the_same_second_are_all_renewed() {
    let report = storm(Scenario::Expiry, 100_000, None);
    assert!(report.is_good(), "{:#?}", report.violations);
    assert_eq!((report.done, report.locked_out, report.ran_out), (100_000, 0, 0));
    assert!(report.in_vain > 1_000, "many came while the server was away");
    assert!(report.last_served <= 1.5 * report.fleet_over_capacity);
    assert!(report.attempts_per_success <= 1.2, "{}", report.attempts_per_success);
}

#[test]
fn every_storm_passes_within_its_bounds() {
    for scenario in Scenario::ALL {
        let report = storm(scenario, 4_000, None);
        assert!(report.is_good(), "{scenario:?}: {:#?}", report.violations);
        assert_eq!(report.done, 4_000, "{scenario:?}");
        assert!(report.peak_per_second <= report.capacity_per_second, "{scenario:?}");
    }
}

#[test]
fn a_seed_gives_the_same_storm_again() {
    let told = |seed| {
        let options =
            StormOptions { scenario: Scenario::Power, devices: 2_000, capacity: None, seed, plant: None };
        let mut text = Vec::new();
        run(&options, |_| {}).tell(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

/// More come at once than the server has handshakes for: to devices that it closes upon it says nothing.
#[test]
fn connections_that_are_closed_at_once_make_nobody_give_renewal_up() {
    let report = storm(Scenario::Power, SHORT_OF_HANDSHAKES, None);
    assert!(report.is_good(), "{:#?}", report.violations);
    assert!(report.closed > u64::from(SHORT_OF_HANDSHAKES) / 2, "{} were closed", report.closed);
    let report = storm(Scenario::Power, SHORT_OF_HANDSHAKES, Some(Plant::TakenForRefusal));
    let told = report.violations.iter().any(|violation| violation.contains("gave renewal up"));
    assert!(told, "{report:#?}");
}

fn found(scenario: Scenario, plant: Plant, text: &str) {
    let report = storm(scenario, 4_000, Some(plant));
    let told = report.violations.iter().any(|violation| violation.contains(text));
    assert!(told, "{plant:?} in {scenario:?} was not found: {report:#?}");
}

/// What the server said before it told each its own time.
#[test]
fn a_server_that_tells_all_the_same_time_is_found() {
    found(Scenario::Power, Plant::SameTime, "attempts for one success");
}

#[test]
fn a_server_that_says_nothing_is_found() {
    found(Scenario::Power, Plant::NoTime, "attempts for one success");
}

#[test]
fn a_server_that_turns_nobody_away_is_found() {
    for scenario in [Scenario::Power, Scenario::Outage] {
        found(scenario, Plant::AdmitsAll, "requests began in");
    }
}

#[test]
fn devices_that_give_up_for_the_day_are_found() {
    found(Scenario::Power, Plant::GivesUp, "too late");
    // Certificates that live for two days do not survive that.
    found(Scenario::Outage, Plant::GivesUp, "ran out");
}
