//! `doctor` of both programs: each cause is made on purpose with real peers, and has to be named rightly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::time::Duration;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::Value as Json;
use tests::harness::{
    ClientKey, Finished, Order, Process, Site, Weakness, binary, certify, certify_by_stranger, free_port,
    now, peer, run, until,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A folder with a CA of its own.
struct Shop {
    folder: tempfile::TempDir,
    ca: Issuer<'static, KeyPair>,
}

/// How a certificate differs from a good one.
#[derive(Default)]
struct Odd {
    client: bool,
    without_usage: bool,
    /// Days from now until it begins and ends.
    days: Option<(i64, i64)>,
    name: Option<&'static str>,
}

impl Shop {
    fn new() -> Self {
        Self::with("Shop", (-1, 30))
    }

    fn with(name: &str, days: (i64, i64)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = authority(&format!("{name} Root"), name, days);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, ca: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes NAME.pem and NAME.key.
    fn certify(&self, name: &str, odd: &Odd) -> (PathBuf, PathBuf) {
        self.certify_by(&self.ca, name, odd)
    }

    fn certify_by(&self, ca: &Issuer<'_, KeyPair>, name: &str, odd: &Odd) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![odd.name.unwrap_or("localhost").to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, odd.name.unwrap_or("localhost"));
        date(&mut params, odd.days.unwrap_or((-1, 20)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = match (odd.without_usage, odd.client) {
            (true, _) => Vec::new(),
            (_, true) => vec![ExtendedKeyUsagePurpose::ClientAuth],
            (_, false) => vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, ca).unwrap().pem();
        (self.file(&format!("{name}.pem"), &pem), self.file(&format!("{name}.key"), &key.serialize_pem()))
    }

    /// openssl's server; gives its port.
    fn serve(&self, (certificate, key): &(PathBuf, PathBuf), more: &[&str]) -> (Process, u16) {
        let port = free_port();
        let mut command = Command::new(peer("openssl", "openssl"));
        command.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-cert").arg(certificate).arg("-key").arg(key).args(more);
        let process = Process::start(&mut command);
        process.wait_for_text("ACCEPT");
        (process, port)
    }

    /// What the doctor says to a server that is judged by this CA.
    fn ask(&self, port: u16, more: &[&str]) -> Json {
        let ca = self.path("ca.pem");
        let target = format!("localhost:{port}");
        doctor(&[["--ca", text(&ca), &target].as_slice(), more].concat())
    }

    fn asks(&self, server: &(PathBuf, PathBuf), serving: &[&str], more: &[&str]) -> Json {
        let (_server, port) = self.serve(server, serving);
        self.ask(port, more)
    }
}

fn authority(name: &str, organisation: &str, days: (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    date(&mut params, days);
    params
}

fn date(params: &mut CertificateParams, (begin, end): (i64, i64)) {
    let at = |days: i64| {
        let seconds = i64::try_from(now().as_secs()).unwrap() + days * 86_400;
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap())
    };
    (params.not_before, params.not_after) = (at(begin), at(end));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn doctor(arguments: &[&str]) -> Json {
    json(&run(Command::new(binary("enroll-server")).args(["doctor", "--json"]).args(arguments)))
}

/// The diagnosis; the exit status has to agree with it.
fn json(finished: &Finished) -> Json {
    let diagnosis: Json =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let fine = diagnosis["verdict"] == "fine";
    assert_eq!(finished.status.code(), Some(i32::from(!fine)), "{finished:?}");
    diagnosis
}

#[track_caller]
fn says(diagnosis: &Json, cause: &str) {
    assert_eq!(diagnosis["verdict"], cause, "{diagnosis:#}");
}

#[test]
fn names_ports_and_protocols() {
    let shop = Shop::new();
    says(&doctor(&["nowhere.invalid:8883"]), "name-not-found");
    says(&shop.ask(free_port(), &[]), "port-closed");
    // A listener that never answers: the kernel takes the connection.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    says(&shop.ask(silent.local_addr().unwrap().port(), &[]), "no-answer");
    for (answer, cause) in
        [(b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), "not-tls"), (b"".as_slice(), "connection-closed")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 2048];
            let _read = std::io::Read::read(&mut stream, &mut hello).unwrap();
            stream.write_all(answer).unwrap();
        });
        says(&shop.ask(port, &[]), cause);
        served.join().unwrap();
    }

    let good = shop.certify("server", &Odd::default());
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    says(&shop.asks(&good, &old, &[]), "protocol-too-old");
    // A suite without forward secrecy nor authenticated encryption.
    let odd = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"];
    says(&shop.asks(&good, &odd, &[]), "no-common-cipher");
    says(&shop.asks(&good, &["-tls1_3", "-groups", "P-521"], &[]), "no-common-cipher");
}

#[test]
fn certificates_of_servers() {
    let shop = Shop::new();
    let good = shop.certify("server", &Odd::default());
    for version in ["-tls1_2", "-tls1_3"] {
        let fine = shop.asks(&good, &[version], &[]);
        says(&fine, "fine");
        assert!(fine["reports"][0]["steps"].as_array().unwrap().iter().any(|step| step["step"] == "tls"));
    }
    says(&shop.asks(&good, &[], &["--name", "other.example"]), "name-mismatch");
    let made = |name: &str, odd: Odd| shop.asks(&shop.certify(name, &odd), &[], &[]);
    says(&made("expired", Odd { days: Some((-9, -2)), ..Odd::default() }), "expired");
    says(&made("early", Odd { days: Some((2, 9)), ..Odd::default() }), "not-yet-valid");
    says(&made("client", Odd { client: true, ..Odd::default() }), "eku-wrong");
    says(&made("usage", Odd { without_usage: true, ..Odd::default() }), "eku-missing");

    let stranger = Shop::with("Stranger", (-1, 30));
    let foreign = stranger.certify("server", &Odd::default());
    says(&shop.asks(&foreign, &[], &[]), "unknown-ca");
    // The same name, another key.
    let impostor = Shop::new();
    says(&shop.asks(&impostor.certify("server", &Odd::default()), &[], &[]), "unknown-ca");

    let key = KeyPair::generate().unwrap();
    let params = authority("Shop Issuing", "Shop", (-1, 25));
    let between = params.signed_by(&key, &shop.ca).unwrap();
    let middle = Issuer::new(params, key);
    let leaf = shop.certify_by(&middle, "below", &Odd::default());
    says(&shop.asks(&leaf, &[], &[]), "chain-incomplete");
    let chain = shop.file("between.pem", &between.pem());
    says(&shop.asks(&leaf, &["-cert_chain", text(&chain)], &[]), "fine");

    // Everything is to begin in a year: rather this machine's clock.
    let future = Shop::with("Future", (365, 900));
    let odd = Odd { days: Some((366, 800)), ..Odd::default() };
    says(&future.asks(&future.certify("server", &odd), &[], &[]), "clock-wrong");
    let past = Shop::with("Past", (-900, -300));
    let odd = Odd { days: Some((-800, -301)), ..Odd::default() };
    says(&past.asks(&past.certify("server", &odd), &[], &[]), "clock-wrong");
}

#[test]
fn certificates_of_clients() {
    let shop = Shop::new();
    let server = shop.certify("server", &Odd::default());
    let client = shop.certify("client", &Odd { client: true, ..Odd::default() });
    let ca = shop.path("ca.pem");
    let shown = |(certificate, key): &(PathBuf, PathBuf)| {
        ["--cert", text(certificate), "--key", text(key)].map(str::to_owned)
    };
    let with = |identity: &(PathBuf, PathBuf), serving: &[&str]| {
        let arguments = shown(identity);
        shop.asks(&server, serving, &arguments.each_ref().map(String::as_str))
    };
    let stranger = Shop::with("Stranger", (-1, 30));
    let foreign = stranger.certify("client", &Odd { client: true, ..Odd::default() });
    says(&with(&client, &[]), "client-certificate-not-asked");
    for version in ["-tls1_2", "-tls1_3"] {
        let asking = [version, "-Verify", "3", "-verify_return_error", "-CAfile", text(&ca)];
        says(&with(&client, &asking), "fine");
        says(&with(&foreign, &asking), "client-unknown-ca");
        says(&shop.asks(&server, &asking, &[]), "client-certificate-required");
    }
    let asking = ["-Verify", "3", "-verify_return_error", "-CAfile", text(&ca)];
    let expired = shop.certify("expired", &Odd { client: true, days: Some((-9, -2)), ..Odd::default() });
    says(&with(&expired, &asking), "expired");
    let other = shop.certify("other", &Odd::default());
    says(&with(&other, &asking), "eku-wrong");
    // openssl takes the client for one to come: its clock is five days ahead.
    let short = shop.certify("short", &Odd { client: true, days: Some((-2, 3)), ..Odd::default() });
    let ahead = (now().as_secs() + 5 * DAY.as_secs()).to_string();
    says(&with(&short, &[asking.as_slice(), &["-attime", &ahead]].concat()), "client-expired");

    says(&with(&(client.0.clone(), other.1), &asking), "key-mismatch");
    says(&with(&(client.0.clone(), shop.path("nothing")), &asking), "key-unreadable");
    let nonsense = shop.file("nonsense", "no key");
    says(&with(&(client.0.clone(), nonsense), &asking), "key-unreadable");
    fs::set_permissions(&client.1, fs::Permissions::from_mode(0o644)).unwrap();
    says(&with(&client, &asking), "key-too-open");
}

#[test]
fn files_are_told_and_held_against_each_other() {
    let shop = Shop::new();
    let (certificate, key) = shop.certify("server", &Odd::default());
    let (other, other_key) = shop.certify("other", &Odd { client: true, ..Odd::default() });
    let ca = shop.path("ca.pem");
    says(&doctor(&[text(&certificate), text(&key), text(&ca)]), "fine");
    says(&doctor(&[text(&other), text(&other_key), text(&ca)]), "fine");
    says(&doctor(&[text(&certificate), text(&other_key)]), "key-mismatch");
    let stranger = Shop::with("Stranger", (-1, 30));
    says(&doctor(&[text(&certificate), text(&stranger.path("ca.pem"))]), "unknown-ca");
    says(&doctor(&[text(&shop.file("notes", "hello"))]), "file-unknown");
    says(&doctor(&["there-is-nothing"]), "file-missing");
    let mut broken = fs::read_to_string(&certificate).unwrap();
    broken.replace_range(40..44, "!!!!");
    says(&doctor(&[text(&shop.file("broken.pem", &broken))]), "certificate-unreadable");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    says(&doctor(&[text(&shop.file("encrypted.key", encrypted))]), "key-unreadable");
}

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
fn a_broker_that_asks_for_no_certificate() {
    let site = Site::with(1, Some(Weakness::NoCertificate));
    let device = &site.world.devices[0];
    let _enrolled = site.world.agent(device, &["enroll"]).success();
    let identity = certify(&site.world, &Order::client(device));
    assert!(!identity.chain.is_empty());
    says(&json(&site.world.agent(device, &["doctor", "--json"])), "client-certificate-not-asked");
}
