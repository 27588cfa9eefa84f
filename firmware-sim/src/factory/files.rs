//! Files that are written once, keys readable by their owner alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::FactoryError;

/// Writes a new file with mode 0600; an existing one is an error.
///
/// # Errors
/// Names the file that could not be written.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FactoryError> {
    write_new(path, content, 0o600)
}

/// Writes a new file that everyone may read.
pub(super) fn write_public(path: &Path, content: &[u8]) -> Result<(), FactoryError> {
    write_new(path, content, 0o644)
}

/// Writes a public file, over an old one if there is one.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), FactoryError> {
    fs::write(path, content).map_err(|source| FactoryError::Write { path: path.to_owned(), source })
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), FactoryError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)
    };
    write().map_err(|source| FactoryError::Write { path: path.to_owned(), source })
}

/// Makes a directory that only its owner can enter, because keys are in it.
pub(super) fn create_private_dir(path: &Path) -> Result<(), FactoryError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| FactoryError::Write { path: path.to_owned(), source })
}

pub(super) fn create_dir_all(path: &Path) -> Result<(), FactoryError> {
    fs::create_dir_all(path).map_err(|source| FactoryError::Write { path: path.to_owned(), source })
}

/// The directory that `path` is to stand in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether nothing is at `path`, or an empty directory.
pub(super) fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
