//! Every kind of evidence through the real server: it enrolls a device, and each fault is refused by its code.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use firmware_sim::factory::{DeviceSettings, Evidence};
use tests::harness::matrix::{self, IdevidSubject, KeySource, PsaSubject, Spoil};
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

#[test]
fn evidence_by_psa_token_is_refused_for_each_fault() {
    for (source, register_keys) in [(KeySource::Registered, true), (KeySource::Chain, false)] {
        let world =
            World::new(Wishes { devices: 2, evidence: Evidence::Psa, register_keys, ..Wishes::default() });
        let [one, two] = world.devices.as_slice() else { panic!("two devices") };
        with_minimum_firmware(&world, &model_of(&world, one));
        let _server = world.serve();
        let (subject, other) = (PsaSubject::new(&world, one, source), PsaSubject::new(&world, two, source));
        let mut rows = 0;
        matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
        assert_eq!(rows, Spoil::ALL.len(), "a PSA token can have every fault");
    }
}

#[test]
fn a_psa_device_enrolls_on_linux_and_on_the_bare_metal_stack() {
    let world = World::new(Wishes { devices: 2, evidence: Evidence::Psa, ..Wishes::default() });
    let [linux, bare] = world.devices.as_slice() else { panic!("two devices") };
    let _server = world.serve();

    let keys = world.server_json(&["attestation-key", "list"]);
    let key = keys.as_array().expect("a list").iter().find(|key| key["device"] == linux.as_str());
    let instance = key.expect("the device's key")["instance_id"].as_str().expect("text").to_owned();
    let _enrolled = world.agent(linux, &["enroll"]).success();
    let serial = world.agent_status(linux)["identity"]["serial"].as_str().expect("a serial").to_owned();
    let shown = world.server_json(&["cert", "show", &serial]);
    let evidence = &shown["evidence"];
    assert_eq!(evidence["kind"], "psa-token", "{shown}");
    assert_eq!(evidence["claims"]["ueid"], format!("01{instance}"), "{shown}");
    assert_eq!(evidence["claims"]["psa-security-lifecycle"], 0x3000, "{shown}");

    let folder = world.path(&format!("lot/devices/{bare}"));
    let mut sim = std::process::Command::new(tests::harness::binary("firmware-sim"));
    let _enrolled = tests::harness::run(sim.arg("device").arg("--dir").arg(folder).arg("--enroll")).success();
    let state = world.server_json(&["device", "show", bare]);
    assert_eq!((&state["state"], &state["certificates"][0]["state"]), (&"enrolled".into(), &"issued".into()));
}

fn model_of(world: &World, device: &str) -> String {
    let settings = world.path(&format!("lot/devices/{device}/device.toml"));
    DeviceSettings::read(&settings).expect("settings").hardware.model
}
