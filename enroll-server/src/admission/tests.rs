//! Nobody who behaves is turned away for good, nobody who does not takes more than its share, and all counts come back.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use proptest::prelude::*;
use shared::DeviceId;

use super::{Admission, AdmissionLimits, Asking, Busy, Full, Kind, Later, Load, Place, Rank, Source, window};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn site(number: u64) -> Source {
    Source::from(IpAddr::V6(Ipv6Addr::from_bits(u128::from(number) << 64)))
}

fn renewal(device: &DeviceId, left: Duration) -> Asking<'_> {
    let (kind, place) = (Kind::Beginning, Place::Ordinary);
    Asking { kind, place, identity: Some(device), left: Some(left), by_token: false }
}

const fn stranger() -> Asking<'static> {
    let (kind, place) = (Kind::Beginning, Place::Ordinary);
    Asking { kind, place, identity: None, left: None, by_token: false }
}

fn admission(change: impl FnOnce(&mut AdmissionLimits)) -> Admission {
    let mut limits = AdmissionLimits::default();
    change(&mut limits);
    Admission::new(limits)
}

fn devices(count: u32) -> Vec<DeviceId> {
    (0..count).map(|number| DeviceId::new(&format!("SN-{number}")).unwrap()).collect()
}

#[test]
fn one_address_takes_its_share_and_no_more() {
    let mut admission = admission(|limits| (limits.connections, limits.per_address) = (10, 4));
    for _ in 0..4 {
        assert_eq!(admission.connect(site(1), SECOND), Ok(Place::Ordinary));
    }
    assert_eq!(admission.connect(site(1), SECOND), Err(Full::Address));
    assert_eq!(admission.connect(site(2), SECOND), Ok(Place::Ordinary));
    admission.disconnected(site(1));
    assert_eq!(admission.connect(site(1), SECOND), Ok(Place::Ordinary));
}

#[test]
fn in_the_reserve_only_those_are_served_who_cannot_wait() {
    let mut admission = admission(|limits| (limits.connections, limits.reserve) = (2, 1));
    let places: Vec<_> = (0..4).map(|number| admission.connect(site(number), SECOND)).collect();
    assert_eq!(
        places,
        [Ok(Place::Ordinary), Ok(Place::Ordinary), Ok(Place::Reserve), Err(Full::Connections)]
    );
    let device = &devices(1)[0];
    let asking = |left| Asking { place: Place::Reserve, ..renewal(device, left) };
    let refused = admission.request(&asking(DAY), SECOND).unwrap_err();
    assert_eq!(refused.reason, Busy::Requests);
    assert_eq!(admission.request(&asking(Duration::from_secs(1_800)), SECOND), Ok(()));
    assert!(admission.request(&asking(Duration::ZERO), SECOND).is_err(), "what has ended can wait");
}

#[test]
fn handshakes_under_way_are_few_whatever_the_places() {
    let mut admission = admission(|limits| limits.handshakes = 3);
    for number in 0..3 {
        assert!(admission.connect(site(number), SECOND).is_ok());
    }
    assert_eq!(admission.connect(site(9), SECOND), Err(Full::Handshakes));
    admission.handshaken();
    assert!(admission.connect(site(9), SECOND).is_ok());
}

#[test]
fn those_turned_away_are_told_times_at_which_they_are_served() {
    let mut admission = admission(|limits| limits.rate = Some("100/s".parse().unwrap()));
    let devices = devices(3_000);
    let mut told = Vec::new();
    let mut served = 0;
    for device in &devices {
        match admission.request(&renewal(device, DAY), SECOND) {
            Ok(()) => {
                admission.answered(Rank::Proven);
                served += 1;
            }
            Err(Later { reason, after }) => {
                assert_eq!(reason, Busy::Rate);
                told.push((SECOND + after, device));
            }
        }
    }
    assert_eq!(served, 10, "a tenth of a second's");
    assert!(told.is_sorted_by_key(|(at, _)| *at), "the first come first");
    for (at, device) in &told {
        assert_eq!(admission.request(&renewal(device, DAY), *at), Ok(()), "{device} at {at:?}");
        admission.answered(Rank::Proven);
    }
    let last = told.last().unwrap().0;
    assert!(last < Duration::from_secs(30) * 3 / 2, "within 1.5 N / capacity: {last:?}");
}

