//! The program itself, from a blank device to a reset one: with Mosquitto, and with an enrollment server that
//! checks nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may end anywhere"
)]
#![expect(clippy::disallowed_methods, reason = "waits for processes, in real time")]

mod common;

use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use common::enrollment::Verdict;
use common::pki::{Ca, Usage};
use common::world::{World, serial, text};
use shared::message::latest::EvidenceKind;

#[test]
fn a_device_from_blank_to_reset() {
    let world = World::new();
    world.ends(&["status"], 5);
    let running = world.run(&[]);
    world.until("connected and publishing", |world| {
        let status = world.status();
        status["running"]["connected"] == true && status["running"]["published"].as_u64() > Some(2)
    });
    let first = world.status();
    assert_eq!(first["device"], "SN-1");
    assert_eq!(first["phase"], "operational");
    assert_eq!(first["identity"]["accepted"], true);
    assert_eq!(first["trust_bundle"], 1);
    assert_eq!(world.seen()[0].evidence.as_ref().unwrap().0, EvidenceKind::IdevidEat);
    world.until("hook run", |world| world.read("hook") == "enrolled\n");
    let exported = |name: &str| world.read(&format!("export/current/{name}"));
    let (key, certificate) = (exported("key.pem"), exported("cert.pem"));
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----") && certificate == exported("chain.pem"));
    let only_root_can_read = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0;
    assert!(
        fs::read_dir(world.path("state")).unwrap().all(|entry| only_root_can_read(&entry.unwrap().path()))
    );

    // One agent at a time; a renewal goes through the one that runs.
    assert!(world.ends(&["run"], 4).1.contains("another agent uses"));
    // It does nothing that is not due, unless it is told to.
    assert!(world.ends(&["renew"], 0).0.contains("not due"));
    let told: serde_json::Value = serde_json::from_str(&world.ends(&["renew", "--json"], 0).0).unwrap();
    assert_eq!((&told["outcome"], &told["renew_at"]), (&"not-due".into(), &first["identity"]["renew_at"]));
    assert_eq!((serial(&world.status()), world.seen().len()), (serial(&first), 1));
    assert!(world.ends(&["renew", "--force"], 0).0.contains("renewed by the running agent"));
    let second = world.status();
    assert_ne!(serial(&first), serial(&second));
    assert_eq!(world.seen()[1].path, "/v1/renew");
    assert!(world.seen()[1].client.is_some());
    world.until("hook run again", |world| world.read("hook") == "enrolled\nrenewed\n");
    assert!(exported("key.pem") != key && exported("cert.pem") != certificate);

    world.set(Verdict::Refuse(61));
    assert!(world.ends(&["renew", "--force"], 3).1.contains("device-revoked"));
    let told: serde_json::Value =
        serde_json::from_str(&world.ends(&["renew", "--force", "--json"], 3).0).unwrap();
    assert_eq!((&told["outcome"], &told["code"]), (&"refused".into(), &61.into()));
    world.until("refused durably", |world| world.status()["last_refusal"]["name"] == "device-revoked");
    world.set(Verdict::Issue);

    assert_eq!(running.terminate(), 0, "{}", world.read("log"));
    assert_eq!(world.status()["running"], serde_json::Value::Null);
    world.ends(&["status"], 0);
    assert!(!world.path("state/control.sock").exists());

    world.ends(&["renew"], 0);
    assert_eq!(serial(&world.status()), serial(&second), "not due");
    let told: serde_json::Value =
        serde_json::from_str(&world.ends(&["renew", "--force", "--json"], 0).0).unwrap();
    assert_ne!(serial(&world.status()), serial(&second));
    assert_eq!((&told["outcome"], &told["serial"]), (&"renewed".into(), &serial(&world.status()).into()));

    world.ends(&["reset"], 2);
    world.ends(&["reset", "--yes"], 0);
    world.ends(&["status"], 5);
    assert!(!world.path("state/key-a").exists() && !world.path("state/key-b").exists());
    assert!(!world.path("export/current").exists());

    let log = world.read("log");
    assert!(!log.contains("PRIVATE KEY"));
    // An orderly stop: offline is said and acknowledged, then the connection ends.
    assert!(log.contains("connected to the broker"), "{log}");
    let offline = log.rfind("status published").expect("offline was said");
    assert!(log[offline..].contains("disconnected from the broker in order"), "{log}");
}

#[test]
fn exported_files_come_back_after_a_restart() {
    let world = World::new();
    world.ends(&["enroll"], 0);
    let before = world.read("export/current/cert.pem");
    assert!(!before.is_empty());
    fs::remove_dir_all(world.path("export")).unwrap();
    world.ends(&["enroll"], 0);
    assert_eq!(world.read("export/current/cert.pem"), before);
    assert_eq!(world.seen().len(), 1, "the second enrollment found the first");
}

/// A disk that was full, say, when the identity changed. Here a file is in the way.
#[test]
fn an_export_that_failed_is_made_when_it_can_be() {
    let world = World::new();
    world.write("export", b"");
    let running = world.run(&[]);
    world.until("an identity", |world| world.status()["phase"] == "operational");
    world.until("the failure is told", |world| world.read("log").contains("the export failed"));
    fs::remove_file(world.path("export")).unwrap();
    world.until("files", |world| world.path("export/current/cert.pem").exists());
    world.until("hook told of them", |world| world.read("hook") == "enrolled\nrenewed\n");
    assert_eq!(running.terminate(), 0, "{}", world.read("log"));

    // Without an agent that runs, the next look of the timer does it.
    fs::remove_dir_all(world.path("export")).unwrap();
    assert!(world.ends(&["renew"], 0).0.contains("not due"));
    assert!(world.path("export/current/cert.pem").exists());
}

