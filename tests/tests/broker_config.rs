//! `enroll-server broker config`, run unchanged by the brokers it is for: an enrolled device comes in and has its own
//! topics; foreign topics, foreign client identifiers, no certificate and a revoked one are refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::AlertDescription;
use serde_json::Value as Json;
use tests::harness::{
    CRL_HOOK, ClientKey, LIMIT, Login, NOT_AUTHORIZED, Order, Probe, ProbeError, Process, Version, Wishes,
    World, certify, client_config, connect, free_port, peer, run, send, until,
};

/// A server with two enrolled devices, and the files of a broker, kept current.
struct Site {
    world: World,
    product: &'static str,
    port: u16,
    version: Version,
    watch: Option<Process>,
    server: Option<Process>,
}

impl Site {
    fn new(product: &'static str, version: Version) -> Self {
        let port = free_port();
        let world = World::new(Wishes { devices: 2, broker_port: port, ..Wishes::default() });
        // The server makes the certificate for its own place at brokers; then the test takes that place.
        world.configure(&[("mqtt", "enabled", "true")]);
        drop(world.serve());
        world.configure(&[("mqtt", "enabled", "false")]);
        let server = Some(world.serve());
        for device in &world.devices {
            let _enrolled = world.agent(device, &["enroll"]).success();
        }
        let out = world.path(product).display().to_string();
        let _made = world.server(&["broker", "certificate", "--name", "localhost", "--out", &out]).success();
        Self { world, product, port, version, watch: None, server }
    }

