//! From `device revoke` and `device suspend` to refusal at real peers, over the server's hook: Mosquitto and nginx, as
//! docs/brokers.md tells operators to run them. The figures are printed; and what each peer does with a list that
//! ran out, is damaged or missing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use core::time::Duration;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustls::AlertDescription;
use tests::harness::{
    BrokerFiles, CRL_HOOK, ClientKey, Login, Mosquitto, Nginx, Order, Probe, ProbeError, Process, Wishes,
    World, certify, client_config, connect, echo_service, exchange, free_port, peer, run, until,
};

/// What the issue allows, and as much again for a machine that runs many tests at once.
const LIMIT: Duration = Duration::from_secs(1 + 4);

/// A server whose hook is the shipped script, with the process files of these peers.
fn world(devices: u32, broker_port: u16, pid_files: &[&str]) -> World {
    let world = World::new(Wishes { devices, broker_port, ..Wishes::default() });
    let pids = pid_files.iter().map(|name| world.path(name).display().to_string());
    let words: Vec<String> =
        [CRL_HOOK.to_owned()].into_iter().chain(pids).map(|word| format!("{word:?}")).collect();
    world.configure(&[("crl", "hook", &format!("[{}]", words.join(", ")))]);
    world
}

/// Chain and key for a TLS server on this machine.
fn server_files(world: &World, folder: &str) -> (PathBuf, PathBuf) {
    let identity = certify(world, &Order::server("localhost"));
    fs::create_dir_all(world.path(folder)).unwrap();
    let (chain, key) = (world.path(&format!("{folder}/tls.pem")), world.path(&format!("{folder}/tls.key")));
    fs::write(&chain, ca::pem::chain(identity.chain.iter().map(Vec::as_slice))).unwrap();
    fs::write(&key, ca::pem::private_key(&identity.key).as_str()).unwrap();
    (chain, key)
}

fn mosquitto(world: &World, port: u16) -> Mosquitto {
    let (certificate, key) = server_files(world, "broker");
    let (authorities, crl) = (world.path("server/authorities.pem"), world.path("server/crl.pem"));
    let files = BrokerFiles { authorities: &authorities, certificate: &certificate, key: &key, crl: &crl };
    Mosquitto::start(&world.path("broker"), port, files, None)
}

fn login(world: &World, port: u16, device: &str, identity: &ClientKey) -> Result<Probe, ProbeError> {
    let root = world.root();
    Probe::connect(&Login { port, root: &root, identity: Some(identity.clone()), client_id: device })
}

/// nginx that lets in whoever has a certificate which is not revoked, by the lists where the server writes them.
struct Site {
    nginx: Nginx,
    port: u16,
}

impl Site {
    fn start(world: &World) -> Self {
        let port = free_port();
        let (certificate, key) = server_files(world, "nginx");
        let upstream = format!("127.0.0.1:{}", echo_service());
        let (number, pair) = (port.to_string(), [&certificate, &key].map(|path| path.display().to_string()));
        let words = ["terminator", "config", "nginx", "--listen", &number, "--upstream", &upstream];
        let files = ["--certificate", &pair[0], "--key", &pair[1]];
        let printed = world.server(&[words.as_slice(), &files].concat()).success();
        fs::write(world.path("nginx/enrolled.conf"), printed).unwrap();
        let nginx = Nginx::start(&world.path("nginx"), &world.path("nginx/enrolled.conf"), port);
        Self { nginx, port }
    }

    /// What it answers: 200, or 400 where the certificate does not do (nginx says so within HTTP).
    fn asks(&self, world: &World, identity: &ClientKey) -> u16 {
        let stream = connect(self.port, client_config(&world.root(), Some(identity)));
        exchange(stream, "/", None).map_or(0, |reply| reply.status)
    }
}

