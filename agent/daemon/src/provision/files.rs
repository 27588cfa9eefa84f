//! Reads the files that were put on the device: each bounded, secrets only where others cannot read them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use shared::evidence::Digest;
use shared::limits;
use zeroize::Zeroizing;

use super::ProvisionError;
use crate::keystore::FileKey;
use crate::pem;

/// Longest certificate or key file, in bytes.
pub(super) const MAX_PEM: u64 = 64 * 1024;

/// A P-256 private key, PKCS#8 in PEM.
pub(super) fn key(what: &'static str, path: &Path) -> Result<FileKey, ProvisionError> {
    let text = Zeroizing::new(secret(what, path, MAX_PEM)?);
    core::str::from_utf8(&text)
        .ok()
        .and_then(FileKey::from_private_key_pem)
        .ok_or_else(|| ProvisionError::Key { path: path.to_owned() })
}

/// A chain of certificates in PEM.
pub(super) fn chain(path: &Path) -> Result<Vec<Vec<u8>>, ProvisionError> {
    let text = read("certificate", path, MAX_PEM)?;
    pem::read_certificates(&text)
        .filter(|chain| (1..=limits::MAX_CHAIN).contains(&chain.len()))
        .ok_or_else(|| ProvisionError::Chain { path: path.to_owned() })
}

/// A secret, which nobody but the agent's user and group may be able to read.
pub(super) fn secret(what: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, ProvisionError> {
    let file = open(what, path)?;
    // Of the file that was opened: the path may name another one by now.
    let found = file.metadata().map_err(|source| unreadable(what, path, source))?;
    let mode = found.mode() & 0o7777;
    // The group may read: a key of root that the agent's group was given.
    if mode & 0o027 != 0 {
        return Err(ProvisionError::Open { what, path: path.to_owned(), mode });
    }
    bounded(what, path, file, limit)
}

/// The content of a file of at most `limit` bytes.
pub(super) fn read(what: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, ProvisionError> {
    bounded(what, path, open(what, path)?, limit)
}

fn open(what: &'static str, path: &Path) -> Result<File, ProvisionError> {
    File::open(path).map_err(|source| unreadable(what, path, source))
}

fn bounded(what: &'static str, path: &Path, file: File, limit: u64) -> Result<Vec<u8>, ProvisionError> {
    // Room for all of it, so that no copy of a secret is left behind by growing.
    let mut content = Vec::with_capacity(usize::try_from(limit).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut content).map_err(|source| unreadable(what, path, source))?;
    if content.len() as u64 > limit {
        return Err(ProvisionError::TooLong { what, path: path.to_owned(), limit });
    }
    Ok(content)
}

/// SHA-256 of a file of any length.
pub(super) fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().into())
}

fn unreadable(what: &'static str, path: &Path, source: io::Error) -> ProvisionError {
    ProvisionError::Unreadable { what, path: path.to_owned(), source }
}
