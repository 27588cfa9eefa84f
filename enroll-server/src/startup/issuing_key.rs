//! Opens the issuing CA's key: in a file, in a PKCS#11 token, in a TPM, or behind a command.
//!
//! A passphrase comes from the file that the configuration names, else from the environment, else from the terminal;
//! never from an argument, which every user of the machine could read.

use std::io::IsTerminal as _;
use std::path::Path;

use ca::key::{CommandKey, MAX_PASSPHRASE, Passphrase, Pkcs11Key, TpmKey};
use ca::{CaCertificate, FileKey, IssuerKey, KeyError};
use zeroize::Zeroizing;

use crate::config::IssuingKey;

/// The environment variable that may hold a passphrase.
pub const PASSPHRASE: &str = "ENROLL_SERVER_PASSPHRASE";

/// Opens the key of an issuing CA, whose certificate is `certificate`. `path` is its file, where it is in a file.
pub(crate) fn open(
    key: &IssuingKey,
    path: &Path,
    certificate: &CaCertificate,
) -> Result<Box<dyn IssuerKey>, KeyError> {
    Ok(match key {
        IssuingKey::File { passphrase_file } => {
            let key = FileKey::read(path)?;
            Box::new(key.unlock(|| passphrase(passphrase_file.as_deref(), path))?)
        }
        IssuingKey::Pkcs11(uri) => Box::new(Pkcs11Key::open(uri.clone())?),
        IssuingKey::Tpm(tpm) => {
            Box::new(TpmKey::open(&tpm.device, tpm.place.clone(), tpm.auth_file.as_deref())?)
        }
        IssuingKey::Command(command) => {
            Box::new(CommandKey::new(command.clone(), *certificate.public_point())?)
        }
    })
}

/// The passphrase for the key in `key`.
///
/// # Errors
/// Where there is none, or its file is not its owner's alone.
pub fn passphrase(file: Option<&Path>, key: &Path) -> Result<Passphrase, KeyError> {
    if let Some(file) = file {
        return Passphrase::load(file);
    }
    if let Some(text) = std::env::var_os(PASSPHRASE) {
        return Passphrase::new(Zeroizing::new(text.into_encoded_bytes()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(KeyError::Locked { path: key.to_owned() });
    }
    ask(&format!("Passphrase of {} (at most {MAX_PASSPHRASE} bytes): ", key.display()), key)
}

/// As [`passphrase`], for a key that is being made: at the terminal it is asked for twice.
///
/// # Errors
/// As [`passphrase`], and where the two are not the same.
pub fn new_passphrase(file: Option<&Path>, key: &Path) -> Result<Passphrase, KeyError> {
    let first = passphrase(file, key)?;
    if file.is_some() || std::env::var_os(PASSPHRASE).is_some() {
        return Ok(first);
    }
    let again = ask("The same once more: ", key)?;
    if first.is_same(&again) { Ok(first) } else { Err(KeyError::PassphrasesDiffer) }
}

fn ask(prompt: &str, key: &Path) -> Result<Passphrase, KeyError> {
    let typed =
        rpassword::prompt_password(prompt).map_err(|source| KeyError::Io { path: key.to_owned(), source })?;
    Passphrase::new(Zeroizing::new(typed.into_bytes()))
}
