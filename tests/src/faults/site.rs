//! A folder with a server's files, in memory where the machine has a file system there.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::database::{Database, StoreKind};
use crate::harness::{Finished, binary, configure, run};

/// A server's files, gone when this is dropped, with its database where that is on PostgreSQL.
#[derive(Debug)]
pub struct StateFolder {
    folder: TempDir,
    database: Option<Database>,
}

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

    /// A copy of the files in `from`, which are a server's on `database`, with a copy of that.
    pub(super) fn copy_with(from: &Path, database: &Database) -> Self {
        let (mut folder, copy) = (Self::copy_of(from), database.cluster.copy(database));
        let settings = copy.settings(&folder.server());
        configure(
            &folder.config(),
            &settings.each_ref().map(|(table, field, value)| (*table, *field, value.as_str())),
        );
        folder.database = Some(copy);
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
        Self { folder: made.expect("a temporary folder"), database: None }
    }

    /// A path in the folder, beside the server's files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where its database is.
    #[must_use]
    pub const fn store(&self) -> StoreKind {
        if self.database.is_some() { StoreKind::Postgres } else { StoreKind::Sqlite }
    }

    /// Takes the leases back that a dead server held over other servers on its database: they run out by themselves, after
    /// a time that a test need not wait.
    pub(super) fn end_leases(&self) {
        if let Some(database) = &self.database {
            let _none = database.sql("DELETE FROM leases");
        }
    }

    /// Plants a defect: the store forgets its certificates.
    pub(crate) fn forget_certificates(&self) {
        const FORGET: &str = "DELETE FROM certificates";
        if let Some(database) = &self.database {
            // Without a look at what refers to them.
            let _none = database.sql(&format!("SET session_replication_role = replica; {FORGET}"));
            return;
        }
        let store = rusqlite::Connection::open(self.path("server/store.sqlite")).expect("the store");
        store.pragma_update(None, "foreign_keys", false).expect("a setting");
        store.busy_timeout(Duration::from_secs(5)).expect("a setting");
        let _gone = store.execute(FORGET, []).expect("to delete");
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
