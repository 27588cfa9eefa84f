//! The daemon's configuration: what each setting is, where it comes from, and every error at once.
//!
//! Flags win over environment variables, those over the file, that over the defaults. Nothing here opens a
//! certificate, a key or a directory: files that the configuration names are read where they are used.

mod build;
mod error;
pub mod fields;
mod layers;
mod sample;

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shared::DeviceId;
use shared::evidence::{DebugStatus, Digest};

pub use error::{ConfigError, ConfigErrors, Origin, Problem};
pub use sample::sample;

use crate::owner::Owner;
use crate::provision::ServiceCommand;
use crate::proxy::ProxySettings;
use tpm_client::EkKind;

/// Where the configuration file is looked for when nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/agent/agent.toml";

/// Everything the daemon has to be told. Can be filled in by a program as well as read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of keys, certificates, lock and control socket; mode 0700.
    pub state_dir: PathBuf,
    /// The provisioned, signed trust bundle; needed until one is stored.
    pub trust_bundle: Option<PathBuf>,
    /// The enrollment server.
    pub server: Server,
    /// How the device proves what it is.
    pub identity: Identity,
    /// What the device says about itself in its evidence.
    pub firmware: Firmware,
    /// Time between two telemetry messages.
    pub telemetry_interval: Duration,
    /// Where PEM files for other programs are put, if anywhere.
    pub export: Option<Export>,
    /// What is done after a change, if anything.
    pub hook: Option<Hook>,
    /// The local port that is carried to the broker, if there is one.
    pub proxy: Option<ProxySettings>,
    /// Limits in time of everything that goes over the network.
    pub network: Timeouts,
    /// About how often the enrollment server is asked whether there is something to do; zero for never.
    pub check_in: Duration,
    /// How to log.
    pub log: Log,
}

/// Address of the enrollment server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or IP address; its certificate must carry it.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How the device proves what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// With the IDevID that its maker put in.
    Idevid {
        /// The chain in PEM, leaf first, trust anchor left out.
        certificate: PathBuf,
        /// The private key: PKCS#8 in PEM.
        key: PathBuf,
    },
    /// With the layered certificates that this boot made (DICE).
    Dice {
        /// The chain in PEM, the alias first, the device's root last.
        certificate: PathBuf,
        /// The alias key: PKCS#8 in PEM.
        key: PathBuf,
    },
    /// With a symmetric key, its own or derived from its group's.
    Symmetric {
        /// The device's identifier.
        device: DeviceId,
        /// The file with the key.
        key: PathBuf,
    },
    /// With the claim certificate that its batch shares.
    Claim {
        /// The device's identifier.
        device: DeviceId,
        /// The chain in PEM, leaf first, trust anchor left out.
        certificate: PathBuf,
        /// The private key: PKCS#8 in PEM.
        key: PathBuf,
    },
    /// With a token that an operator handed out for one enrollment.
    Token {
        /// The device's identifier.
        device: DeviceId,
        /// Where the token is.
        token: TokenSource,
    },
    /// With the tokens of the platform's PSA attestation service.
    Psa {
        /// The device's identifier.
        device: DeviceId,
        /// How to ask for a token.
        service: ServiceCommand,
        /// The chain of the attestation key's certificate in PEM, leaf first, trust anchor left out; nothing where
        /// the server has the key registered.
        certificate: Option<PathBuf>,
    },
    /// With the device's TPM, which holds the operational keys as well.
    Tpm(Tpm),
}

/// The device's TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tpm {
    /// The device's identifier.
    pub device: DeviceId,
    /// Device or Unix socket.
    pub path: PathBuf,
    /// Which endorsement key.
    pub endorsement_key: EkKind,
    /// PEM file with certificates of the endorsement key that are not in the TPM.
    pub certificates: Option<PathBuf>,
    /// Registers to quote.
    pub registers: Vec<u8>,
    /// The firmware's event log.
    pub event_log: Option<PathBuf>,
}

/// Where a one-time token is.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In a file.
    File(PathBuf),
    /// Here.
    Text(zeroize::Zeroizing<String>),
}