#[test]
fn a_renewal_that_would_run_out_until_then_is_served_now() {
    let mut admission = admission(|limits| limits.rate = Some("10/s".parse().unwrap()));
    let devices = devices(20_000);
    // So many that the last would come after half an hour.
    for device in &devices {
        let _turned_away = admission.request(&renewal(device, DAY), SECOND);
    }
    let device = &devices[0];
    assert_eq!(admission.request(&renewal(device, Duration::from_secs(1_500)), SECOND), Ok(()));
    assert!(admission.request(&renewal(device, Duration::from_secs(7_200)), SECOND).is_err());
}

#[test]
fn who_proved_nothing_never_takes_the_place_of_who_did() {
    let mut admission = admission(|limits| limits.rate = Some("100/s".parse().unwrap()));
    let (devices, mut now) = (devices(200), SECOND);
    let (mut served, mut strangers) = (0, 0);
    // A flood of strangers, and devices at half the rate, for ten seconds.
    for step in 0..10_000_u64 {
        now += Duration::from_millis(1);
        strangers += u32::from(admission.request(&stranger(), now).is_ok());
        if step % 20 == 0 {
            let device = &devices[usize::try_from(step / 20 % 200).unwrap()];
            assert_eq!(admission.request(&renewal(device, DAY), now), Ok(()), "at {now:?}");
            served += 1;
        }
    }
    assert_eq!(served, 500);
    assert!((350..=420).contains(&strangers), "the strangers get what is left: {strangers}");
}

#[test]
fn places_and_bodies_are_halved_for_who_proved_nothing() {
    let mut admission =
        admission(|limits| (limits.requests, limits.reserve, limits.bodies) = (10, 2, 1 << 20));
    let (devices, minutes) = (devices(20), Duration::from_secs(1_200));
    // As slow as a request may be, so that none ends in between.
    let strangers = (0..100).filter(|_| admission.request(&stranger(), SECOND).is_ok()).count();
    assert_eq!(strangers, 5);
    let by_token = Asking { by_token: true, ..stranger() };
    assert_eq!(admission.request(&by_token, SECOND), Ok(()), "an operator is not shut out");
    let served = devices.iter().filter(|device| admission.request(&renewal(device, DAY), SECOND).is_ok());
    assert_eq!(served.count(), 4);
    let urgent = devices.iter().filter(|device| admission.request(&renewal(device, minutes), SECOND).is_ok());
    assert_eq!(urgent.count(), 2, "the reserve");

    let longest = super::MAX_REQUEST_LARGE;
    let mut takes = |rank| (0..100).filter(|_| admission.body(longest, rank).is_ok()).count();
    assert_eq!([Rank::Unproven, Rank::Proven, Rank::Urgent].map(&mut takes), [8, 8, 2]);
    (0..8).for_each(|_| admission.body_gone(longest, Rank::Unproven));
    let mut takes = |rank| (0..100).filter(|_| admission.body(longest, rank).is_ok()).count();
    assert_eq!(
        [Rank::Unproven, Rank::Proven].map(&mut takes),
        [6, 0],
        "what the urgent took is not given twice"
    );
}

#[test]
fn a_nonce_is_good_for_a_few_requests_and_not_for_all() {
    let mut admission = admission(|limits| limits.rate = Some("10/s".parse().unwrap()));
    assert_eq!((0..100).filter(|_| admission.sequel(&[1; 32], SECOND)).count(), 6);
    assert!(admission.sequel(&[2; 32], SECOND), "another one is not concerned");
    // A device whose answers are lost asks again later and later.
    assert!((1..10).all(|times| admission.sequel(&[1; 32], SECOND + Duration::from_secs(11) * times)));
}

#[test]
fn without_a_rate_times_are_forgotten_too() {
    let mut admission = admission(|limits| limits.requests = 1);
    assert_eq!(admission.request(&stranger(), SECOND), Ok(()));
    for _ in 0..100_000 {
        let _turned_away = admission.request(&stranger(), SECOND);
    }
    let wait = |admission: &mut Admission, now| admission.request(&stranger(), now).unwrap_err().after;
    assert!(wait(&mut admission, SECOND) > Duration::from_secs(1_800));
    assert!(wait(&mut admission, SECOND * 29) > Duration::from_secs(1_800));
    assert!(wait(&mut admission, SECOND * 60) <= Duration::from_secs(1));
}

