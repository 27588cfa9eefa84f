//! Reads what was put on the device before its first start: IDevID, token or the TPM's certificates, firmware
//! measurements, trust bundle.
//!
//! Checks that the files fit each other. Whether the IDevID is good is the server's judgement; whether the trust
//! bundle is good, the core's.

mod attester;
mod error;
mod event_log;
mod files;
mod psa;
mod tpm;

use std::path::{Path, PathBuf};

use agent_core::evidence::{
    ClaimAttester, DiceAttester, Firmware, IdevidAttester, PsaAttester, SymmetricAttester, SymmetricKeyError,
    TokenAttester, TokenError,
};
use shared::evidence::{Digest, Measurement};
use shared::{DeviceId, keytext, limits};
use zeroize::Zeroizing;

use crate::config::{self, Config, Identity, MeasurementSource, TokenSource};
use crate::keystore::{DeviceKeyStore, FileKey, FileKeyStore, TpmKeyStore};
use crate::pem;
use crate::state_dir::StateDir;
use crate::storage::FileStorage;
use tpm_client::Tpm;

pub use attester::DeviceAttester;
pub use error::ProvisionError;
pub use psa::ServiceCommand;
pub(crate) use tpm::CREDENTIAL_FILE;
pub use tpm::{TpmAttester, TpmIdentity};

/// What was provisioned.
#[derive(Debug)]
pub struct Provision {
    proof: Proof,
    firmware: config::Firmware,
    measurements: Vec<(String, String, Digest)>,
    trust_bundle: Vec<u8>,
}

/// How the device proves what it is.
enum Proof {
    Idevid { path: PathBuf, chain: Vec<Vec<u8>>, key: FileKey },
    Dice { path: PathBuf, chain: Vec<Vec<u8>>, key: FileKey },
    Token { device: DeviceId, token: Zeroizing<String> },
    Symmetric { path: PathBuf, device: DeviceId, key: Zeroizing<String> },
    Claim { path: PathBuf, device: DeviceId, chain: Vec<Vec<u8>>, key: FileKey },
    Psa { device: DeviceId, service: ServiceCommand, chain: Vec<Vec<u8>> },
    Tpm(Box<TpmIdentity>),
}

impl core::fmt::Debug for Proof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Idevid { .. } => "Idevid(<redacted>)",
            Self::Dice { .. } => "Dice(<redacted>)",
            Self::Token { .. } => "Token(<redacted>)",
            Self::Symmetric { .. } => "Symmetric(<redacted>)",
            Self::Claim { .. } => "Claim(<redacted>)",
            Self::Psa { .. } => "Psa",
            Self::Tpm(_) => "Tpm",
        })
    }
}

impl Provision {
    /// Reads everything that the configuration names.
    ///
    /// # Errors
    /// Names the first file that cannot be used.
    pub fn load(config: &Config) -> Result<Self, ProvisionError> {
        let proof = match &config.identity {
            Identity::Idevid { certificate, key } => idevid(certificate, key)?,
            Identity::Dice { certificate, key } => Proof::Dice {
                path: certificate.clone(),
                chain: files::chain(certificate)?,
                key: files::key("DICE alias key", key)?,
            },
            Identity::Symmetric { device, key } => symmetric(device, key)?,
            Identity::Claim { device, certificate, key } => Proof::Claim {
                path: certificate.clone(),
                device: device.clone(),
                chain: files::chain(certificate)?,
                key: files::key("claim key", key)?,
            },
            Identity::Token { device, token } => {
                Proof::Token { device: device.clone(), token: read_token(token)? }
            }
            Identity::Psa { device, service, certificate } => Proof::Psa {
                device: device.clone(),
                service: service.clone(),
                chain: certificate.as_deref().map(files::chain).transpose()?.unwrap_or_default(),
            },
            Identity::Tpm(tpm) => Proof::Tpm(Box::new(tpm_identity(tpm)?)),
        };
        Ok(Self {
            proof,
            measurements: measure(&config.firmware)?,
            firmware: config.firmware.clone(),
            trust_bundle: trust_bundle(config.trust_bundle.as_deref())?,
        })
    }

