//! Reads, issues and replaces the files of a server's certificate.
//!
//! Certificate and key are two files. The new key is written beside the old one first; the certificate is then replaced,
//! which is the moment that counts; then the key is moved. Whoever looks next after a crash in between moves it.

use core::time::Duration;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ca::hierarchy::{HierarchyError, server_certificate};
use ca::{CaCertificate, FileKey, Issuer, IssuerKey as _, KeyError};
use shared::UnixTime;

use super::owner::Owner;
use super::{Made, Seen, Why};
use crate::files;

/// Where a server's certificate and key are, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The key, PEM (PKCS#8).
    pub key: PathBuf,
    /// Mode of the key's file; never readable for everyone.
    pub key_mode: u32,
    /// To whom both are given; nobody else where it is not set.
    pub owner: Option<Owner>,
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// A file cannot be read or written.
    #[error("{}: cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key cannot be read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The CA did not sign.
    #[error("no certificate was issued")]
    Hierarchy(#[from] HierarchyError),
    /// There is nothing that says for which names it is.
    #[error("{}: holds no certificate that could be renewed", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

/// What was found and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tended {
    /// It is good for now.
    Current,
    /// It is of a CA that is none of ours, and the operator's to renew.
    Foreign,
    /// What a crash left half done was finished.
    Finished,
    /// It was renewed.
    Renewed(Why, Made),
}

/// Renews the certificate in `files` if that is due. `hosts` are the names it is for; those that it has where they are
/// not given. `ours` are the CAs whose certificates are renewed here; `above` goes into the chain above the CA.
pub(crate) fn tend(
    files: &Files,
    hosts: Option<&[String]>,
    (issuer, above): (&Issuer, &[CaCertificate]),
    ours: &[CaCertificate],
    lifetime: Duration,
    now: UnixTime,
) -> Result<Tended, TlsFileError> {
    let finished = recover(files)?;
    let der = leaf(&files.certificate)?;
    let seen = der.as_deref().and_then(Seen::read);
    let why = match (&der, &seen, hosts) {
        (Some(der), Some(_), None) if !ours.iter().any(|ca| ca.has_signed(der)) => {
            return Ok(Tended::Foreign);
        }
        (Some(der), Some(seen), _) => seen.due(der, issuer.certificate(), hosts, now),
        (_, _, Some(_)) => Some(Why::Missing),
        (_, _, None) => return Err(TlsFileError::NoCertificate { path: files.certificate.clone() }),
    };
    let Some(why) = why else { return Ok(if finished { Tended::Finished } else { Tended::Current }) };
    let kept = seen.map(|seen| seen.hosts).unwrap_or_default();
    let fresh = issue(hosts.unwrap_or(&kept), (issuer, above), lifetime, now)?;
    place(files, &fresh)?;
    Ok(Tended::Renewed(why, fresh.made))
}

/// A certificate that was issued and is nowhere yet, with its key.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) made: Made,
    chain: String,
    key: FileKey,
}

/// Issues a certificate for a new key.
pub(crate) fn issue(
    hosts: &[String],
    (issuer, above): (&Issuer, &[CaCertificate]),
    lifetime: Duration,
    now: UnixTime,
) -> Result<Fresh, TlsFileError> {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let key = FileKey::generate()?;
    let issued = server_certificate(&names, &key, issuer, lifetime, now)?;
    let chain =
        [issued.der(), issuer.certificate().der()].into_iter().chain(above.iter().map(CaCertificate::der));
    Ok(Fresh { made: Made::new(&issued, hosts), chain: ca::pem::chain(chain), key })
}

/// Puts certificate and key in place.
pub(crate) fn place(files: &Files, fresh: &Fresh) -> Result<(), TlsFileError> {
    let next = next_key(files);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsFileError::Io { path, source }
    };
    remove(&next).map_err(failed(&next))?;
    fresh.key.save(&next)?;
    replace(files, fresh.chain.as_bytes()).map_err(failed(&files.certificate))?;
    take_key(files, &next).map_err(failed(&files.key))
}

/// Finishes what a crash left half done; says whether there was something.
pub(crate) fn recover(files: &Files) -> Result<bool, TlsFileError> {
    let next = next_key(files);
    if !next.try_exists().map_err(|source| TlsFileError::Io { path: next.clone(), source })? {
        return Ok(false);
    }
    let seen = leaf(&files.certificate)?.as_deref().and_then(Seen::read);
    let failed = |source| TlsFileError::Io { path: next.clone(), source };
    // It may have been on its way to its readers; keys are read by their owner alone.
    fs::set_permissions(&next, Permissions::from_mode(0o600)).map_err(failed)?;
    // A key that was not written to its end belongs to no certificate.
    let belongs = match FileKey::read(&next).and_then(|key| key.unlock(|| Err(KeyError::Malformed))) {
        Ok(key) => seen.is_some_and(|seen| seen.point == key.public_point()),
        Err(_) => false,
    };
    let done = if belongs { take_key(files, &next) } else { remove(&next) };
    done.map_err(failed)?;
    Ok(belongs)
}

/// Puts the new key in the old one's place, with the mode and the owner it has to have.
fn take_key(files: &Files, next: &Path) -> io::Result<()> {
    fs::set_permissions(next, Permissions::from_mode(files.key_mode & 0o770))?;
    if let Some(owner) = files.owner {
        owner.take(next)?;
    }
    fs::rename(next, &files.key)?;
    files::sync_folder(&files.key)
}

fn next_key(files: &Files) -> PathBuf {
    let mut name = files.key.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    files.key.with_file_name(name)
}

/// The leaf in a file; `None` where there is no file, or nothing in it that could be one.
pub(super) fn leaf(path: &Path) -> Result<Option<Vec<u8>>, TlsFileError> {
    match fs::read(path) {
        Ok(pem) => Ok(ca::pem::read_certificates(&pem).ok().and_then(|ders| ders.into_iter().next())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsFileError::Io { path: path.to_owned(), source }),
    }
}

fn replace(files: &Files, chain: &[u8]) -> io::Result<()> {
    files::replace_for(&files.certificate, chain, 0o644, files.owner)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
