//! The server's settings, read from one TOML file.
//!
//! All errors of a file are reported at once, each with file, line and field. Every field but the tenant's
//! name has a default that works. Relative paths are taken from the folder of the file. The policy of the
//! appraisal is a file of its own and is not read here.

mod brokers;
mod dashboard;
mod error;
mod issuing_key;
mod limits;
mod mqtt;
mod read;
mod reader;
mod store;
mod tls_files;
mod traces;
mod webhooks;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use ca::key::{Pkcs11Uri, TpmPlace};

use crate::admission::AdmissionLimits;
use crate::audit::RefusalLimits;
use crate::store::RecordLimits;
use crate::tls_files::TlsFile;
use crate::webhook::Webhook;

pub use brokers::{Assignment, AssignmentService, Choice, NamedBroker, Rule};
pub(crate) use dashboard::is_name as is_person;
pub use dashboard::{Administrator, Dashboard};
pub use error::{ConfigError, Mistake};
pub(crate) use issuing_key::key_place;
pub use mqtt::Mqtt;
pub(crate) use read::is_tenant;
pub(crate) use reader::parse_duration;
pub use store::{Postgres, STORE_PASSWORD};
pub use traces::Traces;

/// A file with every field, its default and what it means; `init` starts from it.
pub const SAMPLE: &str = include_str!("../../enroll-server.sample.toml");

/// How long a revocation list is good where nothing else is set.
pub const CRL_VALID: Duration = Duration::from_secs(86_400);

/// How long an OCSP answer is good where nothing else is set.
pub const OCSP_VALID: Duration = Duration::from_secs(600);

/// How many certificates name one revocation list where nothing else is set: at 50 bytes an entry such a list has
/// 0.5 MB when all of them are revoked.
pub const PARTITION_SIZE: u32 = 10_000;

/// All settings. The fields are public so that a program which runs the server inside itself can adapt them.
#[derive(Clone, Debug)]
pub struct Config {
    /// The organisation whose devices these are: letters and digits; `O` of every certificate.
    pub tenant: String,
    /// Where to listen.
    pub listen: Listen,
    /// Keys, certificates, policy and database.
    pub files: Files,
    /// Where the issuing CA's key is.
    pub issuing_key: IssuingKey,
    /// Issuing CAs that signed LDevIDs before and still sign their revocation lists.
    pub previous_cas: Vec<PreviousCa>,
    /// How long the certificate of the HTTPS listener lives, where one of our CAs makes it.
    pub server_lifetime: Duration,
    /// Certificates of brokers that this server keeps renewed.
    pub tls_files: Vec<TlsFile>,
    /// What is put into certificates.
    pub certificates: Certificates,
    /// Enrollment over Secure Transport; `None` is off.
    pub est: Option<Est>,
    /// What devices are told about the MQTT broker.
    pub broker: Broker,
    /// The brokers, where there are several; what one does not say is as in `broker`.
    pub brokers: Vec<NamedBroker>,
    /// Who gets which.
    pub assignment: Assignment,
    /// How devices are told of what is wanted of them, if they are.
    pub mqtt: Option<Mqtt>,
    /// The revocation list.
    pub crl: Crl,
    /// The OCSP responder.
    pub ocsp: Ocsp,
    /// How long a nonce is taken.
    pub nonce_lifetime: Duration,
    /// How long a device waits before it asks again whether it was approved.
    pub approval_retry: Duration,
    /// How long a device waits when the server cannot store or sign.
    pub busy_retry: Duration,
    /// Caps and deadlines.
    pub limits: Limits,
    /// The database on PostgreSQL, where it is not in [`Files::store`].
    pub postgres: Option<Postgres>,
    /// Who is let in when too many come.
    pub admission: AdmissionLimits,
    /// What is kept of appraisals.
    pub records: RecordLimits,
    /// SHA-256 of the bearer token of the admin API; without it the API refuses everything.
    pub admin_token_sha256: Option<[u8; 32]>,
    /// The dashboard; `None` is off.
    pub dashboard: Option<Dashboard>,
    /// How many refusals of one device within which time are an event.
    pub repeated_refusals: RefusalLimits,
    /// Where events are posted to.
    pub webhooks: Vec<Webhook>,
    /// The program's own log.
    pub log: Log,
    /// Where spans of traces are sent; `None` is off.
    pub traces: Option<Traces>,
    /// The log of what was issued and revoked.
    pub transparency: Transparency,
}

/// Where the server listens. Port 0 takes any free port; the bound address is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The native protocol, over TLS 1.3.
    pub https: SocketAddr,
    /// Health, metrics and the revocation list, without TLS; `None` turns the listener off.
    pub http: Option<SocketAddr>,
}

/// Enrollment over Secure Transport (RFC 7030).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Est {
    /// Where it listens: a listener of its own, over TLS 1.2 and 1.3.
    pub listen: SocketAddr,
}

