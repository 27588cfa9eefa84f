//! The state directory: private to the agent's user, used by one agent at a time.
//!
//! Checks owner and mode before anything in it is believed. What lies in the files is `storage`'s affair.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

/// A state directory that only its owner can read.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    owner: u32,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It cannot be made or looked at.
    #[error("the state directory {path} cannot be used")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else than a directory is there.
    #[error("{path} is no directory; name a directory of the agent's own as state_dir")]
    NoDirectory {
        /// What is there.
        path: PathBuf,
    },
    /// Others than the owner can enter or read it.
    #[error(
        "others can read the state directory {path} (mode {mode:04o}), where private keys are kept; \
         run: chmod 0700 {path}"
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to someone else.
    #[error(
        "the state directory {path} belongs to user {owner}, the agent runs as user {user}; \
         run: chown -R {user} {path}, or run the agent as its owner"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Number of its owner.
        owner: u32,
        /// Number of the agent's user.
        user: u32,
    },
    /// It belongs to someone else, and whoever asks is root.
    #[error(
        "the state directory {path} belongs to user {owner}, who could not read what root writes there; run this as user \
         {owner}, or start the agent's service, which `agent renew` and `agent status` then ask"
    )]
    NotOfRoot {
        /// The directory.
        path: PathBuf,
        /// Number of its owner.
        owner: u32,
    },
    /// Another agent works on it.
    #[error("another agent uses the state directory {path}; stop it first")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
}

impl StateDir {
    /// Opens the directory, and makes it with mode 0700 where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made, is no directory, belongs to another user or can be read by others.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let unusable = |source| StateDirError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).or_else(|error| {
            // Something else than a directory is reported below, with what to do about it.
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(unusable(error)) }
        })?;
        Self::find(path)?.ok_or_else(|| unusable(io::ErrorKind::NotFound.into()))
    }

    /// As [`open`](Self::open), but makes nothing: `None` where there is no directory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn find(path: &Path) -> Result<Option<Self>, StateDirError> {
        match Self::look(path)? {
            Some(Self { path, owner }) if owner != rustix::process::geteuid().as_raw() => {
                Err(StateDirError::NotOfRoot { path, owner })
            }
            found => Ok(found),
        }
    }

    /// As [`find`](Self::find), for who only reads, or asks the agent that runs: root may look at any agent's.
    ///
    /// # Errors
    /// As [`open`](Self::open), but not where root asks for another's.
    pub fn look(path: &Path) -> Result<Option<Self>, StateDirError> {
        let unusable = |source| StateDirError::Unusable { path: path.to_owned(), source };
        let found = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(unusable)?,
        };
        if !found.is_dir() {
            return Err(StateDirError::NoDirectory { path: path.to_owned() });
        }
        let (owner, user) = (found.uid(), rustix::process::geteuid());
        if owner != user.as_raw() && !user.is_root() {
            return Err(StateDirError::Foreign { path: path.to_owned(), owner, user: user.as_raw() });
        }
        let mode = found.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StateDirError::Open { path: path.to_owned(), mode });
        }
        Ok(Some(Self { path: path.to_owned(), owner }))
    }

    /// Takes the directory for this process, until the lock is dropped.
    ///
    /// # Errors
    /// [`StateDirError::Busy`] where another agent has it.
    pub fn lock(&self) -> Result<Lock, StateDirError> {
        let unusable = |source| StateDirError::Unusable { path: self.path.clone(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.path.join("lock"))
            .map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateDirError::Busy { path: self.path.clone() }),
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a running agent takes control requests.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }
}

/// The right to change a state directory. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[cfg(test)]
mod tests {
    use super::{StateDir, StateDirError};
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    #[test]
    fn a_new_directory_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        StateDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn one_that_others_can_read_is_refused_and_the_message_says_what_to_do() {
        let parent = tempfile::tempdir().unwrap();
        for mode in [0o750, 0o701, 0o755] {
            std::fs::set_permissions(parent.path(), Permissions::from_mode(mode)).unwrap();
            let error = StateDir::open(parent.path()).unwrap_err();
            assert!(matches!(error, StateDirError::Open { mode: found, .. } if found == mode));
            assert!(error.to_string().contains("chmod 0700"), "{error}");
        }
    }

    #[test]
    fn root_looks_at_the_directory_of_an_agent_and_leaves_nothing_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        StateDir::open(&path).unwrap();
        let me = rustix::process::geteuid();
        assert_eq!(StateDir::look(&path).unwrap().unwrap().owner, me.as_raw());
        if me.is_root() {
            std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
            assert_eq!(StateDir::look(&path).unwrap().unwrap().owner, 1234);
            let error = StateDir::open(&path).unwrap_err();
            assert!(matches!(error, StateDirError::NotOfRoot { owner: 1234, .. }), "{error}");
        } else {
            let error = StateDir::look(std::path::Path::new("/root")).unwrap_err();
            assert!(matches!(
                error,
                StateDirError::Foreign { owner: 0, .. } | StateDirError::Unusable { .. }
            ));
        }
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(StateDir::open(file.path()), Err(StateDirError::NoDirectory { .. })));
    }

    #[test]
    fn one_agent_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        let first = dir.lock().unwrap();
        assert!(matches!(dir.lock(), Err(StateDirError::Busy { .. })));
        drop(first);
        dir.lock().unwrap();
    }
}
