//! What the broker is told, and why it does not start.

use core::net::SocketAddr;
use core::pin::Pin;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use enroll_server::clock::{Clock, SystemClock};
use shared::UnixTime;

use super::revocation::CrlError;

/// How to run the broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The broker's certificate chain in PEM, leaf first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The CAs that issue the devices' certificates, in PEM: several while one takes the place of another. Devices send
    /// their leaf only. All these files are read again whenever one of them changes.
    pub issuing_ca: PathBuf,
    /// The CRL of one CA in DER, or those of all in PEM.
    pub crl: PathBuf,
    /// Caps and time limits.
    pub limits: Limits,
    /// What certificates and the CRL are held against.
    pub time: Arc<dyn Timekeeper>,
}

/// The time by which certificates begin and end. Time limits of connections are not measured with it.
pub trait Timekeeper: Clock {
    /// Resolves when it is `at`, to something that is kept until what is to be done then is done.
    fn reached(&self, at: UnixTime) -> Pin<Box<dyn Future<Output = Arrival> + Send>>;
}

/// A moment that came: whoever holds it is not done with it yet.
pub type Arrival = Box<dyn Send>;

impl Timekeeper for SystemClock {
    fn reached(&self, at: UnixTime) -> Pin<Box<dyn Future<Output = Arrival> + Send>> {
        let left = at.since(self.now());
        Box::pin(async move {
            tokio::time::sleep(left).await;
            Box::new(()) as Arrival
        })
    }
}

/// Caps and time limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at once, those in their handshake included.
    pub connections: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time from there to a whole CONNECT packet.
    pub connect: Duration,
    /// Time to take what the broker sends, per write.
    pub write: Duration,
    /// How often the files are looked at.
    pub crl_poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            write: Duration::from_secs(10),
            crl_poll: Duration::from_millis(100),
        }
    }
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A PEM file does not hold what it should.
    #[error("{path} does not hold {expected} in PEM")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// The CRL cannot be used.
    #[error("the CRL cannot be used")]
    Crl(#[from] CrlError),
    /// Certificate and key do not fit, or the CA is none.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The CA cannot serve as an anchor for client certificates.
    #[error("client certificates cannot be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The router behind the guard did not start.
    #[error("the router behind the guard did not start")]
    Router(#[source] std::io::Error),
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
}
