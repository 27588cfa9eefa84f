//! Renewals that an operator wants, and what a broker can do to one: the real server, agents of both kinds, Mosquitto.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use ca::{CaCertificate, FileKey, Issuer};
use firmware_sim::factory::Evidence;
use serde_json::Value as Json;
use tests::harness::{
    Mosquitto, NOT_AUTHORIZED, Order, Process, Site, Weakness, Wishes, World, binary, certify, exchange, now,
    until,
};

/// A server that tells devices through its broker.
fn telling(devices: u32, settings: &[(&str, &str, &str)]) -> Site {
    let broker_port = Mosquitto::port_to_be();
    let world = World::new(Wishes { devices, broker_port, ..Wishes::default() });
    world.configure(&[("mqtt", "enabled", "true")]);
    world.configure(settings);
    Site::in_world(world, broker_port, None)
}

/// All serial numbers of a device's certificates: in one second there can be two, in any order.
fn serials(site: &Site, device: &str) -> BTreeSet<String> {
    let listed = site.world.server_json(&["cert", "list", "--device", device]);
    listed["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["serial"].as_str().unwrap().to_owned())
        .collect()
}

fn wanted(site: &Site) -> Vec<Json> {
    let listed = site.world.server_json(&["device", "renewals"]);
    listed["renewals"].as_array().unwrap().clone()
}

fn metric(site: &Site, name: &str) -> u64 {
    let stream = std::net::TcpStream::connect(("127.0.0.1", site.world.http_port)).unwrap();
    let page = exchange(stream, "/metrics", None).unwrap().body;
    let page = String::from_utf8(page).unwrap();
    page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0").trim().parse().unwrap()
}

fn connected(site: &Site) {
    until("a server that is connected to the broker", || {
        site.broker.log().contains("u'enroll_server'").then_some(())
    });
}

/// `lives_and_renews` of `mosquitto.rs` sends the command by hand; here the operator speaks to the server.
fn renews_when_the_operator_wants_it(site: &Site, device: &str) {
    let before = until("a certificate", || Some(serials(site, device)).filter(|found| !found.is_empty()));
    until("a device that is online", || {
        site.broker.log().contains(&format!("Received SUBSCRIBE from {device}")).then_some(())
    });
    let told = site.world.server_json(&["device", "renew", device, "--wait", "60s"]);
    assert_eq!(
        (&told["done"], &told["waiting"], &told["mqtt"]),
        (&1.into(), &0.into(), &true.into()),
        "{told}"
    );
    assert_ne!(serials(site, device), before);
    assert!(wanted(site).is_empty());
    let events = site.world.server_json(&["event", "list", "--device", device]);
    let find = |kind: &str| events.as_array().unwrap().iter().find(|event| event["kind"] == kind).unwrap();
    assert!(find("renewal-wanted")["actor"].as_str().unwrap().starts_with("operator:"), "{events}");
    assert_eq!(find("issued")["reason"], "renewal-wanted", "{events}");
}

#[test]
fn a_device_renews_when_the_operator_wants_it() {
    let site = telling(2, &[]);
    let [linux, bare] = [site.world.devices[0].clone(), site.world.devices[1].clone()];
    connected(&site);
    let _agent = Process::start(&mut site.world.agent_command(&linux, &["run"]));
    renews_when_the_operator_wants_it(&site, &linux);
    let mut command = Command::new(binary("firmware-sim"));
    command.args(["device", "--interval", "1", "--dir"]).arg(site.world.path(&format!("lot/devices/{bare}")));
    let _device = Process::start(&mut command);
    renews_when_the_operator_wants_it(&site, &bare);
    assert_eq!(metric(&site, "enroll_mqtt_commands_total{outcome=\"taken\"}"), 2);
    let broker = format!("enroll_mqtt_connected{{broker=\"localhost:{}\"}}", site.broker.port());
    assert_eq!(metric(&site, &broker), 1);
    assert_eq!(metric(&site, "enroll_renewals_wanted"), 0);
}

/// The device is off when the operator speaks. It is told when it comes back, and not after the quarter of an hour that
/// the server would wait otherwise.
#[test]
fn a_device_that_was_off_is_told_when_it_comes_back() {
    let site = telling(1, &[]);
    let device = site.world.devices[0].clone();
    let _enrolled = site.world.agent(&device, &["enroll"]).success();
    let before = serials(&site, &device);
    connected(&site);
    let ordered = site.world.server(&["device", "renew", &device]).success();
    assert!(ordered.contains("1 devices are to renew"), "{ordered}");
    let waiting = until("a device that is known to be off", || {
        wanted(&site).pop().filter(|renewal| renewal["problem"].is_string())
    });
    assert_eq!(waiting["problem"], "the device is not at its broker", "{waiting}");
    assert_eq!((&waiting["attempts"], &waiting["told"]), (&1.into(), &Json::Null), "{waiting}");

    let _agent = Process::start(&mut site.world.agent_command(&device, &["run"]));
    until("a renewal", || wanted(&site).is_empty().then_some(()));
    assert_ne!(serials(&site, &device), before);
}

/// Without a broker's help: the device learns of it with its next answer from the server.
#[test]
fn without_mqtt_the_next_answer_tells() {
    let broker_port = Mosquitto::port_to_be();
    let world = World::new(Wishes { broker_port, ..Wishes::default() });
    let site = Site::in_world(world, broker_port, None);
    let device = site.world.devices[0].clone();
    let check_in = ["--network-check-in", "2s", "run"];
    let _agent = Process::start(&mut site.world.agent_command(&device, &check_in));
    let before = until("a certificate", || Some(serials(&site, &device)).filter(|found| !found.is_empty()));
    let ordered = site.world.server(&["device", "renew", &device]).success();
    assert!(ordered.contains("no [mqtt]"), "{ordered}");
    until("a renewal", || (serials(&site, &device) != before).then_some(()));
    until("an end of the order", || wanted(&site).is_empty().then_some(()));
    assert!(!site.broker.log().contains("enroll_server"), "nobody asked the server to go there");
}

/// Six devices at two a second. In between the server crashes, and a second one on the same database stands by: every
/// device is told, at the rate, and none twice but for those whose command was under way in the crash.
#[test]
fn a_crash_loses_no_turn_and_two_servers_tell_once() {
    let mut site = telling(6, &[]);
    let devices = site.world.devices.clone();
    for device in &devices {
        let _enrolled = site.world.agent(device, &["enroll"]).success();
    }
    connected(&site);
    let second = site.world.path("server/second.toml");
    let text = site.world.text("server/enroll-server.toml");
    let mut settings: toml::Table = text.parse().unwrap();
    settings["listen"]["https"] = "127.0.0.1:0".into();
    settings["listen"]["http"] = "off".into();
    settings.get_mut("mqtt").unwrap()["key"] = "second-client.key".into();
    settings.get_mut("mqtt").unwrap()["certificate"] = "second-client.crt".into();
    fs::write(&second, settings.to_string()).unwrap();
    let mut command = Command::new(binary("enroll-server"));
    let replica = Process::start(command.arg("--config").arg(&second).arg("serve"));
    replica.wait_for_text("the server is ready");

    // Sees every command, so that the broker finds somebody to hand them to.
    let mut operator = site.operator();
    let ordered = site.world.server_json(&["device", "renew", "--all", "--yes", "--rate", "2/s"]);
    assert_eq!((&ordered["done"], &ordered["left"]), (&6.into(), &0.into()), "{ordered}");
    let mut told = Vec::new();
    let command = |operator: &mut tests::harness::Probe| {
        operator.message(|topic, payload| {
            let device = topic.strip_prefix("devices/")?.strip_suffix("/command")?;
            assert_eq!(payload, b"{\"command\":\"renew\"}");
            Some(device.to_owned())
        })
    };
    told.push(command(&mut operator));
    let noted = until("a device that was told to be noted", || {
        let wanted = wanted(&site);
        let told = wanted.iter().filter(|renewal| renewal["told"].is_string());
        let told: Vec<_> = told.map(|renewal| renewal["device"].as_str().unwrap().to_owned()).collect();
        (!told.is_empty()).then_some(told)
    });
    site.crash_server(|_| ());
    while told.iter().collect::<BTreeSet<_>>().len() < 6 {
        told.push(command(&mut operator));
    }
    for device in &noted {
        assert_eq!(told.iter().filter(|told| *told == device).count(), 1, "{device} of {told:?}");
    }
    until("what was told to be noted", || {
        wanted(&site).iter().all(|renewal| renewal["told"].is_string()).then_some(())
    });
    assert_eq!(wanted(&site).len(), 6, "no device has renewed yet");
    let cancelled = site.world.server_json(&["device", "renew", "--all", "--cancel"]);
    assert_eq!(cancelled["done"], 6);
}

/// All devices at once takes a word more; a misspelt order none at all.
#[test]
fn orders_are_asked_twice_and_answered_with_their_status() {
    let world = World::new(Wishes::default());
    let device = world.devices[0].as_str();
    let asked = world.server(&["device", "renew", "--all"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let unknown = world.server(&["device", "renew", "NOBODY"]);
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");
    let nothing = world.server(&["device", "renew", device]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("no certificate in force"), "{}", nothing.stderr);
    let none = world.server_json(&["device", "renew", "--all", "--yes", "--wait", "1s"]);
    assert_eq!((&none["done"], &none["left"], &none["waiting"]), (&0.into(), &1.into(), &0.into()), "{none}");
    assert_eq!(world.server(&["device", "renew", device, "--rate", "fast"]).status.code(), Some(2));

    let server = world.serve();
    let _enrolled = world.agent(device, &["enroll"]).success();
    let late = world.server(&["device", "renew", device, "--wait", "1s"]);
    assert_eq!(late.status.code(), Some(1), "nobody tells it: {late:?}");
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
}

/// Devices of three kinds: with a policy that wants evidence with renewals it comes, from those that do not give it unasked
/// after one refusal; without, these renew by their certificate alone.
#[test]
fn fresh_evidence_comes_where_the_policy_wants_it() {
    for evidence in [Evidence::Idevid, Evidence::Psa, Evidence::Dice] {
        let broker_port = Mosquitto::port_to_be();
        let world = World::new(Wishes { broker_port, evidence, ..Wishes::default() });
        let site = Site::in_world(world, broker_port, None);
        let device = site.world.devices[0].clone();
        let _enrolled = site.world.agent(&device, &["enroll"]).success();
        let shown = |serial: &str| site.world.server_json(&["cert", "show", serial])["evidence"].clone();
        let in_use = || {
            let status = site.world.agent_status(&device);
            status["identity"]["serial"].as_str().unwrap().to_owned()
        };
        let renew = || site.world.agent(&device, &["renew", "--force"]).success();
        if evidence != Evidence::Idevid {
            renew();
            assert_eq!(shown(&in_use()), Json::Null, "{evidence:?}");
        }
        let policy = site.world.text("server/policy.toml").replacen("evidence = false", "evidence = true", 1);
        fs::write(site.world.path("server/policy.toml"), policy).unwrap();
        until("the policy to be in force", || {
            let events = site.world.server_json(&["event", "list", "--kind", "policy-reloaded"]);
            events.as_array().unwrap().first().map(drop)
        });
        let before = in_use();
        renew();
        let renewed = in_use();
        assert_ne!(renewed, before, "{evidence:?}");
        assert!(shown(&renewed).is_object(), "{evidence:?}: {}", shown(&renewed));
        let explained = site.world.server_json(&["policy", "explain", "--device", &device]);
        assert!(explained.to_string().contains("evidence-signature"), "{evidence:?}: {explained}");
    }
}

/// With the rights that operators are told to give, the server alone writes commands; without them a device could.
#[test]
fn no_device_commands_another() {
    let topic = |device: &str| format!("devices/{device}/command");
    for weakness in [None, Some(Weakness::NoAcl)] {
        let site = Site::with(2, weakness);
        let [mine, other] = [site.world.devices[0].clone(), site.world.devices[1].clone()];
        let mut thief = site.login(&mine, &certify(&site.world, &Order::client(&mine))).unwrap();
        let mut server =
            site.login("enroll_server", &certify(&site.world, &Order::client("enroll_server"))).unwrap();
        let refused =
            |code| if weakness.is_some() { code == 0 || code == 0x10 } else { code == NOT_AUTHORIZED };
        for target in [&mine, &other] {
            let code = thief.publish(&topic(target), b"{\"command\":\"renew\"}");
            assert!(refused(code), "{weakness:?}: {code:#x}");
            let code = server.publish(&topic(target), b"{\"command\":\"renew\"}");
            assert!(code == 0 || code == 0x10, "{code:#x}");
        }
        // Nor does the server have more than it needs.
        for foreign in [format!("devices/{other}/telemetry"), format!("devices/{other}/status")] {
            let code = server.publish(&foreign, b"x");
            assert!(refused(code), "{weakness:?} {foreign}: {code:#x}");
        }
    }
}

/// The operator has another CA issue, and forgets to tell the broker. A renewal then gives a certificate that the broker
/// does not take: the device returns to the old one, goes on with it, and says so; when the broker knows better, the
/// next attempt succeeds, and only then the old key goes.
#[test]
fn a_new_identity_that_the_broker_refuses_leaves_the_old_one_in_use() {
    let mut site = Site::new(1);
    let device = site.world.devices[0].clone();
    let agent = Process::start(&mut site.world.agent_command(&device, &["run"]));
    until("a state directory", || {
        site.world.path(&format!("agents/{device}-state/state")).exists().then_some(())
    });
    let status = |site: &Site| site.world.agent_status(&device);
    let publishes = |site: &Site| {
        let before = status(site)["running"]["published"].as_u64().unwrap_or(0);
        until("publications", || {
            let now = status(site);
            let more = now["running"]["published"].as_u64() > Some(before + 1);
            (more && now["running"]["connected"] == true).then_some(())
        });
    };
    publishes(&site);
    let old = status(&site)["identity"]["serial"].clone();
    let key = site.world.exported_identity(&device).key;

    site.crash_server(next_issuing_ca);
    let told = site.world.agent(&device, &["renew", "--force", "--json"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let told: Json = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["outcome"], "failed", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("broker refused the new identity"), "{told}");
    assert!(agent.output().contains("the old one stays in use"), "{}", agent.output());
    let after = status(&site);
    assert_eq!((&after["identity"]["serial"], &after["candidate"]), (&old, &Json::Null), "{after}");
    publishes(&site);
    assert_eq!(site.world.exported_identity(&device).key, key, "other programs have the old one too");
    let issued = site.world.server_json(&["cert", "list", "--device", &device]);
    let states: Vec<_> =
        issued["certificates"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["issued", "issued"], "the old one is not revoked before the new one is used");

    // The broker reads the lists of both CAs.
    let lists = site.world.text("server/crl.pem") + &site.world.text("old-crl.pem");
    fs::write(site.world.path("server/crl.pem"), lists).unwrap();
    site.broker.reload();
    let renewed = until("a renewal", || {
        let told = site.world.agent(&device, &["renew", "--force", "--json"]);
        told.status.success().then(|| serde_json::from_str::<Json>(&told.stdout).unwrap())
    });
    assert_eq!(renewed["outcome"], "renewed", "{renewed}");
    assert_ne!(renewed["serial"], old, "{renewed}");
    publishes(&site);
    assert_ne!(site.world.exported_identity(&device).key, key);
    until("the old key to be gone", || agent.output().contains("key and certificate erased").then_some(()));
    let log = agent.output();
    let accepted = log.rfind("identity renewed").unwrap();
    assert!(log.rfind("key and certificate erased").unwrap() > accepted, "make before break:\n{log}");
}

/// Has another issuing CA below the same root sign from now on; the one before signs its revocation list still.
fn next_issuing_ca(world: &World) {
    let load = |name: &str| {
        let certificate =
            CaCertificate::from_der(&world.certificates(&format!("server/{name}.crt"))[0]).unwrap();
        let key = FileKey::load(&world.path(&format!("server/{name}.key"))).unwrap();
        Issuer::new(certificate, Box::new(key)).unwrap()
    };
    fs::copy(world.path("server/crl.pem"), world.path("old-crl.pem")).unwrap();
    let life = ca::hierarchy::ISSUING_LIFETIME;
    let (next, key) = ca::hierarchy::issuing_ca("Example", &load("root-ca"), life, now()).unwrap();
    fs::write(world.path("server/next-ca.crt"), ca::pem::certificate(next.der())).unwrap();
    key.save(&world.path("server/next-ca.key")).unwrap();
    world.configure(&[
        ("files", "issuing_certificate", "\"next-ca.crt\""),
        ("files", "issuing_key", "\"next-ca.key\""),
    ]);
    let path = world.path("server/enroll-server.toml");
    let previous = "\n[[previous_ca]]\ncertificate = \"issuing-ca.crt\"\nkey_file = \"issuing-ca.key\"\n";
    fs::write(&path, world.text("server/enroll-server.toml") + previous).unwrap();
}
