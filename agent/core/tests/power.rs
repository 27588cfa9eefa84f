//! Power cuts: at every write of a device's first enrollment, renewal and reset, and again at every write of the
//! recovery. After each cut the device boots into exactly one working identity, and in the end it has the same
//! as without any cut: as many certificates, one key.

#![expect(clippy::unwrap_used, reason = "a failed assumption fails the test")]

mod support;

use core::time::Duration;

use agent_core::keystore::{SoftKeyStore, Unwrapped};
use agent_core::platform::{KeyStore as _, Record, SigningKey as _, Slot, StorageError};
use agent_core::slots::{self, Identity, identity_record};
use shared::{DeviceId, UnixTime};
use support::storage::Cut;
use support::world::World;

/// Enrolls, and renews once: between day 60 and day 75 of 90.
const SCENARIO: Duration = Duration::from_secs(80 * 86_400);

#[test]
fn without_a_cut_it_takes_so_many_writes() {
    let world = World::new();
    assert_eq!(whole_life(&world), [false]);
    // Enrollment: the vacant slot erased (two records), key, request, identity, issued, accepted. Renewal: the same, and then
    // the old key and certificate erased.
    assert_eq!(world.storage.0.borrow().operations, 16);
    at_the_end(&world).unwrap();
}

#[test]
fn a_cut_at_any_write_is_survived() {
    for cut in every_cut() {
        let world = World::new();
        world.storage.cut(Some(cut));
        let died = whole_life(&world);
        if died == [false] {
            assert!(cut.at > 16, "{cut:?} was not reached");
            return;
        }
        at_the_end(&world).unwrap_or_else(|violation| panic!("{cut:?}: {violation}"));
    }
    panic!("the cuts never ended");
}

#[test]
fn a_cut_at_any_write_and_another_at_any_write_of_the_recovery_are_survived() {
    let mut pairs = 0;
    for first in every_cut().take_while(|cut| cut.at <= 16) {
        for second in every_cut() {
            let world = World::new();
            world.storage.cut(Some(first));
            world.run_for(SCENARIO);
            after_a_cut(&world).unwrap_or_else(|violation| panic!("{first:?}: {violation}"));
            world.storage.cut(Some(second));
            let died = whole_life(&world);
            at_the_end(&world).unwrap_or_else(|violation| panic!("{first:?}, {second:?}: {violation}"));
            pairs += 1;
            if died == [false] {
                break;
            }
        }
    }
    assert!(pairs > 300, "{pairs} pairs");
}

/// The disk is full from the moment at which the broker takes the new identity: nothing can be written down any more. The device is
/// at work all the same, before and after a start, with the new identity, and has it written down as soon as there is room.
#[test]
fn a_disk_that_is_full_when_the_broker_accepts_takes_nobody_off_the_broker() {
    let world = World::new();
    // The fourteenth write says that the new identity was accepted.
    world.storage.cut(Some(Cut { at: 14, done: false }));
    world.run_for(SCENARIO);
    assert!(world.storage.is_dead());
    world.storage.cut(None);
    world.storage.0.borrow_mut().failing = Some(StorageError::Full);
    for _ in 0..2 {
        let (telemetry, connections) = (world.count("published"), world.count("connecting"));
        world.run_for(Duration::from_secs(86_400));
        let (telemetry, connections) =
            (world.count("published") - telemetry, world.count("connecting") - connections);
        assert!(telemetry > 48 && connections < 100, "{telemetry} publications, {connections} connections");
        assert_eq!(world.last_accepted(), world.office.borrow().issued.last().copied());
    }
    world.storage.0.borrow_mut().failing = None;
    world.run_for(Duration::from_secs(7200));
    at_the_end(&world).unwrap();
}