/// Files the server reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificate of the root CA, PEM.
    pub root_certificate: PathBuf,
    /// Revocation list of the root CA, PEM; need not be there.
    pub root_crl: PathBuf,
    /// Certificate of the issuing CA, PEM.
    pub issuing_certificate: PathBuf,
    /// Private key of the issuing CA, PEM; read only where [`IssuingKey::File`] says so.
    pub issuing_key: PathBuf,
    /// Certificate chain of the HTTPS listener, PEM, leaf first.
    pub server_certificate: PathBuf,
    /// Private key of the HTTPS listener, PEM.
    pub server_key: PathBuf,
    /// The signed trust bundle that devices get.
    pub trust_bundle: PathBuf,
    /// The CAs by which brokers verify devices, written here.
    pub authorities: PathBuf,
    /// Key of the nonces; the same on every replica.
    pub nonce_key: PathBuf,
    /// The token with which brokers ask who may do what; without the file they are refused.
    pub broker_token: PathBuf,
    /// The key under which symmetric keys are wrapped in the store; the same on every replica.
    pub credential_key: PathBuf,
    /// The policy of the group `default`, and the base of all others.
    pub policy: PathBuf,
    /// The folder of the other groups' policies.
    pub policy_groups: PathBuf,
    /// The profile `default` of certificates; it need not be there.
    pub profile: PathBuf,
    /// The folder of the other profiles.
    pub profiles: PathBuf,
    /// Known-good measurements besides those in the policy, where such a file is named.
    pub reference_values: Option<PathBuf>,
    /// The SQLite database, unless [`Config::postgres`] names another.
    pub store: PathBuf,
    /// The key that signs the checkpoints of the log of what was issued.
    pub log_key: PathBuf,
}

/// Where the issuing CA's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuingKey {
    /// In [`Files::issuing_key`].
    File {
        /// Where its passphrase is, if it is encrypted and the passphrase is not asked for.
        passphrase_file: Option<PathBuf>,
    },
    /// In a PKCS#11 token.
    Pkcs11(Pkcs11Uri),
    /// In a TPM 2.0.
    Tpm(TpmSettings),
    /// Behind a command.
    Command(Vec<String>),
}

/// A key in a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmSettings {
    /// The TPM's device, or a simulator's socket.
    pub device: PathBuf,
    /// Where the key lies.
    pub place: TpmPlace,
    /// A file with its authorization value; without one that value is empty.
    pub auth_file: Option<PathBuf>,
}

/// An issuing CA that signs no new LDevIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousCa {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM; read only where [`IssuingKey::File`] says so.
    pub key_file: PathBuf,
    /// Where its key is.
    pub key: IssuingKey,
}

/// What is put into LDevIDs; how long they live stands in the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// Private enterprise number of the tenant, for the device's URN (RFC 9039, section 4.4).
    pub pen: u32,
    /// CRL distribution point, if certificates carry one: what [`ca::CrlAddress::parse`] reads.
    pub crl_url: Option<String>,
    /// Address of the OCSP responder, if certificates carry one.
    pub ocsp_url: Option<String>,
}

/// What devices are told about the MQTT broker. `{id}` in a topic stands for the device's identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address, and the name its certificate carries.
    pub host: String,
    /// TCP port of MQTT over TLS.
    pub port: u16,
    /// Where a device publishes its measurements.
    pub telemetry_topic: String,
    /// Where it keeps its status.
    pub status_topic: String,
    /// Where it receives commands.
    pub command_topic: String,
    /// MQTT keep-alive, whole seconds.
    pub keep_alive: Duration,
}

/// The revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// The published file in DER.
    pub der: PathBuf,
    /// The published file in PEM.
    pub pem: PathBuf,
    /// From `thisUpdate` to `nextUpdate`; a new list is made when half of it has passed.
    pub valid: Duration,
    /// Command that is run after each publication, for example to make a broker read the list again.
    pub hook: Vec<String>,
    /// How many certificates name one list, where the address of lists has a place for its number.
    pub partition_size: u32,
}

/// The OCSP responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ocsp {
    /// From `thisUpdate` to `nextUpdate` of an answer without a nonce: so long others may keep it.
    pub valid: Duration,
}

/// Deadlines of one server, and the size of its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for the headers of a request, and the longest pause between two requests.
    pub header: Duration,
    /// Time for the body of a request.
    pub body: Duration,
    /// Time for a request as a whole, its answer included.
    pub request: Duration,
    /// Longest life of a connection.
    pub connection: Duration,
    /// How long a shutdown waits for requests under way.
    pub shutdown: Duration,
    /// Largest database in MiB; when it is full, devices are told to come back later.
    pub store_mib: Option<u32>,
}

/// The log of what was issued and revoked; its key is in [`Files::log_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transparency {
    /// The folder with its tiles and its checkpoint.
    pub folder: PathBuf,
    /// How often it is looked for leaves that wait.
    pub interval: Duration,
}

/// The program's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Filter in the syntax of `tracing`, for example `info` or `enroll_server=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            request: Duration::from_secs(20),
            connection: Duration::from_secs(120),
            shutdown: Duration::from_secs(10),
            store_mib: None,
        }
    }
}

#[cfg(test)]
mod tests;
