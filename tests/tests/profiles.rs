//! What the policy of a device's group says of its certificates, through the real server and read by openssl: the profile
//! with its names and extensions, the label, the life.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use tests::harness::{Finished, Wishes, World, peer, run, until};

/// The profile of a plant: much that is not in the one by default.
const PLANT: &str = r#"
[validity]
default = "30d"
most = "60d"

[subject]
organizational_unit = "{group}"
country = "DE"

[names]
dns = ["{id-hash}.{label}.devices.example"]

[[certificate_policy]]
oid = "1.3.6.1.4.1.32473.1.1"
cps = "https://pki.example/cps"
"#;

/// A world in whose groups `plant-7` and `lab` its first two devices are.
fn world() -> World {
    let world = World::new(Wishes { devices: 3, ..Wishes::default() });
    for folder in ["server/profiles.d", "server/policy.d"] {
        fs::create_dir_all(world.path(folder)).expect("a folder");
    }
    write(&world, "profiles.d/plant.toml", PLANT);
    let plant = "[certificate]\nprofile = \"plant\"\nlabel = \"p7\"\n[enrollment]\nfirst = \"hold\"\n";
    write(&world, "policy.d/plant-7.toml", plant);
    write(&world, "policy.d/lab.toml", "[certificate]\ndays = 10\n");
    for (device, group) in world.devices.iter().zip(["plant-7", "lab"]) {
        let _moved = world.server(&["device", "set-group", group, device]).success();
    }
    world
}

/// Puts a file into the server's folder in one step, as the documentation asks for.
fn write(world: &World, name: &str, text: &str) {
    let new = world.path("server/new-file");
    fs::write(&new, text).expect("to write a file");
    fs::rename(new, world.path(&format!("server/{name}"))).expect("to put a file into its place");
}

/// What openssl says of the certificate that the device's agent has.
fn certificate(world: &World, device: &str) -> String {
    let file = world.path(&format!("agents/{device}-export/current/cert.pem"));
    let mut command = Command::new(peer("openssl", "openssl"));
    command.args(["x509", "-noout", "-text", "-nameopt", "RFC2253", "-in"]).arg(file);
    run(&mut command).success()
}

/// Days of life that openssl reads in a certificate: it ends within this many days, and not within one day less.
fn lives_days(world: &World, device: &str, days: u64) -> bool {
    let ends_within = |days: u64| {
        let mut command = Command::new(peer("openssl", "openssl"));
        command.args(["x509", "-noout", "-checkend", &(days * 86_400).to_string(), "-in"]);
        let file = world.path(&format!("agents/{device}-export/current/cert.pem"));
        !run(command.arg(file)).status.success()
    };
    ends_within(days) && !ends_within(days - 1)
}

#[test]
fn a_groups_policy_shows_in_its_devices_certificates() {
    let world = world();
    let _server = world.serve();
    let [plant, lab, neither] = [0, 1, 2].map(|at| world.devices[at].as_str());

    // A request that is held takes what is in force when it is approved.
    let held = enroll(&world, plant);
    assert!(!held.status.success(), "{held:?}");
    write(&world, "profiles.d/plant.toml", &PLANT.replace("\"30d\"", "\"20d\""));
    until("the changed profile in force", || {
        let log = world.server(&["event", "list"]).success();
        log.contains("policy-reloaded").then_some(())
    });
    let _approved = world.server(&["device", "approve", plant]).success();
    let serial = enrolled(&world, plant);
    let text = certificate(&world, plant);
    for wanted in [
        "C=DE",
        "OU=plant-7",
        ".p7.devices.example",
        "1.3.6.1.4.1.32473.1.1",
        "https://pki.example/cps",
        &format!("CN={plant}"),
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(lives_days(&world, plant, 20), "{text}");
    let shown = world.server_json(&["cert", "show", &serial]);
    assert_eq!(shown["profile"], "plant", "{shown}");

    let _serial = enrolled(&world, lab);
    let text = certificate(&world, lab);
    assert!(lives_days(&world, lab, 10), "{text}");
    assert!(!text.contains("DNS:") && !text.contains("C=DE") && !text.contains("OU="), "{text}");
    let serial = enrolled(&world, neither);
    assert!(lives_days(&world, neither, 90));
    assert_eq!(world.server_json(&["cert", "show", &serial])["profile"], "default");
}

#[test]
fn mistakes_are_told_before_any_device_asks() {
    let world = world();
    let file = |name: &str| world.path(&format!("server/{name}")).display().to_string();
    let shown = world.server_json(&["profile", "show", "plant"]).to_string();
    assert!(shown.contains("plant-7") && !shown.contains("\"lab\""), "{shown}");
    let sample =
        world.server(&["profile", "check", &file("profiles.d/plant.toml"), "--label", "p9"]).success();
    assert!(sample.contains(".p9.devices.example"), "{sample}");

    // Two mistakes: both are told, with their lines, and a server does not start with them.
    write(
        &world,
        "profiles.d/plant.toml",
        "[validity]\ndefault = \"400d\"\n[usage]\nextended = [\"server-auth\"]\n",
    );
    let told = world.server(&["profile", "check", &file("profiles.d/plant.toml")]);
    assert_eq!(told.status.code(), Some(3), "{told:?}");
    let text = format!("{}{}", told.stdout, told.stderr);
    for wanted in [":2", "default", ":4", "server-auth"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let refused = world.server(&["serve"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(refused.stderr.contains("plant.toml"), "{}", refused.stderr);
}

/// Runs the agent's enrollment, whatever comes of it.
fn enroll(world: &World, device: &str) -> Finished {
    world.agent(device, &["enroll"])
}

/// Enrolls the device, if it is not yet; gives its certificate's serial number.
fn enrolled(world: &World, device: &str) -> String {
    let _enrolled = enroll(world, device).success();
    world.agent_status(device)["identity"]["serial"].as_str().expect("a serial number").to_owned()
}