/// Anybody can ask at a path that wants a token: what is told there is nobody's turn.
#[test]
fn a_flood_at_paths_that_want_a_token_moves_no_devices_turn() {
    let mut admission = admission(|limits| (limits.connections, limits.reserve) = (1, 1_000));
    let device = &devices(1)[0];
    let flood = Asking { place: Place::Reserve, by_token: true, ..stranger() };
    for _ in 0..100_000 {
        assert_eq!(admission.request(&flood, SECOND).unwrap_err().after, Duration::from_secs(5));
    }
    let asking = Asking { place: Place::Reserve, ..renewal(device, DAY) };
    assert_eq!(admission.request(&asking, SECOND).unwrap_err().after, Duration::from_secs(1));
}

#[test]
fn where_there_is_no_place_nobody_is_told_a_time_at_which_its_certificate_has_ended() {
    let mut admission = admission(|limits| limits.longest_wait = DAY);
    let device = &devices(1)[0];
    let asking = |left| Asking { place: Place::Reserve, ..renewal(device, left) };
    for _ in 0..3_000_000 {
        let _turned_away = admission.request(&asking(DAY * 90), SECOND);
    }
    let mut wait = |left| admission.request(&asking(left), SECOND).unwrap_err().after;
    assert!(wait(DAY * 90) > Duration::from_secs(50_000));
    assert_eq!(
        wait(Duration::from_secs(10_800)),
        Duration::from_secs(10_200),
        "three hours less ten minutes"
    );
    assert!(wait(Duration::ZERO) > Duration::from_secs(50_000), "what has ended can wait");
}

#[test]
fn times_that_nobody_came_for_are_forgotten() {
    let mut admission = admission(|limits| limits.rate = Some("1/s".parse().unwrap()));
    for _ in 0..100_000 {
        let _turned_away = admission.request(&stranger(), SECOND);
    }
    let later = SECOND + Duration::from_secs(200);
    for _ in 0..5 {
        assert_eq!(admission.request(&stranger(), later), Ok(()));
    }
    let wait = admission.request(&stranger(), later).unwrap_err().after;
    assert!(wait <= Duration::from_secs(2), "{wait:?}");
}

#[test]
fn one_device_that_asks_without_end_is_slowed_down_and_the_others_are_not() {
    let mut admission = admission(|limits| limits.identity_rate = Some("60/m".parse().unwrap()));
    let devices = devices(2);
    let asks = (0..1_000).filter(|_| admission.request(&renewal(&devices[0], DAY), SECOND).is_ok()).count();
    assert_eq!(asks, 60);
    assert_eq!(admission.request(&renewal(&devices[1], DAY), SECOND), Ok(()));
}

#[test]
fn a_group_has_its_own_rate_which_does_not_hold_up_what_runs_out() {
    let mut admission = admission(|limits| {
        limits.group_rate = Some("5/s".parse().unwrap());
        limits.groups.insert("pilot".parse().unwrap(), "1/m".parse().unwrap());
    });
    let (lot, pilot) = ("lot-7".parse().unwrap(), "pilot".parse().unwrap());
    assert_eq!((0..50).filter(|_| admission.group(&lot, None, SECOND).is_ok()).count(), 5);
    assert_eq!(admission.group(&pilot, Some(DAY), SECOND), Ok(()));
    let later = admission.group(&pilot, Some(DAY), SECOND).unwrap_err();
    assert_eq!((later.reason, later.after), (Busy::Group, Duration::from_secs(60)));
    assert_eq!(admission.group(&pilot, Some(SECOND), SECOND), Ok(()));
}

