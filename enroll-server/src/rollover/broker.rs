//! A certificate for a broker, issued once.

use core::time::Duration;

use shared::UnixTime;

use super::lineup::Lineup;
use super::publish::authorities_pem;
use crate::audit::EventKind;
use crate::config::Config;
use crate::startup::LoadError;
use crate::store::{NewEvent, Store};
use crate::tls_files::{self, Files, Made};

/// What was made.
#[derive(Clone, Debug)]
pub struct BrokerCertificate {
    /// The certificate.
    pub made: Made,
    /// The CAs by which the broker verifies devices, in PEM.
    pub authorities: String,
}

/// Issues a certificate for `hosts`, writes down who asked for it, and puts it with a new key into `files`.
///
/// # Errors
/// Where the CA's key is out of reach, a name is none, the store fails, or a file cannot be written.
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
    let fresh = tls_files::issue(hosts, (&issuer, above), lifetime, now)?;
    // First the event: nobody gets a certificate of which the trail does not say who asked for it.
    let event = NewEvent::new(now, EventKind::PeerIssued, fresh.made.to_string());
    store.add_peer_event(fresh.made.serial, event).await?;
    tls_files::place(files, &fresh)?;
    Ok(BrokerCertificate { made: fresh.made, authorities: authorities_pem(&lineup) })
}
