//! The root's own folder, on the machine of the root: its key, its certificate, what it issued and revoked.

use core::time::Duration;
use std::path::{Path, PathBuf};

use ca::crl::Issue;
use ca::hierarchy::{self, ROOT_LIFETIME};
use ca::key::Passphrase;
use ca::{CaCertificate, FileKey, Issuer, KeyError, MAX_ROOT_LIST, RootList};
use shared::UnixTime;

use super::{CeremonyError, MAX_FILE, read_file};
use crate::config::is_tenant;
use crate::new_folder::NewFolder;

/// The root's key.
const ROOT_KEY: &str = "root-ca.key";
/// The root's certificate.
pub(crate) const ROOT_CERTIFICATE: &str = "root-ca.crt";
/// The root's revocation list.
pub(crate) const ROOT_LIST: &str = "root-ca.crl.pem";
/// The folder with a copy of each certificate that the root issued.
const ISSUED: &str = "issued";

/// How long a root's revocation list is good where nothing else is said: a year and a month, for a yearly ceremony.
pub const ROOT_LIST_VALID: Duration = Duration::from_secs(396 * 86_400);

/// What [`make_root`] is told.
#[derive(Clone, Debug)]
pub struct RootOptions {
    /// Folder to make; must be empty or not there.
    pub directory: PathBuf,
    /// The organisation: letters and digits.
    pub tenant: String,
    /// How long the root lives; [`ROOT_LIFETIME`] at most.
    pub lifetime: Duration,
}

/// A root that was made.
#[derive(Clone, Debug)]
pub struct MadeRoot {
    /// Its folder.
    pub folder: PathBuf,
    /// Its certificate.
    pub certificate: CaCertificate,
}

/// Makes a root: key, self-signed certificate and an empty revocation list. Overwrites nothing; after a crash there is
/// no folder.
///
/// # Errors
/// Says what stood in the way.
pub fn make_root(
    options: &RootOptions,
    passphrase: Option<&Passphrase>,
    now: UnixTime,
) -> Result<MadeRoot, CeremonyError> {
    if !is_tenant(&options.tenant) {
        return Err(CeremonyError::Tenant { found: options.tenant.clone() });
    }
    let folder = NewFolder::begin(&options.directory)?;
    let (certificate, key) = hierarchy::root_ca(&options.tenant, options.lifetime.min(ROOT_LIFETIME), now)?;
    let file = folder.path().join(ROOT_KEY);
    match passphrase {
        Some(passphrase) => key.save_encrypted(&file, passphrase)?,
        None => key.save(&file)?,
    }
    folder.write(ROOT_CERTIFICATE, ca::pem::certificate(certificate.der()).as_bytes(), 0o644)?;
    let issuer = Issuer::new(certificate.clone(), Box::new(key))?;
    folder.write(ROOT_LIST, ca::pem::crl(&first_list(&issuer, now)?).as_bytes(), 0o644)?;
    folder.folder(ISSUED, 0o755)?;
    Ok(MadeRoot { folder: folder.finish()?, certificate })
}

/// The first, empty list of a root, in DER.
pub(crate) fn first_list(root: &Issuer, now: UnixTime) -> Result<Vec<u8>, CeremonyError> {
    let end = root.certificate().validity().not_after;
    let issue = Issue { number: 1, this_update: now, next_update: now.after(ROOT_LIST_VALID).min(end) };
    Ok(ca::crl::make(root, issue, [])?)
}

/// A root's folder, as [`make_root`] makes it, or the folder of a server whose root key still lies there.
#[derive(Clone, Debug)]
pub struct RootFolder {
    path: PathBuf,
    certificate: CaCertificate,
}

impl RootFolder {
    /// Reads the certificate in it.
    ///
    /// # Errors
    /// Where it is not there, or not that of a root.
    pub fn open(path: &Path) -> Result<Self, CeremonyError> {
        let certificate = read_root(&path.join(ROOT_CERTIFICATE))?;
        Ok(Self { path: path.to_owned(), certificate })
    }

    /// The root's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Where the root's key lies.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.path.join(ROOT_KEY)
    }

    /// Where its revocation list lies.
    #[must_use]
    pub fn list_file(&self) -> PathBuf {
        self.path.join(ROOT_LIST)
    }

    /// Where a copy of the certificate with this serial number, in hexadecimal, lies.
    pub(super) fn issued_file(&self, serial: &str) -> PathBuf {
        self.path.join(ISSUED).join(format!("{serial}.crt"))
    }

    pub(super) fn issued_folder(&self) -> PathBuf {
        self.path.join(ISSUED)
    }

    /// The root with its key; `passphrase` is asked where the key is encrypted.
    ///
    /// # Errors
    /// Where the key cannot be read, or is not the certificate's.
    pub fn issuer(
        &self,
        passphrase: impl FnOnce() -> Result<Passphrase, KeyError>,
    ) -> Result<Issuer, CeremonyError> {
        let key = FileKey::read(&self.key_file())?.unlock(passphrase)?;
        Ok(Issuer::new(self.certificate.clone(), Box::new(key))?)
    }

    /// The list that is out.
    ///
    /// # Errors
    /// Where it is missing, or not by this root.
    pub fn list(&self) -> Result<RootList, CeremonyError> {
        match read_list(&self.list_file(), &self.certificate)? {
            Some((list, _)) => Ok(list),
            None => Err(CeremonyError::ListMissing { path: self.list_file() }),
        }
    }
}

/// Reads the certificate of a root.
pub(crate) fn read_root(path: &Path) -> Result<CaCertificate, CeremonyError> {
    let (certificate, _) = read_ca(path)?;
    if !certificate.is_self_issued() {
        return Err(CeremonyError::NotARoot { path: path.to_owned(), what: "it is not its own issuer" });
    }
    if certificate.path_length() == Some(0) {
        let what = "its path length allows no CA below it";
        return Err(CeremonyError::NotARoot { path: path.to_owned(), what });
    }
    Ok(certificate)
}

/// Reads a file with one CA certificate; gives its DER too.
pub(crate) fn read_ca(path: &Path) -> Result<(CaCertificate, Vec<u8>), CeremonyError> {
    let der = read_certificate(path)?;
    let certificate = CaCertificate::from_der(&der)
        .map_err(|source| CeremonyError::NotACa { path: path.to_owned(), source })?;
    Ok((certificate, der))
}

/// Reads the first certificate of a file.
pub(super) fn read_certificate(path: &Path) -> Result<Vec<u8>, CeremonyError> {
    let list = ca::pem::read_certificates(&read_file(path, MAX_FILE)?).ok();
    let first = list.and_then(|list| list.into_iter().next());
    first.ok_or_else(|| CeremonyError::NotPem { path: path.to_owned(), what: "certificate" })
}

/// Reads a root's list and verifies it; `None` where there is no file. Gives its DER too.
pub(crate) fn read_list(
    path: &Path,
    root: &CaCertificate,
) -> Result<Option<(RootList, Vec<u8>)>, CeremonyError> {
    let bytes = match read_file(path, 2 * MAX_ROOT_LIST as u64) {
        Err(CeremonyError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        other => other?,
    };
    let der = ca::pem::read_crl(&bytes)
        .map_err(|_| CeremonyError::NotPem { path: path.to_owned(), what: "revocation list" })?;
    let list =
        RootList::read(&der, root).map_err(|source| CeremonyError::List { path: path.to_owned(), source })?;
    Ok(Some((list, der)))
}
