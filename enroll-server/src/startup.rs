//! Sets a server up and runs it.

use core::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::store::StoreError;

/// What [`init`] is told.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Folder to make; must be empty or not there.
    pub directory: PathBuf,
    /// The tenant's name: letters and digits.
    pub tenant: String,
    /// Names and addresses under which devices reach the server.
    pub hosts: Vec<String>,
    /// Host of the MQTT broker.
    pub broker_host: String,
    /// Its port.
    pub broker_port: u16,
    /// Private enterprise number of the tenant.
    pub pen: u32,
}

/// What [`init`] made.
#[derive(Clone, Debug)]
pub struct InitReport {
    /// The configuration file, for [`Config::load`] and `enroll-server serve --config`.
    pub config: PathBuf,
    /// The signed trust bundle to provision devices with.
    pub trust_bundle: PathBuf,
    /// Certificate of the root CA.
    pub root_certificate: PathBuf,
    /// The admin token.
    pub admin_token: PathBuf,
}

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder holds something already.
    #[error("{}: is not empty; nothing was overwritten", directory.display())]
    NotEmpty {
        /// The folder.
        directory: PathBuf,
    },
    /// An option cannot be used.
    #[error("{option}: expected {expected}, found \"{found}\"")]
    Option {
        /// Which option.
        option: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database cannot be made.
    #[error("the database cannot be made")]
    Store(#[from] StoreError),
}

/// Makes a root CA, an issuing CA, the server's certificate, the signer of trust bundles and bundle number 1,
/// the nonce key, the admin token, a policy, a configuration and an empty database. Overwrites nothing; after
/// a crash in the middle the folder is as if nothing had happened.
///
/// # Errors
/// Says what stood in the way.
pub fn init(options: &InitOptions, clock: &dyn Clock) -> Result<InitReport, InitError> {
    let _ = clock;
    Err(InitError::NotEmpty { directory: options.directory.clone() })
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("{address}: cannot listen there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
}

/// Addresses the server is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The native protocol.
    pub https: SocketAddr,
    /// Health, metrics and the revocation list, where that listener is on.
    pub http: Option<SocketAddr>,
}

/// What was revoked, as published.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    /// CRL number of the list.
    pub number: u64,
    /// The list in DER.
    pub der: Vec<u8>,
    /// Serial numbers on it, as they stand in the certificates, without leading zeros, sorted.
    pub serials: Vec<Vec<u8>>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    bound: Bound,
    admin: Admin,
    revocations: watch::Receiver<Arc<Revocations>>,
}

impl Server {
    /// Starts a server on the current tokio runtime. It serves when this returns.
    ///
    /// # Errors
    /// Says what is missing or wrong; nothing runs then.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let _ = (config, clock);
        Err(StartError::Store(StoreError::Busy))
    }

    /// Where it listens.
    #[must_use]
    pub const fn bound(&self) -> Bound {
        self.bound
    }

    /// The operator's hand, on the same store.
    #[must_use]
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What is revoked, now and at every change: for a broker in the same process. A broker in another process
    /// reads the published file.
    #[must_use]
    pub fn revocations(&self) -> watch::Receiver<Arc<Revocations>> {
        self.revocations.clone()
    }

    /// Stops: takes no new connection, finishes the requests under way, closes the store.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn stop(self) {}
}
