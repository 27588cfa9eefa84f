//! Sets the stage for devices: certificates, server, broker, factory, operator's commands; all on this machine.

use core::net::{Ipv4Addr, SocketAddr};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::hierarchy::{SERVER_LIFETIME, server_certificate};
use ca::{CaCertificate, FileKey, Issuer};
use enroll_server::clock::{Clock as _, SystemClock};
use enroll_server::config::Config;
use enroll_server::startup::{InitOptions, Server, init};
use enroll_server::tls_files::{Files, TlsFile};
use shared::{DeviceId, UnixTime};
use tokio::net::TcpListener;

use crate::broker::{Admin, AdminError, Broker, BrokerConfig, BrokerError, Limits, Timekeeper};
use crate::device::{DeviceError, DeviceSpec, Overrides};
use crate::factory::{self, Evidence, FactoryError, Lot, Order, Provision, ServerAddress};

/// Everything that runs beside the devices.
#[derive(Debug)]
pub struct Stage {
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) server: Server,
    pub(crate) broker: Broker,
    pub(crate) observer: Admin,
    pub(crate) lot: Lot,
    pub(crate) order: Order,
    pub(crate) provision: Provision,
    /// The issuing CA's certificate chain's root, for those who want to connect by hand.
    pub(crate) root: PathBuf,
}

/// What devices find on the stage.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The name or address under which devices reach server and broker.
    pub host: &'static str,
    /// Number of devices.
    pub devices: u32,
    /// Version of their firmware.
    pub version: String,
    /// Known-good measurements besides the factory's own, as the policy has them.
    pub reference_values: String,
}

impl Setting {
    /// Devices that are simulated in this process.
    #[must_use]
    pub fn local(devices: u32) -> Self {
        Self { host: "localhost", devices, version: "1.2.0".to_owned(), reference_values: String::new() }
    }
}

