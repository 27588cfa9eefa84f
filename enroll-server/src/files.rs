//! Files: secrets that only their owner may read, and replacing a file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub use ca::secret::{SecretError, read_secret};

use crate::tls_files::Owner;

/// Set for a child process of a test: at which write it is killed.
#[cfg(test)]
pub(crate) const KILL_AT: &str = "ENROLL_SERVER_TEST_KILL_AT";

/// A place where a crash would leave something half done. In a child process of a test, the n-th of them is its end.
pub(crate) fn crash_point() {
    #[cfg(test)]
    {
        use core::sync::atomic::{AtomicU32, Ordering};
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let at = std::env::var(KILL_AT).ok().and_then(|at| at.parse::<u32>().ok());
        if at == Some(PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
            // As SIGKILL would: no destructor runs, nothing is flushed.
            std::process::abort();
        }
    }
}

/// Writes a new file, durably; fails where one is there.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    create_for(path, content, mode, None)
}

/// Whose the file is, is durable with it.
fn create_for(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    crash_point();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    if let Some(owner) = owner {
        owner.take_open(&file)?;
    }
    file.write_all(content)?;
    file.sync_all()
}

/// Writes a new file, durably and as a whole: it is never there in part. Fails where one is there.
pub(crate) fn create_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    create_whole_for(path, content, mode, None)
}

/// As [`create_whole`], for a file of the server itself: made by root, it belongs to whom its folder belongs to.
pub(crate) fn create_own(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    create_whole_for(path, content, mode, Owner::of_folder(path)?)
}

fn create_whole_for(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    create_for(&temporary, content, mode, owner)?;
    // A link, unlike a rename, never takes the place of what is there.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked.and_then(|()| sync_folder(path))
}

/// Replaces a file as a whole, durably: a reader sees the old content or the new, never a part.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_for(path, content, mode, None)
}

/// As [`replace`], with a new file that is `owner`'s.
pub(crate) fn replace_for(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_for(&temporary, content, mode, owner)?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes the name of `path` in its folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{create_own, create_whole};
    use crate::tls_files::Owner;
    use std::os::unix::fs::{MetadataExt as _, chown};

    #[test]
    fn what_root_makes_for_a_server_belongs_to_the_servers_user() {
        let folder = tempfile::tempdir().unwrap();
        let [own, whole] = ["own", "whole"].map(|name| folder.path().join(name));
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(1234), Some(4321)).unwrap();
            assert_eq!(Owner::of_folder(&own).unwrap(), Owner::parse("1234:4321").ok());
        } else {
            assert_eq!(Owner::of_folder(&own).unwrap(), None);
        }
        create_own(&own, b"secret", 0o600).unwrap();
        create_whole(&whole, b"a file", 0o600).unwrap();
        let of = |path| {
            std::fs::metadata(path).map(|found| (found.uid(), found.gid(), found.mode() & 0o777)).unwrap()
        };
        let (user, group, _) = of(folder.path());
        assert_eq!(of(&own), (user, group, 0o600));
        assert_eq!(of(&whole).0, rustix::process::geteuid().as_raw());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