#[test]
fn tables_do_not_grow_whoever_comes() {
    let mut admission = admission(|_| {});
    for number in 0..200_000_u64 {
        // A thousand years of connections would be needed to come this far on the network.
        let now = SECOND * u32::try_from(number / 1_000).unwrap();
        assert!(admission.connect(site(number), now).is_ok());
        admission.handshaken();
        admission.disconnected(site(number));
    }
    assert!(admission.sources.len() <= super::SOURCES + 2_200);
    for device in &devices(200_000) {
        assert_eq!(admission.request(&renewal(device, DAY), SECOND), Ok(()));
        admission.answered(Rank::Proven);
    }
    assert!(admission.identities.len() <= super::IDENTITIES);
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Step {
    Connect(u64),
    EndOldest,
    Ask { device: usize, left: u64 },
    AnswerOne,
    Body(usize, Rank),
    BodyGone,
    Wait(u64),
}

fn rank() -> impl Strategy<Value = Rank> {
    prop::sample::select(vec![Rank::Unproven, Rank::Proven])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..6).prop_map(Step::Connect),
        Just(Step::EndOldest),
        (0_usize..12, 0_u64..200_000).prop_map(|(device, left)| Step::Ask { device, left }),
        Just(Step::AnswerOne),
        (0_usize..5_000, rank()).prop_map(|(bytes, rank)| Step::Body(bytes, rank)),
        Just(Step::BodyGone),
        (0_u64..3_000).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever comes: no cap is passed, every wait is bounded, and when all have gone nothing is left.
    #[test]
    fn caps_hold_and_everything_comes_back(steps in prop::collection::vec(step(), 1..400)) {
        let mut admission = admission(|limits| {
            (limits.connections, limits.reserve, limits.per_address, limits.handshakes) = (8, 2, 4, 6);
            (limits.requests, limits.bodies) = (5, 10_000);
            limits.rate = Some("20/s".parse().unwrap());
            limits.longest_wait = Duration::from_secs(600);
        });
        let devices = devices(8);
        let (mut open, mut asked, mut bodies, mut now) = (Vec::new(), Vec::new(), Vec::new(), SECOND);
        for step in steps {
            match step {
                Step::Connect(number) => if admission.connect(site(number), now).is_ok() { open.push(number); },
                Step::EndOldest => if !open.is_empty() {
                    admission.handshaken();
                    admission.disconnected(site(open.remove(0)));
                },
                Step::Ask { device, left } => {
                    let asking = match devices.get(device) {
                        Some(device) => renewal(device, Duration::from_secs(left)),
                        None => stranger(),
                    };
                    match admission.request(&asking, now) {
                        Ok(()) => asked.push(asking.rank()),
                        Err(later) => {
                            prop_assert!(later.after <= Duration::from_secs(601), "{later:?}");
                            prop_assert!(!later.after.is_zero());
                        }
                    }
                }
                Step::AnswerOne => if let Some(rank) = asked.pop() { admission.answered(rank); },
                Step::Body(bytes, rank) => if admission.body(bytes, rank).is_ok() { bodies.push((bytes, rank)); },
                Step::BodyGone => if let Some((bytes, rank)) = bodies.pop() { admission.body_gone(bytes, rank); },
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            let load = admission.load();
            prop_assert_eq!(load.connections, open.len());
            prop_assert!(load.connections <= 10 && load.handshakes <= 6 && load.bodies <= 10_000);
            prop_assert!(load.requests == asked.len() && asked.len() <= 7);
            prop_assert!(asked.iter().filter(|rank| **rank == Rank::Unproven).count() <= 3);
        }
        for number in open { admission.handshaken(); admission.disconnected(site(number)); }
        for rank in asked { admission.answered(rank); }
        for (bytes, rank) in bodies { admission.body_gone(bytes, rank); }
        prop_assert_eq!(admission.load(), Load::default());
    }

    /// No window sees more served than the rate, where nothing is about to run out.
    #[test]
    fn the_rate_holds_in_every_window(rate in 1_u32..300, pauses in prop::collection::vec(0_u64..30, 100..1_500)) {
        let rate: crate::store::Rate = format!("{rate}/s").parse().unwrap();
        let mut admission = admission(|limits| limits.rate = Some(rate));
        let (device, mut now, mut served) = (&devices(1)[0], SECOND, Vec::new());
        for pause in pauses {
            now += Duration::from_millis(pause);
            if admission.request(&Asking { identity: (pause % 2 == 0).then_some(device), ..stranger() }, now).is_ok() {
                admission.answered(Rank::Proven);
                served.push(now);
            }
        }
        let window = window(rate);
        let most = window.as_nanos() * u128::from(rate.count().get()) / rate.period().as_nanos();
        for (index, begin) in served.iter().enumerate() {
            let within = served[index..].iter().take_while(|at| **at < *begin + window).count();
            prop_assert!(within as u128 <= most, "{within} in {window:?}");
        }
    }
}
