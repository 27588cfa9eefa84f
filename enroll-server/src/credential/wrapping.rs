//! The key under which symmetric keys are wrapped in the database (AES-256-GCM), so that a copy of the database alone
//! is worth nothing.
//!
//! It stands in a file beside the other keys of the server. Whoever has both can be every device that has a
//! symmetric key.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};

use crate::files::{self, SecretError};
use crate::store::StoreError;

/// Length of the wrapping key, in bytes.
const KEY: usize = 32;

/// Wraps and unwraps. The library wipes the key when it is dropped.
pub struct WrappingKey(RandomizedNonceKey);

/// The file of the wrapping key, on a server that may be older than symmetric keys: there is none until the first of
/// them is made.
#[derive(Debug)]
pub struct WrappingFile {
    path: PathBuf,
    loaded: OnceLock<WrappingKey>,
}

impl WrappingFile {
    /// Reads the file, where there is one.
    ///
    /// # Errors
    /// As [`get`](Self::get), except that it may be missing.
    pub fn open(path: &Path) -> Result<Self, WrappingKeyError> {
        let file = Self { path: path.to_owned(), loaded: OnceLock::new() };
        match file.get().map(|_key| ()) {
            Err(error) if error.is_missing() => Ok(file),
            Err(error) => Err(error),
            Ok(()) => Ok(file),
        }
    }

    /// The key; read now, if it was not there before.
    ///
    /// # Errors
    /// Where there is none, others may read it, or it holds something else.
    pub fn get(&self) -> Result<&WrappingKey, WrappingKeyError> {
        if let Some(key) = self.loaded.get() {
            return Ok(key);
        }
        let key = WrappingKey::load(&self.path)?;
        Ok(self.loaded.get_or_init(|| key))
    }
}

/// Why there is no wrapping key.
#[derive(Debug, thiserror::Error)]
pub enum WrappingKeyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] SecretError),
    /// The file cannot be made.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{}: expected {KEY} bytes in hexadecimal", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// There is no file, and there are keys that were wrapped under what stood in it.
    #[error(
        "{}: is missing, and the database has keys that are wrapped under it, such as {id}: bring the file from another server \
         of this database, or from a backup; where it is lost, revoke those keys (key list, key revoke) before a new one is made",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// One of the keys.
        id: String,
    },
    /// The keys were wrapped under another one.
    #[error(
        "{}: is not the file of this database: the key {id} does not open with it; bring it from another server of this \
         database, or from a backup; where that one is lost, revoke the keys that are wrapped under it (key list, key revoke)",
        path.display()
    )]
    Another {
        /// The file.
        path: PathBuf,
        /// The key that does not open.
        id: String,
    },
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
    /// It is not known whether there are keys that are wrapped.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WrappingKeyError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::File(SecretError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What is wrapped cannot be opened with this key: it belongs to another row, or the key is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a wrapped key does not open; was the wrapping key exchanged, or a row of the database?")]
pub struct NotOpened;

