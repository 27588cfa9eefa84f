//! A certificate for a broker, issued once.

use core::time::Duration;

use shared::UnixTime;

use super::lineup::Lineup;
use super::publish::authorities_pem;
use crate::config::Config;
use crate::startup::LoadError;
use crate::store::Store;
use crate::tls_files::{self, Files};

/// What was made.
#[derive(Clone, Debug)]
pub struct BrokerCertificate {
    /// When it ends.
    pub not_after: UnixTime,
    /// The CAs by which the broker verifies devices, in PEM.
    pub authorities: String,
}

/// Issues a certificate for `hosts` and puts it with a new key into `files`.
///
/// # Errors
/// Where the CA's key is out of reach, a name is none, or a file cannot be written.
pub async fn broker_certificate(
    config: &Config,
    store: &dyn Store,
    files: &Files,
    hosts: &[String],
    lifetime: Duration,
    now: UnixTime,
) -> Result<BrokerCertificate, LoadError> {
    let lineup = Lineup::of(config, &store.rollovers().await?)?;
    let issuer = lineup.open_for_servers()?;
    let (_, above) = lineup.for_servers();
    let not_after = tls_files::issue(files, hosts, (&issuer, above), lifetime, now)?;
    Ok(BrokerCertificate { not_after, authorities: authorities_pem(&lineup) })
}