impl core::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(<redacted>)"),
        }
    }
}

/// What the device says about itself (RFC 9711).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Private enterprise number of the maker.
    pub maker_number: u32,
    /// Hardware model.
    pub model: String,
    /// Hardware version.
    pub hardware_version: String,
    /// Name of the firmware.
    pub name: String,
    /// Version of the firmware, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// Debug state.
    pub debug: DebugStatus,
    /// Components and their digests.
    pub measurements: Vec<Measurement>,
}

/// A component of the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Name of the component.
    pub component: String,
    /// Its version.
    pub version: String,
    /// Where its digest comes from.
    pub source: MeasurementSource,
}

/// Where the digest of a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementSource {
    /// It is known.
    Digest(Digest),
    /// The file is hashed when the agent starts.
    File(PathBuf),
}

/// Where PEM files for other programs are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The directory; the files are below `current/`.
    pub directory: PathBuf,
    /// Whether their group may read them. No setting lets everybody read them.
    pub group_readable: bool,
    /// Whose the files are; the agent's own user, and the directory's group, where nobody is named.
    pub owner: Option<Owner>,
}

/// What is done after a change of identity or trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// One after the other; each whether or not the one before succeeded. At least one.
    pub actions: Vec<Action>,
    /// When a command is killed.
    pub timeout: Duration,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a program.
    Run {
        /// By absolute path.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// Signal the process that a file names.
    Signal {
        /// Which signal.
        signal: Signal,
        /// Where the process's number is.
        pid_file: PathBuf,
    },
}

/// A signal by which programs are asked to read their files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

/// Limits in time of what goes over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup and TCP connection.
    pub connect: Duration,
    /// TLS handshake; login at the broker.
    pub handshake: Duration,
    /// One request as a whole; one acknowledgement of the broker.
    pub exchange: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            exchange: Duration::from_secs(30),
        }
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// Least severity.
    pub level: LogLevel,
}

/// For whom the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed for good.
    Error,
    /// Something failed for now.
    Warn,
    /// Something happened.
    #[default]
    Info,
    /// Everything.
    Debug,
}

/// Where configuration comes from beside the file: nothing here is read from the process itself, so that a
/// test and an embedding program give what they like.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; `None` means [`DEFAULT_FILE`], which may then be missing.
    pub file: Option<PathBuf>,
    /// Flags by the dotted name of their field.
    pub flags: BTreeMap<&'static str, String>,
    /// Environment variables by name; others than the agent's are ignored.
    pub environment: BTreeMap<String, String>,
}

impl Config {
    /// Reads the configuration from its file, environment variables and flags.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let default = Path::new(DEFAULT_FILE);
        let path = sources.file.as_deref().unwrap_or(default);
        let text = layers::read_file(path, sources.file.is_some()).map_err(|e| ConfigErrors(vec![e]))?;
        Self::parse(&text, path, sources)
    }

    /// As [`load`](Self::load), with the text of the file given.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn parse(text: &str, path: &Path, sources: &Sources) -> Result<Self, ConfigErrors> {
        let (mut values, mut errors) = (layers::Values::new(), Vec::new());
        layers::from_file(text, path, &mut values, &mut errors);
        // What could be made of a text that is no TOML is guesswork; errors in that would only mislead.
        if errors.iter().any(|error| matches!(error.problem, Problem::Syntax(_))) {
            return Err(ConfigErrors(errors));
        }
        for field in fields::FIELDS {
            let variable = field.variable();
            if let Some(text) = sources.environment.get(&variable) {
                layers::lay_over(field, text, Origin::Variable(variable), &mut values, &mut errors);
            }
            if let Some(text) = sources.flags.get(field.key) {
                layers::lay_over(field, text, Origin::Flag(field.flag()), &mut values, &mut errors);
            }
        }
        let token = sources.environment.get(fields::TOKEN_VARIABLE);
        build::build(values, token.map(|t| zeroize::Zeroizing::new(t.clone())), errors)
    }
}

#[cfg(test)]
mod tests;