#[test]
fn mosquitto_refuses_a_revoked_and_a_suspended_device_within_a_second() {
    let port = Mosquitto::port_to_be();
    let world = world(2, port, &["broker/mosquitto.pid"]);
    let _server = world.serve();
    let broker = mosquitto(&world, port);
    for (device, verb) in world.devices.iter().zip(["revoke", "suspend"]) {
        let _enrolled = world.agent(device, &["enroll"]).success();
        let identity = world.exported_identity(device);
        let mut live = login(&world, port, device, &identity).unwrap();
        let reloads = || broker.log().matches("Reloading config").count();
        let before = reloads();
        let began = clock();
        let _done = world.server(&["device", verb, device]).success();
        let told = began.elapsed();
        // A login that succeeds would take the open session over, so nobody tries before the broker has read the list.
        until("the broker to read its files", || (reloads() > before).then_some(()));
        until("the broker to refuse", || match login(&world, port, device, &identity) {
            Err(ProbeError::Alert(alert)) => {
                assert_eq!(alert, AlertDescription::CertificateRevoked);
                Some(())
            }
            _ => None,
        });
        let refused = began.elapsed();
        println!("mosquitto: device {verb}: command {told:?}, refused after {refused:?}");
        assert!(refused < LIMIT, "{refused:?}");
        // As docs/brokers.md says: a reload looks at no session that is open.
        assert!(
            !live.is_dropped_within(Duration::from_millis(500)),
            "it is better than the documentation says"
        );
        assert_eq!(live.publish(&format!("devices/{device}/telemetry"), b"still here"), 0);
    }
    // The suspension ends the same way.
    let suspended = &world.devices[1];
    let identity = world.exported_identity(suspended);
    let began = clock();
    let _done = world.server(&["device", "resume", suspended]).success();
    until("the broker to take it again", || login(&world, port, suspended, &identity).ok());
    println!("mosquitto: device resume: taken after {:?}", began.elapsed());
    drop(broker);
}

#[test]
fn mosquitto_ends_an_open_session_by_its_own_interface() {
    let port = Mosquitto::port_to_be();
    let world = world(2, port, &["broker/mosquitto.pid"]);
    let _server = world.serve();
    let (certificate, key) = server_files(&world, "broker");
    let (authorities, crl) = (world.path("server/authorities.pem"), world.path("server/crl.pem"));
    let files = BrokerFiles { authorities: &authorities, certificate: &certificate, key: &key, crl: &crl };
    let (admin, settings) = (free_port(), world.path("broker/dynsec.json"));
    let ctrl = || Command::new(peer("mosquitto_ctrl", "mosquitto"));
    let _made = run(ctrl().args(["dynsec", "init"]).arg(&settings).args(["admin", "secret"])).success();
    let more = format!(
        "listener {admin} 127.0.0.1\nplugin {}\nplugin_opt_config_file {}\n",
        plugin().display(),
        settings.display()
    );
    let _broker = Mosquitto::start_with(&world.path("broker"), port, files, None, &more);
    let dynsec = |words: &[&str]| {
        let mut command = ctrl();
        command.args(["-h", "127.0.0.1", "-p", &admin.to_string(), "-u", "admin", "-P", "secret", "dynsec"]);
        run(command.args(words))
    };
    let [revoked, other] = [world.devices[0].clone(), world.devices[1].clone()];
    let mut sessions = Vec::new();
    for device in [&revoked, &other] {
        let _enrolled = world.agent(device, &["enroll"]).success();
        let identity = world.exported_identity(device);
        let mut live = login(&world, port, device, &identity).unwrap();
        // The plugin changes nothing about who may do what.
        assert_eq!(live.publish(&format!("devices/{device}/telemetry"), b"mine"), 0);
        assert_eq!(live.publish("devices/elsewhere/telemetry", b"not mine"), tests::harness::NOT_AUTHORIZED);
        sessions.push(live);
    }
    let began = clock();
    let _done = world.server(&["device", "revoke", &revoked]).success();
    let _known = dynsec(&["createClient", &revoked, "-p", "unused"]).success();
    let _cut = dynsec(&["disableClient", &revoked]).success();
    assert!(sessions[0].is_dropped_within(LIMIT), "the session goes on");
    println!("mosquitto: an open session was ended after {:?}", began.elapsed());
    assert!(!sessions[1].is_dropped_within(Duration::from_millis(300)), "another session was ended");
    let identity = world.exported_identity(&revoked);
    until("the broker to refuse", || login(&world, port, &revoked, &identity).err());
}

