//! Why a server does not start.

use core::net::SocketAddr;

use super::load::LoadError;
use super::restored::RestoredError;
use crate::config::ConfigError;
use crate::issuance::Denied;
use crate::mqtt::IdentityError;
use crate::revocation::PublishError;
use crate::store::StoreError;
use crate::transparency_log::LogKeyError;
use crate::webhook::WebhookError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be read, or has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
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
    /// The database is older than what was published, and that cannot be brought in.
    #[error(transparent)]
    Restored(#[from] RestoredError),
    /// What a crash left open cannot be finished.
    #[error("what the last run left open cannot be finished")]
    Recovery(#[source] Denied),
    /// A webhook cannot be used.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The key of the log cannot be used.
    #[error(transparent)]
    LogKey(#[from] LogKeyError),
    /// The server cannot show itself at the brokers.
    #[error("[mqtt] cannot be used")]
    Mqtt(#[from] IdentityError),
    /// The revocation list cannot be published.
    #[error("the revocation list cannot be published")]
    Crl(#[from] PublishError),
}