/// The power is cut at any write, and the disk is full ever after: the device starts, and whoever had an identity works with it.
#[test]
fn a_disk_that_is_full_after_a_cut_stops_no_device_that_has_an_identity() {
    let mut at_work = 0;
    for at in 1_usize.. {
        let world = World::new();
        world.storage.cut(Some(Cut { at, done: true }));
        world.run_for(SCENARIO);
        if !world.storage.is_dead() {
            break;
        }
        world.storage.cut(None);
        world.storage.0.borrow_mut().failing = Some(StorageError::Full);
        let accepted = world.status().identity.is_some_and(|identity| identity.accepted);
        let before = world.count("published");
        world.run_for(Duration::from_secs(86_400));
        let published = world.count("published") - before;
        assert!(published >= 24 || !accepted, "cut at {at}: {published} publications in a day");
        at_work += u32::from(accepted);
        world.storage.0.borrow_mut().failing = None;
        world.run_for(Duration::from_secs(86_400));
        working(&world).unwrap_or_else(|violation| panic!("cut at {at}: {violation}"));
    }
    assert!(at_work > 5, "{at_work}");
}

/// A reset that the power cuts leaves a device that works, or one without an identity; again, it goes to its end.
#[test]
fn a_cut_at_any_write_of_a_reset_is_survived() {
    for (cuts, cut) in every_cut().enumerate() {
        let mut died = false;
        for again in [false, true] {
            let world = World::new();
            world.run_for(Duration::from_secs(3600));
            world.storage.cut(Some(cut));
            let _cut_short = world.drive(world.boot().reset());
            died = world.storage.is_dead();
            world.storage.cut(None);
            if again || !died {
                world.drive(world.boot().reset()).unwrap().unwrap();
                assert_eq!(world.status().identity, None, "{cut:?}");
                for record in [Record::KeyA, Record::KeyB, Record::IdentityA, Record::IdentityB] {
                    assert_eq!(world.storage.get(record), None, "{cut:?}: {record:?}");
                }
            }
            world.run_for(Duration::from_secs(86_400));
            working(&world).unwrap_or_else(|violation| panic!("{cut:?}: {violation}"));
            assert!(world.office.borrow().issued.len() <= 2, "{cut:?}");
        }
        if !died {
            assert!(cuts >= 8, "{cuts} cuts");
            return;
        }
    }
    panic!("the cuts never ended");
}

/// The checks above can fail: a storage that erases the old key as soon as the new certificate is stored, which
/// is before the broker has seen it, is caught.
#[test]
fn erasing_the_old_key_too_early_is_caught() {
    let mut violations = 0;
    for cut in every_cut().take_while(|cut| cut.at <= 16) {
        let world = World::new();
        world.storage.0.borrow_mut().erases_too_early = true;
        world.storage.cut(Some(cut));
        world.run_for(SCENARIO);
        violations += usize::from(world.storage.is_dead() && after_a_cut(&world).is_err());
    }
    assert!(violations > 0);
}

/// The checks above can fail: a key store that does not wait for the key to be durable is caught.
#[test]
fn a_request_for_a_key_that_is_lost_is_caught() {
    let mut violations = 0;
    for cut in every_cut().take_while(|cut| cut.at <= 16) {
        let world = World::new();
        world.storage.0.borrow_mut().forgets_keys = true;
        world.storage.cut(Some(cut));
        whole_life(&world);
        violations += usize::from(at_the_end(&world).is_err());
    }
    assert!(violations > 0);
}

/// Bit rot in any one record: the device still ends with a working identity, and nothing is left over.
#[test]
fn damage_to_any_record_is_survived() {
    for record in Record::ALL {
        for days in [1, 70, 80] {
            let world = World::new();
            world.run_for(Duration::from_secs(days * 86_400));
            world.storage.damage(record);
            world.run_for(Duration::from_secs(2 * 86_400));
            working(&world).unwrap_or_else(|violation| panic!("{record:?}, day {days}: {violation}"));
        }
    }
}

