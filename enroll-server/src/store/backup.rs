//! Copies the SQLite database into a file while servers use it.
//!
//! The copy is one moment of the database, whole, and looked through before it gets its name. It does not copy keys,
//! settings or the log's files, and knows nothing of PostgreSQL, which has tools of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, OpenFlags};

use super::{Sha256, StoreError};
use crate::files;

/// Why there is no copy. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is there already.
    #[error("{}: is there already; nothing was overwritten: name a file that is not there", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder of the file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file of the copy.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database cannot be read.
    #[error("{}: cannot be copied", path.display())]
    Source {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: StoreError,
    },
    /// SQLite finds the copy damaged, so the database is.
    #[error("{}: the database is damaged: {found}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The first thing that was found.
        found: String,
    },
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its size, in bytes.
    pub bytes: u64,
    /// The hash of its file.
    pub sha256: Sha256,
}

/// Copies the database at `from` into the new file `to`, mode 0600, durably.
///
/// # Errors
/// [`BackupError`]; then there is no file `to`, unless there was one before.
pub fn copy_database(from: &Path, to: &Path) -> Result<Copied, BackupError> {
    let unwritable = |source| BackupError::Unwritable { path: to.to_owned(), source };
    let exists = || BackupError::Exists { path: to.to_owned() };
    if fs::symlink_metadata(to).is_ok() {
        return Err(exists());
    }
    let unfinished = files::unfinished(to);
    // SQLite takes an empty file for none, and leaves its mode as it is.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
    drop(made.map_err(unwritable)?);
    files::finish(&unfinished, to, fill(from, &unfinished, to), |source| match source.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => unwritable(source),
    })
}

/// Makes the copy under the name `unfinished`.
fn fill(from: &Path, unfinished: &Path, to: &Path) -> Result<Copied, BackupError> {
    let failed = |error: rusqlite::Error| BackupError::Source { path: from.to_owned(), source: error.into() };
    // Not created where it is not there. Writing is for SQLite's own lock file beside it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(failed)?;
    let target = unfinished.to_string_lossy();
    source.execute("VACUUM INTO ?1", [target.as_ref()]).map_err(|error| not_copied(error, from, to))?;
    // SQLite 3.51 finds every database whole that is opened for reading alone.
    let copy = Connection::open_with_flags(unfinished, flags).map_err(failed)?;
    let found: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    drop(copy);
    if found != "ok" {
        return Err(BackupError::Damaged { path: from.to_owned(), found });
    }
    finish(unfinished).map_err(|source| BackupError::Unwritable { path: to.to_owned(), source })
}

/// A copy writes to no disk but that of its target.
fn not_copied(error: rusqlite::Error, from: &Path, to: &Path) -> BackupError {
    match StoreError::from(error) {
        StoreError::Full => {
            BackupError::Unwritable { path: to.to_owned(), source: io::ErrorKind::StorageFull.into() }
        }
        source => BackupError::Source { path: from.to_owned(), source },
    }
}

/// Makes the file durable, and hashes what is in it.
fn finish(path: &Path) -> io::Result<Copied> {
    let mut file = File::open(path)?;
    file.sync_all()?;
    let (mut hash, mut bytes, mut part) = (Context::new(&SHA256), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut part)?;
        let Some(part) = part.get(..read).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        bytes += read as u64;
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hash.finish().as_ref());
    Ok(Copied { bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn database(folder: &Path) -> (PathBuf, Connection) {
        let path = folder.join("store.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1);").unwrap();
        (path, connection)
    }

    fn rows(path: &Path) -> i64 {
        Connection::open(path).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_copy_is_one_moment_while_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut connection) = database(folder.path());
        let transaction = connection.transaction().unwrap();
        transaction.execute("INSERT INTO t VALUES (2)", []).unwrap();
        let to = folder.path().join("copy.sqlite");
        let copied = copy_database(&path, &to).unwrap();
        transaction.commit().unwrap();
        assert_eq!((rows(&to), rows(&path)), (1, 2), "what was not committed is in the copy");
        let file = fs::metadata(&to).unwrap();
        assert_eq!(file.permissions().mode() & 0o7777, 0o600);
        assert_eq!(file.len(), copied.bytes);
        let hash = aws_lc_rs::digest::digest(&SHA256, &fs::read(&to).unwrap());
        assert_eq!(hash.as_ref(), copied.sha256);
    }

    #[test]
    fn nothing_is_overwritten_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _connection) = database(folder.path());
        let to = folder.path().join("copy.sqlite");
        fs::write(&to, "mine").unwrap();
        let refused = copy_database(&path, &to).unwrap_err();
        assert!(matches!(refused, BackupError::Exists { .. }), "{refused}");
        assert_eq!(fs::read(&to).unwrap(), b"mine");

        let none = folder.path().join("no.sqlite");
        let other = folder.path().join("other.sqlite");
        assert!(matches!(copy_database(&none, &other), Err(BackupError::Source { .. })));
        fs::write(&none, vec![7; 8192]).unwrap();
        assert!(matches!(copy_database(&none, &other), Err(BackupError::Source { .. })));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("other")), "{left:?}");
        assert!(copy_database(&path, &folder.path().join("no/such.sqlite")).is_err());
    }

    #[test]
    fn a_full_disk_is_told_of_the_file_that_lacks_the_room() {
        let (from, to) = (Path::new("store.sqlite"), Path::new("/mnt/copy.sqlite"));
        let full =
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        let told = not_copied(full, from, to);
        assert!(matches!(&told, BackupError::Unwritable { path, .. } if path == to), "{told}");
        let broken =
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None);
        assert!(matches!(not_copied(broken, from, to), BackupError::Source { .. }));
    }

    #[test]
    fn damage_is_found_in_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (path, connection) = database(folder.path());
        // A row that its table does not allow.
        connection
            .execute_batch(
                "CREATE TABLE u (n INTEGER CHECK (n > 0)); PRAGMA ignore_check_constraints = ON;
                 INSERT INTO u VALUES (-1);",
            )
            .unwrap();
        let refused = copy_database(&path, &folder.path().join("copy.sqlite")).unwrap_err();
        assert!(
            matches!(&refused, BackupError::Damaged { found, .. } if found.contains("CHECK")),
            "{refused}"
        );
        assert!(!folder.path().join("copy.sqlite").exists());
    }
}
