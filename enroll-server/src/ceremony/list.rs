//! On the machine of the root: its next revocation list.

use core::time::Duration;
use std::path::{Path, PathBuf};

use ca::crl::{Issue, Reason, Revoked};
use ca::key::Passphrase;
use ca::{CaCertificate, KeyError, Serial, vouched};
use shared::UnixTime;

use super::root::read_ca;
use super::{CeremonyError, RootFolder};
use crate::files;

/// What [`list`] is told.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// The root's folder.
    pub root: PathBuf,
    /// Whether it is the root's first list: there is none before it.
    pub first: bool,
    /// Certificates to revoke; those that are on the list already stay there.
    pub revoke: Vec<PathBuf>,
    /// Why.
    pub reason: Reason,
    /// How long the list is good.
    pub valid: Duration,
}

/// A list that was made.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its file.
    pub file: PathBuf,
    /// Its number.
    pub number: u64,
    /// When it runs out.
    pub next_update: UnixTime,
    /// How many certificates are on it.
    pub revoked: usize,
}

/// Makes the root's next list: all that was on the last one, and what is revoked now. Takes the last one's place, as a
/// whole. The first one overwrites nothing.
///
/// # Errors
/// Where the last list is missing or not the root's, the first one is not the first, or a certificate is not by the root.
pub fn list(
    options: &ListOptions,
    passphrase: impl FnOnce(&Path) -> Result<Passphrase, KeyError>,
    now: UnixTime,
) -> Result<Listed, CeremonyError> {
    let root = RootFolder::open(&options.root)?;
    let file = root.list_file();
    let unusable = |source| CeremonyError::List { path: file.clone(), source };
    let (before, mut entries) = if options.first {
        if file.exists() {
            return Err(CeremonyError::Exists { path: file });
        }
        (0, Vec::new())
    } else {
        let last = root.list()?;
        (last.number(), last.entries().map_err(unusable)?)
    };
    for path in &options.revoke {
        let serial = serial_of(path, root.certificate(), now)?;
        if !entries.iter().any(|entry| entry.serial == serial) {
            entries.push(Revoked { serial, at: now, reason: options.reason });
        }
    }
    let issuer = root.issuer(|| passphrase(&root.key_file()))?;
    let next_update = now.after(options.valid).min(root.certificate().validity().not_after);
    let number = before.saturating_add(1);
    let (revoked, issue) = (entries.len(), Issue { number, this_update: now, next_update });
    let der = ca::crl::make(&issuer, issue, entries)?;
    files::replace(&file, ca::pem::crl(&der).as_bytes(), 0o644)
        .map_err(|source| CeremonyError::Unwritable { path: file.clone(), source })?;
    Ok(Listed { file, number, next_update, revoked })
}

/// The serial number of a certificate by this root.
fn serial_of(path: &Path, root: &CaCertificate, now: UnixTime) -> Result<Serial, CeremonyError> {
    let (certificate, der) = read_ca(path)?;
    // One that is over may be revoked all the same; everything else has to be as the root signs it.
    let life = certificate.validity();
    let now = now.max(life.not_before).min(life.not_after.before(SECOND));
    let not_ours = |source| CeremonyError::NotOfTheRoot { path: path.to_owned(), source };
    let organization = certificate.organization().unwrap_or_default();
    vouched(&der, certificate.public_point(), root, &organization, now).map_err(not_ours)?;
    let foreign = || CeremonyError::List { path: path.to_owned(), source: ca::RootListError::ForeignEntry };
    Serial::from_der_value(&certificate.serial()).ok_or_else(foreign)
}

const SECOND: Duration = Duration::from_secs(1);
