//! A key in a file: PKCS#8 in PEM, for its owner only, encrypted or not.
//!
//! Where it is not encrypted, who reads the file has the key. A CA that needs more has a token or a command.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::encrypted::{self, KeyFile, Passphrase};
use super::{IssuerKey, KeyError};
use crate::pem;
use crate::secret::read_secret;

/// A P-256 key that was made here or read from a file. Wiped when dropped.
pub struct FileKey {
    pair: EcdsaKeyPair,
    point: [u8; 65],
    pkcs8: Zeroizing<Vec<u8>>,
}

impl FileKey {
    /// Makes a new key, in memory only.
    ///
    /// # Errors
    /// Where the random generator fails.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| KeyError::Random)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Random)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Takes a key in PKCS#8 (RFC 5958).
    ///
    /// # Errors
    /// Where it is not a P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_| KeyError::Malformed)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Self { pair, point, pkcs8: Zeroizing::new(der.to_vec()) })
    }

    /// Reads a key file that is not encrypted.
    ///
    /// # Errors
    /// Where it is no key file, is encrypted, or others than its owner have access to it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::read(path)?.unlock(|| Err(KeyError::Locked { path: path.into() }))
    }

    /// Reads a key file, encrypted or not.
    ///
    /// # Errors
    /// Where it is no key file, would take too much to open, or others than its owner have access to it.
    pub fn read(path: &Path) -> Result<KeyFile, KeyError> {
        let text = read_secret(path)?;
        KeyFile::parse(&text).map_err(|error| match error {
            KeyError::Malformed => KeyError::NotAKeyFile { path: path.into() },
            other => other,
        })
    }

    /// Writes the key to a new file with mode 0600, durably.
    ///
    /// # Errors
    /// Where the file exists or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        write(path, &pem::private_key(&self.pkcs8))
    }

    /// As [`save`](Self::save), encrypted.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_encrypted(&self, path: &Path, passphrase: &Passphrase) -> Result<(), KeyError> {
        write(path, &encrypted::encrypt(&self.pkcs8, passphrase)?)
    }

    /// The key in PKCS#8, for a TLS server or the trust signer.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

/// Writes a key in PEM to a new file for its owner only, durably.
pub(super) fn write(path: &Path, text: &str) -> Result<(), KeyError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.into() },
        _ => KeyError::Io { path: path.into(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

impl IssuerKey for FileKey {
    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Signing)?;
        Ok(signature.as_ref().to_vec())
    }

    fn is_at_hand(&self) -> bool {
        true
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::{FileKey, IssuerKey as _, KeyError};
    use crate::secret::SecretError;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_saved_key_is_its_owners_only_and_loads_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.key");
        let key = FileKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(FileKey::load(&path).unwrap().public_point(), key.public_point());
        assert!(matches!(key.save(&path), Err(KeyError::Exists { .. })));
        assert!(!format!("{key:?}").contains("pkcs8"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.key");
        FileKey::generate().unwrap().save(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let Err(KeyError::Secret(SecretError::Permissions { mode: found, .. })) = FileKey::load(&path)
            else {
                panic!("{mode:o}")
            };
            assert_eq!(found, mode);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        FileKey::load(&path).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert!(matches!(FileKey::load(&path), Err(KeyError::Secret(SecretError::Unreadable { .. }))));
        assert!(matches!(
            FileKey::load(directory.path()),
            Err(KeyError::Secret(SecretError::NotAFile { .. }))
        ));
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
        for content in ["", "-----BEGIN PRIVATE KEY-----", &p384] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(FileKey::load(&path), Err(KeyError::NotAKeyFile { .. })));
        }
    }
}
