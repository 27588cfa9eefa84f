//! Reads what was put on the device before its first start: IDevID or token, firmware measurements, trust bundle.
//!
//! Checks that the files fit each other. Whether the IDevID is good is the server's judgement; whether the trust
//! bundle is good, the core's.

mod attester;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agent_core::platform::{PublicPoint, SigningKey as _};
use agent_core::x509::Certificate;
use sha2::{Digest as _, Sha256};
use shared::{DeviceId, limits};
use zeroize::Zeroizing;

use crate::config::{Config, Firmware, Identity, MeasurementSource, TokenSource};
use crate::keystore::FileKey;
use crate::pem;

pub use attester::DeviceAttester;

/// Longest certificate or key file, in bytes.
const MAX_PEM: u64 = 64 * 1024;

/// What was provisioned.
#[derive(Debug)]
pub struct Provision {
    device: DeviceId,
    proof: Proof,
    firmware: Firmware,
    measurements: Vec<(String, String, [u8; 32])>,
    trust_bundle: Vec<u8>,
}

/// How the device proves what it is.
enum Proof {
    Idevid { chain: Vec<Vec<u8>>, key: FileKey },
    Token(Zeroizing<String>),
}

impl core::fmt::Debug for Proof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Idevid { .. } => "Idevid(<redacted>)",
            Self::Token(_) => "Token(<redacted>)",
        })
    }
}

/// Why a provisioned file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// It cannot be read.
    #[error("the {what} {path} cannot be read")]
    Unreadable {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is longer than such a file can be.
    #[error("the {what} {path} is longer than {limit} bytes")]
    TooLong {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// Others than the agent's user and group can read or change a secret.
    #[error("others can read or change the {what} {path} (mode {mode:04o}); run: chmod 0600 {path}")]
    Open {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not certificates in PEM, none, or more than a chain can have.
    #[error("{path} is no chain of 1 to {} certificates in PEM", limits::MAX_CHAIN)]
    Chain {
        /// The file.
        path: PathBuf,
    },
    /// The first certificate is no IDevID.
    #[error("the first certificate in {path} is no IDevID: {reason}")]
    NoIdevid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No P-256 key in PKCS#8 PEM.
    #[error("{path} is no P-256 private key in PEM (PKCS#8)")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate do not belong together.
    #[error("the key {key} does not belong to the certificate {certificate}")]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// No token.
    #[error("{path} is no one-time token of 1 to {} characters", limits::MAX_TOKEN)]
    Token {
        /// The file.
        path: PathBuf,
    },
}

impl Provision {
    /// Reads everything that the configuration names.
    ///
    /// # Errors
    /// Names the first file that cannot be used.
    pub fn load(config: &Config) -> Result<Self, ProvisionError> {
        let (device, proof) = match &config.identity {
            Identity::Idevid { certificate, key } => idevid(certificate, key)?,
            Identity::Token { device, token } => (device.clone(), Proof::Token(read_token(token)?)),
        };
        Ok(Self {
            device,
            proof,
            measurements: measure(&config.firmware)?,
            firmware: config.firmware.clone(),
            trust_bundle: trust_bundle(config.trust_bundle.as_deref())?,
        })
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The signed trust bundle; empty where none was provisioned.
    #[must_use]
    pub fn trust_bundle(&self) -> &[u8] {
        &self.trust_bundle
    }
}

fn idevid(certificate: &Path, key: &Path) -> Result<(DeviceId, Proof), ProvisionError> {
    let text = read("IDevID certificate", certificate, MAX_PEM)?;
    let broken = || ProvisionError::Chain { path: certificate.to_owned() };
    let chain = pem::read_certificates(&text).ok_or_else(broken)?;
    let leaf = chain.first().filter(|_| chain.len() <= limits::MAX_CHAIN).ok_or_else(broken)?;
    let (device, point) = read_leaf(leaf)
        .map_err(|reason| ProvisionError::NoIdevid { path: certificate.to_owned(), reason })?;

    let text = Zeroizing::new(read_secret("IDevID key", key, MAX_PEM)?);
    let signing_key = core::str::from_utf8(&text)
        .ok()
        .and_then(FileKey::from_private_key_pem)
        .ok_or_else(|| ProvisionError::Key { path: key.to_owned() })?;
    if signing_key.public_point() != point {
        return Err(ProvisionError::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() });
    }
    Ok((device, Proof::Idevid { chain, key: signing_key }))
}

/// Device identifier and public key of an IDevID (IEEE 802.1AR, section 8.6), or why it is none.
fn read_leaf(der: &[u8]) -> Result<(DeviceId, PublicPoint), String> {
    let certificate = Certificate::parse(der).map_err(|error| error.to_string())?;
    let serial = certificate.subject_serial_number().ok_or("its subject has no serialNumber attribute")?;
    let device = DeviceId::new(serial).map_err(|error| error.to_string())?;
    Ok((device, *certificate.public_point()))
}

fn read_token(source: &TokenSource) -> Result<Zeroizing<String>, ProvisionError> {
    let path = match source {
        TokenSource::Text(token) => return Ok(token.clone()),
        TokenSource::File(path) => path,
    };
    let bytes = Zeroizing::new(read_secret("token file", path, limits::MAX_TOKEN as u64 + 2)?);
    let token = core::str::from_utf8(&bytes).unwrap_or_default().trim_end();
    let printable = token.bytes().all(|b| b.is_ascii_graphic());
    if token.is_empty() || token.len() > limits::MAX_TOKEN || !printable {
        return Err(ProvisionError::Token { path: path.clone() });
    }
    Ok(Zeroizing::new(token.to_owned()))
}

fn trust_bundle(path: Option<&Path>) -> Result<Vec<u8>, ProvisionError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    read("trust bundle", path, limits::MAX_TRUST_BUNDLE as u64)
}

/// Digests of all components; files are hashed now, as they are when the agent starts.
fn measure(firmware: &Firmware) -> Result<Vec<(String, String, [u8; 32])>, ProvisionError> {
    let mut measurements = Vec::new();
    for measurement in &firmware.measurements {
        let digest = match &measurement.source {
            MeasurementSource::Digest(digest) => *digest,
            MeasurementSource::File(path) => hash(path).map_err(|source| ProvisionError::Unreadable {
                what: "measured file",
                path: path.clone(),
                source,
            })?,
        };
        measurements.push((measurement.component.clone(), measurement.version.clone(), digest));
    }
    Ok(measurements)
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().into())
}

fn read_secret(what: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, ProvisionError> {
    let found = std::fs::metadata(path).map_err(|source| unreadable(what, path, source))?;
    let mode = found.mode() & 0o7777;
    // The group may read: a key of root that the agent's group was given.
    if mode & 0o027 != 0 {
        return Err(ProvisionError::Open { what, path: path.to_owned(), mode });
    }
    read(what, path, limit)
}

fn read(what: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, ProvisionError> {
    let file = File::open(path).map_err(|source| unreadable(what, path, source))?;
    // Room for all of it, so that no copy of a secret is left behind by growing.
    let mut content = Vec::with_capacity(usize::try_from(limit).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut content).map_err(|source| unreadable(what, path, source))?;
    if content.len() as u64 > limit {
        return Err(ProvisionError::TooLong { what, path: path.to_owned(), limit });
    }
    Ok(content)
}

fn unreadable(what: &'static str, path: &Path, source: io::Error) -> ProvisionError {
    ProvisionError::Unreadable { what, path: path.to_owned(), source }
}
