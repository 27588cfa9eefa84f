//! What a benchmark runs on: a server's folder as `enroll-server init` makes it, a maker, and devices in the inventory.

use core::fmt::Write as _;
use core::ops::ControlFlow;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::CaCertificate;
use enroll_server::clock::{Clock as _, SystemClock};
use enroll_server::config::Config;
use enroll_server::inventory::{ImportOptions, Progress};
use enroll_server::startup::{InitOptions, StartError, init, open_admin};
use postgres_server::{PASSWORD, PostgresServer, without_password};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::member::Member;
use super::{BenchError, StoreKind};
use crate::device::{DeviceSpec, Overrides};
use crate::factory::{self, Evidence, Maker, Order, ServerAddress};
use crate::stage::{StageError, read, write};

/// A server's folder, and who may enroll there.
#[derive(Debug)]
pub struct Site {
    /// The settings of the server.
    pub config: PathBuf,
    /// The CA that signs LDevIDs.
    pub issuing: CaCertificate,
    /// What clients trust.
    pub roots: Arc<RootCertStore>,
    /// One device of the maker's: what its firmware is, is that of all.
    pub sample: DeviceSpec,
    maker: Maker,
    /// The server of the database, where it is not a file: it goes with the site.
    _postgres: Option<PostgresServer>,
    dir: PathBuf,
}

/// Connections beside those that are held idle: of the load, and of whoever looks.
const SPARE: usize = 2_000;

impl Site {
    /// Makes the folder `dir`, and a PostgreSQL of its own where `store` says so. The server takes `idle` connections that
    /// do nothing, and cuts none of them.
    ///
    /// # Errors
    /// Says what could not be made.
    pub async fn build(dir: &Path, store: StoreKind, idle: usize) -> Result<Self, BenchError> {
        let postgres = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(PostgresServer::start()?),
        };
        let database = postgres.as_ref().map(PostgresServer::database).transpose()?;
        let options = InitOptions {
            directory: dir.join("server"),
            tenant: "Bench".to_owned(),
            hosts: vec![HOST.to_owned()],
            broker_host: HOST.to_owned(),
            broker_port: 8883,
            pen: factory::MAKER_NUMBER,
        };
        let report = init(&options, &SystemClock).map_err(StageError::from)?;
        let settings = with(&read(&report.config)?, |table| {
            put(table, "listen", "https", "127.0.0.1:0");
            put(table, "listen", "http", "127.0.0.1:0");
            put(table, "est", "listen", "127.0.0.1:0");
            if let Some(database) = database {
                // The password goes into a file: settings hold no secrets.
                put(table, "store", "postgres", without_password(&database));
                put(table, "store", "password_file", PASSWORD_FILE);
            }
            let connections = i64::try_from(idle + SPARE).unwrap_or(i64::MAX);
            put(table, "limits", "connections", connections);
            // All clients of the load have one address.
            put(table, "limits", "per_address", connections);
            put(table, "limits", "address_rate", "off");
            if idle > 0 {
                put(table, "limits", "header", "1h");
                put(table, "limits", "connection", "1h");
            }
        })?;
        write(&report.config, &settings)?;
        if postgres.is_some() {
            factory::write_private(&report.config.with_file_name(PASSWORD_FILE), PASSWORD.as_bytes())?;
        }
        let config = Config::load(&report.config).map_err(StartError::from).map_err(StageError::from)?;

        let order = Order {
            evidence: Evidence::Idevid,
            group_key: None,
            dir: dir.join("factory"),
            count: 1,
            model: "bench-sensor".to_owned(),
            maker: "Example Devices".to_owned(),
            version: "1.2.0".to_owned(),
            server: None,
        };
        let lot = factory::make(&order, SystemClock.now(), |_| ())?;
        // Clients of EST show their IDevID in the handshake.
        let policy = with(&read(&config.files.policy)?, |table| {
            put(table, "evidence", "kinds", vec!["idevid-eat", "idevid-tls"]);
        })?;
        let known_good = read(&order.dir.join(factory::REFERENCE_VALUES))?;
        write(&config.files.policy, &format!("{policy}\n{known_good}"))?;