#[test]
fn a_program_is_signalled_after_the_files_are_in_place() {
    let world = World::new();
    let (certificate, pid) = (world.path("export/current/cert.pem"), world.path("pid"));
    let script = format!(
        "trap 'cat {} >> {}; exit 0' HUP; echo $$ > {}; while :; do sleep 0.1; done",
        certificate.display(),
        world.path("seen").display(),
        pid.display()
    );
    let mut program = Command::new("/bin/sh").args(["-c", &script]).spawn().unwrap();
    world.until("a program", |_| pid.exists());
    let pid = pid.to_str().unwrap();
    world.ends(&["--hook-signal", "HUP", "--hook-pid-file", pid, "enroll"], 0);
    assert!(program.wait().unwrap().success());
    assert_eq!(world.read("seen"), world.read("export/current/cert.pem"));
    assert_eq!(world.read("hook"), "enrolled\n", "the command is run as well");
}

#[test]
fn a_token_enrolls_a_device_without_an_idevid() {
    let world = World::new();
    world.write("token", b"one-time-token\n");
    let config = world.config("device = \"SN-2\"\ntoken_file = \"token\"");
    world.write("agent.toml", config.as_bytes());
    assert!(world.ends(&["enroll"], 0).0.contains("SN-2"));
    let seen = world.seen();
    assert_eq!(seen[0].device, "SN-2");
    assert_eq!(seen[0].evidence, Some((EvidenceKind::OneTimeToken, b"one-time-token".to_vec())));
}

#[test]
fn each_outcome_has_its_exit_status() {
    let world = World::new();
    world.ends(&["renew"], 5);
    assert!(world.ends(&["renew", "--force", "--json"], 5).0.contains("not-enrolled"));
    world.set(Verdict::Hold);
    world.ends(&["enroll"], 6);
    world.set(Verdict::Refuse(60));
    assert!(world.ends(&["enroll"], 3).1.contains("not-in-inventory"));
    world.set(Verdict::Issue);
    let away = world.ends(&["--server-port", "1", "enroll"], 1).1;
    assert!(away.contains("cannot be reached"), "{away}");
    fs::set_permissions(world.path("idevid.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(world.ends(&["enroll"], 4).1.contains("chmod 0600"));
    fs::set_permissions(world.path("idevid.key"), fs::Permissions::from_mode(0o600)).unwrap();
    world.ends(&["enroll"], 0);
    world.ends(&["status"], 0);

    let stranger = Ca::new("maker").issue("SN-1", Usage::Device, |_| {});
    world.write("idevid.key", stranger.key.serialize_pem().as_bytes());
    assert!(world.ends(&["enroll"], 4).1.contains("another key"));
    world.write("trust.bundle", b"nothing");
    let blank = world.config("device = \"SN-3\"\ntoken_file = \"token\"").replace("\"state\"", "\"blank\"");
    world.write("agent.toml", blank.as_bytes());
    world.write("token", b"token");
    assert!(world.ends(&["enroll"], 4).1.contains("trust bundle"));
}

#[test]
fn the_service_manager_is_told_and_a_stop_is_orderly_while_the_server_is_away() {
    let world = World::new();
    let path = world.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = || {
        let mut buffer = [0; 500];
        let length = manager.recv(&mut buffer).expect("the service manager hears nothing");
        text(&buffer[..length])
    };
    let wait_for = |wanted: &str| while !next().starts_with(wanted) {};
    let config = world.config("certificate = \"idevid.pem\"\nkey = \"idevid.key\"");
    let away = config.replace(&format!("port = {}", world.server.port), "port = 1");
    world.write("agent.toml", away.as_bytes());
    let running = world.run(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "2000000"),
        ("AGENT_LOG_FORMAT", "json"),
    ]);
    wait_for("READY=1");
    for _ in 0..3 {
        wait_for("WATCHDOG=1");
    }
    wait_for("STATUS=enrollment server: the server cannot be reached");
    let status = world.status();
    assert_eq!(status["running"]["connected"], false);
    assert!(status["running"]["trouble"].as_str().unwrap().contains("cannot be reached"));
    assert_eq!(running.terminate(), 0);
    wait_for("STOPPING=1");
    // And each line of its log is one object that names what happened.
    let log: Vec<serde_json::Value> =
        world.read("log").lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(log.iter().any(|line| line["event"] == "unreachable" && line["level"] == "WARN"), "{log:?}");
}

#[test]
fn the_packaged_unit_is_a_sandbox_with_a_watchdog() {
    let unit = include_str!("../packaging/agent.service");
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/agent run",
        "WatchdogSec=180s",
        "User=agent",
        "Group=agent",
        "StateDirectory=agent",
        "StateDirectoryMode=0700",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "UMask=0077",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let proxy = include_str!("../packaging/agent-proxy.service");
    let sandbox = |unit: &str| {
        let from = unit.find("ProtectSystem").unwrap();
        unit[from..unit.find("MemoryMax").unwrap()].to_owned()
    };
    assert_eq!(sandbox(unit), sandbox(proxy), "one sandbox, whoever serves the proxy");
    // Where systemd is there, it reads the units as well.
    let with_credentials = tempfile::tempdir().unwrap();
    let path = with_credentials.path().join("app.service");
    let drop_in = include_str!("../../../examples/agent-credentials.conf");
    fs::write(&path, format!("{drop_in}ExecStart=/bin/true\n")).unwrap();
    let packaged = ["agent.service", "agent-proxy.service", "agent-renew.service", "agent-renew.timer"];
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for path in packaged.iter().map(|unit| packaging.join(unit)).chain([path]) {
        let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(path).output() else { return };
        let complaints = text(&output.stderr);
        assert!(!complaints.contains("Unknown") && !complaints.contains("Failed to parse"), "{complaints}");
    }
}
