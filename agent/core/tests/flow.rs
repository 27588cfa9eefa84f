//! Whole flows of a device against a server and a broker in memory.

mod support;

use core::time::Duration;

use agent_core::flow::{AnswerError, Control, OnceError, RunError};
use agent_core::lifecycle::Phase;
use agent_core::platform::{Record, Slot, StorageError, TransportError};
use agent_core::trust::TrustError;
use agent_core::x509::PathError;
use shared::{Reject, UnixTime, endpoint};
use support::pki;
use support::server::Fault;
use support::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A world whose device reports its trust bundle about once a week.
fn reporting() -> World {
    let mut world = World::new();
    world.trust_check = DAY * 7;
    world
}

#[test]
fn a_blank_device_enrolls_and_publishes() {
    let world = World::new();
    world.run_for(HOUR / 2);
    let diary = world.diary.0.borrow();
    let expected = [
        "started",
        "key-made",
        "challenged",
        "time-learned",
        "enrolled",
        "connecting",
        "broker-accepted",
        "identity-activated",
        "published",
        "published",
        "published",
        "disconnected",
    ];
    assert_eq!(*diary, expected);
    let hall = world.hall.borrow();
    let (topic, status, retained) = &hall.published[0];
    assert_eq!((topic.as_str(), *retained), ("devices/SN-0001/status", true));
    assert!(
        status.starts_with(r#"{"status":"online","device":"SN-0001","certificate_ends":1807776"#),
        "{status}"
    );
    let (topic, telemetry, retained) = &hall.published[1];
    assert_eq!((topic.as_str(), *retained), ("devices/SN-0001/telemetry", false));
    assert!(telemetry.starts_with(r#"{"device":"SN-0001","sequence":1,"uptime":"#), "{telemetry}");
    let (_, farewell, retained) = hall.published.last().unwrap();
    assert!(farewell.starts_with(r#"{"status":"offline""#) && *retained, "a stop is told");
}

#[test]
fn a_year_of_service_renews_in_time_and_erases_each_old_key() {
    let world = reporting();
    world.run_for(DAY * 365);
    // 90 days of life, renewed between day 60 and day 75.
    let issued = world.office.borrow().issued.len();
    assert!((5..=7).contains(&issued), "{issued} certificates in a year");
    assert_eq!(world.hall.borrow().accepted, world.office.borrow().issued, "each was used, in order");
    assert_eq!(world.count("rotated"), issued - 1);
    assert_eq!(world.count("erased"), issued - 1);
    assert_eq!(world.count("unreachable"), 0);
    let reports = world.asked(endpoint::TRUST);
    assert!(
        (35..=105).contains(&reports),
        "{reports} reports of the trust bundle in a year, about one a week"
    );
    assert!(
        world.office.borrow().reports.iter().all(|report| *report == (1, true)),
        "each shows the identity"
    );
    assert_eq!(
        world.hall.borrow().logins,
        issued + reports,
        "one login for each identity and after each report"
    );
}

#[test]
fn a_lost_answer_does_not_lead_to_two_certificates() {
    let world = World::new();
    for fault in [Fault::AnswerLost, Fault::AnswerLost, Fault::Unreachable, Fault::AnswerLost] {
        world.fault(endpoint::ENROLL, fault);
    }
    world.run_for(DAY);
    assert_eq!(world.office.borrow().issued.len(), 1);
    assert_eq!(world.asked(endpoint::CHALLENGE), 1, "the same nonce all the time");
    assert_eq!(world.hall.borrow().accepted.len(), 1);
}

#[test]
fn a_request_held_for_approval_is_repeated_until_it_is_decided() {
    let world = World::new();
    for _ in 0..20 {
        world.fault(endpoint::ENROLL, Fault::Pending(600));
    }
    world.run_for(HOUR);
    assert_eq!(world.status().phase, Phase::Enrolling);
    let asked = world.asked(endpoint::ENROLL);
    assert!((4..=6).contains(&asked), "{asked} questions in an hour");
    // The power fails; the same request goes on afterwards.
    world.run_for(DAY);
    assert_eq!(world.asked(endpoint::CHALLENGE), 1);
    assert_eq!(world.office.borrow().issued.len(), 1);
    assert_eq!(world.status().phase, Phase::Operational);
}

#[test]
fn a_final_refusal_is_asked_about_once_a_day_and_ends_when_the_operator_acts() {
    let world = World::new();
    world.office.borrow_mut().revoked = true;
    world.run_for(DAY * 10);
    let asked = world.asked(endpoint::ENROLL);
    assert!((8..=10).contains(&asked), "{asked} questions in ten days");
    let status = world.status();
    assert_eq!((status.phase, status.last_refusal), (Phase::Stopped, Some(Reject::DeviceRevoked.code())));
    // Starting the device again and again is no way around it.
    for _ in 0..50 {
        world.run_for(Duration::from_secs(60));
    }
    let days = world.time.uptime().as_secs() / 86_400;
    assert!(world.asked(endpoint::ENROLL) as u64 <= days);
    world.office.borrow_mut().revoked = false;
    world.run_for(DAY * 2);
    let status = world.status();
    assert_eq!((status.phase, status.last_refusal), (Phase::Operational, None));
}

#[test]
fn a_server_that_is_away_is_asked_less_and_less_often() {
    let world = World::new();
    world.office.borrow_mut().away = true;
    world.run_for(DAY);
    let asked = world.asked(endpoint::CHALLENGE);
    // Full jitter up to an hour: half an hour on average.
    assert!((30..=90).contains(&asked), "{asked} questions in a day");
    world.office.borrow_mut().away = false;
    world.run_for(HOUR * 2);
    assert_eq!(world.status().phase, Phase::Operational);
}

#[test]
fn a_revoked_device_is_told_why_and_stops() {
    let world = World::new();
    world.run_for(HOUR);
    world.office.borrow_mut().revoked = true;
    world.run_for(HOUR * 6);
    let status = world.status();
    assert_eq!(status.last_refusal, Some(Reject::DeviceRevoked.code()));
    assert!(status.identity.is_some(), "the identity is kept: an operator may think better of it");
    let logins = world.hall.borrow().logins;
    world.run_for(DAY);
    let more = world.hall.borrow().logins - logins;
    assert!(more < 120, "{more} logins in a day");
    world.office.borrow_mut().revoked = false;
    world.run_for(DAY * 2);
    assert_eq!(world.status().phase, Phase::Operational);
}

#[test]
fn a_new_identity_that_the_broker_refuses_is_dropped_and_the_old_one_stays() {
    let world = World::new();
    world.run_for(HOUR);
    let old = world.last_accepted().unwrap();
    // The broker has no trust in whatever comes next.
    world.refuse_next_keys();
    world.run_for(DAY * 76);
    assert!(world.count("trial-failed") >= 1);
    assert_eq!(world.count("rotated"), 0);
    assert_eq!(world.last_accepted(), Some(old));
    let issued = world.office.borrow().issued.len();
    assert!(issued < 40, "{issued} certificates: a broken broker must not use up the CA");
    assert_eq!(world.status().identity.unwrap().slot, Slot::A);
    // The broker is mended.
    world.accept_all_keys();
    world.run_for(DAY * 3);
    assert_eq!(world.last_accepted(), world.office.borrow().issued.last().copied());
    assert_eq!(world.count("rotated"), 1);
}

#[test]
fn answers_that_do_not_fit_are_not_taken() {
    let world = World::new();
    world.fault(endpoint::CHALLENGE, Fault::Garbage);
    world.fault(endpoint::ENROLL, Fault::Garbage);
    world.run_for(HOUR * 2);
    assert_eq!(world.count("bad-answer"), 2);
    assert_eq!(world.status().phase, Phase::Operational);

    for fault in [Fault::OtherKey, Fault::OtherDevice] {
        let world = World::new();
        world.fault(endpoint::ENROLL, fault);
        let result = world.enroll_once();
        assert!(matches!(result, Err(OnceError::Answer(AnswerError::Identity(_)))), "{result:?}");
        assert_eq!(world.storage.get(Record::IdentityA), None);
    }
}

#[test]
fn refusals_lead_where_the_table_says() {
    // A used nonce: a new challenge, the same key.
    let world = World::new();
    world.fault(endpoint::ENROLL, Fault::Refuse(Reject::UsedNonce, None));
    world.run_for(HOUR);
    assert_eq!((world.asked(endpoint::CHALLENGE), world.count("key-made")), (2, 1));
    assert_eq!(world.status().phase, Phase::Operational);

    // A key that is known already: another key.
    let world = World::new();
    world.fault(endpoint::ENROLL, Fault::Refuse(Reject::KeyReused, None));
    world.run_for(HOUR);
    assert_eq!(world.count("key-made"), 2);
    assert_eq!(world.status().phase, Phase::Operational);

    // A server in trouble: the same request, not before the time it asks for.
    let world = World::new();
    world.fault(endpoint::ENROLL, Fault::Refuse(Reject::Unavailable, Some(1800)));
    world.run_for(HOUR / 2);
    assert_eq!(world.asked(endpoint::ENROLL), 1);
    world.run_for(HOUR);
    assert_eq!((world.asked(endpoint::CHALLENGE), world.count("key-made")), (1, 1));
    assert_eq!(world.status().phase, Phase::Operational);

    // A renewal that is not authenticated: enrollment by IDevID.
    let world = World::new();
    world.run_for(HOUR);
    world.fault(endpoint::RENEW, Fault::Refuse(Reject::CertificateRevoked, None));
    world.renew_once().unwrap();
    assert_eq!((world.asked(endpoint::RENEW), world.asked(endpoint::ENROLL)), (1, 2));
    assert_eq!(world.count("rotated"), 1);
}

#[test]
fn a_renewal_that_fails_in_the_handshake_falls_back_to_the_idevid() {
    let world = World::new();
    world.run_for(HOUR);
    for _ in 0..3 {
        world.fault(endpoint::RENEW, Fault::Closed);
    }
    world.run_for(DAY * 76);
    assert_eq!((world.asked(endpoint::RENEW), world.asked(endpoint::ENROLL)), (3, 2));
    assert_eq!(world.count("rotated"), 1);
}

/// A group may hold second enrollments until an operator decides, and nobody does. What closed the connections is over, and the
/// certificate is good: it does not run out.
#[test]
fn a_device_whose_second_enrollment_is_held_renews_when_the_server_takes_its_certificate_again() {
    let world = World::new();
    world.run_for(HOUR);
    for _ in 0..3 {
        world.fault(endpoint::RENEW, Fault::Closed);
    }
    for _ in 0..1_000 {
        world.fault(endpoint::ENROLL, Fault::Pending(3600));
    }
    world.run_for(DAY * 80);
    assert_eq!(world.asked(endpoint::RENEW), 4);
    let held = world.asked(endpoint::ENROLL) - 1;
    assert!((20..=26).contains(&held), "{held} questions in a day");
    assert_eq!((world.count("rotated"), world.office.borrow().issued.len()), (1, 2));
}

/// Found by the simulated year: the CA of a device that was off had been retired meanwhile, so that no connection with its
/// certificate came to anything, not even the question for a nonce.
#[test]
fn a_question_that_fails_with_the_certificate_falls_back_to_the_idevid() {
    let world = World::new();
    world.run_for(DAY * 58);
    world.office.borrow_mut().wants_evidence = true;
    // Some of them meet the daily question whether a renewal is wanted.
    for _ in 0..12 {
        world.fault(endpoint::CHALLENGE, Fault::Closed);
    }
    world.run_for(DAY * 20);
    assert_eq!(world.asked(endpoint::ENROLL), 2);
    assert_eq!(world.count("rotated"), 1);
}

#[test]
fn no_clock_locks_a_device_out() {
    let year = 31_556_952_i64;
    for wall in [None, Some(0), Some(-1_800_000_000), Some(20 * year), Some(-year), Some(year), Some(-10)] {
        let mut world = World::new();
        world.wall = wall;
        world.run_for(DAY);
        let identity = world.status().identity.unwrap();
        assert!(identity.accepted, "clock {wall:?}");
        world.run_for(DAY * 200);
        let issued = world.office.borrow().issued.len();
        assert!((3..=5).contains(&issued), "clock {wall:?}: {issued} certificates in 201 days");
        assert!(world.status().time_floor <= world.time.real(), "clock {wall:?}");
    }
}

#[test]
fn a_device_that_was_off_for_two_years_comes_back() {
    for wall in [None, Some(0)] {
        let mut world = World::new();
        world.wall = wall;
        world.run_for(DAY);
        // Meanwhile its certificate ends, and the server's was replaced more than once.
        world.time.pass(DAY * 730);
        let now = world.time.real();
        world.office.borrow_mut().valid = (now.before(DAY * 10), now.after(DAY * 80));
        world.run_for(HOUR);
        let status = world.status();
        assert_eq!(status.phase, Phase::Operational, "clock {wall:?}");
        assert!(status.identity.unwrap().accepted, "clock {wall:?}");
        assert!(status.time_floor >= now && world.office.borrow().issued.len() == 2, "clock {wall:?}");
    }
}

#[test]
fn a_server_with_a_wrong_clock_neither_poisons_the_floor_nor_is_believed() {
    let mut world = World::new();
    world.wall = None;
    // Twenty years ahead, beyond the end of the server's own certificate.
    world.office.borrow_mut().clock = Some(UnixTime::from_secs(2_430_000_000));
    world.run_for(HOUR);
    assert!(world.status().time_floor < UnixTime::from_secs(1_890_000_000));
    world.office.borrow_mut().clock = None;
    world.run_for(DAY * 2);
    assert_eq!(world.status().phase, Phase::Operational);
    assert!(world.status().time_floor <= world.time.real());
}

#[test]
fn a_server_certificate_that_ended_is_refused_with_and_without_a_clock() {
    for wall in [Some(0), None] {
        let mut world = World::new();
        world.wall = wall;
        world.office.borrow_mut().valid.1 = UnixTime::from_secs(support::world::BUILT - 1);
        world.run_for(DAY);
        assert_eq!(world.status().identity, None, "clock {wall:?}");
        assert_eq!(world.office.borrow().issued.len(), 0);
    }
}

#[test]
fn commands_are_obeyed_and_noise_is_not() {
    let world = World::new();
    world.command(60, br#"{"command":"status"}"#);
    world.command(70, br#"{"command":"explode"}"#);
    world.command(120, br#"{"command":"renew"}"#);
    world.run_for(HOUR);
    assert_eq!((world.count("command"), world.count("command-refused")), (2, 1));
    assert_eq!(world.count("rotated"), 1);
    let statuses =
        world.hall.borrow().published.iter().filter(|(topic, ..)| topic.ends_with("/status")).count();
    assert_eq!(statuses, 4, "birth, command, birth of the new identity, farewell");
}

#[test]
fn a_flood_of_renewal_commands_does_not_flood_the_server() {
    let world = World::new();
    for second in 0..3600 {
        world.command(60 + second, br#"{"command":"renew"}"#);
    }
    world.run_for(HOUR * 3);
    let issued = world.office.borrow().issued.len();
    assert!(issued <= 20, "{issued} certificates in three hours");
}

#[test]
fn a_trust_bundle_is_taken_only_from_its_signer_and_only_forward() {
    let world = World::new();
    world.run_for(HOUR);
    assert_eq!(world.status().trust_number, Some(1));
    let anchor = world.office.borrow().ca.der.clone();
    for (bundle, number) in [
        (pki::bundle(2, &[&anchor], &pki::key(9), &pki::key(9)), 1),
        (pki::bundle(5, &[&anchor], &pki::key(250), &pki::key(9)), 5),
        (pki::bundle(4, &[&anchor], &pki::key(9), &pki::key(9)), 5),
        (pki::bundle(6, &[&anchor], &pki::key(250), &pki::key(250)), 5),
        (pki::bundle(6, &[&anchor], &pki::key(9), &pki::key(250)), 6),
    ] {
        world.office.borrow_mut().bundle = bundle;
        world.renew_once().unwrap();
        assert_eq!(world.status().trust_number, Some(number));
    }
    assert_eq!((world.count("trust-changed"), world.count("trust-refused")), (2, 3));
}

#[test]
fn a_random_generator_that_fails_makes_no_key() {
    let world = World::new();
    let control = world.control_for(HOUR);
    let mut agent = world.boot();
    agent.world_mut().rng.broken = true;
    world.drive(agent.run(&control)).unwrap().unwrap();
    assert_eq!(world.storage.get(Record::KeyA), None);
    assert_eq!(world.asked(endpoint::ENROLL), 0);
    let failures = world.count("key-failed");
    assert!((3..=60).contains(&failures), "{failures} attempts in an hour: paced without randomness, too");
    drop(agent);
    world.run_for(HOUR);
    assert_eq!(world.status().phase, Phase::Operational);
}

#[test]
fn a_full_storage_loses_nothing_and_the_device_goes_on_when_there_is_room() {
    let world = World::new();
    world.storage.0.borrow_mut().failing = Some(StorageError::Full);
    world.run_for(HOUR);
    assert!(world.count("key-failed") > 2);
    assert_eq!(world.office.borrow().issued.len(), 0, "no request without a durable key");
    world.storage.0.borrow_mut().failing = None;
    world.run_for(HOUR);
    assert_eq!(world.office.borrow().issued.len(), 1);
    // Full again when the renewal is due: the device stays connected with what it has.
    world.storage.0.borrow_mut().failing = Some(StorageError::Full);
    world.run_for(DAY * 80);
    assert_eq!(world.office.borrow().issued.len(), 1);
    assert_eq!(world.status().phase, Phase::Renewing);
    world.storage.0.borrow_mut().failing = None;
    world.run_for(DAY);
    assert_eq!(world.count("rotated"), 1);
}

#[test]
fn a_year_in_a_warehouse_is_survived() {
    for wall in [None, Some(0)] {
        let mut world = World::new();
        world.wall = wall;
        world.run_for(HOUR);
        world.time.pass(DAY * 400);
        world.run_for(HOUR);
        assert_eq!(world.status().phase, Phase::Operational, "clock {wall:?}");
        assert_eq!(world.asked(endpoint::RENEW), 1);
    }
}

#[test]
fn a_broker_outage_does_not_become_a_storm_at_the_server() {
    let silent = [TransportError::Unreachable, TransportError::TurnedAway];
    for error in silent.into_iter().chain([TransportError::Closed, TransportError::Tls]) {
        let world = World::new();
        world.run_for(HOUR);
        for _ in 0..200 {
            world.hall.borrow_mut().faults.push_back(error);
        }
        world.run_for(HOUR * 6);
        let (logins, renewals) = (world.hall.borrow().logins, world.asked(endpoint::RENEW));
        assert!((30..=200).contains(&logins), "{error:?}: {logins} logins in six hours");
        assert!(renewals <= if silent.contains(&error) { 0 } else { 4 }, "{error:?}: {renewals}");
        assert_eq!(world.status().identity.map(|identity| identity.accepted), Some(true));
    }
}

#[test]
fn a_broker_that_names_the_reason_is_asked_about_at_once() {
    let world = World::new();
    world.run_for(HOUR);
    world.hall.borrow_mut().faults.push_back(TransportError::Refused(0x87));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.asked(endpoint::RENEW), 1);
    assert_eq!(world.count("rotated"), 1);
}

#[test]
fn a_busy_broker_is_not_taken_for_a_refusal() {
    let world = World::new();
    world.run_for(HOUR);
    for _ in 0..30 {
        // Server busy.
        world.hall.borrow_mut().faults.push_back(TransportError::Refused(0x89));
    }
    world.run_for(HOUR * 12);
    assert_eq!(world.asked(endpoint::RENEW), 0);
    assert_eq!(world.status().phase, Phase::Operational);
}

#[test]
fn single_steps_report_and_reset_forgets_all_but_trust_and_time() {
    let world = World::new();
    assert_eq!(world.renew_once().unwrap_err(), OnceError::NotEnrolled);
    world.office.borrow_mut().away = true;
    assert_eq!(world.enroll_once().unwrap_err(), OnceError::Transport(TransportError::Unreachable));
    world.office.borrow_mut().away = false;
    world.fault(endpoint::ENROLL, Fault::Pending(600));
    assert_eq!(world.enroll_once().unwrap_err(), OnceError::Pending);
    world.fault(endpoint::ENROLL, Fault::Refuse(Reject::NotInInventory, None));
    assert_eq!(world.enroll_once().unwrap_err(), OnceError::Refused { code: 60 });
    let status = world.enroll_once().unwrap();
    assert_eq!(status.phase, Phase::OnTrial);
    let identity = status.identity.unwrap();
    assert_eq!((identity.slot, identity.serial.as_slice(), identity.accepted), (Slot::A, &[1][..], false));
    assert_eq!(
        world.enroll_once().unwrap().identity.unwrap().serial.as_slice(),
        [1],
        "nothing is asked again"
    );
    let status = world.renew_once().unwrap();
    assert_eq!(status.phase, Phase::Operational);
    assert_eq!(status.identity.unwrap().serial.as_slice(), [2]);
    assert_eq!(world.storage.get(Record::KeyA), None, "the first key is gone");

    let floor = status.time_floor;
    world.drive(world.boot().reset()).unwrap().unwrap();
    let status = world.status();
    assert_eq!((status.phase, status.identity, status.time_floor), (Phase::Unenrolled, None, floor));
    for record in [Record::KeyA, Record::KeyB, Record::IdentityA, Record::IdentityB] {
        assert_eq!(world.storage.get(record), None);
    }
}

#[test]
fn a_renewal_that_the_broker_does_not_take_is_reported_and_harmless() {
    let world = World::new();
    world.run_for(HOUR);
    world.refuse_next_keys();
    assert!(matches!(world.renew_once(), Err(OnceError::Broker(TransportError::Closed))));
    let status = world.status();
    assert_eq!(status.phase, Phase::OnTrial);
    assert_eq!(status.identity.unwrap().serial.as_slice(), [1]);
    assert_eq!(status.candidate.unwrap().serial.as_slice(), [2]);
}

#[test]
fn a_one_time_token_enrolls_and_renewals_do_without() {
    let world = World::new();
    world.office.borrow_mut().wants_token = Some("a-one-time-token".into());
    let control = world.control_for(DAY * 76);
    let mut agent = world.boot_with_token("a-one-time-token");
    world.drive(agent.run(&control)).unwrap().unwrap();
    assert_eq!(world.asked(endpoint::CHALLENGE), 1, "no evidence, no nonce in a renewal");
    assert_eq!(world.count("rotated"), 1);

    let world = World::new();
    world.office.borrow_mut().wants_token = Some("a-one-time-token".into());
    let control = world.control_for(DAY);
    let mut agent = world.boot_with_token("a-guess");
    let result = world.drive(agent.enroll_once(&control)).unwrap();
    assert_eq!(result.unwrap_err(), OnceError::Refused { code: Reject::BadToken.code() });
}

#[test]
fn without_a_trust_bundle_nothing_runs() {
    let mut world = World::new();
    world.provision(Vec::new());
    let result = world.drive(world.boot().run(&Control::new())).unwrap();
    assert_eq!(result, Err(RunError::Trust(TrustError::Missing)));
    world.provision(b"no bundle".to_vec());
    let result = world.drive(world.boot().run(&Control::new())).unwrap();
    assert!(matches!(result, Err(RunError::Trust(TrustError::Message(_)))), "{result:?}");
    assert_eq!(world.office.borrow().log.len(), 0);
}

#[test]
fn futures_and_agent_stay_small() {
    let world = World::new();
    let control = Control::new();
    let mut agent = world.boot();
    let agent_size = size_of_val(&agent);
    assert!(agent_size < 20 * 1024, "the agent takes {agent_size} bytes");
    let future_size = size_of_val(&agent.run(&control));
    println!("agent {agent_size}, future {future_size}");
    assert!(future_size < 6 * 1024, "the run future takes {future_size} bytes");
}

#[test]
fn a_device_without_a_clock_serves_while_the_server_is_away() {
    let mut world = World::new();
    world.wall = None;
    world.run_for(HOUR);
    world.office.borrow_mut().away = true;
    let published = world.hall.borrow().published.len();
    world.run_for(DAY);
    assert!(world.hall.borrow().published.len() > published + 20);
    assert!(world.asked(endpoint::CHALLENGE) < 30, "the time is asked for, but not all the time");
    // When the server is back, the device learns the time and renews when it should.
    world.office.borrow_mut().away = false;
    world.run_for(DAY * 80);
    assert_eq!(world.count("rotated"), 1);
}

#[test]
fn a_broker_under_another_ca_is_reached_after_the_new_bundle_is_fetched() {
    let world = reporting();
    world.run_for(HOUR);
    let anchor = world.office.borrow().ca.der.clone();
    world.office.borrow_mut().bundle = pki::bundle(2, &[&anchor], &pki::key(250), &pki::key(250));
    let error = TransportError::Certificate(PathError::UnknownIssuer);
    world.hall.borrow_mut().faults.push_back(error);
    world.run_for(HOUR);
    assert_eq!(world.asked(endpoint::RENEW), 0);
    assert_eq!(world.office.borrow().reports, [(1, true), (2, true)], "what it took is confirmed at once");
    assert_eq!(world.status().trust_number, Some(2));
    assert_eq!(world.hall.borrow().logins, 3);
    // An impostor that stays does not make the device ask for bundles all the time.
    world.hall.borrow_mut().faults.extend([error; 500]);
    world.run_for(DAY);
    assert!(world.asked(endpoint::TRUST) < 30);
}

/// A device that was away for two bundles takes the newest at once where one key signed them all, and one after the
/// other where the key was changed in between.
#[test]
fn a_device_that_missed_bundles_catches_up() {
    for rotated in [false, true] {
        let world = reporting();
        world.run_for(HOUR);
        let anchor = world.office.borrow().ca.der.clone();
        let (old, new) = (pki::key(250), if rotated { pki::key(251) } else { pki::key(250) });
        let second = pki::bundle(2, &[&anchor], &old, &new);
        let third = pki::bundle(3, &[&anchor], &new, &new);
        let mut office = world.office.borrow_mut();
        office.bundle = third;
        if rotated {
            office.before = vec![(2, second)];
        }
        drop(office);
        world.run_for(DAY * 11);
        assert_eq!(world.status().trust_number, Some(3));
        let reports = world.office.borrow().reports.clone();
        let wanted: &[(u64, bool)] =
            if rotated { &[(1, true), (2, true), (3, true)] } else { &[(1, true), (3, true)] };
        assert!(reports.starts_with(wanted), "{reports:?}");
        assert_eq!(world.count("trust-refused"), 0);
    }
}

/// The rule that holds this up: without the bundle between, the one after a change of signers is refused.
#[test]
fn a_bundle_of_a_signer_that_was_never_named_is_refused() {
    let world = reporting();
    world.run_for(HOUR);
    let anchor = world.office.borrow().ca.der.clone();
    world.office.borrow_mut().bundle = pki::bundle(3, &[&anchor], &pki::key(251), &pki::key(251));
    world.run_for(DAY * 11);
    assert_eq!(world.status().trust_number, Some(1));
    assert!(world.count("trust-refused") > 0);
    assert_eq!(world.status().phase, Phase::Operational);
}

#[test]
fn a_command_makes_the_device_ask_for_its_trust_bundle_within_the_hour() {
    let world = reporting();
    world.run_for(HOUR);
    world.hall.borrow_mut().commands.push_back((HOUR, br#"{"command":"trust"}"#.to_vec()));
    world.run_for(HOUR * 2);
    assert_eq!(world.office.borrow().reports, [(1, true)]);
    assert_eq!((world.asked(endpoint::RENEW), world.count("rotated")), (0, 0));
}

#[test]
fn a_key_that_rots_while_the_device_runs_is_replaced_by_way_of_the_idevid() {
    let world = World::new();
    world.run_for(HOUR);
    let control = world.control_for(DAY * 10);
    let mut agent = world.boot();
    world.hall.borrow_mut().patience = Some(DAY);
    // The record goes bad after the agent has started with it.
    world.storage.0.borrow_mut().rots_at = Some(Record::KeyA);
    world.drive(agent.run(&control)).unwrap().unwrap();
    assert_eq!(world.asked(endpoint::ENROLL), 2);
    assert_eq!(world.count("rotated"), 1);
    assert_eq!(world.status().phase, Phase::Operational);
}
