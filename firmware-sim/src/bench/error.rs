//! Why a benchmark has no figures.

use core::net::SocketAddr;

use crate::device::DeviceError;
use crate::factory::FactoryError;
use crate::stage::StageError;

/// Why a benchmark has no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The server's folder or its devices could not be made.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// An identity could not be made.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// A device's files cannot be read, or its evidence cannot be made.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A key or a request could not be made.
    #[error("a device's key or request could not be made")]
    Request(#[from] rcgen::Error),
    /// A file, a process or a socket failed.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The system's account of a process cannot be read.
    #[error("/proc does not say {0} of the server's process; the benchmark needs Linux")]
    Proc(&'static str),
    /// The server did not say that it is ready.
    #[error("the server did not become ready; its log ends with: {0}")]
    NotReady(String),
    /// The benchmark's own cryptography failed.
    #[error("the bare cryptography failed")]
    Cryptography,
    /// A TLS client could not be set up.
    #[error("a TLS client could not be set up")]
    Tls(#[from] rustls::Error),
    /// A connection failed.
    #[error("the connection to {to} failed")]
    Connection {
        /// The server.
        to: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// An exchange broke off.
    #[error("a request was not answered")]
    Http(#[from] hyper::Error),
    /// The server answered with something else than what is measured.
    #[error("{path} was answered with {found} instead of {expected}")]
    Answer {
        /// Where.
        path: &'static str,
        /// What came.
        found: String,
        /// What is measured.
        expected: &'static str,
    },
    /// A client of the load ended by itself.
    #[error("a client of the load ended before its work was done")]
    Client(#[from] tokio::task::JoinError),
    /// There is no PostgreSQL for the benchmark.
    #[error(transparent)]
    Postgres(#[from] postgres_server::ServerError),
    /// The inventory could not be filled.
    #[error("the inventory could not be filled: {0}")]
    Inventory(String),
}

impl BenchError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}