    fn folder(&self) -> PathBuf {
        self.world.path(self.product)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes the configuration.
    fn write(&self) {
        let out = self.folder().display().to_string();
        let told = self.world.server_json(&["broker", "config", self.product, "--out", &out]);
        assert_eq!(told["certificate_missing"], false, "{told}");
    }

    /// Keeps it current; the hook is the shipped script, with this process file.
    fn watch(&mut self, hook: &[&str]) {
        let out = self.folder().display().to_string();
        let mut words = vec!["broker", "config", self.product, "--out", &out, "--watch"];
        if !hook.is_empty() {
            words.extend(["--hook"]);
            words.extend(hook);
        }
        let watch = Process::start(&mut self.world.server_command(&words));
        watch.wait_for_text("wrote");
        self.watch = Some(watch);
    }

    fn login_as(&self, client_id: &str, identity: Option<ClientKey>) -> Result<Probe, ProbeError> {
        let root = self.world.root();
        let login = Login { port: self.port, root: &root, identity, client_id };
        Probe::connect_by(self.version, &login, None)
    }

    fn login(&self, device: &str) -> Result<Probe, ProbeError> {
        self.login_as(device, Some(self.world.exported_identity(device)))
    }

    /// The enrollment server's own place at the broker, with the certificate that it made for it.
    fn enrollment_server(&self) -> Probe {
        let key = ca::pem::read_private_key(&self.world.text("server/mqtt-client.key")).unwrap();
        let chain = self.world.certificates("server/mqtt-client.crt");
        let identity = ClientKey { chain, key: key.to_vec() };
        let mut probe = self.login_as("enroll_server", Some(identity)).unwrap();
        assert!(probe.subscribe("devices/+/status") <= 1);
        probe
    }

    fn devices(&self) -> [String; 2] {
        [self.world.devices[0].clone(), self.world.devices[1].clone()]
    }

    /// What is the same with every broker: own topics, foreign ones, and who is let in.
    fn keeps_everyone_to_his_own(&self) {
        let [mine, other] = self.devices();
        let mut server = self.enrollment_server();
        let mut seen = Vec::new();
        let mut other_probe = self.login(&other).unwrap();
        assert!(other_probe.subscribe(&format!("devices/{other}/command")) <= 1);

        let mut probe = self.login(&mine).unwrap();
        assert!(probe.subscribe(&format!("devices/{mine}/command")) <= 1);
        assert_eq!(probe.publish(&format!("devices/{mine}/status"), b"own"), 0);
        let from = server.message(|topic, payload| (payload == b"own").then(|| topic.to_owned()));
        assert_eq!(from, format!("devices/{mine}/status"));
        assert_eq!(server.publish(&format!("devices/{mine}/command"), b"for me"), 0);
        let got = probe.message(|_, payload| Some(payload.to_vec()));
        assert_eq!(got, b"for me");

        for foreign in [format!("devices/{other}/status"), format!("devices/{other}/command"), "x/y".into()] {
            let mut probe = self.login(&mine).unwrap();
            // MQTT 5 says no; MQTT 3.1.1 knows no refusal: the connection is closed, or the message goes nowhere.
            let answered = probe.try_publish(&foreign, b"foreign");
            assert!(
                self.version == Version::V311 || answered == Ok(NOT_AUTHORIZED),
                "{foreign}: {answered:?}"
            );
        }
        for filter in
            ["#", "devices/+/command", &format!("devices/{other}/command"), "$MQTT/sub/#", "$MQTT/#"]
        {
            let mut probe = self.login(&mine).unwrap();
            if probe.try_subscribe(filter).is_ok_and(|code| code < 0x80) {
                // Mosquitto grants it, and looks at the rights when a message comes.
                assert_eq!(server.publish(&format!("devices/{other}/command"), b"secret"), 0);
                other_probe.message(|_, payload| (payload == b"secret").then_some(()));
                let got = probe.messages_until_now();
                assert!(got.iter().all(|(_, payload)| payload != b"secret"), "{filter}: {got:?}");
            }
        }
        // Whatever came through is here before what is sent now.
        let mut last = self.login(&other).unwrap();
        assert_eq!(last.publish(&format!("devices/{other}/status"), b"the end"), 0);
        server.message(|topic, payload| {
            seen.push((topic.to_owned(), payload.to_vec()));
            (payload == b"the end").then_some(())
        });
        assert!(seen.iter().all(|(_, payload)| payload != b"foreign"), "{seen:?}");

        assert!(matches!(self.login_as(&mine, None), Err(ProbeError::Alert(_))), "without a certificate");
        let stranger = tests::harness::certify_by_stranger(&Order::client(&mine));
        assert!(matches!(self.login_as(&mine, Some(stranger)), Err(ProbeError::Alert(_))), "a stranger's");
    }

    /// Nobody takes another's place by its client identifier.
    fn ties_client_identifiers(&self) {
        let [mine, other] = self.devices();
        let mut first = self.login(&other).unwrap();
        match self.login_as(&other, Some(self.world.exported_identity(&mine))) {
            Err(_) => {}
            // Let in under its own name.
            Ok(mut thief) => {
                let published = thief.try_publish(&format!("devices/{other}/telemetry"), b"x");
                assert_ne!(published, Ok(0), "it has the other's rights");
            }
        }
        assert!(first.messages_until_now().is_empty(), "the session was ended");
    }

    /// A revoked device is refused, the other goes on.
    fn refuses_the_revoked(&self) -> ProbeError {
        let [revoked, other] = self.devices();
        let _before = self.login(&revoked).unwrap();
        let _done = self.world.server(&["device", "revoke", &revoked]).success();
        let refusal = until("the broker to refuse", || self.login(&revoked).err());
        until("the broker to take the other", || self.login(&other).ok());
        refusal
    }
}

fn listening(port: u16) {
    until("the broker's port", || TcpStream::connect(("127.0.0.1", port)).ok());
}

/// Mosquitto with the main configuration of a distribution, which reads the folder of ours.
fn mosquitto(site: &Site) -> Process {
    let main = site.world.path("mosquitto-main.conf");
    let pid = site.world.path("mosquitto.pid");
    let (pid, folder) = (pid.display(), site.folder());
    // As root it would go on as a user who cannot read the test's folder.
    let text = format!(
        "user root\npid_file {pid}\nlog_dest stderr\nlog_type all\ninclude_dir {}\n",
        folder.display()
    );
    fs::write(&main, text).unwrap();
    let process = Process::start(Command::new(peer("mosquitto", "mosquitto")).arg("-c").arg(&main));
    process.wait_for_text("running");
    listening(site.port);
    process
}

#[test]
fn mosquitto_runs_with_what_is_written() {
    let mut site = Site::new("mosquitto", Version::V5);
    site.write();
    let pid = site.world.path("mosquitto.pid").display().to_string();
    let broker = mosquitto(&site);
    site.watch(&[CRL_HOOK, &pid]);
    site.keeps_everyone_to_his_own();
    site.ties_client_identifiers();

    // The real agent, as devices run it.
    let [device, _] = site.devices();
    let mut server = site.enrollment_server();
    let agent = Process::start(&mut site.world.agent_command(&device, &["run"]));
    let status = server.message(|topic, payload| {
        let status: Json = serde_json::from_slice(payload).ok()?;
        (topic == format!("devices/{device}/status") && status["status"] == "online").then_some(status)
    });
    assert_eq!(status["device"], device.as_str());
    drop(agent.kill());

    let refusal = site.refuses_the_revoked();
    assert_eq!(refusal, ProbeError::Alert(AlertDescription::CertificateRevoked));
    drop(broker);
}

/// The tests above can fail: each mistake opens the hole that one of them looks for.
#[test]
fn mistakes_planted_into_mosquittos_configuration_are_found() {
    let site = Site::new("mosquitto", Version::V5);
    site.write();
    let config = site.file("mosquitto.conf");
    let good = fs::read_to_string(&config).unwrap();
    let plant = |line: &str, instead: &str| {
        assert!(good.contains(line), "{line}");
        fs::write(&config, good.replace(line, instead)).unwrap();
        mosquitto(&site)
    };
    let [mine, other] = site.devices();

    let broker = plant("acl_file", "# acl_file");
    let mut probe = site.login(&mine).unwrap();
    assert_eq!(probe.publish(&format!("devices/{other}/status"), b"foreign"), 0);
    drop(broker);

    let broker = plant("use_username_as_clientid true", "use_username_as_clientid false");
    let mut first = site.login(&other).unwrap();
    let _thief = site.login_as(&other, Some(site.world.exported_identity(&mine))).unwrap();
    assert!(first.is_dropped_within(LIMIT));
    drop(broker);

    let broker = plant("crlfile", "# crlfile");
    let _done = site.world.server(&["device", "revoke", &mine]).success();
    until("a list with the device on it", || {
        site.write();
        let list = fs::read_to_string(site.file("crl.pem")).unwrap();
        (list == site.world.text("server/crl.pem")).then_some(())
    });
    assert!(site.login(&mine).is_ok());
    drop(broker);
}

/// RabbitMQ, on ports and in folders of its own.
struct Rabbit {
    process: Process,
    epmd: u16,
}

impl Rabbit {
    fn start(site: &Site) -> Self {
        let home = site.world.path("rabbit-home");
        fs::create_dir_all(&home).unwrap();
        let cookie = home.join(".erlang.cookie");
        fs::write(&cookie, "for-one-test-only").unwrap();
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).unwrap();
        let epmd = free_port();
        let _found = peer("rabbitmq-server", "rabbitmq-server");
        // Debian's own wrapper becomes another user, who cannot read the test's folder.
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .env("HOME", &home)
            .env("RABBITMQ_NODENAME", format!("enrolled-{}@localhost", site.port))
            .env("RABBITMQ_CONFIG_FILE", site.file("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", site.file("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", site.file("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("ERL_EPMD_PORT", epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .current_dir(&home);
        let process = Process::start(&mut command);
        listening(site.port);
        Self { process, epmd }
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.process.end_softly();
        // Erlang's name server outlives the node that started it.
        let mut epmd = Command::new("epmd");
        let _ended = epmd.args(["-port", &self.epmd.to_string(), "-kill"]).output();
    }
}

#[test]
fn rabbitmq_runs_with_what_is_written() {
    let mut site = Site::new("rabbitmq", Version::V311);
    site.watch(&[]);
    let mode = fs::metadata(site.file("rabbitmq.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds the token");
    let _broker = Rabbit::start(&site);
    site.keeps_everyone_to_his_own();
    site.ties_client_identifiers();

    // A name and a password do not take the place of the certificate's name.
    let [mine, other] = site.devices();
    let root = site.world.root();
    for name in [&other, &mine] {
        let identity = Some(site.world.exported_identity(&mine));
        let login = Login { port: site.port, root: &root, identity, client_id: name };
        let refused = Probe::connect_by(Version::V311, &login, Some((name, "secret")));
        assert!(matches!(refused, Err(ProbeError::Refused(_) | ProbeError::Closed)), "{name}: {refused:?}");
    }

    let refusal = site.refuses_the_revoked();
    assert!(
        matches!(refusal, ProbeError::Alert(_) | ProbeError::Refused(_) | ProbeError::Closed),
        "{refusal:?}"
    );
    // By the lists alone too: the handshake fails once the watcher has written them.
    let alert = until("the handshake to be refused", || match site.login(&mine) {
        Err(ProbeError::Alert(alert)) => Some(alert),
        _ => None,
    });
    assert_eq!(alert, AlertDescription::CertificateRevoked);
    // Where the enrollment server does not answer, nobody is let in.
    drop(site.server.take());
    assert!(site.login(&other).is_err(), "let in without an answer");
}

#[test]
fn nats_runs_with_what_is_written() {
    let mut site = Site::new("nats", Version::V311);
    let pid = site.world.path("nats.pid");
    site.write();
    let config = site.file("nats.conf");
    let nats = || Command::new(peer("nats-server", "nats-server"));
    let _checked = run(nats().arg("-t").arg("-c").arg(&config)).success();
    let _broker = Process::start(nats().arg("-c").arg(&config).arg("-P").arg(&pid));
    listening(site.port);
    let pid = pid.display().to_string();
    site.watch(&[CRL_HOOK, &pid]);
    site.keeps_everyone_to_his_own();

    // What the comments say: a reload ends the session of a device that is gone.
    let [revoked, _] = site.devices();
    let mut open = site.login(&revoked).unwrap();
    let _done = site.world.server(&["device", "suspend", &revoked]).success();
    assert!(open.is_dropped_within(LIMIT), "the session goes on");
    until("the broker to refuse", || site.login(&revoked).err());
    let _done = site.world.server(&["device", "resume", &revoked]).success();
    until("the broker to take it again", || site.login(&revoked).ok());
    println!("nats: a revoked device: {:?}", site.refuses_the_revoked());
}

/// The files that no broker of the distribution reads are looked at as far as that goes without them.
#[test]
fn every_product_has_a_configuration_and_no_secret_is_printed() {
    let site = Site::new("mosquitto", Version::V5);
    let world = &site.world;
    let token = |folder: &Path| fs::read_to_string(folder.join("server/broker.token")).ok();
    for product in ["mosquitto", "emqx", "rabbitmq", "nats", "hivemq", "rumqttd", "aws-iot"] {
        let text = world.server(&["broker", "config", product]).success();
        assert!(text.contains("revocation"), "{product}: {text}");
        // AWS has ports and versions of its own.
        if product != "aws-iot" {
            assert!(text.contains(&site.port.to_string()), "{product}: {text}");
            assert!(text.contains("forward secrecy"), "{product}: {text}");
        }
        assert!(!text.contains("{{"), "{product}: {text}");
        assert_eq!(token(&world.path("")), None, "printing makes no token");
    }
    for product in ["emqx", "hivemq", "rumqttd", "aws-iot"] {
        let out = world.path(&format!("out-{product}")).display().to_string();
        let _written = world.server(&["broker", "config", product, "--out", &out]).success();
    }
    let token = token(&world.path("")).unwrap();
    let emqx = world.text("out-emqx/emqx.conf");
    assert!(emqx.contains(&format!("Bearer {token}")), "{emqx}");
    assert_eq!(emqx.matches('{').count(), emqx.matches('}').count());
    let _toml: toml::Table = world.text("out-rumqttd/rumqttd.toml").parse().unwrap();
    for name in ["device-policy.json", "provisioning.json"] {
        let _json: Json = serde_json::from_str(&world.text(&format!("out-aws-iot/{name}"))).unwrap();
    }
    let _shell = run(Command::new("sh").arg("-n").arg(world.path("out-aws-iot/register.sh"))).success();
    let topic = "arn:aws:iot:*:*:topic/devices/${iot:Connection.Thing.ThingName}/telemetry";
    assert!(world.text("out-aws-iot/device-policy.json").contains(topic));
}

/// The questions that EMQX's configuration has it ask, with what EMQX puts in, are understood and answered.
#[test]
fn emqxs_questions_are_answered_as_its_configuration_asks_them() {
    let site = Site::new("emqx", Version::V5);
    site.write();
    let config = fs::read_to_string(site.file("emqx.conf")).unwrap();
    let [mine, other] = site.devices();
    let mut asked = 0;
    for question in config.split("method = post").skip(1) {
        let between = |from: &str, to: &str| {
            let (_, rest) = question.split_once(from).unwrap();
            rest.split_once(to).unwrap().0.to_owned()
        };
        let url = between("url = \"", "\"");
        let path = url.strip_prefix(&format!("https://localhost:{}", site.world.https_port)).unwrap();
        let token = between("authorization = \"", "\"");
        let (_, rest) = question.split_once("body {").unwrap();
        let lines = rest.lines().skip(1).map(str::trim).take_while(|line| *line != "}");
        let body: Vec<_> = lines.collect();
        for (device, topic, expected) in [(&mine, &mine, "allow"), (&mine, &other, "deny")] {
            let mut fields = serde_json::Map::new();
            for line in &body {
                let (name, value) = line.split_once(" = ").unwrap();
                let value = value
                    .trim_matches('"')
                    .replace("${username}", device)
                    .replace("${clientid}", device)
                    // Somebody with another's certificate, in the question that has no topic.
                    .replace("${cert_common_name}", topic)
                    .replace("${cert_pem}", &STANDARD.encode(&site.world.exported_identity(device).chain[0]))
                    .replace("${action}", "publish")
                    .replace("${topic}", &format!("devices/{topic}/telemetry"));
                assert!(!value.contains("${"), "{line}");
                fields.insert(name.to_owned(), value.into());
            }
            let root = &site.world.root();
            let body = Json::Object(fields).to_string();
            let reply = ask(site.world.https_port, root, path, &token, &body);
            assert_eq!(reply["result"], expected, "{path} {body}");
            asked += 1;
        }
    }
    assert_eq!(asked, 4, "authentication and authorization, twice each");
}

/// A question over HTTPS; its answer.
fn ask(port: u16, root: &[u8], path: &str, authorization: &str, body: &str) -> Json {
    let headers = format!(
        "Content-Type: application/json\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n",
        body.len()
    );
    let stream = connect(port, client_config(root, None));
    let reply = send(stream, &format!("POST {path}"), &headers, body.as_bytes()).unwrap();
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.head))
}

/// The example for the quick start gives the rights that are printed, and the same protection.
#[test]
fn the_example_for_mosquitto_is_what_is_printed() {
    let site = Site::new("mosquitto", Version::V5);
    site.write();
    let rules = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let sorted = |text: &str| {
        let mut rules = rules(text);
        rules.sort();
        rules
    };
    assert_eq!(
        sorted(&fs::read_to_string(site.file("acl")).unwrap()),
        sorted(include_str!("../../examples/mosquitto.acl"))
    );
    let printed = rules(&fs::read_to_string(site.file("mosquitto.conf")).unwrap());
    let own =
        ["listener", "certfile", "keyfile", "cafile", "crlfile", "acl_file", "tls_version", "user root"];
    for line in rules(include_str!("../../examples/mosquitto.conf")) {
        if !own.iter().any(|name| line.starts_with(name)) {
            assert!(printed.contains(&line), "{line} in {printed:?}");
        }
    }
}

/// Topics of a policy are topics of the device, and of nobody else.
#[test]
fn topics_follow_the_policy_while_it_is_watched() {
    let mut site = Site::new("mosquitto", Version::V5);
    site.watch(&[]);
    assert!(!fs::read_to_string(site.file("acl")).unwrap().contains("lab/"));
    let policy = site.world.text("server/policy.toml") + "\n[broker]\ntelemetry_topic = \"lab/{id}/data\"\n";
    fs::write(site.world.path("server/policy.toml"), policy).unwrap();
    until("the topic in the rights", || {
        fs::read_to_string(site.file("acl")).unwrap().contains("pattern write lab/%u/data").then_some(())
    });
    // A mistake changes nothing, is told, and the watcher goes on.
    let good = site.world.text("server/policy.toml");
    let acl = fs::read_to_string(site.file("acl")).unwrap();
    fs::write(site.world.path("server/policy.toml"), good.clone() + "\nnonsense = 1\n").unwrap();
    let Some(watch) = &site.watch else { panic!("it watches") };
    watch.wait_for_text("not done");
    assert_eq!(fs::read_to_string(site.file("acl")).unwrap(), acl);
    fs::write(site.world.path("server/policy.toml"), good.replace("lab/", "lab2/")).unwrap();
    until("the change after it", || {
        fs::read_to_string(site.file("acl")).unwrap().contains("lab2/%u/data").then_some(())
    });
    let broken = site.world.text("server/policy.toml").replace("lab2/{id}/data", "lab2/x{id}/data");
    fs::write(site.world.path("server/policy.toml"), broken).unwrap();
    let out = site.folder().display().to_string();
    let told = site.world.server(&["broker", "config", "mosquitto", "--out", &out]).failure();
    assert!(told.contains("as a level of its own"), "{told}");
}

/// An identity that this CA would not give reaches nothing, though the CA signed it.
#[test]
fn a_name_that_is_no_device_has_no_rights() {
    let site = Site::new("mosquitto", Version::V5);
    site.write();
    let _broker = mosquitto(&site);
    let [_, other] = site.devices();
    for name in ["+", "#", "a/b"] {
        let identity = certify(&site.world, &Order::client(name));
        let Ok(mut probe) = site.login_as(name, Some(identity)) else { continue };
        let published = probe.try_publish(&format!("devices/{other}/telemetry"), b"foreign");
        assert_ne!(published, Ok(0), "{name}");
    }
}
