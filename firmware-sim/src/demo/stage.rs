//! Sets the stage: certificates, server, broker, factory, operator's commands.

use core::net::{Ipv4Addr, SocketAddr};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::hierarchy::{SERVER_LIFETIME, server_certificate};
use ca::{CaCertificate, FileKey, Issuer};
use enroll_server::clock::{Clock as _, SystemClock};
use enroll_server::config::Config;
use enroll_server::startup::{InitOptions, Server, init};
use shared::DeviceId;
use tokio::net::TcpListener;

use super::DemoError;
use crate::broker::{Admin, Broker, BrokerConfig, Limits};
use crate::device::{DeviceSpec, Overrides};
use crate::factory::{self, Lot, Order, Provision, ServerAddress};

/// Everything that runs beside the devices.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    pub(super) server: Server,
    pub(super) broker: Broker,
    pub(super) observer: Admin,
    pub(super) lot: Lot,
    pub(super) order: Order,
    pub(super) provision: Provision,
    /// The issuing CA's certificate chain's root, for those who want to connect by hand.
    pub(super) root: PathBuf,
}

/// The name under which devices reach server and broker.
pub(super) const HOST: &str = "localhost";
const TENANT: &str = "Demo";

impl Stage {
    pub(super) async fn build(dir: &Path, devices: u32) -> Result<Self, DemoError> {
        let broker_socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|source| DemoError::Io { what: "no free port for the broker".into(), source })?;
        let broker_port = broker_socket.local_addr()?.port();

        let report = init(
            &InitOptions {
                directory: dir.join("server"),
                tenant: TENANT.to_owned(),
                hosts: vec![HOST.to_owned()],
                broker_host: HOST.to_owned(),
                broker_port,
                pen: factory::MAKER_NUMBER,
            },
            &SystemClock,
        )?;
        let mut config = Config::load(&report.config).map_err(enroll_server::startup::StartError::from)?;
        config.listen.https = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.listen.http = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));

        let order = Order {
            dir: dir.join("factory"),
            count: devices,
            model: "demo-sensor".to_owned(),
            maker: "Example Devices".to_owned(),
            version: "1.2.0".to_owned(),
            server: None,
        };
        let lot = factory::make(&order, SystemClock.now(), |_| ())?;
        // The operator tells the server which firmware is good, before it starts.
        let mut policy = read(&config.files.policy)?;
        policy.push_str("\n# The firmware of the demonstration's factory.\n");
        policy.push_str(&read(&order.dir.join(factory::REFERENCE_VALUES))?);
        write(&config.files.policy, &policy)?;

        let crl = config.crl.der.clone();
        let broker = broker_config(dir, &config, crl)?;
        let server = Server::start(config, Arc::new(SystemClock)).await?;
        let address = ServerAddress { host: HOST.to_owned(), port: server.bound().https.port() };
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
        Ok(Self { dir: dir.to_owned(), server, broker, observer, lot, order, provision, root })
    }

    /// The devices of the lot.
    pub(super) fn devices(&self) -> Result<Vec<DeviceSpec>, DemoError> {
        let load = |id| DeviceSpec::load(&factory::device_dir(&self.lot.dir, id), &Overrides::default());
        Ok(self.lot.devices.iter().map(load).collect::<Result<_, _>>()?)
    }

    /// A device that is not of the lot, with the identity that `maker` gives to `id`.
    pub(super) fn stranger(
        &self,
        folder: &str,
        id: &DeviceId,
        maker: &factory::Maker,
    ) -> Result<DeviceSpec, DemoError> {
        let dir = self.dir.join("strangers").join(folder);
        let idevid = maker.endorse(id, SystemClock.now())?;
        factory::write_device(&dir, id, &idevid, &self.order)?;
        Ok(DeviceSpec::load(&dir, &Overrides::default())?)
    }

    /// Takes it down again.
    pub(super) async fn strike(self) {
        drop(self.observer);
        drop(self.broker);
        self.server.stop().await;
    }
}

/// Gives the broker a certificate of the issuing CA, as an operator would.
fn broker_config(dir: &Path, config: &Config, crl: PathBuf) -> Result<BrokerConfig, DemoError> {
    let files = &config.files;
    let failed = |error: &dyn core::error::Error| DemoError::Certificate(crate::fleet::chain(error));
    let pem = fs::read(&files.issuing_certificate)
        .map_err(|source| cannot_read(&files.issuing_certificate, source))?;
    let ders = ca::pem::read_certificates(&pem)
        .map_err(|_| DemoError::Certificate("the issuing CA's certificate is no PEM".into()))?;
    let issuing = ders.first().map(Vec::as_slice).unwrap_or_default();
    let certificate = CaCertificate::from_der(issuing).map_err(|error| failed(&error))?;
    let key = FileKey::load(&files.issuing_key).map_err(|error| failed(&error))?;
    let issuer = Issuer::new(certificate, Box::new(key)).map_err(|error| failed(&error))?;

    let key = FileKey::generate().map_err(|error| failed(&error))?;
    let now = SystemClock.now();
    let issued =
        server_certificate(&[HOST], &key, &issuer, SERVER_LIFETIME, now).map_err(|error| failed(&error))?;
    let home = dir.join("broker");
    fs::create_dir(&home).map_err(|source| cannot_write(&home, source))?;
    let (chain, key_file) = (home.join("broker.crt"), home.join("broker.key"));
    write(&chain, &ca::pem::chain([issued.der(), issuing]))?;
    key.save(&key_file).map_err(|error| failed(&error))?;
    Ok(BrokerConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        certificate: chain,
        key: key_file,
        issuing_ca: files.issuing_certificate.clone(),
        crl,
        limits: Limits { connections: 20_000, ..Limits::default() },
    })
}

fn read(path: &Path) -> Result<String, DemoError> {
    fs::read_to_string(path).map_err(|source| cannot_read(path, source))
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    fs::write(path, text).map_err(|source| cannot_write(path, source))
}

fn cannot_read(path: &Path, source: std::io::Error) -> DemoError {
    DemoError::Io { what: format!("cannot read {}", path.display()), source }
}

fn cannot_write(path: &Path, source: std::io::Error) -> DemoError {
    DemoError::Io { what: format!("cannot write {}", path.display()), source }
}