fn clock() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "figures of real programs are in real time")]
    Instant::now()
}

/// Mosquitto's own plugin for rights that change while it runs.
fn plugin() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let found = folders.map(|folder| folder.join("mosquitto_dynamic_security.so")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("mosquitto_dynamic_security.so; to have it: apt-get install mosquitto"))
}

#[test]
fn mosquitto_fails_closed_without_a_good_list() {
    let port = Mosquitto::port_to_be();
    // The hook reaches nobody: the broker is told here when to look.
    let world = world(1, port, &[]);
    let server = world.serve();
    let broker = mosquitto(&world, port);
    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let identity = world.exported_identity(device);
    let _taken = login(&world, port, device, &identity).unwrap();
    let good = world.text("server/crl.pem");
    drop(server);

    // Run out: every login is refused, though nobody was revoked.
    let _stale = stale_list(&world);
    broker.reload();
    until("the broker to refuse by a list that ran out", || login(&world, port, device, &identity).err());
    let told = login(&world, port, device, &identity).unwrap_err();
    println!("mosquitto: a list that ran out: {told:?}");
    fs::write(world.path("server/crl.pem"), &good).unwrap();
    broker.reload();
    until("the broker to take it again", || login(&world, port, device, &identity).ok());

    // Damaged, then missing: the broker does not start. A running one is not asked to go on with them.
    for damage in ["damaged", "missing"] {
        match damage {
            "damaged" => fs::write(world.path("server/crl.pem"), "-----BEGIN X509 CRL-----\nAAAA\n").unwrap(),
            _ => fs::remove_file(world.path("server/crl.pem")).unwrap(),
        }
        let config = world.path("broker/mosquitto.conf");
        let text = fs::read_to_string(&config).unwrap();
        let other = world.path("broker/other.conf");
        let second = free_port();
        fs::write(&other, text.replace(&format!("listener {port}"), &format!("listener {second}"))).unwrap();
        let mut started = Process::start(Command::new(peer("mosquitto", "mosquitto")).arg("-c").arg(&other));
        let status = started.wait();
        println!("mosquitto: a list that is {damage}: ends with {status}");
        assert!(!status.success(), "{}", started.output());
    }
}

#[test]
fn nginx_refuses_a_revoked_and_a_suspended_device_within_a_second() {
    let world = world(3, 9, &["nginx/nginx.pid"]);
    let _server = world.serve();
    let nginx = Site::start(&world);
    for device in &world.devices {
        let _enrolled = world.agent(device, &["enroll"]).success();
        assert_eq!(nginx.asks(&world, &world.exported_identity(device)), 200);
    }
    for (device, verb) in world.devices.iter().zip(["revoke", "suspend"]) {
        let identity = world.exported_identity(device);
        let mut live = connect(nginx.port, client_config(&world.root(), Some(&identity)));
        let mut ask = || {
            live.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").and_then(|()| {
                let mut answer = [0; 1024];
                live.read(&mut answer).map(|length| answer.get(9..12.min(length)).map(<[u8]>::to_vec))
            })
        };
        assert_eq!(ask().unwrap().as_deref(), Some(b"200".as_slice()));
        let began = clock();
        let _done = world.server(&["device", verb, device]).success();
        let told = began.elapsed();
        until("nginx to refuse", || (nginx.asks(&world, &identity) == 400).then_some(()));
        let refused = began.elapsed();
        println!("nginx: device {verb}: command {told:?}, refused after {refused:?}");
        assert!(refused < LIMIT, "{refused:?}");
        // A connection that is open: the worker of before the reload ends it once it is idle.
        let cut = until("nginx to end the open connection", || {
            (!matches!(ask(), Ok(Some(_)))).then(|| began.elapsed())
        });
        println!("nginx: an open connection was ended after {cut:?}");
    }
    assert_eq!(nginx.asks(&world, &world.exported_identity(&world.devices[2])), 200, "the others stay");
}

