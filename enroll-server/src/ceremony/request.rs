//! On the server: the issuing CA's key, and the request for its certificate.
//!
//! The key is the one that the settings name, wherever it lies. One in a file or in a file of a TPM is made where it is
//! missing; one in a token or behind a command has to be there.

use std::path::{Path, PathBuf};

use appraisal::csr;
use ca::key::{CommandKey, Passphrase, Pkcs11Key, TpmKey, TpmPlace, make_tpm_key};
use ca::{FileKey, IssuerKey, KeyError};

use super::{CeremonyError, MAX_FILE, read_file};
use crate::config::{Config, IssuingKey};
use crate::files;

/// What [`request`] is told.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    /// Where the request goes; must not be there.
    pub out: PathBuf,
    /// The public half of a key behind a command, PEM.
    pub public_key: Option<PathBuf>,
    /// Whether a key that is made is encrypted, also where the settings name no file with its passphrase.
    pub encrypt: bool,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The request's file.
    pub file: PathBuf,
    /// Its key, SubjectPublicKeyInfo in DER.
    pub key: Vec<u8>,
    /// Whether the key was made now.
    pub made: bool,
}

/// Makes the request of the issuing CA, and its key where it is missing. `passphrase` gives the one of a key that is
/// there, `new_passphrase` the one for a key that is made.
///
/// # Errors
/// Where there is an issuing CA already, or the key cannot be made or used.
pub fn request(
    config: &Config,
    options: &RequestOptions,
    passphrase: impl FnOnce(&Path) -> Result<Passphrase, KeyError>,
    new_passphrase: impl FnOnce(&Path) -> Result<Passphrase, KeyError>,
) -> Result<Requested, CeremonyError> {
    for path in [&config.files.issuing_certificate, &options.out] {
        if path.try_exists().unwrap_or(true) {
            return Err(CeremonyError::Exists { path: path.clone() });
        }
    }
    let file = &config.files.issuing_key;
    let mut made = false;
    let key: Box<dyn IssuerKey> = match &config.issuing_key {
        IssuingKey::File { .. } if file.exists() => {
            Box::new(FileKey::read(file)?.unlock(|| passphrase(file))?)
        }
        IssuingKey::File { passphrase_file } => {
            let key = FileKey::generate()?;
            made = true;
            if options.encrypt || passphrase_file.is_some() {
                key.save_encrypted(file, &new_passphrase(file)?)?;
            } else {
                key.save(file)?;
            }
            Box::new(key)
        }
        IssuingKey::Tpm(tpm) => {
            let auth_file = tpm.auth_file.as_deref();
            if let TpmPlace::File(file) = &tpm.place
                && !file.exists()
            {
                make_tpm_key(&tpm.device, auth_file, file)?;
                made = true;
            }
            Box::new(TpmKey::open(&tpm.device, tpm.place.clone(), auth_file)?)
        }
        IssuingKey::Pkcs11(uri) => Box::new(Pkcs11Key::open(uri.clone())?),
        IssuingKey::Command(command) => {
            let path = options.public_key.as_deref().ok_or(CeremonyError::NoPublicKey)?;
            Box::new(CommandKey::new(command.clone(), public_key(path)?)?)
        }
    };
    let der = ca::request::make(&config.tenant, key.as_ref())?;
    // As the other side will look at it.
    let checked =
        csr::check(&der).map_err(|source| CeremonyError::Request { path: options.out.clone(), source })?;
    files::create_whole(&options.out, ca::pem::request(&der).as_bytes(), 0o644)
        .map_err(|source| CeremonyError::Unwritable { path: options.out.clone(), source })?;
    Ok(Requested { file: options.out.clone(), key: checked.spki_der().to_vec(), made })
}

/// The point of a public key on P-256.
pub(super) fn public_key(path: &Path) -> Result<[u8; 65], CeremonyError> {
    let spki = ca::pem::read_public_key(&read_file(path, MAX_FILE)?).ok();
    let key = spki.and_then(|spki| appraisal::key::PublicKey::from_spki_der(&spki));
    key.map(|key| *key.point()).ok_or_else(|| CeremonyError::NotAPublicKey { path: path.to_owned() })
}
