//! What can be written behind `broker` and `terminator`.

use core::time::Duration;
use std::path::PathBuf;

use clap::Subcommand;

use super::values;
use crate::peers::{BrokerProduct, TerminatorProduct};
use crate::tls_files::Owner;

/// `broker`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Broker {
    /// Issue a certificate for a broker once, with a new key. To have it renewed too, name it under [[tls_files]].
    Certificate {
        /// The names and addresses under which devices reach it; may be repeated.
        #[arg(long = "name", required = true, value_name = "HOST")]
        names: Vec<String>,
        /// Folder for broker.crt, broker.key and authorities.pem.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// How long it lives; 397 days at most.
        #[arg(long, default_value = "397d", value_name = "DURATION", value_parser = values::duration)]
        lifetime: Duration,
    },
    /// Print or write a complete configuration of a broker for the CA that runs here.
    ///
    /// TLS 1.2 and 1.3 with forward secrecy, client certificates required, the identity out of the certificate, each
    /// device its own topics, and a comment on how a revocation gets there. A token that a product needs to ask this
    /// server goes into files only, not to the terminal.
    #[command(after_help = BROKER_HELP)]
    Config {
        /// The broker.
        product: BrokerProduct,
        /// The broker of [[brokers]] that it is for, where there are several.
        #[arg(long, value_name = "NAME")]
        broker: Option<String>,
        #[command(flatten)]
        output: PeerOutput,
    },
}

const BROKER_HELP: &str = "\
Such as:
  enroll-server broker certificate --name mqtt.example --out /etc/mosquitto/enrolled
  enroll-server broker config mosquitto --out /etc/mosquitto/enrolled --watch --hook systemctl reload mosquitto";

/// `terminator`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Terminator {
    /// Print or write a complete configuration of a program that ends TLS in front of an HTTPS service, for the CA that
    /// runs here.
    ///
    /// TLS 1.2 and 1.3 with forward secrecy, client certificates required, the device's identifier in the header
    /// X-Device for the service behind (Envoy: in x-forwarded-client-cert), and a comment on how a revocation gets
    /// there.
    #[command(after_help = TERMINATOR_HELP)]
    Config {
        /// The program.
        product: TerminatorProduct,
        /// The service behind it.
        #[arg(long, default_value = "127.0.0.1:9000", value_name = "HOST:PORT")]
        upstream: String,
        /// The port devices come to.
        #[arg(long, default_value_t = 443, value_name = "PORT")]
        listen: u16,
        /// The name devices come to, as in the certificate; by default that of the broker.
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        #[command(flatten)]
        output: PeerOutput,
    },
}

const TERMINATOR_HELP: &str = "\
Such as:
  enroll-server broker certificate --name api.example --out /etc/nginx/enrolled
  enroll-server terminator config nginx --host api.example --out /etc/nginx/enrolled --watch --hook nginx -s reload";

/// Where a configuration goes, and what keeps it current.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PeerOutput {
    /// Write the files into this folder, with copies of the CAs and of the revocation lists, instead of printing them.
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Give the files to this user and group, such as the broker's own: those with a token are for it alone.
    #[arg(long, requires = "out", value_name = "USER:GROUP", value_parser = owner)]
    pub(in crate::cli) owner: Option<Owner>,
    /// Stay, write again what changes (CAs, revocation lists, topics, devices), and run the hook then.
    #[arg(long, requires = "out")]
    pub(in crate::cli) watch: bool,
    /// Command that has the broker read its files again, with its arguments; has to come last.
    #[arg(long, requires = "watch", num_args = 1.., allow_hyphen_values = true, value_name = "COMMAND")]
    pub(in crate::cli) hook: Vec<String>,
    /// Certificate chain of the broker; by default that of [[tls_files]] for its host, or broker.crt in the folder.
    #[arg(long, requires = "key", value_name = "FILE")]
    pub(in crate::cli) certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "certificate", value_name = "FILE")]
    pub(in crate::cli) key: Option<PathBuf>,
    /// Where the broker reaches this server, for products that ask it; by default by the first name in the server's
    /// certificate.
    #[arg(long, value_name = "https://HOST:PORT")]
    pub(in crate::cli) server: Option<String>,
}

fn owner(text: &str) -> Result<Owner, String> {
    Owner::parse(text).map_err(|error| error.to_string())
}
