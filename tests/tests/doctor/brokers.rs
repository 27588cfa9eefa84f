//! Brokers that refuse a login, speak another MQTT, or are none.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;
use tests::harness::{Process, Wishes, World, free_port, peer, until};

use super::shop::{Odd, Shop, doctor, says, text};

/// A shop with what a broker and its client need.
struct Booth {
    shop: Shop,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
    ca: PathBuf,
}

impl Booth {
    fn new() -> Self {
        let shop = Shop::new();
        let server = shop.certify("broker", &Odd::default());
        let client = shop.certify("device", &Odd { client: true, name: Some("device"), ..Odd::default() });
        let ca = shop.path("ca.pem");
        Self { shop, server, client, ca }
    }

    fn mosquitto(&self, crl: &str, change: impl FnOnce(String) -> String) -> (Process, u16) {
        let port = free_port();
        let (certificate, key) = &self.server;
        let text = format!(
            "user root\nlog_dest stderr\nallow_anonymous false\nlistener {port} 127.0.0.1\ncafile {ca}\ncertfile {cert}\n\
             keyfile {key}\ncrlfile {crl}\nrequire_certificate true\nuse_identity_as_username true\n",
            ca = self.ca.display(),
            cert = certificate.display(),
            key = key.display(),
            crl = self.shop.path(crl).display(),
        );
        let config = self.shop.file("mosquitto.conf", &change(text));
        let broker = Process::start(Command::new(peer("mosquitto", "mosquitto")).arg("-c").arg(config));
        broker.wait_for_text("running");
        (broker, port)
    }

    /// What the doctor says to a login as the client.
    fn ask(&self, port: u16) -> Json {
        let (certificate, key) = &self.client;
        let target = format!("localhost:{port}");
        doctor(&[
            "--ca",
            text(&self.ca),
            "--cert",
            text(certificate),
            "--key",
            text(key),
            "--mqtt",
            "device",
            &target,
        ])
    }
}

#[test]
fn mosquitto_refuses() {
    let booth = Booth::new();
    let _fresh = booth.shop.crl("fresh", (-1, 1));
    let (_broker, port) = booth.mosquitto("fresh.pem", |text| text);
    says(&booth.ask(port), "fine");
    // The certificate is taken, but gives no user.
    let (_broker, port) =
        booth.mosquitto("fresh.pem", |text| text.replace("use_identity_as_username true\n", ""));
    says(&booth.ask(port), "login-refused");
    // A broker whose list has run out says of every client that it has expired.
    let _stale = booth.shop.crl("stale", (-9, -2));
    let (_broker, port) = booth.mosquitto("stale.pem", |text| text);
    let diagnosis = booth.ask(port);
    says(&diagnosis, "client-expired");
    assert!(diagnosis.to_string().contains("its revocation list has run out"), "{diagnosis:#}");
    // One that has no list of the CA says that it does not know the CA.
    let strange = Shop::with("Stranger", (-1, 30));
    fs::copy(strange.crl("list", (-1, 1)), booth.shop.path("strange.pem")).unwrap();
    let (_broker, port) = booth.mosquitto("strange.pem", |text| text);
    let diagnosis = booth.ask(port);
    says(&diagnosis, "client-unknown-ca");
    assert!(diagnosis.to_string().contains("revocation list of each CA"), "{diagnosis:#}");
}

#[test]
fn what_answers_is_no_broker_of_mqtt_5() {
    let booth = Booth::new();
    let port = free_port();
    let (certificate, key) = &booth.server;
    // This version of NATS speaks MQTT 3.1.1 and nothing else.
    let config = format!(
        "server_name: shop\nlisten: \"127.0.0.1:{plain}\"\njetstream {{ store_dir: {store:?} }}\n\
         mqtt {{\n  host: \"127.0.0.1\"\n  port: {port}\n  tls {{ cert_file: {certificate:?}, key_file: {key:?}, \
         ca_file: {ca:?}, verify: true }}\n}}\n",
        plain = free_port(),
        store = booth.shop.path("store"),
        ca = booth.ca,
    );
    let config = booth.shop.file("nats.conf", &config);
    let nats = Process::start(Command::new(peer("nats-server", "nats-server")).arg("-c").arg(config));
    nats.wait_for_text("Server is ready");
    until("the broker's port", || TcpStream::connect(("127.0.0.1", port)).ok());
    let diagnosis = booth.ask(port);
    says(&diagnosis, "mqtt-failed");
    assert!(diagnosis.to_string().contains("MQTT 3.1.1"), "{diagnosis:#}");
}

#[test]
fn a_web_server_is_no_broker() {
    let world = World::new(Wishes::default());
    let _server = world.serve();
    let device = &world.devices[0];
    let _enrolled = world.agent(device, &["enroll"]).success();
    let current = world.path(&format!("agents/{device}-export/current"));
    let (cert, key) = (current.join("cert.pem"), current.join("key.pem"));
    let target = format!("localhost:{}", world.https_port);
    let root = world.path("server/root-ca.crt");
    let diagnosis =
        doctor(&["--ca", text(&root), "--cert", text(&cert), "--key", text(&key), "--mqtt", device, &target]);
    says(&diagnosis, "mqtt-failed");
}
