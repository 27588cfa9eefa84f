//! A running server, its devices, and a client that can misbehave.

pub(crate) mod client;
pub(crate) mod device;
pub(crate) mod ocsp;
pub(crate) mod receiver;

use std::path::PathBuf;
use std::sync::Arc;

use core::net::SocketAddr;
use core::time::Duration;

use ca::hierarchy::ISSUING_LIFETIME;
use enroll_server::admin::Admin;
use enroll_server::clock::{Clock as _, SettableClock, SystemClock};
use enroll_server::config::Config;
use enroll_server::rollover::{
    NewCa, Order, OrderOptions, SignerOptions, StartOptions, Started, start, take,
};
use enroll_server::startup::{InitOptions, Server, default_hosts, init, open_admin};
use enroll_server::store::{Page, Token};
use shared::message::latest::{Answer, Challenge, ChallengeRequest, Issued, Nonce, Outcome};
use shared::{DeviceId, Reject, endpoint};
use tempfile::TempDir;

use client::{Identity, Reply, Tls};
use device::{Device, Maker, Operational, reference_values};

/// Makes a server's files in `folder`, as `init` does, with the reference values of the devices here. Gives the path of
/// its settings, and what they say.
pub(crate) fn new_server(folder: &TempDir) -> (PathBuf, Config) {
    let options = InitOptions {
        directory: folder.path().join("server"),
        tenant: "Acme".into(),
        hosts: default_hosts(),
        broker_host: "broker.example".into(),
        broker_port: 18883,
        pen: 32473,
    };
    let settings = init(&options, &SystemClock).unwrap().config;
    let config = Config::load(&settings).unwrap();
    std::fs::write(&config.files.policy, reference_values()).unwrap();
    (settings, config)
}