    /// The device's proof of what it is. `dir` is where a TPM's operational keys are.
    ///
    /// # Errors
    /// Where key and certificate make no IDevID, or the token has the wrong form.
    pub fn attester(&self, dir: &StateDir) -> Result<DeviceAttester<'_>, ProvisionError> {
        match &self.proof {
            Proof::Idevid { path, chain, key } => {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                IdevidAttester::new(key.clone(), &chain, self.claims())
                    .map(|attester| DeviceAttester::Idevid(Box::new(attester)))
                    .map_err(|source| ProvisionError::Idevid { path: path.clone(), source })
            }
            Proof::Dice { path, chain, key } => {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                DiceAttester::new(key.clone(), &chain)
                    .map(|attester| DeviceAttester::Dice(Box::new(attester)))
                    .map_err(|source| ProvisionError::Dice { path: path.clone(), source })
            }
            Proof::Psa { device, service, chain } => {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                let attester = PsaAttester::new(device.clone(), &chain, service.clone());
                attester.map(|attester| DeviceAttester::Psa(Box::new(attester))).map_err(ProvisionError::Psa)
            }
            Proof::Symmetric { path, device, key } => {
                SymmetricAttester::new(device.clone(), key, self.claims())
                    .map(|attester| DeviceAttester::Symmetric(Box::new(attester)))
                    .map_err(|source| ProvisionError::Symmetric { path: path.clone(), source })
            }
            Proof::Claim { path, device, chain, key } => {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                ClaimAttester::new(key.clone(), device.clone(), &chain, self.claims())
                    .map(|attester| DeviceAttester::Claim(Box::new(attester)))
                    .map_err(|source| ProvisionError::Claim { path: path.clone(), source })
            }
            Proof::Token { device, token } => TokenAttester::new(device.clone(), token)
                .map(DeviceAttester::Token)
                .map_err(|error| match error {
                    TokenError::Form => ProvisionError::Token,
                    TokenError::Mistyped => ProvisionError::Mistyped(error),
                }),
            Proof::Tpm(identity) => {
                let attester = TpmAttester::new(identity, FileStorage::new(dir.clone()));
                Ok(DeviceAttester::Tpm(Box::new(attester)))
            }
        }
    }

    /// Where the operational keys live.
    #[must_use]
    pub fn key_store(&self) -> DeviceKeyStore {
        match &self.proof {
            Proof::Idevid { .. }
            | Proof::Dice { .. }
            | Proof::Token { .. }
            | Proof::Symmetric { .. }
            | Proof::Claim { .. }
            | Proof::Psa { .. } => DeviceKeyStore::File(FileKeyStore),
            Proof::Tpm(identity) => DeviceKeyStore::Tpm(TpmKeyStore::new(identity.tpm.clone())),
        }
    }

    /// The signed trust bundle; empty where none was provisioned.
    #[must_use]
    pub fn trust_bundle(&self) -> &[u8] {
        &self.trust_bundle
    }

    fn claims(&self) -> Firmware<'_> {
        let firmware = &self.firmware;
        let measurements = self.measurements.iter();
        Firmware {
            oemid: firmware.maker_number,
            hwmodel: &firmware.model,
            hwversion: &firmware.hardware_version,
            swname: &firmware.name,
            swversion: &firmware.version,
            debug: firmware.debug,
            // The configuration has as many at most.
            measurements: measurements
                .take(limits::MAX_MEASUREMENTS)
                .map(|(component, version, digest)| Measurement { component, version, digest: *digest })
                .collect(),
        }
    }
}

fn idevid(certificate: &Path, key: &Path) -> Result<Proof, ProvisionError> {
    let chain = files::chain(certificate)?;
    let key = files::key("IDevID key", key)?;
    Ok(Proof::Idevid { path: certificate.to_owned(), chain, key })
}

fn symmetric(device: &DeviceId, path: &Path) -> Result<Proof, ProvisionError> {
    let bytes = Zeroizing::new(files::secret("symmetric key", path, keytext::LENGTH as u64 + 2)?);
    let source = SymmetricKeyError::Form(keytext::KeyTextError);
    let text = core::str::from_utf8(&bytes)
        .map_err(|_| ProvisionError::Symmetric { path: path.to_owned(), source })?;
    let key = Zeroizing::new(text.to_owned());
    Ok(Proof::Symmetric { path: path.to_owned(), device: device.clone(), key })
}