/// Why the stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file or socket failed.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The factory failed.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// The server could not be set up.
    #[error(transparent)]
    Init(#[from] enroll_server::startup::InitError),
    /// The server did not start.
    #[error("the enrollment server did not start")]
    Server(#[from] enroll_server::startup::StartError),
    /// The operator's commands failed.
    #[error("the enrollment server did not carry out what its operator asked for")]
    Operator(#[from] enroll_server::admin::AdminError),
    /// The broker's certificate could not be made.
    #[error("no certificate for the broker could be made: {0}")]
    Certificate(String),
    /// The broker did not start.
    #[error("the broker did not start")]
    Broker(#[from] BrokerError),
    /// The observer at the broker failed.
    #[error(transparent)]
    Observer(#[from] AdminError),
    /// A device's files cannot be read.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

const TENANT: &str = "Demo";

impl Stage {
    pub(crate) async fn build(dir: &Path, setting: &Setting) -> Result<Self, StageError> {
        let broker_socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|source| StageError::Io { what: "no free port for the broker".into(), source })?;
        let failed = |source| StageError::Io { what: "no free port for the broker".into(), source };
        let broker_port = broker_socket.local_addr().map_err(failed)?.port();

        let report = init(
            &InitOptions {
                directory: dir.join("server"),
                tenant: TENANT.to_owned(),
                hosts: vec![setting.host.to_owned()],
                broker_host: setting.host.to_owned(),
                broker_port,
                pen: factory::MAKER_NUMBER,
            },
            &SystemClock,
        )?;
        tell_devices(&report.config)?;
        let mut config = Config::load(&report.config).map_err(enroll_server::startup::StartError::from)?;
        config.listen.https = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.listen.http = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));

        let order = Order {
            evidence: Evidence::Idevid,
            group_key: None,
            dir: dir.join("factory"),
            count: setting.devices,
            model: "demo-sensor".to_owned(),
            maker: "Example Devices".to_owned(),
            version: setting.version.clone(),
            server: None,
        };
        let lot = factory::make(&order, SystemClock.now(), |_| ())?;
        // The operator tells the server which firmware is good, before it starts.
        let mut policy = read(&config.files.policy)?;
        policy.push_str("\n# The firmware of the demonstration's factory.\n");
        policy.push_str(&read(&order.dir.join(factory::REFERENCE_VALUES))?);
        policy.push_str(&setting.reference_values);
        write(&config.files.policy, &policy)?;

        let crl = config.crl.pem.clone();
        let broker = BrokerConfig {
            limits: Limits { connections: 20_000, ..Limits::default() },
            ..broker_config(dir, setting.host, &config, crl, Arc::new(SystemClock))?
        };
        // The server keeps the broker's certificate renewed; the broker reads it again when it changes.
        config.tls_files.push(broker_files(setting.host, &broker));
        let server = Server::start(config.clone(), Arc::new(SystemClock)).await?;
        let address = ServerAddress { host: setting.host.to_owned(), port: server.bound().https.port() };
        let trust_bundle =
            fs::read(&report.trust_bundle).map_err(|source| cannot_read(&report.trust_bundle, source))?;
        let provision = Provision { address, trust_bundle };
        lot.provision(&provision)?;

        server.admin().add_maker(&lot.maker.certificate_pem()).await?;
        server.admin().import_devices(&read(&order.dir.join(factory::INVENTORY))?).await?;
        let broker = Broker::start_on(broker_socket, broker).await?;
        let observer = broker.admin().await?;
        let order = Order { server: Some(provision.clone()), ..order };
        let root = report.root_certificate;
        Ok(Self { dir: dir.to_owned(), config, server, broker, observer, lot, order, provision, root })
    }

    /// The devices of the lot.
    pub(crate) fn devices(&self) -> Result<Vec<DeviceSpec>, StageError> {
        let load = |id| DeviceSpec::load(&factory::device_dir(&self.lot.dir, id), &Overrides::default());
        Ok(self.lot.devices.iter().map(load).collect::<Result<_, _>>()?)
    }

    /// A device that is not of the lot, with the identity that `maker` gives to `id`.
    pub(crate) fn stranger(
        &self,
        folder: &str,
        id: &DeviceId,
        maker: &factory::Maker,
    ) -> Result<DeviceSpec, StageError> {
        let dir = self.dir.join("strangers").join(folder);
        let idevid = maker.endorse(id, SystemClock.now())?;
        factory::write_device(&dir, id, &idevid, &self.order)?;
        Ok(DeviceSpec::load(&dir, &Overrides::default())?)
    }

    /// Takes it down again.
    pub(crate) async fn strike(self) {
        drop(self.observer);
        drop(self.broker);
        self.server.stop().await;
    }
}

/// Gives the broker a certificate of the issuing CA, as an operator would, in the folder `broker` of `dir`.
pub(crate) fn broker_config(
    dir: &Path,
    host: &str,
    config: &Config,
    crl: PathBuf,
    time: Arc<dyn Timekeeper>,
) -> Result<BrokerConfig, StageError> {
    let home = dir.join("broker");
    fs::create_dir(&home).map_err(|source| cannot_write(&home, source))?;
    let broker = BrokerConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        certificate: home.join("broker.crt"),
        key: home.join("broker.key"),
        issuing_ca: config.files.authorities.clone(),
        crl,
        limits: Limits::default(),
        time,
    };
    certify(host, config, &broker.certificate, &broker.key, broker.time.now())?;
    Ok(broker)
}

/// The broker's certificate and key, for the server to keep renewed.
pub(crate) fn broker_files(host: &str, broker: &BrokerConfig) -> TlsFile {
    TlsFile {
        name: "broker".to_owned(),
        hosts: vec![host.to_owned()],
        files: Files {
            certificate: broker.certificate.clone(),
            key: broker.key.clone(),
            key_mode: 0o600,
            owner: None,
        },
        lifetime: SERVER_LIFETIME,
        hook: Vec::new(),
    }
}

/// Has the server tell devices, through the broker, when an operator wants them to renew.
pub(crate) fn tell_devices(settings: &Path) -> Result<(), StageError> {
    let text = read(settings)?;
    let Some((before, after)) = text.split_once("[mqtt]\n") else { return Ok(()) };
    let after = after.replacen("enabled = false", "enabled = true", 1);
    write(settings, &format!("{before}[mqtt]\n{after}"))
}

/// Has the issuing CA certify a new key for the TLS server `host`; key and chain are written to these files.
pub(crate) fn certify(
    host: &str,
    config: &Config,
    certificate: &Path,
    key: &Path,
    now: UnixTime,
) -> Result<(), StageError> {
    let files = &config.files;
    let failed = |error: &dyn core::error::Error| StageError::Certificate(crate::fleet::chain(error));
    let pem = fs::read(&files.issuing_certificate)
        .map_err(|source| cannot_read(&files.issuing_certificate, source))?;
    let ders = ca::pem::read_certificates(&pem)
        .map_err(|_| StageError::Certificate("the issuing CA's certificate is no PEM".into()))?;
    let issuing = ders.first().map(Vec::as_slice).unwrap_or_default();
    let issuing_ca = CaCertificate::from_der(issuing).map_err(|error| failed(&error))?;
    let issuing_key = FileKey::load(&files.issuing_key).map_err(|error| failed(&error))?;
    let issuer = Issuer::new(issuing_ca, Box::new(issuing_key)).map_err(|error| failed(&error))?;

    let server_key = FileKey::generate().map_err(|error| failed(&error))?;
    let issued = server_certificate(&[host], &server_key, &issuer, SERVER_LIFETIME, now)
        .map_err(|error| failed(&error))?;
    write(certificate, &ca::pem::chain([issued.der(), issuing]))?;
    match fs::remove_file(key) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(cannot_write(key, source));
        }
        _ => {}
    }
    server_key.save(key).map_err(|error| failed(&error))
}

pub(crate) fn read(path: &Path) -> Result<String, StageError> {
    fs::read_to_string(path).map_err(|source| cannot_read(path, source))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), StageError> {
    fs::write(path, text).map_err(|source| cannot_write(path, source))
}

pub(crate) fn cannot_read(path: &Path, source: std::io::Error) -> StageError {
    StageError::Io { what: format!("cannot read {}", path.display()), source }
}

pub(crate) fn cannot_write(path: &Path, source: std::io::Error) -> StageError {
    StageError::Io { what: format!("cannot write {}", path.display()), source }
}
