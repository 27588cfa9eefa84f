//! The records of a device as files of the state directory.
//!
//! Each record is one file of mode 0600. A new content is written beside the old one, brought to the disk, and
//! renamed over it; then the directory is brought to the disk: whenever power fails, the old or the new content
//! is there. The calls block for as long as the disk takes; a write that has begun cannot be dropped half-way
//! by whoever awaits it, because it never yields.
//!
//! What a file system does with overwritten blocks is its own affair: on flash and on copy-on-write file
//! systems an erased key may survive below. Where that matters, encrypt the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use agent_core::platform::{Record, Storage, StorageError};
use rustix::fs::{CWD, OFlags};

use crate::state_dir::StateDir;
use crate::wipe;

/// The records of one device. Reading needs no lock; whoever writes holds the directory's
/// [`Lock`](crate::state_dir::Lock).
#[derive(Clone, Debug)]
pub struct FileStorage {
    dir: StateDir,
    #[cfg(test)]
    steps_before_fault: Option<usize>,
}

impl FileStorage {
    /// The records in `dir`.
    #[must_use]
    pub const fn new(dir: StateDir) -> Self {
        Self {
            dir,
            #[cfg(test)]
            steps_before_fault: None,
        }
    }

    /// Erases what an interrupted write left beside the records.
    ///
    /// # Errors
    /// Where the medium fails.
    pub fn tidy(&mut self) -> Result<(), StorageError> {
        for record in Record::ALL {
            let name = name(record);
            self.erase_file(self.beside(name)).map_err(|error| report("tidy", name, &error))?;
        }
        Ok(())
    }

    /// As [`Storage::load`], for whoever does not await.
    ///
    /// # Errors
    /// As [`Storage::load`].
    pub fn read(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        self.get(name(record), buffer)
    }

    /// The length may be beyond the buffer: then there is more than fits.
    fn try_read(&mut self, name: &str, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.step()?;
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(no_follow).open(self.path(name));
        let mut file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut length = 0;
        while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => return Ok(Some(length)),
                read => length += read,
            }
        }
        Ok(Some(if file.read(&mut [0])? == 0 { length } else { length + 1 }))
    }

    /// Replaces a file of the state directory that is no record, as durably as one.
    ///
    /// # Errors
    /// Where the medium fails; the old content is kept.
    pub fn put(&mut self, name: &'static str, content: &[u8]) -> Result<(), StorageError> {
        self.replace(name, content).map_err(|error| report("write", name, &error))
    }

    /// Reads such a file into `buffer`.
    ///
    /// # Errors
    /// As [`Storage::load`].
    pub fn get(&mut self, name: &'static str, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        match self.try_read(name, buffer) {
            Ok(Some(length)) if length > buffer.len() => Err(StorageError::TooLong),
            Ok(length) => Ok(length),
            Err(error) => Err(report("read", name, &error)),
        }
    }

    /// Erases such a file; nothing happens where there is none.
    ///
    /// # Errors
    /// Where the medium fails.
    pub fn remove(&mut self, name: &'static str) -> Result<(), StorageError> {
        self.erase_file(self.path(name)).map_err(|error| report("erase", name, &error))
    }

    fn replace(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let (new, path) = (self.beside(name), self.path(name));
        // Left by a write that power cut short; may hold a key.
        self.erase_file(new.clone())?;
        self.step()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&new)?;
        self.step()?;
        file.write_all(content)?;
        self.step()?;
        file.sync_all()?;
        self.step()?;
        std::fs::rename(&new, &path)?;
        self.sync_directory()
    }

    /// Overwrites, then unlinks.
    fn erase_file(&mut self, path: PathBuf) -> io::Result<()> {
        self.step()?;
        let Some(mut file) = wipe::open(CWD, &path)? else { return Ok(()) };
        self.step()?;
        wipe::overwrite(&mut file)?;
        self.step()?;
        std::fs::remove_file(&path)?;
        self.sync_directory()
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.step()?;
        File::open(self.dir.path())?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.new"))
    }

    /// Stands before every operation on the disk, so that the tests can let each one fail in turn.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "tests count")
    )]
    #[cfg_attr(not(test), expect(clippy::unnecessary_wraps, reason = "tests fail here"))]
    fn step(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(left) = &mut self.steps_before_fault {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("injected"))?;
        }
        Ok(())
    }
}

impl Storage for FileStorage {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        self.read(record, buffer)
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        if content.len() > Record::MAX {
            return Err(StorageError::TooLong);
        }
        self.put(name(record), content)
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        self.remove(name(record))
    }
}

/// The core knows a failure only by its kind; the log has the rest.
fn report(operation: &'static str, name: &'static str, error: &io::Error) -> StorageError {
    tracing::error!(record = name, %error, "could not {operation} a record of the state directory");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full,
        _ => StorageError::Medium,
    }
}

