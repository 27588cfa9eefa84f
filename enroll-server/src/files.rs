//! Files: secrets that only their owner may read, and replacing a file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner have access.
    #[error("{}: has mode {mode:04o}; others must have no access: chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Longest secret in a file.
const MAX_SECRET: usize = 4096;

/// Reads a short secret text that nobody but its owner can read or write; at most 4096 bytes of it.
///
/// # Errors
/// Where it cannot be read, or others than its owner have access.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Permissions { path: path.to_owned(), mode });
    }
    // The whole capacity at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET + 1));
    file.take(MAX_SECRET as u64).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Writes a new file, durably; fails where one is there.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Writes a new file, durably and as a whole: it is never there in part. Fails where one is there.
pub(crate) fn create_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    create(&temporary, content, mode)?;
    // A link, unlike a rename, never takes the place of what is there.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked.and_then(|()| sync_folder(path))
}

/// Replaces a file as a whole, durably: a reader sees the old content or the new, never a part.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create(&temporary, content, mode)?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes the name of `path` in its folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
