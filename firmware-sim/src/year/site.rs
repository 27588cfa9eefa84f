//! The real enrollment server and the broker, in virtual time, to be stopped and started again on the same ports.

use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ca::Serial;
use ca::hierarchy::SERVER_LIFETIME;
use enroll_server::admin::Admin;
use enroll_server::clock::Clock as _;
use enroll_server::config::{Config, Mqtt};
use enroll_server::failpoint::{Failpoint, Hook};
use enroll_server::rollover::broker_certificate;
use enroll_server::startup::{InitOptions, Options, Server, StartError, init};
use enroll_server::store::{SqlStore, SqliteOptions, Store as _};
use enroll_server::tls_files::Files;
use rand_core::RngCore as _;
use shared::UnixTime;
use tokio::net::TcpListener;

use super::YearError;
use super::plan::{DAY, Size};
use super::plant::Plant;
use super::time::VirtualTime;
use crate::broker::{Arrival, Broker, BrokerConfig, Limits, Timekeeper};
use crate::chance::Dice;
use crate::device::{DeviceSpec, Overrides};
use crate::factory::{self, Evidence, Lot, Order, Provision, ServerAddress};
use crate::fleet::chain;
use crate::stage::{
    StageError, broker_config, broker_files, cannot_read, cannot_write, read, tell_devices, write,
};

/// Under which devices reach server and broker: an address, so that nobody asks a resolver.
const HOST: &str = "127.0.0.1";
/// How long a revocation list lives. A new one is made at half of that, and no outage of the server is as long.
const CRL_VALID: Duration = Duration::from_secs(10 * 86_400);
/// How often the broker looks at the list, in real time.
const CRL_POLL: Duration = Duration::from_millis(10);

/// Server, broker and the factory's lot.
pub(super) struct Site {
    pub(super) config: Config,
    pub(super) lot: Lot,
    pub(super) devices: Vec<DeviceSpec>,
    /// The server's place at the broker, until it takes that.
    pub(super) mqtt: Option<Mqtt>,
    pub(super) plant: Option<Plant>,
    broker_config: BrokerConfig,
    time: VirtualTime,
    server: Option<Server>,
    broker: Option<Broker>,
    issued: Arc<Mutex<Issued>>,
}

/// What the issuance went through, by the places that it tells of.
#[derive(Clone, Debug, Default)]
pub(super) struct Issued {
    /// Recorded intents.
    pub(super) recorded: Vec<Serial>,
    /// Certificates that are durable.
    pub(super) completed: Vec<Serial>,
    /// Certificates that were signed without a recorded intent.
    pub(super) unrecorded: Vec<Serial>,
}

impl Issued {
    fn note(&mut self, place: Failpoint) {
        match place {
            Failpoint::Recorded(serial) => self.recorded.push(serial),
            Failpoint::Signed(serial) if !self.recorded.contains(&serial) => self.unrecorded.push(serial),
            Failpoint::Completed(serial) => self.completed.push(serial),
            _ => {}
        }
    }
}

