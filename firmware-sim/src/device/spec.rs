//! What a simulated device is made of: the files that the factory wrote.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use shared::{DeviceId, limits};
use zeroize::Zeroizing;

use super::DeviceError;
use crate::dice::{Boot, Code, Mode, Uds, boot};
use crate::factory::{DeviceSettings, Evidence, ServerAddress};
use crate::psa::{Component, RootOfTrust};

/// One device, ready to run.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    /// The device's folder.
    pub dir: PathBuf,
    /// Its settings.
    pub settings: DeviceSettings,
    /// The enrollment server.
    pub server: ServerAddress,
    /// The file of the provisioned trust bundle.
    pub trust_bundle: PathBuf,
}

/// What is said on the command line instead of in the device's settings.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The enrollment server.
    pub server: Option<ServerAddress>,
    /// The file of the trust bundle.
    pub trust_bundle: Option<PathBuf>,
}

impl DeviceSpec {
    /// Reads the device in `dir`.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn load(dir: &Path, overrides: &Overrides) -> Result<Self, DeviceError> {
        let path = dir.join("device.toml");
        let settings = DeviceSettings::read(&path)?;
        let server = overrides.server.clone().or_else(|| settings.server.clone());
        let server = server.ok_or(DeviceError::NoServer { path })?;
        let trust_bundle = overrides.trust_bundle.clone().unwrap_or_else(|| dir.join("trust.bundle"));
        Ok(Self { dir: dir.to_owned(), settings, server, trust_bundle })
    }

    /// Reads the devices of a lot in `dir`, the first `count` of them by name, or all.
    ///
    /// # Errors
    /// Names the file or folder that is missing or wrong.
    pub fn load_lot(
        dir: &Path,
        count: Option<usize>,
        overrides: &Overrides,
    ) -> Result<Vec<Self>, DeviceError> {
        let devices = dir.join("devices");
        let failed = |source| DeviceError::Read { path: devices.clone(), source };
        let mut folders = Vec::new();
        for entry in fs::read_dir(&devices).map_err(failed)? {
            folders.push(entry.map_err(failed)?.path());
        }
        folders.sort();
        folders.truncate(count.unwrap_or(usize::MAX));
        folders.iter().map(|folder| Self::load(folder, overrides)).collect()
    }

    /// The device identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.device
    }

    /// The same, checked.
    pub(crate) fn device_id(&self) -> Result<DeviceId, DeviceError> {
        DeviceId::new(self.id()).map_err(|_| self.form("device.toml", "a device identifier"))
    }

    /// A file of the device.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The IDevID: its chain in DER, leaf first, and its key.
    ///
    /// # Errors
    /// Names the file that cannot be read, or does not hold what it should.
    pub fn read_idevid(&self) -> Result<(Vec<CertificateDer<'static>>, SecretKey), DeviceError> {
        read_identity(&self.dir, Evidence::Idevid.stem())
    }

    /// The claim certificate: its chain in DER, leaf first, and the key that all devices of the lot share.
    ///
    /// # Errors
    /// As [`read_idevid`](Self::read_idevid).
    pub fn read_claim(&self) -> Result<(Vec<CertificateDer<'static>>, SecretKey), DeviceError> {
        read_identity(&self.dir, Evidence::Claim.stem())
    }

    /// The symmetric key, as [`shared::keytext`] has it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_symmetric(&self) -> Result<Zeroizing<String>, DeviceError> {
        let path = self.file(&format!("{}.key", Evidence::Symmetric.stem()));
        let text = fs::read_to_string(&path).map_err(|source| DeviceError::Read { path, source })?;
        Ok(Zeroizing::new(text))
    }

    /// Boots a DICE device with the firmware in its settings.
    ///
    /// # Errors
    /// Names the file that cannot be read, or does not hold what it should.
    pub fn boot(&self) -> Result<Boot, DeviceError> {
        let stem = Evidence::Dice.stem();
        let (certificate, secret) = (format!("{stem}.pem"), format!("{stem}.key"));
        let read = |name: &str| {
            let path = self.file(name);
            fs::read_to_string(&path).map_err(|source| DeviceError::Read { path, source })
        };
        let mut uds = Zeroizing::new([0; 32]);
        hex::decode_to_slice(Zeroizing::new(read(&secret)?).trim(), uds.as_mut_slice())
            .map_err(|_| self.form(&secret, "a secret of 32 bytes in hexadecimal"))?;
        let root = CertificateDer::from_pem_slice(read(&certificate)?.as_bytes())
            .map_err(|_| self.form(&certificate, "a certificate in PEM"))?;
        let mut layers = Vec::new();
        for measured in &self.settings.firmware.measurement {
            let mut hash = [0; 64];
            hex::decode_to_slice(&measured.digest, &mut hash)
                .map_err(|_| self.form("device.toml", "SHA-512 digests"))?;
            let (name, version) = (measured.component.as_str(), measured.version.as_str());
            layers.push(Code { name, version, model: &self.settings.hardware.model, hash });
        }
        boot(&Uds::from_bytes(*uds), &root, &layers, Mode::Normal)
            .map_err(|_| self.form(&certificate, "the root certificate of the secret beside it"))
    }

    /// Boots a DICE device, and leaves the chain and the alias key as files for the Linux agent: `dice.pem` and
    /// `dice.key`, each in place of the last boot's.
    ///
    /// # Errors
    /// As [`boot`](Self::boot), and where a file cannot be written.
    pub fn leave_dice(&self) -> Result<(PathBuf, PathBuf), DeviceError> {
        let booted = self.boot()?;
        let (chain, key) = (self.file("dice.pem"), self.file("dice.key"));
        let pem = booted
            .alias
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| self.form("uds.key", "a secret that keys can be derived from"))?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DeviceError::Read { path, source }
        };
        fs::write(&chain, ca::pem::chain(booted.chain.iter().map(Vec::as_slice))).map_err(failed(&chain))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&key)
            .map_err(failed(&key))?;
        file.write_all(pem.as_bytes()).map_err(failed(&key))?;
        Ok((chain, key))
    }

    /// The error that one of the device's files does not hold what it should.
    pub(crate) fn form(&self, name: &str, expected: &'static str) -> DeviceError {
        form(&self.dir, name, expected)
    }

    /// The provisioned trust bundle.
    ///
    /// # Errors
    /// Where it cannot be read, or is too long to be one.
    pub fn read_trust_bundle(&self) -> Result<Vec<u8>, DeviceError> {
        let path = &self.trust_bundle;
        let bytes = fs::read(path).map_err(|source| DeviceError::Read { path: path.clone(), source })?;
        if bytes.is_empty() || bytes.len() > limits::MAX_TRUST_BUNDLE {
            return Err(DeviceError::Form { path: path.clone(), expected: "a signed trust bundle" });
        }
        Ok(bytes)
    }
}

