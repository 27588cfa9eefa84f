//! A rollover by the command line, with Mosquitto as the broker: its certificate is renewed ahead of its end and by the
//! new CA, it reads the CAs and lists of each step, and devices of the old CA are refused in the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use agent_core::x509::{Validity, verify_server};
use ca::CaCertificate;
use rustls::AlertDescription;
use tests::harness::{
    BrokerFiles, Login, Mosquitto, Order, Probe, ProbeError, Process, Wishes, World, certify, now, until,
};

struct Stage {
    broker: Mosquitto,
    _server: Process,
    world: World,
}

/// A server that keeps Mosquitto's certificate renewed; the hook sends it a SIGHUP.
fn stage(lifetime: &str) -> Stage {
    let broker_port = Mosquitto::port_to_be();
    let world = World::new(Wishes { devices: 1, broker_port, ..Wishes::default() });
    let folder = world.path("broker");
    fs::create_dir_all(&folder).unwrap();
    let hook = format!("[\"sh\", \"-c\", \"kill -HUP $(cat {})\"]", folder.join("mosquitto.pid").display());
    let config = world.path("server/enroll-server.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replacen("hook = []\n", &format!("hook = {hook}\n"), 1);
    let (certificate, key) = (folder.join("broker.pem"), folder.join("broker.key"));
    let table = format!(
        "\n[[tls_files]]\nname = \"mosquitto\"\nhosts = [\"localhost\"]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         key_mode = \"0640\"\nowner = \"0:0\"\nlifetime = \"{lifetime}\"\nhook = {hook}\n"
    );
    fs::write(&config, text + &table).unwrap();
    let server = world.serve();
    until("the broker's certificate", || (certificate.exists() && key.exists()).then_some(()));
    let (authorities, crl) = (world.path("server/authorities.pem"), world.path("server/crl.pem"));
    let files = BrokerFiles { authorities: &authorities, certificate: &certificate, key: &key, crl: &crl };
    let broker = Mosquitto::start(&folder, broker_port, files, None);
    Stage { broker, _server: server, world }
}

impl Stage {
    fn chain(&self, file: &str) -> Vec<Vec<u8>> {
        self.world.certificates(file)
    }

    /// Whether the chain in a file leads to `root`, by the rules that devices hold it to.
    fn verifies(&self, file: &str, root: &CaCertificate) -> bool {
        let chain = self.chain(file);
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        verify_server(&chain, &[root.der()], "localhost", Validity::At(now())).is_ok()
    }

    fn login(&self, root: &[u8]) -> Result<Probe, ProbeError> {
        let device = &self.world.devices[0];
        let identity = self.world.exported_identity(device);
        Probe::connect(&Login { port: self.broker.port(), root, identity: Some(identity), client_id: device })
    }

    fn renew(&self) {
        let _renewed = self.world.agent(&self.world.devices[0], &["renew", "--force"]).success();
    }
}

fn certificate(path: &Path) -> CaCertificate {
    let pem = fs::read(path).unwrap();
    CaCertificate::from_der(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap()
}

/// The leaf that the broker shows now, by openssl, which asks without a certificate of its own.
fn shown(port: u16) -> Vec<u8> {
    let out = Command::new("sh")
        .args([
            "-c",
            &format!("openssl s_client -connect 127.0.0.1:{port} -showcerts </dev/null 2>/dev/null"),
        ])
        .output()
        .unwrap();
    let shown = ca::pem::read_certificates(&out.stdout);
    assert!(shown.is_ok(), "no certificate is shown: {}", String::from_utf8_lossy(&out.stdout));
    shown.unwrap().remove(0)
}

#[test]
fn a_certificate_about_to_end_is_renewed_and_the_broker_shows_the_new_one() {
    // Renewed between 20 and 25 seconds after it was made.
    let stage = stage("30s");
    let device = &stage.world.devices[0];
    let _enrolled = stage.world.agent(device, &["enroll"]).success();
    let root = stage.world.root();
    let _connected = stage.login(&root).unwrap();
    let first = shown(stage.broker.port());
    assert_eq!(first, stage.chain("broker/broker.pem")[0]);
    until("another certificate at the broker", || (shown(stage.broker.port()) != first).then_some(()));
    assert_eq!(shown(stage.broker.port()), stage.chain("broker/broker.pem")[0]);
    let _connected = stage.login(&root).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(stage.world.path("broker/broker.key")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o640);
    let events = stage.world.server_json(&["event", "list", "--kind", "tls-certificate-renewed"]);
    assert!(events.as_array().unwrap().len() >= 2, "{events}");
}

#[test]
fn mosquitto_goes_through_a_rollover_and_refuses_the_old_ca_in_the_end() {
    let stage = stage("90d");
    let (world, device) = (&stage.world, &stage.world.devices[0]);
    let _enrolled = world.agent(device, &["enroll"]).success();
    let old_root = certificate(&world.path("server/root-ca.crt"));
    // Signed by the old CA now, by hand; taken until that is retired.
    let old_client = certify(world, &Order::client(device));
    let login_old = |root: &[u8]| {
        let identity = Some(old_client.clone());
        Probe::connect(&Login { port: stage.broker.port(), root, identity, client_id: device })
    };

    let started = world.server_json(&["ca", "rollover", "start"]);
    assert_eq!((&started["trust_bundle"], &started["cross_certificates"]), (&2.into(), &1.into()));
    let folder = started["folder"].as_str().unwrap().to_owned();
    let new_root = certificate(&Path::new(&folder).join("root-ca.crt"));
    let issuing = certificate(&Path::new(&folder).join("issuing-ca.crt"));
    let refused = world.server(&["ca", "rollover", "switch"]).failure();
    assert!(refused.contains("1 of 1 living devices have not confirmed"), "{refused}");
    until("the CAs for the broker", || (stage.chain("server/authorities.pem").len() == 4).then_some(()));
    until("the lists of both issuing CAs and both roots", || {
        (world.text("server/crl.pem").matches("BEGIN X509 CRL").count() == 4).then_some(())
    });
    // The first renewal brings the bundle, the second one confirms it.
    stage.renew();
    stage.renew();
    let status = world.server_json(&["ca", "status"]);
    assert_eq!(status["standing"]["unconfirmed"], 0, "{status}");

    let _switched = world.server(&["ca", "rollover", "switch"]).success();
    for file in ["server/server.crt", "broker/broker.pem"] {
        until("certificates by the new CA", || issuing.has_signed(&stage.chain(file)[0]).then_some(()));
        assert!(stage.verifies(file, &old_root), "{file}: a device that slept is not lost");
        assert!(stage.verifies(file, &new_root), "{file}");
    }
    until("the new certificate at the broker", || {
        issuing.has_signed(&shown(stage.broker.port())).then_some(())
    });
    let refused = world.server(&["ca", "rollover", "retire"]).failure();
    assert!(refused.contains("1 of 1 living devices still have a certificate of the old CA"), "{refused}");
    let _taken = login_old(old_root.der()).unwrap();
    // The trial at the broker is with a certificate of the new CA; the second one leaves none of the old.
    stage.renew();
    stage.renew();
    let _taken = stage.login(new_root.der()).unwrap();
    let status = world.server_json(&["ca", "status"]);
    assert_eq!(
        status["standing"],
        serde_json::json!({"living": 1, "unconfirmed": 0, "unmoved": 0}),
        "{status}"
    );

    let _retired = world.server(&["ca", "rollover", "retire"]).success();
    until("the old CA's end at the broker", || {
        (login_old(new_root.der()).err()? == ProbeError::Alert(AlertDescription::UnknownCA)).then_some(())
    });
    let _taken = stage.login(new_root.der()).unwrap();
    stage.renew();
    assert_eq!(world.agent_status(device)["trust_bundle"], 3, "{}", world.agent_status(device));
}
