//! Every kind of evidence through the real server: it enrolls a device, and each fault is refused by its code.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use tests::harness::matrix::{self, IdevidSubject, Spoil};
use tests::harness::{Wishes, World};

/// Adds to the policy that this model needs firmware that is not as old as the faulty one.
fn with_minimum_firmware(world: &World, model: &str) {
    let path = world.path("server/policy.toml");
    let policy = format!(
        "{}\n[[model]]\nname = {model:?}\nminimum_firmware = \"0.1.0\"\n",
        world.text("server/policy.toml")
    );
    std::fs::write(path, policy).expect("to write the policy");
}

#[test]
fn evidence_by_idevid_is_refused_for_each_fault() {
    let world = World::new(Wishes { devices: 2, ..Wishes::default() });
    let [one, two] = world.devices.as_slice() else { panic!("two devices") };
    with_minimum_firmware(&world, &model_of(&world, one));
    let _server = world.serve();
    let (subject, other) = (IdevidSubject::new(&world, one), IdevidSubject::new(&world, two));
    let mut rows = 0;
    matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
    assert_eq!(rows, Spoil::ALL.len(), "an IDevID can have every fault");
}

fn model_of(world: &World, device: &str) -> String {
    let settings = world.path(&format!("lot/devices/{device}/device.toml"));
    firmware_sim::factory::DeviceSettings::read(&settings).expect("settings").hardware.model
}