impl WrappingKey {
    /// Takes the key over.
    ///
    /// # Errors
    /// Where the library does not take it.
    pub fn new(key: &[u8; KEY]) -> Result<Self, WrappingKeyError> {
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Self).map_err(|_| WrappingKeyError::Random)
    }

    /// Reads the key file; makes it where there is none, as on a server from before there were symmetric keys. Whether it may be
    /// made, [`Admin::wrapping_key`](crate::admin::Admin::wrapping_key) knows.
    ///
    /// # Errors
    /// Where others may read it, it holds something else, or it cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self, WrappingKeyError> {
        match Self::load(path) {
            Err(missing) if missing.is_missing() => {
                let unwritable = |source| WrappingKeyError::Unwritable { path: path.to_owned(), source };
                match files::create_own(path, random_text()?.as_bytes(), 0o600) {
                    Ok(()) => {}
                    // Another process made it in the meantime: that one counts.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(unwritable(error)),
                }
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self, WrappingKeyError> {
        let text = files::read_secret(path)?;
        let mut key = Zeroizing::new([0; KEY]);
        hex::decode_to_slice(text.trim(), &mut *key)
            .map_err(|_| WrappingKeyError::Malformed { path: path.to_owned() })?;
        Self::new(&key)
    }

    /// Wraps `secret` for the row that `place` describes, and no other. `None` where the library fails.
    #[must_use]
    pub(crate) fn wrap(&self, secret: &[u8], place: &str) -> Option<Vec<u8>> {
        let mut sealed = Vec::with_capacity(secret.len() + OVERHEAD);
        sealed.extend_from_slice(secret);
        let Ok(nonce) = self.0.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut sealed) else {
            sealed.zeroize();
            return None;
        };
        Some([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Opens what was wrapped for the row that `place` describes.
    ///
    /// # Errors
    /// Where it was wrapped for another row, or under another key.
    pub(crate) fn unwrap(&self, wrapped: &[u8], place: &str) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE>().ok_or(NotOpened)?;
        let mut open = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length =
            self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut open).map_err(|_| NotOpened)?.len();
        open.truncate(length);
        Ok(open)
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(redacted)")
    }
}

/// A new key as it stands in its file.
pub(crate) fn random_text() -> Result<Zeroizing<String>, WrappingKeyError> {
    let mut key = Zeroizing::new([0; KEY]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| WrappingKeyError::Random)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY + 1));
    for byte in key.iter() {
        text.extend([byte >> 4, byte & 15].iter().filter_map(|digit| char::from_digit((*digit).into(), 16)));
    }
    text.push('\n');
    Ok(text)
}

/// Length of a nonce of AES-GCM.
const NONCE: usize = 12;
/// Length of its tag.
const OVERHEAD: usize = 16;

#[cfg(test)]
mod tests {
    use super::{NotOpened, WrappingFile, WrappingKey, WrappingKeyError};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_was_wrapped_opens_in_its_place_and_in_no_other() {
        let key = WrappingKey::new(&[7; 32]).unwrap();
        let wrapped = key.wrap(b"a secret", "row 1").unwrap();
        assert!(!wrapped.windows(8).any(|window| window == b"a secret"));
        assert_eq!(key.unwrap(&wrapped, "row 1").unwrap().as_slice(), b"a secret");
        assert_ne!(wrapped, key.wrap(b"a secret", "row 1").unwrap(), "a nonce of its own each time");
        assert_eq!(key.unwrap(&wrapped, "row 2"), Err(NotOpened));
        assert_eq!(WrappingKey::new(&[8; 32]).unwrap().unwrap(&wrapped, "row 1"), Err(NotOpened));
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert_eq!(key.unwrap(&changed, "row 1"), Err(NotOpened), "byte {at}");
            assert_eq!(key.unwrap(&wrapped[..at], "row 1"), Err(NotOpened), "{at} bytes");
        }
        assert_eq!(format!("{key:?}"), "WrappingKey(redacted)");
    }

    #[test]
    fn a_server_starts_without_the_file_and_finds_it_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential.key");
        let file = WrappingFile::open(&path).unwrap();
        assert!(file.get().is_err());
        let wrapped = WrappingKey::load_or_create(&path).unwrap().wrap(b"x", "").unwrap();
        assert_eq!(file.get().unwrap().unwrap(&wrapped, "").unwrap().as_slice(), b"x");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(WrappingFile::open(&path).is_err());
    }

    #[test]
    fn the_file_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential.key");
        let wrapped = WrappingKey::load_or_create(&path).unwrap().wrap(b"x", "").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            WrappingKey::load_or_create(&path).unwrap().unwrap(&wrapped, "").unwrap().as_slice(),
            b"x"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(WrappingKey::load_or_create(&path), Err(WrappingKeyError::File(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "too short").unwrap();
        assert!(matches!(WrappingKey::load_or_create(&path), Err(WrappingKeyError::Malformed { .. })));
    }
}