/// A server that runs.
pub(crate) struct Site {
    pub(crate) config: Config,
    pub(crate) clock: SettableClock,
    pub(crate) maker: Maker,
    pub(crate) folder: TempDir,
    server: Option<Server>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut config) = new_server(&folder);
        config.listen.https = SocketAddr::from(([127, 0, 0, 1], 0));
        config.listen.http = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut config);
        let clock = SettableClock::new(SystemClock.now());
        let mut site = Self { config, clock, maker: Maker::new("Example Maker"), folder, server: None };
        site.start().await;
        site.admin().add_maker(&site.maker.pem).await.unwrap();
        site
    }

    /// Starts, or starts again.
    pub(crate) async fn start(&mut self) {
        self.stop().await;
        let server = Server::start(self.config.clone(), Arc::new(self.clock.clone())).await.unwrap();
        self.server = Some(server);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn admin(&self) -> &Admin {
        self.server().admin()
    }

    /// The operator's hand as the command line has it: a database connection of its own.
    pub(crate) fn other_admin(&self) -> Admin {
        open_admin(&self.config, Arc::new(self.clock.clone())).unwrap()
    }

    pub(crate) async fn tokens(&self) -> Vec<Token> {
        self.admin().tokens(Page::first(1_000)).await.unwrap().tokens
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.server().bound().https
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.server().bound().http.unwrap()
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        let pem = std::fs::read(&self.config.files.root_certificate).unwrap();
        ca::pem::read_certificates(&pem).unwrap().remove(0)
    }

    pub(crate) fn tls(&self) -> Tls {
        Tls::new(self.https(), &self.root())
    }

    pub(crate) fn later(&self, duration: Duration) {
        self.clock.set(self.clock.now().after(duration));
    }

    /// Waits until all that happened until now is in the log's checkpoint, and gives the size of that.
    pub(crate) async fn logged(&self) -> u64 {
        let database = rusqlite::Connection::open(&self.config.files.store).unwrap();
        let leaves: u64 = database
            .query_row("SELECT count(*) FROM log_leaves", [], |row| row.get::<_, i64>(0))
            .unwrap()
            .try_into()
            .unwrap();
        let mut size = 0;
        until("the log's checkpoint", async || {
            self.server().log_now();
            let note = std::fs::read_to_string(self.config.transparency.folder.join("checkpoint")).unwrap();
            size = note.lines().nth(1).unwrap().parse().unwrap();
            size >= leaves
        })
        .await;
        size
    }

    /// Begins a rollover, as the command line does beside the running server.
    pub(crate) async fn begin_rollover(&self, new_root: bool) -> Started {
        let new = NewCa::Made {
            new_root,
            root_key: None,
            encrypt: false,
            passphrase_file: None,
            lifetime: ISSUING_LIFETIME,
        };
        let options = StartOptions { new, no_cross: false, signer: SignerOptions::default() };
        let admin = self.other_admin();
        let started = start(&self.config, admin.store().as_ref(), &options, self.clock.now()).await.unwrap();
        admin.close().await.unwrap();
        started
    }

    /// Takes a step of it, whoever is left behind.
    pub(crate) async fn order(&self, order: Order) {
        let options = OrderOptions { order, force: true, signer: SignerOptions::default() };
        let admin = self.other_admin();
        take(&self.config, admin.store().as_ref(), &options, self.clock.now()).await.unwrap();
        admin.close().await.unwrap();
    }

    /// A device of the maker, in the inventory.
    pub(crate) async fn device(&self, id: &str) -> Device {
        let device = self.maker.device(id);
        self.admin().import_devices(&device.inventory()).await.unwrap();
        device
    }

    pub(crate) async fn nonce(&self, device: &DeviceId) -> Nonce {
        let kinds = shared::message::latest::EvidenceKind::NATIVE.iter().copied().collect();
        let mut body = vec![0; 256];
        let length =
            ChallengeRequest { device: device.clone(), kinds, introduction: None }.encode(&mut body).unwrap();
        let reply = self.tls().post(endpoint::CHALLENGE, &body[..length]).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Challenge::decode(&reply.body).unwrap().nonce
    }

    /// Sends an enrollment; the reply, whatever it is, with the key.
    pub(crate) async fn try_enroll(&self, device: &Device) -> (Reply, Operational) {
        let key = Operational::new();
        let body = device.enroll(self.nonce(&device.id).await, &key.csr);
        (self.tls().post(endpoint::ENROLL, &body).await, key)
    }

    pub(crate) async fn enroll(&self, device: &Device) -> Identity {
        let (reply, key) = self.try_enroll(device).await;
        identity(&reply, &key)
    }
}

/// The identity that a reply brought for `key`.
pub(crate) fn identity(reply: &Reply, key: &Operational) -> Identity {
    let answer = reply.answer();
    let issued = issued(&answer);
    let chain = issued.chain.iter().map(|der| der.to_vec()).collect();
    Identity { chain, key: key.pair.serialize_der() }
}

pub(crate) fn issued<'a, 'b>(answer: &'b Answer<'a>) -> &'b Issued<'a> {
    match &answer.outcome {
        Outcome::Issued(issued) => issued,
        other => panic!("not issued: {other:?}"),
    }
}

/// Checks that a reply is this refusal, in all its parts.
#[track_caller]
pub(crate) fn assert_refused(reply: &Reply, reject: Reject) {
    let answer = reply.answer();
    let Outcome::Rejected(rejected) = &answer.outcome else { panic!("not refused: {answer:?}") };
    assert_eq!(rejected.reject(), Some(reject), "{answer:?}");
    assert_eq!(reply.status, reject.http_status());
    assert!(answer.server_time.as_secs() > 1_700_000_000);
    let hint = rejected.retry_after.map(|after| after.as_secs().to_string());
    assert_eq!(reply.header("retry-after").map(str::to_owned), hint);
    if reject.http_status() == 503 {
        assert!(hint.is_some());
    }
}

/// Waits until `wanted` says yes.
pub(crate) async fn until(what: &str, mut wanted: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if wanted().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for: {what}");
}