/// The simulated root of trust of the device in `dir`, which proves itself with PSA tokens, and the chain of its
/// attestation key, leaf first.
///
/// # Errors
/// Names the file that cannot be read, or does not hold what it should.
pub fn root_of_trust(dir: &Path) -> Result<(RootOfTrust, Vec<CertificateDer<'static>>), DeviceError> {
    let settings = DeviceSettings::read(&dir.join("device.toml"))?;
    let (chain, key) = read_identity(dir, Evidence::Psa.stem())?;
    let measurements = settings.firmware.measurement.iter();
    let components: Option<Vec<_>> = measurements
        .map(|measured| {
            let digest = hex::decode(&measured.digest).ok()?.try_into().ok()?;
            let (kind, version) = (measured.component.clone(), measured.version.clone());
            Some(Component { kind, version, digest })
        })
        .collect();
    let components = components.ok_or_else(|| form(dir, "device.toml", "SHA-256 digests"))?;
    Ok((RootOfTrust::new(key.into(), &settings.hardware.model, components), chain))
}

fn read_identity(dir: &Path, stem: &str) -> Result<(Vec<CertificateDer<'static>>, SecretKey), DeviceError> {
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).map_err(|source| DeviceError::Read { path, source })
    };
    let (certificate, private) = (format!("{stem}.pem"), format!("{stem}.key"));
    let chain = CertificateDer::pem_slice_iter(read(&certificate)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| form(dir, &certificate, "certificates in PEM"))?;
    let key = Zeroizing::new(read(&private)?);
    let key =
        SecretKey::from_pkcs8_pem(&key).map_err(|_| form(dir, &private, "a P-256 key in PEM (PKCS#8)"))?;
    Ok((chain, key))
}

fn form(dir: &Path, name: &str, expected: &'static str) -> DeviceError {
    DeviceError::Form { path: dir.join(name), expected }
}
