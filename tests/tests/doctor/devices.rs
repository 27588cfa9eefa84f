//! `agent doctor` on a device, with its server and its broker.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use rcgen::KeyUsagePurpose;
use rustix::process::Signal;
use tests::harness::{
    ClientKey, Order, Process, Site, Weakness, Wishes, World, certify, certify_by_stranger, certify_changed,
    until,
};

use super::shop::{doctor, json, says, serve, text};

/// The pieces of a client identity as files.
fn write(site: &Site, name: &str, identity: &ClientKey) -> (PathBuf, PathBuf) {
    let file = |ending: &str, text: &str| {
        let path = site.world.path(&format!("{name}.{ending}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let chain = ca::pem::chain(identity.chain.iter().map(Vec::as_slice));
    (file("pem", &chain), file("key", &ca::pem::private_key(&identity.key)))
}

#[test]
fn a_device_its_server_and_its_broker() {
    let site = Site::new(2);
    let device = site.world.devices[0].clone();
    let agent =
        |more: &[&str]| json(&site.world.agent(&device, &[["doctor", "--json"].as_slice(), more].concat()));
    says(&agent(&[]), "not-enrolled");
    let _enrolled = site.world.agent(&device, &["enroll"]).success();
    let fine = agent(&[]);
    says(&fine, "fine");
    let text_of = site.world.agent(&device, &["doctor"]).success();
    assert!(text_of.contains("all fine") && !text_of.contains('\u{1b}'), "{text_of}");
    let broker = &fine["reports"][2]["steps"];
    for step in ["client-certificate", "login", "acl"] {
        let passed = broker.as_array().unwrap().iter().any(|s| s["step"] == step && s["state"] == "passed");
        assert!(passed, "{step}: {fine:#}");
    }
    says(&agent(&["localhost:9"]), "port-closed");

    // An agent that runs keeps its session.
    let running = Process::start(&mut site.world.agent_command(&device, &["run"]));
    until("an agent that is connected", || {
        (site.world.agent_status(&device)["running"]["connected"] == true).then_some(())
    });
    let left = agent(&[]);
    says(&left, "fine");
    assert!(left.to_string().contains("an agent runs, and is logged in"), "{left:#}");
    // One that hangs is not taken for none.
    running.signal(Signal::STOP);
    says(&agent(&[]), "agent-silent");
    drop(running);

    // The broker, from outside: rights, foreign CAs, revocation.
    let root = site.world.path("server/root-ca.crt");
    let target = format!("localhost:{}", site.broker.port());
    let ask = |identity: &(PathBuf, PathBuf), more: &[&str]| {
        let (certificate, key) = identity;
        let client = [
            "--cert",
            text(certificate),
            "--key",
            text(key),
            "--ca",
            text(&root),
            "--mqtt",
            &device,
            &target,
        ];
        doctor(&[client.as_slice(), more].concat())
    };
    let own = write(&site, "own", &site.world.exported_identity(&device));
    says(&ask(&own, &["--publish", &format!("devices/{device}/telemetry")]), "fine");
    says(&ask(&own, &["--publish", "devices/another/telemetry"]), "acl-refused");
    let stranger = write(&site, "stranger", &certify_by_stranger(&Order::client(&device)));
    says(&ask(&stranger, &[]), "client-unknown-ca");

    let before = site.world.text("server/crl.pem");
    let _revoked = site.world.server(&["device", "revoke", &device]).success();
    until("a new revocation list", || (site.world.text("server/crl.pem") != before).then_some(()));
    site.broker.reload();
    until("a broker that refuses", || (ask(&own, &[])["verdict"] == "client-revoked").then_some(()));
    // By the list itself, without a broker.
    let crl = site.world.path("server/crl.pem");
    says(&doctor(&[text(&own.0), "--ca", text(&root), "--crl", text(&crl)]), "revoked");
    let bundle = site.world.path("server/trust.bundle");
    says(&doctor(&[text(&bundle), text(&crl)]), "fine");

    // Its own verifier is stricter than others: the key of this server may not sign.
    let mute = certify_changed(&site.world, &Order::server("localhost"), |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    });
    let chain = write(&site, "mute", &mute);
    let (_server, port) = serve(&chain, &["-cert_chain", text(&chain.0)]);
    let target = format!("localhost:{port}");
    says(&doctor(&[&target, "--ca", text(&root)]), "fine");
    says(&agent(&[&target]), "certificate-refused");

    // An agent that runs and is refused hides nothing: the login is tried.
    let refused = Process::start(&mut site.world.agent_command(&device, &["run"]));
    until("an agent in trouble", || {
        site.world.agent_status(&device)["running"]["trouble"].as_str().map(drop)
    });
    let diagnosis = agent(&[]);
    assert_eq!(diagnosis["reports"][2]["findings"][0]["cause"], "client-revoked", "{diagnosis:#}");
    assert!(diagnosis.to_string().contains("an agent runs, and is not logged in"), "{diagnosis:#}");
    drop(refused);

    // The agent's own files.
    let state = site.world.path(&format!("agents/{device}-state"));
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    says(&agent(&[]), "key-too-open");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let idevid = site.world.path(&format!("lot/devices/{device}/idevid.key"));
    let other = site.world.path(&format!("lot/devices/{}/idevid.key", site.world.devices[1]));
    fs::copy(other, &idevid).unwrap();
    says(&agent(&[]), "key-mismatch");
}

#[test]
fn a_device_that_was_refused_and_a_state_that_is_no_state() {
    let world = World::new(Wishes::default());
    let _server = world.serve();
    let device = world.devices[0].clone();
    let agent = || json(&world.agent(&device, &["doctor", "--json"]));
    let _suspended = world.server(&["device", "suspend", &device]).success();
    let _refused = world.agent(&device, &["enroll"]).failure();
    let diagnosis = agent();
    says(&diagnosis, "enrollment-refused");
    assert!(diagnosis.to_string().contains("\"not-enrolled\""), "{diagnosis:#}");
    let _resumed = world.server(&["device", "resume", &device]).success();
    let _enrolled = world.agent(&device, &["enroll"]).success();
    let diagnosis = agent();
    assert!(!diagnosis.to_string().contains("enrollment-refused"), "{diagnosis:#}");

    // A link in a record's place, which is not followed, and a file in the directory's.
    let state = world.path(&format!("agents/{device}-state"));
    let record = state.join("state");
    fs::rename(&record, state.join("elsewhere")).unwrap();
    symlink("elsewhere", &record).unwrap();
    says(&agent(), "state-unusable");
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "no directory").unwrap();
    says(&agent(), "state-unusable");
}

#[test]
fn a_broker_that_asks_for_no_certificate() {
    let site = Site::with(1, Some(Weakness::NoCertificate));
    let device = &site.world.devices[0];
    let _enrolled = site.world.agent(device, &["enroll"]).success();
    let identity = certify(&site.world, &Order::client(device));
    assert!(!identity.chain.is_empty());
    says(&json(&site.world.agent(device, &["doctor", "--json"])), "client-certificate-not-asked");
}
