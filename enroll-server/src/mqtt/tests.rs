//! The server's own certificate at the brokers: made, renewed, and left alone where it is an operator's.

use core::time::Duration;
use std::sync::Arc;

use ca::hierarchy::{ISSUING_LIFETIME, SERVER_LIFETIME, issuing_ca, root_ca};
use ca::{FileKey, Issuer};
use shared::UnixTime;

use super::identity::{CLIENT_NAME, Identity};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Mqtt};
use crate::in_force::InForce;
use crate::rollover::Lineup;

const DAY: Duration = Duration::from_secs(86_400);

struct Bench {
    folder: tempfile::TempDir,
    root: Issuer,
    issuing: Issuer,
    identity: Identity,
    lineup: Arc<InForce<Lineup>>,
    config: Config,
    now: UnixTime,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let (root, key) = root_ca("Acme", ISSUING_LIFETIME, now).unwrap();
        std::fs::write(folder.path().join("root-ca.crt"), ca::pem::certificate(root.der())).unwrap();
        let root = Issuer::new(root, Box::new(key)).unwrap();
        let text = "tenant = \"Acme\"\n[mqtt]\nenabled = true\n";
        let config = Config::parse(text, &folder.path().join("e.toml"), folder.path()).unwrap();
        let mqtt: Mqtt = config.mqtt.clone().unwrap();
        let issuing = another(&root, now);
        let pem = ca::pem::certificate(issuing.certificate().der());
        std::fs::write(&config.files.issuing_certificate, pem).unwrap();
        let lineup = Arc::new(InForce::new(Lineup::of(&config, &[]).unwrap()));
        let identity = Identity::new(&config, &mqtt, &lineup, &(Arc::new(SystemClock) as Arc<dyn Clock>));
        Self { folder, root, issuing, identity, lineup, config, now }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }

    fn keep(&self, later: Duration) -> bool {
        let kept = self.identity.keep(&self.issuing, self.now.after(later)).unwrap();
        self.identity.check().unwrap();
        kept.is_some()
    }
}

fn another(root: &Issuer, now: UnixTime) -> Issuer {
    let (issuing, key) = issuing_ca("Acme", root, ISSUING_LIFETIME, now).unwrap();
    Issuer::new(issuing, Box::new(key)).unwrap()
}

#[test]
fn it_is_made_and_renewed_with_a_new_key_at_two_thirds_of_its_life() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    assert!(bench.keep(Duration::ZERO));
    let (key, certificate) = (bench.read("mqtt-client.key"), bench.read("mqtt-client.crt"));
    let mode = std::fs::metadata(bench.folder.path().join("mqtt-client.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(bench.identity.read().unwrap().name, CLIENT_NAME);
    assert!(!bench.keep(DAY * 264), "two thirds of {SERVER_LIFETIME:?} are not over");
    assert_eq!(bench.read("mqtt-client.crt"), certificate);
    assert!(bench.keep(DAY * 265));
    assert_ne!(bench.read("mqtt-client.crt"), certificate);
    assert_ne!(bench.read("mqtt-client.key"), key);
    // It was the clock that was ahead, and is set right.
    assert!(bench.keep(Duration::ZERO), "brokers do not take what is not valid yet");
    assert!(!bench.keep(Duration::ZERO));
}

#[test]
fn another_ca_a_lost_key_and_one_that_does_not_belong_are_made_good() {
    let mut bench = Bench::new();
    assert!(bench.keep(Duration::ZERO));
    bench.issuing = another(&bench.root, bench.now);
    assert!(bench.keep(Duration::ZERO), "brokers will not know the old CA for ever");
    let key = bench.folder.path().join("mqtt-client.key");
    std::fs::remove_file(&key).unwrap();
    assert!(bench.keep(Duration::ZERO));
    // As a crash between the two files leaves them.
    std::fs::remove_file(&key).unwrap();
    FileKey::generate().unwrap().save(&key).unwrap();
    assert!(bench.keep(Duration::ZERO));
    assert!(!bench.keep(Duration::ZERO));
}

#[test]
fn an_operators_own_certificate_is_left_alone() {
    let bench = Bench::new();
    let key = FileKey::generate().unwrap();
    let made = ca::hierarchy::client_certificate("Acme", "backend-7", &key, &bench.issuing, DAY, bench.now);
    let pem = ca::pem::certificate(made.unwrap().der());
    std::fs::write(bench.folder.path().join("mqtt-client.crt"), pem).unwrap();
    key.save(&bench.folder.path().join("mqtt-client.key")).unwrap();
    assert!(!bench.keep(DAY * 300));
    assert_eq!(bench.identity.read().unwrap().name, "backend-7");
    // Nor is one that cannot be read replaced: somebody put it there.
    std::fs::write(bench.folder.path().join("mqtt-client.crt"), "no certificate").unwrap();
    bench.identity.keep(&bench.issuing, bench.now).unwrap_err();
}

/// The name that brokers let write commands is none that a device can have.
#[test]
fn no_device_has_the_servers_name() {
    assert!(shared::DeviceId::new(CLIENT_NAME).is_err());
    assert!(include_str!("../../../examples/mosquitto.acl").contains(&format!("user {CLIENT_NAME}\n")));
}

/// Brokers have certificates below the new root alone once the old one is retired.
#[test]
fn brokers_are_believed_by_the_roots_in_force() {
    let bench = Bench::new();
    assert_eq!(bench.identity.anchors().unwrap(), [bench.root.certificate().der()]);
    let (root, _) = root_ca("Acme", ISSUING_LIFETIME, bench.now).unwrap();
    let mut config = bench.config.clone();
    config.files.root_certificate = bench.folder.path().join("new-root.crt");
    std::fs::write(&config.files.root_certificate, ca::pem::certificate(root.der())).unwrap();
    bench.lineup.replace(Lineup::of(&config, &[]).unwrap());
    assert_eq!(bench.identity.anchors().unwrap(), [root.der()]);
}