fn tpm_identity(config: &config::Tpm) -> Result<TpmIdentity, ProvisionError> {
    let certificates = match &config.certificates {
        Some(path) => pem::read_certificates(&files::read("EK certificates", path, files::MAX_PEM)?)
            .filter(|chain| (1..=limits::MAX_TPM_CHAIN).contains(&chain.len()))
            .ok_or_else(|| ProvisionError::Chain { path: path.clone() })?,
        None => Vec::new(),
    };
    Ok(TpmIdentity {
        device: config.device.clone(),
        tpm: Tpm::new(&config.path),
        ek: config.endorsement_key,
        certificates,
        registers: config.registers.clone(),
        event_log: config.event_log.clone(),
    })
}

fn read_token(source: &TokenSource) -> Result<Zeroizing<String>, ProvisionError> {
    let path = match source {
        TokenSource::Text(token) => return Ok(token.clone()),
        TokenSource::File(path) => path,
    };
    let bytes = Zeroizing::new(files::secret("token file", path, limits::MAX_TOKEN as u64 + 2)?);
    let token = core::str::from_utf8(&bytes).map_err(|_| ProvisionError::Token)?;
    Ok(Zeroizing::new(token.trim_end().to_owned()))
}

fn trust_bundle(path: Option<&Path>) -> Result<Vec<u8>, ProvisionError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    files::read("trust bundle", path, limits::MAX_TRUST_BUNDLE as u64)
}

/// Digests of all components; files are hashed now, as they are when the agent starts.
fn measure(firmware: &config::Firmware) -> Result<Vec<(String, String, Digest)>, ProvisionError> {
    let mut measurements = Vec::new();
    for measurement in &firmware.measurements {
        let digest = match &measurement.source {
            MeasurementSource::Digest(digest) => *digest,
            MeasurementSource::File(path) => files::hash(path).map_err(|source| {
                ProvisionError::Unreadable { what: "measured file", path: path.clone(), source }
            })?,
        };
        measurements.push((measurement.component.clone(), measurement.version.clone(), digest));
    }
    Ok(measurements)
}

#[cfg(test)]
mod tests {
    use super::files::{hash, read};
    use super::{Provision, ProvisionError, read_token};
    use crate::config::TokenSource;
    use crate::state_dir::StateDir;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "token\n").unwrap();
        let source = TokenSource::File(file.path().to_owned());
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o620, false)] {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            match read_token(&source) {
                Ok(token) => assert!(good && token.as_str() == "token", "{mode:o}"),
                Err(error) => assert!(!good && matches!(error, ProvisionError::Open { .. }), "{mode:o}"),
            }
        }
    }

    #[test]
    fn files_are_bounded_and_hashed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(read("file", file.path(), 3).unwrap(), b"abc");
        assert!(matches!(read("file", file.path(), 2), Err(ProvisionError::TooLong { .. })));
        // FIPS 180-4, the example of one block.
        let digest: String = hash(file.path()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_groups_key_is_no_devices() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "server.host = \"localhost\"\nidentity = {{ device = \"SN-1\", symmetric_key = {:?} }}",
            file.path()
        );
        let sources = crate::config::Sources::default();
        let config = crate::Config::parse(&text, std::path::Path::new("/agent.toml"), &sources).unwrap();
        let key = |scope| -> String {
            let key = shared::keytext::KeyText::new(scope, [1; 8], [0xa5; 32]);
            key.characters().chain(['\n']).collect()
        };
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        std::fs::write(file.path(), key(shared::keytext::Scope::Device)).unwrap();
        let provision = Provision::load(&config).unwrap();
        let attester = provision.attester(&dir).unwrap();
        assert!(!format!("{provision:?}{attester:?}").contains("a5a5"));
        std::fs::write(file.path(), key(shared::keytext::Scope::Group)).unwrap();
        let provision = Provision::load(&config).unwrap();
        let error = provision.attester(&dir).unwrap_err();
        let source = core::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("key of a whole group"), "{source}");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret").unwrap();
        let text = format!(
            "server.host = \"localhost\"\nidentity = {{ device = \"SN-1\", token_file = {:?} }}",
            file.path()
        );
        let config = crate::Config::parse(
            &text,
            std::path::Path::new("/agent.toml"),
            &crate::config::Sources::default(),
        );
        let provision = Provision::load(&config.unwrap()).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        assert!(!format!("{provision:?}{:?}", provision.attester(&dir).unwrap()).contains("s3cret"));
    }
}