/// The state record is lost while a new identity waits for its trial: the older one counts as in use, the newer
/// one is tried, as before.
#[test]
fn a_lost_state_record_costs_no_identity() {
    let world = World::new();
    world.run_for(Duration::from_secs(3600));
    world.hall.borrow_mut().away = true;
    let renewed = world.renew_once();
    assert!(renewed.is_err(), "the broker is away");
    let before = world.status();
    assert!(before.identity.is_some() && before.candidate.is_some());
    world.storage.0.borrow_mut().records.remove(&(Record::State as u8));
    let status = world.status();
    assert_eq!(status.identity.map(|i| i.serial), before.identity.map(|i| i.serial));
    assert_eq!(status.candidate.map(|i| i.serial), before.candidate.map(|i| i.serial));
    world.hall.borrow_mut().away = false;
    world.run_for(Duration::from_secs(86_400));
    working(&world).unwrap();
    assert_eq!(world.office.borrow().issued.len(), 2);
}

fn every_cut() -> impl Iterator<Item = Cut> {
    (1..60).flat_map(|at| [Cut { at, done: false }, Cut { at, done: true }])
}

/// Runs through the scenario, starting the device again whenever its power fails; says for each run whether it
/// did.
fn whole_life(world: &World) -> Vec<bool> {
    let mut died = Vec::new();
    let mut end = SCENARIO.saturating_sub(world.time.uptime()).max(Duration::from_secs(3 * 86_400));
    loop {
        world.run_for(end);
        let dead = world.storage.is_dead();
        died.push(dead);
        if !dead {
            return died;
        }
        after_a_cut(world).unwrap();
        world.storage.cut(None);
        end = SCENARIO.saturating_sub(world.time.uptime()).max(Duration::from_secs(3 * 86_400));
    }
}

/// What has to hold at each boot. Looks at a copy of the records.
fn after_a_cut(world: &World) -> Result<(), String> {
    let mut storage = world.storage.copy();
    let mut keys = SoftKeyStore::new(Unwrapped);
    let device = DeviceId::new("SN-0001").unwrap();
    let mut buffer = vec![0; Record::MAX];
    let floor = UnixTime::from_secs(support::world::BUILT);
    let inspection = world
        .drive(slots::inspect(&mut keys, &mut storage, &device, floor, &mut buffer))
        .unwrap()
        .map_err(|error| error.to_string())?;
    let mut whole = Vec::new();
    for slot in [Slot::A, Slot::B] {
        let Some(bytes) = storage.get(identity_record(slot)) else { continue };
        let Some(Some(key)) = world.drive(keys.open(slot, &mut storage)).unwrap().ok() else { continue };
        let point = key.public_point();
        if Identity::read(slot, &bytes).is_ok_and(|identity| identity.check(&point, &device).is_ok()) {
            whole.push((slot, point));
        }
    }
    let state = &inspection.state;
    let current = state.current().map(|current| current.slot);
    if !whole.is_empty() && current.is_none() {
        return Err("there is a whole identity, but none is in use".into());
    }
    if current.is_some_and(|current| !whole.iter().any(|(slot, _)| *slot == current)) {
        return Err("the identity in use is not whole".into());
    }
    if state.candidate().is_some_and(|slot| !whole.iter().any(|(whole, _)| *whole == slot)) {
        return Err("the candidate is not whole".into());
    }
    if state.next().is_some_and(|next| Some(next.slot) == current) {
        return Err("the next identity lies where the one in use is".into());
    }
    match world.last_accepted() {
        Some(accepted) if !whole.iter().any(|(_, point)| *point == accepted) => {
            Err("the identity that the broker accepted last is gone".into())
        }
        _ => Ok(()),
    }
}

/// What has to hold in the end, whatever happened on the way.
fn at_the_end(world: &World) -> Result<(), String> {
    working(world)?;
    let issued = world.office.borrow().issued.len();
    if issued == 2 { Ok(()) } else { Err(format!("{issued} certificates, not 2")) }
}

/// The device works with the newest certificate, and nothing of any other is left.
fn working(world: &World) -> Result<(), String> {
    after_a_cut(world)?;
    let newest = world.office.borrow().issued.last().copied();
    if newest.is_none() || world.last_accepted() != newest {
        return Err("the newest certificate is not in use".into());
    }
    let keys =
        [Record::KeyA, Record::KeyB].into_iter().filter(|key| world.storage.get(*key).is_some()).count();
    if keys == 1 { Ok(()) } else { Err(format!("{keys} keys are left, not 1")) }
}
