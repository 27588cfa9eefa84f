//! The key that signs checkpoints, and its public half for those who verify them.

use std::io;
use std::path::{Path, PathBuf};

use transparency::{SignerKey, VerifierKey};

use crate::files::{self, SecretError};

/// Why the log's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The file cannot be read, or others may read it.
    #[error(transparent)]
    File(#[from] SecretError),
    /// It cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{}: holds no key of a log", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: transparency::KeyError,
    },
    /// It is gone, and the log was begun with it.
    #[error("{}: is not there, and the log has checkpoints that it signed; put it back", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
}

/// The log's key.
#[derive(Debug)]
pub struct LogKey(SignerKey);

impl LogKey {
    /// Reads the key; makes it, for the log `origin`, where there is none and the log was not `begun`.
    ///
    /// # Errors
    /// Where it cannot be used or made.
    pub fn open(path: &Path, origin: &str, begun: bool) -> Result<Self, LogKeyError> {
        match Self::load(path) {
            Err(LogKeyError::File(SecretError::Unreadable { source, .. }))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                if begun {
                    return Err(LogKeyError::Lost { path: path.to_owned() });
                }
                match Self::create(path, origin) {
                    // Another process made it in the meantime: that one counts.
                    Err(LogKeyError::Unwritable { source, .. })
                        if source.kind() == io::ErrorKind::AlreadyExists => {}
                    created => created?,
                }
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Makes the key of the log `origin`, and the file with its public half.
    ///
    /// # Errors
    /// Where they cannot be written, or are there.
    pub fn create(path: &Path, origin: &str) -> Result<(), LogKeyError> {
        let malformed = |source| LogKeyError::Malformed { path: path.to_owned(), source };
        let key = SignerKey::generate(origin).map_err(malformed)?;
        let mut text = key.to_secret_text().map_err(malformed)?;
        text.push('\n');
        let unwritable = |source| LogKeyError::Unwritable { path: path.to_owned(), source };
        files::create_own(path, text.as_bytes(), 0o600).map_err(unwritable)?;
        Self(key).write_public(path)
    }

    fn load(path: &Path) -> Result<Self, LogKeyError> {
        let text = files::read_secret(path)?;
        let key = SignerKey::from_text(text.trim_end());
        let key = key.map(Self).map_err(|source| LogKeyError::Malformed { path: path.to_owned(), source })?;
        if !Self::public_path(path).exists() {
            key.write_public(path)?;
        }
        Ok(key)
    }

    fn write_public(&self, path: &Path) -> Result<(), LogKeyError> {
        let public = Self::public_path(path);
        let text = format!("{}\n", self.verifier());
        let unwritable = |source| LogKeyError::Unwritable { path: public.clone(), source };
        files::replace(&public, text.as_bytes(), 0o644).map_err(unwritable)
    }

    /// Where the public half lies: beside the key.
    #[must_use]
    pub fn public_path(path: &Path) -> PathBuf {
        path.with_extension("vkey")
    }

    /// The key's public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        self.0.verifier()
    }

    pub(super) const fn signer(&self) -> &SignerKey {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{LogKey, LogKeyError};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_never_again_for_a_log_that_was_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let error = LogKey::open(&path, "acme.example/log", true).unwrap_err();
        assert!(matches!(error, LogKeyError::Lost { .. }), "{error}");
        let made = LogKey::open(&path, "acme.example/log", false).unwrap();
        let again = LogKey::open(&path, "other.example/log", true).unwrap();
        assert_eq!(made.verifier(), again.verifier());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let public = std::fs::read_to_string(folder.path().join("log.vkey")).unwrap();
        assert_eq!(public.trim_end().parse().as_ref(), Ok(made.verifier()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = LogKey::open(&path, "acme.example/log", true).unwrap_err();
        assert!(matches!(error, LogKeyError::File(_)), "{error}");
    }
}