const fn name(record: Record) -> &'static str {
    match record {
        Record::State => "state",
        Record::Trust => "trust",
        Record::IdentityA => "identity-a",
        Record::IdentityB => "identity-b",
        Record::KeyA => "key-a",
        Record::KeyB => "key-b",
    }
}

#[cfg(test)]
mod tests {
    use super::FileStorage;
    use crate::state_dir::StateDir;
    use agent_core::platform::{Record, Storage as _, StorageError};
    use std::os::unix::fs::MetadataExt as _;

    fn storage() -> (tempfile::TempDir, FileStorage) {
        let parent = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&parent.path().join("state")).unwrap();
        (parent, FileStorage::new(dir))
    }

    fn content(storage: &mut FileStorage, record: Record) -> Option<Vec<u8>> {
        let mut buffer = [0; Record::MAX];
        let length = storage.read(record, &mut buffer).unwrap()?;
        Some(buffer[..length].to_vec())
    }

    #[tokio::test]
    async fn what_is_stored_is_private_and_comes_back() {
        let (parent, mut storage) = storage();
        for (number, record) in (0_u8..).zip(Record::ALL) {
            assert_eq!(content(&mut storage, record), None);
            storage.store(record, &[7; 100]).await.unwrap();
            storage.store(record, &vec![number; Record::MAX]).await.unwrap();
            assert_eq!(content(&mut storage, record), Some(vec![number; Record::MAX]));
        }
        for entry in std::fs::read_dir(parent.path().join("state")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
        for record in Record::ALL {
            storage.erase(record).await.unwrap();
            storage.erase(record).await.unwrap();
        }
        assert_eq!(std::fs::read_dir(parent.path().join("state")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn lengths_are_bounded_both_ways() {
        let (_parent, mut storage) = storage();
        let too_long = storage.store(Record::Trust, &[0; Record::MAX + 1]).await;
        assert_eq!(too_long, Err(StorageError::TooLong));
        storage.store(Record::Trust, &[1; 11]).await.unwrap();
        assert_eq!(storage.load(Record::Trust, &mut [0; 10]).await, Err(StorageError::TooLong));
        assert_eq!(storage.load(Record::Trust, &mut [0; 11]).await, Ok(Some(11)));
    }

    /// Every operation on the disk fails in turn, in the first write and in the recovery after it.
    #[tokio::test]
    async fn a_failure_at_any_step_leaves_the_old_or_the_new_content() {
        let (_parent, mut storage) = storage();
        let (old, new) = (vec![1; 600], vec![2; 700]);
        let (mut failures, mut first_fault) = (0, 0);
        loop {
            storage.steps_before_fault = None;
            storage.tidy().unwrap();
            storage.store(Record::KeyA, &old).await.unwrap();
            storage.steps_before_fault = Some(first_fault);
            let outcome = storage.store(Record::KeyA, &new).await;
            for second_fault in 0..20 {
                storage.steps_before_fault = Some(second_fault);
                let _interrupted = storage.tidy();
                storage.steps_before_fault = None;
                let found = content(&mut storage, Record::KeyA).expect("never neither");
                assert!(found == old || found == new);
                assert!(outcome.is_err() || found == new);
            }
            if outcome.is_ok() {
                break;
            }
            failures += 1;
            first_fault += 1;
        }
        assert_eq!(failures, 6, "look for a leftover, create, write, sync, rename, sync the directory");
    }

    #[tokio::test]
    async fn what_an_interrupted_write_left_is_erased() {
        let (parent, mut storage) = storage();
        storage.steps_before_fault = Some(3);
        assert_eq!(storage.store(Record::KeyB, b"secret").await, Err(StorageError::Medium));
        storage.steps_before_fault = None;
        assert!(parent.path().join("state/key-b.new").exists());
        storage.tidy().unwrap();
        assert_eq!(std::fs::read_dir(parent.path().join("state")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_erased_key_is_overwritten_before_it_is_unlinked() {
        let (parent, mut storage) = storage();
        storage.store(Record::KeyA, b"secret").await.unwrap();
        let other_name = parent.path().join("still-there");
        std::fs::hard_link(parent.path().join("state/key-a"), &other_name).unwrap();
        storage.erase(Record::KeyA).await.unwrap();
        assert_eq!(std::fs::read(other_name).unwrap(), [0; 6]);
    }

    #[tokio::test]
    async fn links_are_not_followed() {
        let (parent, mut storage) = storage();
        let target = parent.path().join("elsewhere");
        std::fs::write(&target, b"content").unwrap();
        std::os::unix::fs::symlink(&target, parent.path().join("state/trust")).unwrap();
        assert_eq!(storage.load(Record::Trust, &mut [0; 20]).await, Err(StorageError::Medium));
        assert_eq!(storage.erase(Record::Trust).await, Err(StorageError::Medium));
        assert_eq!(std::fs::read(target).unwrap(), b"content");
    }
}
