//! The folder of a new CA, below `ca.d/` beside the root in the settings: where it is, and how it comes into being.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ca::{CaCertificate, FileKey};

use super::make::StartError;
use crate::config::Config;
use crate::files;
use crate::issuance::sha256;
use crate::startup::passphrase;
use crate::tls_files::Owner;

/// A file in it.
pub(super) enum Part {
    Certificate(CaCertificate),
    Key(FileKey),
    /// In DER.
    List(Vec<u8>),
}

/// Where the folder of the CA `issuing` is.
pub(super) fn of(config: &Config, issuing: &CaCertificate) -> PathBuf {
    let home = config.files.root_certificate.parent().unwrap_or_else(|| Path::new(""));
    // The mark tells apart what two operators begin at once.
    let mark: String = hex::encode(sha256(issuing.der())).chars().take(8).collect();
    home.join("ca.d").join(format!("ca-{mark}"))
}

/// Writes all parts into a folder that is there as a whole or not at all.
pub(super) fn write(
    folder: &Path,
    parts: Vec<(&str, Part)>,
    encrypt: bool,
    passphrase_file: Option<&Path>,
) -> Result<(), StartError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Unwritable { path, source }
    };
    let home = folder.parent().unwrap_or_else(|| Path::new("/"));
    match DirBuilder::new().mode(0o700).create(home) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(home)(error)),
        _ => {}
    }
    let workshop = folder.with_extension("incomplete");
    files::crash_point();
    DirBuilder::new().mode(0o700).create(&workshop).map_err(failed(&workshop))?;
    let written = parts.into_iter().try_for_each(|(name, part)| {
        let path = workshop.join(name);
        files::crash_point();
        let open = |text: String| files::create(&path, text.as_bytes(), 0o644).map_err(failed(&path));
        match part {
            Part::Certificate(ca) => open(ca::pem::certificate(ca.der())),
            Part::List(der) => open(ca::pem::crl(&der)),
            Part::Key(key) if encrypt => Ok(key.save_encrypted(&path, &passphrase(passphrase_file, &path)?)?),
            Part::Key(key) => Ok(key.save(&path)?),
        }
    });
    let moved = written.and_then(|()| {
        files::crash_point();
        give(home, &workshop)
            .and_then(|()| files::sync_folder(&workshop.join(".")))
            .and_then(|()| fs::rename(&workshop, folder))
            .and_then(|()| files::sync_folder(folder))
            .map_err(failed(folder))
    });
    if moved.is_err() {
        let _removed = fs::remove_dir_all(&workshop).is_ok();
    }
    moved
}

/// Gives the new folder `made` with its files, and the folder `home` that it is in, to whom the server's folder belongs: that of
/// `home`. Does nothing where this is not root, or the folder is root's.
fn give(home: &Path, made: &Path) -> io::Result<()> {
    let Some(owner) = Owner::of_folder(home)? else { return Ok(()) };
    owner.take_all(made)?;
    owner.take(home)
}