        let address = ServerAddress { host: HOST.to_owned(), port: 1 };
        let overrides = Overrides { server: Some(address), trust_bundle: Some(report.trust_bundle.clone()) };
        let first = lot.devices.first().ok_or_else(|| BenchError::Inventory("no device".to_owned()))?;
        let sample = DeviceSpec::load(&factory::device_dir(&lot.dir, first), &overrides)?;

        let mut roots = RootCertStore::empty();
        roots.add(certificate(&report.root_certificate)?)?;
        let issuing = certificate(&config.files.issuing_certificate)?;
        let issuing = CaCertificate::from_der(&issuing)
            .map_err(|error| BenchError::Inventory(format!("the issuing CA cannot be read: {error}")))?;
        let admin = open_admin(&config, Arc::new(SystemClock)).map_err(inventory)?;
        admin.add_maker(&lot.maker.certificate_pem()).await.map_err(inventory)?;
        admin.close().await.map_err(inventory)?;
        Ok(Self {
            config: report.config,
            issuing,
            roots: Arc::new(roots),
            sample,
            maker: lot.maker,
            _postgres: postgres,
            dir: dir.to_owned(),
        })
    }

    /// Makes a device that the server does not know yet.
    ///
    /// # Errors
    /// Where a key or a certificate could not be made.
    pub fn member(&self, prefix: &str, number: u32) -> Result<Member, BenchError> {
        Member::make(&self.maker, &format!("{prefix}-{number:06}"))
    }

    /// Makes so many.
    ///
    /// # Errors
    /// As [`member`](Self::member).
    pub fn members(&self, prefix: &str, count: u32) -> Result<Vec<Member>, BenchError> {
        (0..count).map(|number| self.member(prefix, number)).collect()
    }

    /// Puts `members` into the inventory, and `others` devices beside them that never come. The server must not run.
    ///
    /// # Errors
    /// Where the file or the database fails.
    pub async fn register(
        &self,
        members: &[Member],
        others: u32,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(), BenchError> {
        let path = self.dir.join("inventory.csv");
        let failed = || BenchError::io(format!("cannot write {}", path.display()));
        let mut file = BufWriter::new(std::fs::File::create(&path).map_err(failed())?);
        let mut line = "device,model,idevid_sha256\n".to_owned();
        for member in members {
            file.write_all(line.as_bytes()).map_err(failed())?;
            line.clear();
            // Writing to a String does not fail.
            let _written = writeln!(line, "{},{MODEL},{}", member.id, member.spki_sha256);
        }
        file.write_all(line.as_bytes()).map_err(failed())?;
        for number in 0..others {
            let identity = hex::encode(Sha256::digest(number.to_be_bytes()));
            writeln!(file, "OTHER-{number:09},{MODEL},{identity}").map_err(failed())?;
        }
        file.flush().map_err(failed())?;
        drop(file);
        let config = Config::load(&self.config).map_err(inventory)?;
        let admin = open_admin(&config, Arc::new(SystemClock)).map_err(inventory)?;
        let mut watch = |progress: Progress| {
            told(progress.bytes, progress.of);
            ControlFlow::Continue(())
        };
        let imported = admin.import_file(&path, &ImportOptions::default(), &mut watch).await;
        imported.map_err(inventory)?;
        admin.close().await.map_err(inventory)
    }
}

/// The name by which clients know the server.
pub(super) const HOST: &str = "localhost";
const PASSWORD_FILE: &str = "store.password";
const MODEL: &str = "bench-sensor";

fn inventory(error: impl core::error::Error) -> BenchError {
    BenchError::Inventory(crate::fleet::chain(&error))
}

fn certificate(path: &Path) -> Result<CertificateDer<'static>, BenchError> {
    let text = read(path)?;
    CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|error| BenchError::Inventory(format!("{}: {error}", path.display())))
}

/// A file of settings, changed.
fn with(text: &str, change: impl FnOnce(&mut toml::Table)) -> Result<String, BenchError> {
    let unreadable = |error: toml::de::Error| BenchError::Inventory(error.message().to_owned());
    let mut table: toml::Table = text.parse().map_err(unreadable)?;
    change(&mut table);
    Ok(table.to_string())
}

fn put(table: &mut toml::Table, section: &str, key: &str, value: impl Into<toml::Value>) {
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value.into());
    }
}
