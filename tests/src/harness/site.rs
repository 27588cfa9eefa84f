//! An enrollment server with a broker beside it, as an operator would set them up.

use std::fs;

use rustls::AlertDescription;

use super::https::ClientKey;
use super::issue::{Order, certify};
use super::mosquitto::{Files, Mosquitto, Weakness};
use super::probe::{Login, Probe, ProbeError};
use super::process::Process;
use super::wait::until;
use super::world::{Wishes, World};

/// A server and a broker that runs beside it.
#[derive(Debug)]
pub struct Site {
    /// The broker.
    pub broker: Mosquitto,
    server: Process,
    /// Files, devices and programs.
    pub world: World,
}

impl Site {
    /// A right configuration, and devices that may enroll.
    ///
    /// # Panics
    /// Where server or broker do not start.
    #[must_use]
    pub fn new(devices: u32) -> Self {
        Self::with(devices, None)
    }

    /// A configuration with a mistake, if one is given.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with(devices: u32, weakness: Option<Weakness>) -> Self {
        let broker_port = Mosquitto::port_to_be();
        let world = World::new(Wishes { devices, broker_port, ..Wishes::default() });
        Self::in_world(world, broker_port, weakness)
    }

    /// A server for this world, and a broker on `broker_port`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn in_world(world: World, broker_port: u16, weakness: Option<Weakness>) -> Self {
        let server = world.serve();
        let certificate = certify(&world, &Order::server("localhost"));
        let folder = world.path("broker");
        fs::create_dir_all(&folder).expect("a folder for the broker");
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).expect("to write the broker's files");
            path
        };
        let authorities = world.path("server/authorities.pem");
        let chain = ca::pem::chain(certificate.chain.iter().map(Vec::as_slice));
        let chain = file("broker.pem", chain);
        let key = file("broker.key", ca::pem::private_key(&certificate.key).to_string());
        let crl = world.path("server/crl.pem");
        let files = Files { authorities: &authorities, certificate: &chain, key: &key, crl: &crl };
        let broker = Mosquitto::start(&folder, broker_port, files, weakness);
        Self { broker, server, world }
    }

    /// Kills the server, as a crash would, and starts it again after `change`.
    ///
    /// # Panics
    /// Where it does not become ready again.
    pub fn crash_server(&mut self, change: impl FnOnce(&World)) {
        self.server.signal(rustix::process::Signal::KILL);
        let _killed = self.server.wait();
        change(&self.world);
        self.server = self.world.serve();
    }

    /// Logs in as a client would.
    ///
    /// # Errors
    /// How the broker refused.
    pub fn login(&self, client_id: &str, identity: &ClientKey) -> Result<Probe, ProbeError> {
        let root = self.world.root();
        let identity = Some(identity.clone());
        Probe::connect(&Login { port: self.broker.port(), root: &root, identity, client_id })
    }

    /// Enrolls the first two devices and revokes one of them: the broker refuses it as soon as it has read the list, and
    /// goes on with the other.
    ///
    /// # Panics
    /// Where it does otherwise.
    pub fn refuses_who_is_revoked(&self) {
        let [revoked, other, ..] = self.world.devices.as_slice() else { panic!("two devices are needed") };
        for device in [revoked, other] {
            let _enrolled = self.world.agent(device, &["enroll"]).success();
        }
        let identity = self.world.exported_identity(revoked);
        let _accepted = self.login(revoked, &identity).expect("a broker that takes the device");

        let before = self.world.text("server/crl.pem");
        let _done = self.world.server(&["device", "revoke", revoked]).success();
        until("a new revocation list", || (self.world.text("server/crl.pem") != before).then_some(()));
        self.broker.reload();

        until("the broker to refuse", || match self.login(revoked, &identity) {
            Err(error) => {
                assert_eq!(error, ProbeError::Alert(AlertDescription::CertificateRevoked));
                Some(())
            }
            // The broker reads its files between two rounds of its loop.
            Ok(_) => None,
        });
        let _others_stay =
            self.login(other, &self.world.exported_identity(other)).expect("a broker that takes the other");
    }

    /// An operator who sees all devices.
    ///
    /// # Panics
    /// Where the broker refuses.
    #[must_use]
    pub fn operator(&self) -> Probe {
        let identity = certify(&self.world, &Order::client("operator"));
        let mut operator = self.login("operator", &identity).expect("a broker that takes the operator");
        assert!(operator.subscribe("devices/#") <= 1, "the subscription was refused");
        operator
    }
}
