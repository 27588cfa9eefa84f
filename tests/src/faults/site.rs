//! A folder with a server's files, in memory where the machine has a file system there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Finished, binary, run};

/// A server's files, gone when this is dropped.
#[derive(Debug)]
pub struct StateFolder(TempDir);

impl StateFolder {
    /// A copy of the files in `from`.
    ///
    /// # Panics
    /// Where they cannot be copied.
    #[must_use]
    pub fn copy_of(from: &Path) -> Self {
        let folder = Self::empty();
        copy(from, &folder.server());
        folder
    }

    /// An empty folder.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn empty() -> Self {
        // Thousands of states are written and read once: nothing is learned from waiting for a disk.
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() {
            TempDir::with_prefix_in("faults-", memory)
        } else {
            TempDir::with_prefix("faults-")
        };
        Self(made.expect("a temporary folder"))
    }

    /// A path in the folder, beside the server's files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The server's files.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.path("server")
    }

    /// Runs `enroll-server` with these arguments on these files.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        run(Command::new(binary("enroll-server")).arg("--config").arg(self.config()).args(arguments))
    }

    /// The server's settings.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("server/enroll-server.toml")
    }
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("to make a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a file's type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("to copy a file");
        }
    }
}
