//! Devices with a TPM 2.0, here swtpm: the Linux agent enrolls, logs in at the broker and renews with keys that never
//! leave the TPM.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value as Json;
use tests::harness::matrix::{self, Spoil, TpmSubject};
use tests::harness::{Mosquitto, Process, Site, TpmFleet, Wishes, World, run, until};

/// What `agent status` says.
fn status(world: &World, fleet: &TpmFleet) -> Json {
    let finished = run(&mut fleet.agent(world, 0, &["status", "--json"]));
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", finished.stdout, finished.stderr))
}

#[test]
fn a_device_with_a_tpm_enrolls_logs_in_and_renews() {
    let broker_port = Mosquitto::port_to_be();
    let world = World::new(Wishes { devices: 1, broker_port, ..Wishes::default() });
    let fleet = TpmFleet::new(&world, 1);
    let site = Site::in_world(world, broker_port, None);
    let mut operator = site.operator();
    let device = &fleet.devices[0];

    let agent = Process::start(&mut fleet.agent(&site.world, 0, &["run"]));
    let topic = |last: &str| format!("devices/{device}/{last}");
    let mut online = |what: &str| {
        operator.message(|found, payload| {
            let status: Json = serde_json::from_slice(payload).ok()?;
            (found == topic("status") && status["status"] == what).then_some(status)
        })
    };
    // Logged in by mutual TLS with a key in the TPM.
    let birth = online("online");
    assert_eq!(birth["device"], device.as_str(), "{}", agent.output());
    let serial = || status(&site.world, &fleet)["identity"]["serial"].clone();
    let first = until("a certificate", || Some(serial()).filter(Json::is_string));

    let renewed = run(&mut fleet.agent(&site.world, 0, &["renew"]));
    assert!(renewed.status.success(), "{}{}\n{}", renewed.stdout, renewed.stderr, agent.output());
    let second = until("another certificate", || Some(serial()).filter(|found| *found != first));
    assert!(second.is_string(), "{second}");
    let certificates = site.world.server_json(&["cert", "list", "--device", device]);
    assert_eq!(certificates.as_array().unwrap().len(), 2, "{certificates}");
}

#[test]
fn evidence_by_tpm_is_refused_for_each_fault() {
    let world = World::new(Wishes::default());
    let mut fleet = TpmFleet::new(&world, 2);
    let _server = world.serve();
    let (subject, other) = (TpmSubject::take(&mut fleet), TpmSubject::take(&mut fleet));
    let mut rows = 0;
    matrix::run(&world, &subject, &other, |_, _, _, _| rows += 1);
    assert_eq!(rows, Spoil::ALL.len(), "a TPM can have every fault");
}
