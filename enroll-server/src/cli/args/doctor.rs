//! Arguments of `doctor`.

use std::path::PathBuf;

/// Where to look, and what with.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Doctor {
    /// Servers as HOST:PORT, and files: certificates, chains, keys, requests, revocation lists, trust bundles. What is a
    /// file on this machine is looked at as one.
    #[arg(required = true, value_name = "HOST:PORT|FILE")]
    pub(in crate::cli) targets: Vec<String>,
    /// CAs to trust, PEM, DER or a trust bundle; may be repeated. Without one a server is judged by this machine's CAs.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ca: Vec<PathBuf>,
    /// Certificate to show as client, with its chain. The server then has to ask for one.
    #[arg(long, requires = "key", value_name = "FILE")]
    pub(in crate::cli) cert: Option<PathBuf>,
    /// Its private key, not encrypted.
    #[arg(long, requires = "cert", value_name = "FILE")]
    pub(in crate::cli) key: Option<PathBuf>,
    /// Revocation lists to judge by; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) crl: Vec<PathBuf>,
    /// Name that the server's certificate has to carry, instead of the host.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) name: Option<String>,
    /// Log in at the server as an MQTT 5 broker with this client identifier. Whoever is logged in with it loses the
    /// session.
    #[arg(long, value_name = "CLIENT-ID")]
    pub(in crate::cli) mqtt: Option<String>,
    /// Publish one message {"doctor":true} to this topic, not retained, to see whether that is allowed.
    #[arg(long, requires = "mqtt", value_name = "TOPIC")]
    pub(in crate::cli) publish: Option<String>,
    /// Subscribe to this filter for the moment, to see whether that is allowed.
    #[arg(long, requires = "mqtt", value_name = "FILTER")]
    pub(in crate::cli) subscribe: Option<String>,
}
