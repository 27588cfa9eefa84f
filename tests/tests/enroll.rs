//! One device from the factory to its revocation, over the real binaries.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tests::harness::secrets::{self, contents, leaks, tells};
use tests::harness::{Process, Wishes, World, until};

#[test]
fn a_device_lives_from_the_factory_to_its_revocation() {
    let world = World::new(Wishes::default());
    let server = world.serve();
    let device = world.devices[0].as_str();

    // Before: no state, no certificate.
    for command in ["status", "renew"] {
        let told = world.agent(device, &[command]);
        assert!(matches!(told.status.code(), Some(4 | 5)), "{command}: {told:?}");
    }
    assert!(serials(&world, device).is_empty());

    let _enrolled = world.agent(device, &["enroll"]).success();
    let first = world.agent_status(device)["identity"]["serial"].as_str().unwrap().to_owned();
    assert_eq!(serials(&world, device), [first.as_str()]);
    // Enrolling again does nothing: there is an identity.
    let _again = world.agent(device, &["enroll"]).success();
    assert_eq!(serials(&world, device), [first.as_str()]);
    let first_key = world.exported_identity(device).key;

    // No broker is there to try the new identity: it is kept as a candidate, and the old one stays in use.
    let idle = world.agent(device, &["renew"]).success();
    assert!(idle.contains("not due"), "{idle}");
    assert_eq!(serials(&world, device), [first.as_str()]);
    let renewed = world.agent(device, &["renew", "--force"]);
    assert_eq!(renewed.status.code(), Some(1), "{renewed:?}");
    assert!(renewed.stderr.contains("could not be tried at the broker"));
    let status = world.agent_status(device);
    let newest = status["candidate"]["serial"]
        .as_str()
        .or_else(|| status["identity"]["serial"].as_str())
        .unwrap()
        .to_owned();
    let all = serials(&world, device);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(newest != first && all.contains(&newest), "{status} {all:?}");
    if status["candidate"].is_null() {
        assert_ne!(world.exported_identity(device).key, first_key, "a renewal has a new key");
    }

    let shown = world.server_json(&["device", "show", device]);
    assert_eq!(shown["device"], device, "{shown}");

    let _revoked = world.server(&["device", "revoke", device]).success();
    let _erased = world.agent(device, &["reset", "--yes"]).success();
    let refused = world.agent(device, &["enroll"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let refusal = &world.agent_status(device)["last_refusal"];
    assert_eq!(refusal["name"], shared::Reject::DeviceRevoked.name(), "{refusal}");
    assert_eq!(serials(&world, device).len(), 2, "a refused device got a certificate");

    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn setting_up_twice_overwrites_nothing() {
    let world = World::new(Wishes::default());
    let before = contents(&world.path("server"));
    let mut init = std::process::Command::new(tests::harness::binary("enroll-server"));
    init.arg("init").arg("--dir").arg(world.path("server")).args([
        "--tenant",
        "Other",
        "--host",
        "localhost",
    ]);
    let told = tests::harness::run(&mut init).failure();
    assert!(told.contains("not empty") || told.contains("exists"), "{told}");
    assert_eq!(contents(&world.path("server")), before);
}

#[test]
fn a_token_enrolls_one_device_once() {
    let world = World::new(Wishes::default());
    let policy = world.text("server/policy.toml");
    let _server = world.serve();
    let device = "TOKEN-1";
    let made = world.server_json(&["token", "create", "--device", device]);
    let token = made["token"].as_str().unwrap();
    assert!(!policy.contains(token));

    let agent = |state: &str| {
        let mut command = std::process::Command::new(tests::harness::binary("agent"));
        command.args(["--server-host", "localhost", "--server-port", &world.https_port.to_string()]);
        command.args(["--identity-device", device, "--state-dir"]).arg(world.path(state));
        command.arg("--trust-bundle").arg(world.path("server/trust.bundle")).arg("enroll");
        command.env("AGENT_IDENTITY_TOKEN", token);
        tests::harness::run(&mut command)
    };
    let _enrolled = agent("token-state-1").success();
    assert_eq!(serials(&world, device).len(), 1);
    let refused = agent("token-state-2");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert_eq!(serials(&world, device).len(), 1, "the token was used twice");
}

#[test]
fn secrets_are_readable_by_their_owner_only_and_never_logged() {
    let world = World::new(Wishes::default());
    world.configure(&[("log", "filter", "\"trace\"")]);
    let server = world.serve();
    let device = world.devices[0].as_str();
    let token = world.server_json(&["token", "create"])["token"].as_str().unwrap().to_owned();
    let mut logs = String::new();
    for command in [&["enroll"][..], &["renew", "--force"], &["status"]] {
        let finished = world.agent(device, command);
        logs += &finished.stdout;
        logs += &finished.stderr;
    }
    let running = Process::start(&mut world.agent_command(device, &["run"]));
    until("a running agent", || world.agent_status(device)["running"].is_object().then_some(()));
    logs += &running.stop().1;
    logs += &server.stop().1;
    assert!(logs.len() > 1_000, "the logs are empty, so nothing was looked at: {logs}");

    let secrets = secrets::files(&world, device);
    assert!(secrets.len() >= 8, "{secrets:?}");
    for path in &secrets {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        let content = fs::read(path).unwrap();
        assert!(!tells(&logs, &content), "{} stands in a log", path.display());
        // Planted: a log that tells the secret in one way or the other is noticed.
        for planted in leaks(&content) {
            assert!(tells(&(logs.clone() + &planted), &content), "unnoticed, of {}", path.display());
        }
    }
    assert!(!logs.contains(&token), "a token stands in a log");
    for folder in ["server", &format!("agents/{device}-state"), &format!("lot/devices/{device}")] {
        let mode = fs::metadata(world.path(folder)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o027, 0, "{folder} has mode {mode:o}");
    }
}

fn serials(world: &World, device: &str) -> Vec<String> {
    let list = world.server_json(&["cert", "list", "--device", device]);
    let rows = list.get("certificates").unwrap().as_array().unwrap().iter();
    rows.map(|cert| cert["serial"].as_str().unwrap().to_owned()).collect()
}
