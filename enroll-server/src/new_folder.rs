//! A folder that is there as a whole or not at all: made beside its place and moved there at the end.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::files;
use crate::tls_files::Owner;

/// A folder in the making. Dropped before it is finished, it leaves nothing behind: what is in it may be keys.
#[derive(Debug)]
pub(crate) struct NewFolder {
    target: PathBuf,
    workshop: PathBuf,
}

/// Why a folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds something already.
    #[error("{}: is not empty; nothing was overwritten", directory.display())]
    NotEmpty {
        /// The folder.
        directory: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl NewFolder {
    /// Begins the folder `directory`, which must be empty or not there; its parents are made. What a crash left of an
    /// earlier one is removed.
    pub(crate) fn begin(directory: &Path) -> Result<Self, FolderError> {
        // Without `.` and `..`, so that the folder has a name and a parent.
        let target = std::path::absolute(directory).map_err(unwritable(directory))?;
        let not_empty = || FolderError::NotEmpty { directory: target.clone() };
        let name = target.file_name().ok_or_else(not_empty)?;
        match fs::read_dir(&target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(not_empty());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(not_empty()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(&target)(error)),
            Err(_) => {}
        }
        let parent = target.parent().unwrap_or_else(|| Path::new("/"));
        fs::create_dir_all(parent).map_err(unwritable(parent))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".incomplete");
        let workshop = parent.join(hidden);
        match fs::remove_dir_all(&workshop) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unwritable(&workshop)(error));
            }
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&workshop).map_err(unwritable(&workshop))?;
        Ok(Self { target, workshop })
    }

    /// Where its content is to be written.
    pub(crate) fn path(&self) -> &Path {
        &self.workshop
    }

    /// Writes one file into it.
    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), FolderError> {
        let path = self.workshop.join(name);
        files::create(&path, content, mode).map_err(unwritable(&path))
    }

    /// Makes a folder in it.
    pub(crate) fn folder(&self, name: &str, mode: u32) -> Result<(), FolderError> {
        let path = self.workshop.join(name);
        DirBuilder::new().mode(mode).create(&path).map_err(unwritable(&path))
    }

    /// As [`finish`](Self::finish), for the folder of a server: made by root, it belongs to whom its parent belongs to, with all
    /// that is in it. Root would make a folder that the server cannot read.
    pub(crate) fn finish_own(self) -> Result<PathBuf, FolderError> {
        if let Some(owner) = Owner::of_folder(&self.workshop).map_err(unwritable(&self.workshop))? {
            owner.take_all(&self.workshop).map_err(unwritable(&self.workshop))?;
        }
        self.finish()
    }

    /// Puts it into its place, durably; gives where that is.
    pub(crate) fn finish(self) -> Result<PathBuf, FolderError> {
        let target = self.target.clone();
        files::sync_folder(&self.workshop.join("."))
            .and_then(|()| fs::rename(&self.workshop, &target))
            .and_then(|()| files::sync_folder(&target))
            .map_err(unwritable(&target))?;
        Ok(target)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // Gone already where it was finished. The error that is told is the one that led here.
        let _removed = fs::remove_dir_all(&self.workshop).is_ok();
    }
}

pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Unwritable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::NewFolder;
    use std::os::unix::fs::{MetadataExt as _, chown};

    #[test]
    fn what_root_makes_for_a_server_belongs_to_the_user_of_its_parent() {
        let parent = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(parent.path(), Some(1234), Some(4321)).unwrap();
        }
        let of =
            |path: &std::path::Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
        let folder = NewFolder::begin(&parent.path().join("server")).unwrap();
        folder.write("a.key", b"secret", 0o600).unwrap();
        folder.folder("log", 0o755).unwrap();
        folder.write("log/checkpoint", b"x", 0o644).unwrap();
        let made = folder.finish_own().unwrap();
        for path in ["", "a.key", "log", "log/checkpoint"] {
            assert_eq!(of(&made.join(path)), of(parent.path()), "{path:?}");
        }
    }
}
