//! Files that hold secrets: keys, passphrases, PINs, tokens. The one place where such a file is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest file with a secret, in bytes; our keys have 241, encrypted ones about 400.
pub const MAX_SECRET: u64 = 4096;

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
    #[error("{} has mode {mode:04o}; others must have no access: chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a regular file, or too long for a secret.
    #[error("{}: is no regular file of at most {} bytes", path.display(), MAX_SECRET)]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a short secret text that nobody but its owner can read or write.
///
/// # Errors
/// Where it cannot be read, is too long, or others than its owner have access.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.into(), source };
    let not_a_file = || SecretError::NotAFile { path: path.into() };
    let file = File::open(path).map_err(unreadable)?;
    // Asked of the open file, so that it cannot be exchanged in between.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_SECRET {
        return Err(not_a_file());
    }
    let mode = metadata.mode() & 0o7777;
    if !is_closed(mode, metadata.uid(), metadata.gid()) {
        return Err(SecretError::Permissions { path: path.into(), mode });
    }
    // The whole capacity at once: growing would leave copies of the secret behind.
    let room = usize::try_from(MAX_SECRET).unwrap_or(usize::MAX).saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(unreadable)?;
    // It may have grown meanwhile; half a secret is none.
    if text.len() as u64 > MAX_SECRET {
        return Err(not_a_file());
    }
    Ok(text)
}

/// Whether nobody has access but the owner, and root. So are credentials of a systemd unit: root's, and the unit's user is
/// let in by an access control list, whose mask shows as the group's bits (acl(5)).
const fn is_closed(mode: u32, user: u32, group: u32) -> bool {
    let by_systemd = mode == 0o440 && user == 0 && group == 0;
    mode & 0o077 == 0 || by_systemd
}

#[cfg(test)]
mod tests {
    use super::{SecretError, is_closed, read_secret};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_credential_of_systemd_is_closed() {
        assert!(is_closed(0o440, 0, 0));
        for (mode, user, group) in
            [(0o440, 1000, 0), (0o440, 0, 1000), (0o444, 0, 0), (0o640, 0, 0), (0o460, 0, 0)]
        {
            assert!(!is_closed(mode, user, group), "{mode:o} {user} {group}");
        }
        assert!(is_closed(0o400, 1000, 1000) && is_closed(0o600, 0, 0));
    }

    #[test]
    fn a_secret_is_its_owners_only_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        assert!(matches!(read_secret(&path), Err(SecretError::Unreadable { .. })));
        assert!(matches!(read_secret(directory.path()), Err(SecretError::NotAFile { .. })));
        fs::write(&path, "x".repeat(4096)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(read_secret(&path), Err(SecretError::Permissions { mode: found, .. }) if found == mode)
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_secret(&path).unwrap().len(), 4096);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "x".repeat(4097)).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretError::NotAFile { .. })));
    }
}