#[test]
fn nginx_fails_closed_without_a_good_list() {
    let world = world(1, 9, &[]);
    let server = world.serve();
    let nginx = Site::start(&world);
    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let identity = world.exported_identity(device);
    assert_eq!(nginx.asks(&world, &identity), 200);
    let good = world.text("server/crl.pem");
    drop(server);
    let path = world.path("server/crl.pem");
    let _stale = stale_list(&world);
    nginx.nginx.reload();
    until("nginx to refuse by a list that ran out", || (nginx.asks(&world, &identity) == 400).then_some(()));
    // Without the root's list it checks nobody, and lets nobody in.
    let own = good.split_inclusive("-----END X509 CRL-----\n").next().unwrap();
    fs::write(&path, own).unwrap();
    nginx.nginx.reload();
    until("nginx to read it", || (nginx.asks(&world, &identity) == 400).then_some(()));
    fs::write(&path, &good).unwrap();
    nginx.nginx.reload();
    until("nginx to let it in again", || (nginx.asks(&world, &identity) == 200).then_some(()));
    // Damaged or missing: such a configuration is not taken; a start fails, a reload goes on under the last list.
    for damage in ["damaged", "missing"] {
        match damage {
            "damaged" => fs::write(&path, "-----BEGIN X509 CRL-----\nAAAA\n").unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        let told = nginx.nginx.complaint();
        assert!(told.contains("crl"), "{told}");
        println!("nginx: a list that is {damage}: does not start");
    }
}

/// Puts a list that ran out an hour ago into the published file's place, signed by the right CA.
fn stale_list(world: &World) -> PathBuf {
    let key = ca::FileKey::load(&world.path("server/issuing-ca.key")).unwrap();
    let der = world.certificates("server/issuing-ca.crt").remove(0);
    let issuer = ca::Issuer::new(ca::CaCertificate::from_der(&der).unwrap(), Box::new(key)).unwrap();
    let now = tests::harness::now();
    let life = issuer.certificate().validity().not_before;
    let issue = ca::crl::Issue {
        number: 1_000_000,
        this_update: life.max(now.before(Duration::from_secs(3600))),
        next_update: now.before(Duration::from_secs(60)),
    };
    let list = ca::crl::make(&issuer, issue, []).unwrap();
    let root = world.text("server/root-ca.crl.pem");
    let path = world.path("server/crl.pem");
    fs::write(&path, ca::pem::crl(&list) + &root).unwrap();
    path
}

/// A broker writes its process file before it takes the signal, which ends it until then.
#[test]
fn the_hook_waits_for_a_broker_that_is_starting_and_leaves_alone_what_never_takes_the_signal() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, then: &str| {
        let file = folder.path().join(name);
        let words = ["-c", &format!("echo $$ > \"$0\"; {then}")].map(str::to_owned);
        let process = Process::start(Command::new("sh").args(words).arg(&file));
        until("the process file", || fs::read_to_string(&file).ok().filter(|id| id.ends_with('\n')));
        (process, file)
    };
    let (mut starting, file) = start("starting", "sleep 1; trap 'exit 7' HUP; while :; do sleep 0.1; done");
    let _reloaded = run(Command::new(CRL_HOOK).arg(&file)).success();
    assert_eq!(starting.wait().code(), Some(7), "ended by the signal, or not told");

    let (mut deaf, deaf_file) = start("deaf", "while :; do sleep 0.1; done");
    let (mut listening, file) = start("listening", "trap 'exit 7' HUP; while :; do sleep 0.1; done");
    let missing = folder.path().join("missing");
    let told = run(Command::new(CRL_HOOK).args([&missing, &deaf_file, &file])).failure();
    assert!(told.contains("/missing") && told.contains("/deaf") && !told.contains("/listening"), "{told}");
    assert_eq!(listening.wait().code(), Some(7), "the others are reloaded all the same");
    assert!(deaf.is_running());
}