impl Site {
    /// Sets everything up in `dir` and starts it.
    pub(super) async fn build(
        dir: &Path,
        size: &Size,
        time: &VirtualTime,
        plant: Option<Plant>,
    ) -> Result<Self, StageError> {
        // Not from the seed: several simulations may run at once.
        let mut dice = Dice::new(rand_core::OsRng.next_u64(), "ports", 0);
        let (https, mqtt) = (free_port(&mut dice).await?, free_port(&mut dice).await?);
        let report = init(
            &InitOptions {
                directory: dir.join("server"),
                tenant: "Year".to_owned(),
                hosts: vec![HOST.to_owned()],
                broker_host: HOST.to_owned(),
                broker_port: mqtt,
                pen: factory::MAKER_NUMBER,
            },
            time,
        )?;
        tell_devices(&report.config)?;
        let mut config = Config::load(&report.config).map_err(StartError::from)?;
        config.listen.https = SocketAddr::from((Ipv4Addr::LOCALHOST, https));
        config.listen.http = None;
        config.crl.valid = CRL_VALID;
        let place = config.mqtt.take();
        // In real time: nobody falls silent for so long.
        config.broker.keep_alive = Duration::from_secs(600);

        let order = Order {
            evidence: Evidence::Idevid,
            group_key: None,
            dir: dir.join("factory"),
            count: u32::try_from(size.devices).unwrap_or(u32::MAX),
            model: "year-sensor".to_owned(),
            maker: "Example Devices".to_owned(),
            version: "1.2.0".to_owned(),
            server: None,
        };
        let lot = factory::make(&order, time.now(), |_| ())?;
        policy(&config, size, &order)?;
        let bundle =
            fs::read(&report.trust_bundle).map_err(|source| cannot_read(&report.trust_bundle, source))?;
        let address = ServerAddress { host: HOST.to_owned(), port: https };
        lot.provision(&Provision { address, trust_bundle: bundle })?;
        let devices = lot
            .devices
            .iter()
            .map(|id| DeviceSpec::load(&factory::device_dir(&lot.dir, id), &Overrides::default()));
        let devices = devices.collect::<Result<_, _>>()?;

        let broker = broker_config(dir, HOST, &config, config.crl.pem.clone(), Arc::new(time.clone()))?;
        config.tls_files.push(broker_files(HOST, &broker));
        let broker_config = BrokerConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, mqtt)),
            limits: Limits {
                connections: size.devices * 2 + 64,
                crl_poll: CRL_POLL,
                // Each waits for a real device on a real machine, which may be slow.
                handshake: Duration::from_secs(60),
                connect: Duration::from_secs(60),
                ..broker.limits
            },
            ..broker
        };
        let issued = Arc::default();
        let mut site = Self {
            config,
            lot,
            devices,
            mqtt: place,
            plant,
            broker_config,
            time: time.clone(),
            server: None,
            broker: None,
            issued,
        };
        site.start_server().await?;
        if plant == Some(Plant::ForgetsCrl) {
            site.broker_config.crl = forgotten(&site.config, dir)?;
        }
        if let Some(admin) = site.admin() {
            admin.add_maker(&site.lot.maker.certificate_pem()).await?;
            admin.import_devices(&read(&order.dir.join(factory::INVENTORY))?).await?;
        }
        site.start_broker().await?;
        Ok(site)
    }

    /// Starts the server, where it does not run.
    pub(super) async fn start_server(&mut self) -> Result<(), StageError> {
        if self.server.is_none() {
            let issued = Arc::clone(&self.issued);
            let hook =
                Hook::new(move |place| issued.lock().unwrap_or_else(PoisonError::into_inner).note(place));
            let (config, time) = (self.config.clone(), Arc::new(self.time.clone()));
            self.server =
                Some(Server::start_with(config, time, Options { hook, ..Options::default() }).await?);
        }
        Ok(())
    }

    /// Stops the server: what is under way is finished, and its port closed.
    pub(super) async fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            Box::pin(server.stop()).await;
        }
    }

    /// Starts the broker, where it does not run.
    pub(super) async fn start_broker(&mut self) -> Result<(), StageError> {
        if self.broker.is_none() {
            self.broker = Some(Broker::start(self.broker_config.clone()).await?);
        }
        Ok(())
    }

    /// Stops the broker: all sessions are cut, and its port closed.
    pub(super) async fn stop_broker(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
    }

    /// Gives the server another TLS certificate with a key of its own, by the CA that signs now. It must not run: it
    /// looks after these files itself.
    pub(super) async fn renew_server_certificate(&self) -> Result<(), YearError> {
        let own = &self.config.files;
        let files = Files {
            certificate: own.server_certificate.clone(),
            key: own.server_key.clone(),
            key_mode: 0o600,
            owner: None,
        };
        let store = SqlStore::sqlite(&SqliteOptions::new(&own.store))?;
        let (hosts, now) = ([HOST.to_owned()], self.time.now());
        let made = broker_certificate(&self.config, &store, &files, &hosts, SERVER_LIFETIME, now).await;
        store.close().await?;
        made.map(|_| ()).map_err(|error| StageError::Certificate(chain(&error)).into())
    }

    /// Takes the broker's certificate away, so that the server makes another one with a new key.
    pub(super) fn drop_broker_certificate(&self) -> Result<(), StageError> {
        let path = &self.broker_config.certificate;
        fs::remove_file(path).map_err(|source| cannot_write(path, source))
    }

    /// Whether the server has made it: the key is moved to its place last.
    pub(super) fn has_broker_certificate(&self) -> bool {
        let BrokerConfig { certificate, key, .. } = &self.broker_config;
        let mut next = key.as_os_str().to_owned();
        next.push(".next");
        certificate.exists() && !Path::new(&next).exists()
    }

    /// The ports of server and broker, as far as they run.
    pub(super) fn ports(&self) -> Vec<u16> {
        let server = self.server.as_ref().map(|server| server.bound().https.port());
        let broker = self.broker.as_ref().map(|broker| broker.address().port());
        server.into_iter().chain(broker).collect()
    }

    /// The revocation lists that are out, in PEM; empty while the server does not run.
    pub(super) fn lists(&self) -> Vec<u8> {
        self.server.as_ref().map(|server| server.revocations().borrow().pem.to_vec()).unwrap_or_default()
    }

    /// The operator's hand, while the server runs.
    pub(super) fn admin(&self) -> Option<&Admin> {
        self.server.as_ref().map(Server::admin)
    }

    /// The broker, while it runs.
    pub(super) const fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// When the server makes the next revocation list by itself, of whichever CA; `None` while it does not run.
    pub(super) fn list_due(&self) -> Option<Duration> {
        let first_end = self.server.as_ref()?.revocations().borrow().first_end;
        Some(self.time.elapsed_at(first_end).saturating_sub(self.config.crl.valid / 2))
    }

    /// Waits until the lists that are out are good beyond `now`, by more than half of their life.
    pub(super) async fn next_list(&self, now: Duration) {
        let Some(server) = &self.server else { return };
        let mut revocations = server.revocations();
        let half = self.config.crl.valid / 2;
        let made = revocations.wait_for(|list| self.time.elapsed_at(list.first_end) > now + half);
        // Ends too where the server is gone.
        let _made = made.await.is_ok();
    }

    /// What the issuance went through so far.
    pub(super) fn issued(&self) -> Issued {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Timekeeper for VirtualTime {
    fn reached(&self, at: UnixTime) -> Pin<Box<dyn Future<Output = Arrival> + Send>> {
        let (who, until) = (self.join("a session at the broker"), self.elapsed_at(at));
        Box::pin(async move {
            who.sleep_until(until).await;
            who.doing("ending");
            Box::new(who) as Arrival
        })
    }
}

/// What the policy says beside its sample: the life of a certificate, and which firmware is good.
fn policy(config: &Config, size: &Size, order: &Order) -> Result<(), StageError> {
    let days = |duration: Duration| duration.as_secs() / DAY.as_secs();
    let mut text = read(&config.files.policy)?
        .replace("\ndays = \"profile\"\n", &format!("\ndays = {}\n", days(size.certificate).max(1)))
        .replace("\ngrace_days = 30\n", &format!("\ngrace_days = {}\n", days(size.grace)));
    text.push_str("\n# The firmware of the simulated factory.\n");
    text.push_str(&read(&order.dir.join(factory::REFERENCE_VALUES))?);
    write(&config.files.policy, &text)
}

/// A copy of the revocation list that nobody brings up to date.
fn forgotten(config: &Config, dir: &Path) -> Result<PathBuf, StageError> {
    let copy = dir.join("forgotten.pem");
    fs::copy(&config.crl.pem, &copy).map_err(|source| cannot_read(&config.crl.pem, source))?;
    Ok(copy)
}

/// A port on which nobody listens, from below the range that the system gives away by itself (32768 and up on Linux):
/// it is closed and opened again.
async fn free_port(dice: &mut Dice) -> Result<u16, StageError> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let port = 20_000 + u16::try_from(dice.below(12_000)).unwrap_or(0);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(_free) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(StageError::Io { what: "no free port for server and broker".into(), source: last })
}
