//! Devices, and their requests ready to be sent: made without the server, by the key of its nonces.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;

use enroll_server::issuance::{ClientIdentity, Issuance, Outcome, chain};
use enroll_server::nonce::NonceKey;
use shared::DeviceId;
use shared::message::latest::{EnrollRequest, RenewRequest};

use super::database::{Cluster, Database};
use super::ledger::KeyHash;
use super::site::StateFolder;
use crate::harness::{ClientKey, Csr, HandDevice, Reply, Wishes, World, now, operator};

/// A lot of devices, and the files of a server that knows them.
#[derive(Debug)]
pub struct Fleet {
    /// The devices.
    pub devices: Vec<HandDevice>,
    /// The server's root CA in DER.
    pub root: Vec<u8>,
    /// The operator's bearer token.
    pub admin_token: String,
    nonces: NonceKey,
    /// Before the world, whose server's it is.
    database: Option<Database>,
    world: World,
}

/// A request for a certificate, the same whenever it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub device: DeviceId,
    /// What stands for it.
    pub key: KeyHash,
    /// The body.
    pub body: Vec<u8>,
    /// The operational key, PKCS#8 in DER.
    pub private_key: Vec<u8>,
    /// The identity of a renewal.
    pub identity: Option<ClientKey>,
}

/// How long nonces are good for, so that a request can be repeated at the end of a long run.
const NONCES: Duration = Duration::from_secs(86_400);

impl Fleet {
    /// Makes devices, and sets a server up that knows them.
    ///
    /// # Panics
    /// Where one of the binaries fails.
    #[must_use]
    pub fn new(devices: u32) -> Self {
        Self::on(devices, None)
    }

    /// As [`new`](Self::new), with a server on SQLite or on a database of its own in a PostgreSQL server.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn on(devices: u32, cluster: Option<&Cluster>) -> Self {
        let database = cluster.map(Cluster::database);
        let set_up = |world: &World| {
            if let Some(database) = &database {
                let settings = database.settings(&world.path("server"));
                world.configure(
                    &settings.each_ref().map(|(table, field, value)| (*table, *field, value.as_str())),
                );
            }
        };
        let world = World::with_steps(Wishes { devices, ..Wishes::default() }, |_| {}, set_up);
        world.configure(&[
            ("listen", "https", "\"127.0.0.1:0\""),
            ("listen", "http", "\"127.0.0.1:0\""),
            // The shortest that there is, so that the log's steps come about often.
            ("transparency", "interval", "\"100ms\""),
        ]);
        let nonces = NonceKey::load(&world.path("server/nonce.key")).expect("the key of the nonces");
        let devices = world.devices.iter().map(|id| HandDevice::load(&world, id)).collect();
        let admin_token = fs::read_to_string(world.path("server/admin.token")).expect("the operator's token");
        let admin_token = admin_token.trim().to_owned();
        Self { devices, root: world.root(), admin_token, nonces, database, world }
    }

    /// The files of a server that has not run yet.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.world.path("server")
    }

    /// A folder with a server that has not run yet.
    #[must_use]
    pub fn new_server(&self) -> StateFolder {
        match &self.database {
            Some(database) => StateFolder::copy_with(&self.files(), database),
            None => StateFolder::copy_of(&self.files()),
        }
    }

    /// Has the operator revoke a device of the server on this port. Gives what the operator is told.
    ///
    /// # Panics
    /// Where the connection breaks.
    #[must_use]
    pub fn revoke(&self, port: u16, device: &DeviceId) -> Reply {
        operator(port, &self.root, &self.admin_token, &format!("/admin/v1/devices/{device}/revoke"))
    }

    /// A new request of a device to enroll.
    ///
    /// # Panics
    /// Where there is no randomness.
    #[must_use]
    pub fn enrollment(&self, device: &HandDevice) -> Request {
        let csr = Csr::new();
        let (nonce, _) = self.nonces.make(&device.id, now(), NONCES).expect("a nonce");
        let body = device.enroll_request(&csr.der, nonce, &device.evidence(&nonce, &csr.point));
        Request::new(device, csr, body, None)
    }

    /// A new request of a device to renew `certificate`, which it got for `request`.
    ///
    /// # Panics
    /// Where there is no randomness.
    #[must_use]
    pub fn renewal(&self, device: &HandDevice, request: &Request, certificate: &[u8]) -> Request {
        let csr = Csr::new();
        let body = device.renew_request(&csr.der);
        let identity = ClientKey { chain: vec![certificate.to_vec()], key: request.private_key.clone() };
        Request::new(device, csr, body, Some(identity))
    }
}

impl Request {
    fn new(device: &HandDevice, csr: Csr, body: Vec<u8>, identity: Option<ClientKey>) -> Self {
        let checked = appraisal::csr::check(&csr.der).expect("a CSR");
        let key = *checked.spki_sha256();
        Self { device: device.id.clone(), key, body, private_key: csr.key, identity }
    }

    /// Puts it to an issuance, past the network.
    ///
    /// # Errors
    /// Says why it is denied.
    pub async fn send(&self, issuance: &Issuance) -> Result<Outcome, String> {
        let outcome = match &self.identity {
            None => {
                let message = EnrollRequest::decode(&self.body).map_err(|error| error.to_string())?;
                issuance.enroll(&message).await
            }
            Some(identity) => {
                let message = RenewRequest::decode(&self.body).map_err(|error| error.to_string())?;
                let leaf = identity.chain.first().map(Vec::as_slice).unwrap_or_default();
                let identity = ClientIdentity::from_der(leaf).map_err(|error| error.to_string())?;
                issuance.renew(&message, Some(&identity)).await
            }
        };
        outcome.map_err(|denied| chain(&denied))
    }
}
