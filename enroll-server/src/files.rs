//! Files: secrets that only their owner may read, and replacing a file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub use ca::secret::{SecretError, read_secret};
use rustix::fs::{CWD, RenameFlags, renameat_with};

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
    let temporary = unfinished(path);
    create_for(&temporary, content, mode, owner)?;
    finish(&temporary, path, Ok(()), |error| error)
}

/// Under which name the new file `path` is made: it gets its own when it is whole.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Gives a new file its name, durably, where it was `written` and nothing is there already; otherwise it is removed.
pub(crate) fn finish<T, E>(
    unfinished: &Path,
    path: &Path,
    written: Result<T, E>,
    failed: impl Fn(io::Error) -> E,
) -> Result<T, E> {
    let named = written.and_then(|written| {
        let named = give_name(&WAYS, unfinished, path).and_then(|()| sync_folder(path));
        named.map(|()| written).map_err(&failed)
    });
    match (named, fs::remove_file(unfinished)) {
        // What failed first is what is told.
        (Err(error), _) => Err(error),
        (Ok(_), Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        (Ok(written), _) => Ok(written),
    }
}

/// A way to give a file a name that is free. It fails with `AlreadyExists` where the name is taken, even just now.
type Way = fn(&Path, &Path) -> io::Result<()>;

/// Not every file system knows each: FAT, exFAT and shares of SMB have no links, and what is mounted by FUSE may have no
/// more than the last.
const WAYS: [Way; 3] = [|from, to| fs::hard_link(from, to), rename_to_free, rename_to_taken];

fn give_name(ways: &[Way], unfinished: &Path, path: &Path) -> io::Result<()> {
    let mut named = Err(io::ErrorKind::Unsupported.into());
    for way in ways {
        named = way(unfinished, path);
        let is_done = match &named {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
        };
        if is_done {
            break;
        }
    }
    named
}

fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// The name is taken by an empty file of ours first, which the rename replaces; a crash in between leaves that.
fn rename_to_taken(from: &Path, to: &Path) -> io::Result<()> {
    drop(OpenOptions::new().write(true).create_new(true).open(to)?);
    fs::rename(from, to).inspect_err(|_| drop(fs::remove_file(to)))
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
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, chown};

    /// A file system without links, and one that cannot rename without replacing either.
    #[test]
    fn a_file_gets_its_name_where_there_are_no_links_and_nothing_is_overwritten() {
        let unsupported: Way = |_, _| Err(io::ErrorKind::Unsupported.into());
        let [link, to_free, to_taken] = WAYS;
        for ways in [
            [link, to_free, to_taken],
            [unsupported, to_free, to_taken],
            [unsupported, unsupported, to_taken],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let [new, path] = ["new", "path"].map(|name| folder.path().join(name));
            fs::write(&new, "whole").unwrap();
            give_name(&ways, &new, &path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole");
            // A link is the same file.
            let _linked = fs::remove_file(&new).is_ok();
            fs::write(&new, "another").unwrap();
            let taken = give_name(&ways, &new, &path).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists, "{taken}");
            assert_eq!(fs::read(&path).unwrap(), b"whole");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("path");
        give_name(&WAYS, &folder.path().join("none"), &path).unwrap_err();
        assert!(!path.exists(), "a name that was taken is given back");
    }

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
        let of =
            |path| fs::metadata(path).map(|found| (found.uid(), found.gid(), found.mode() & 0o777)).unwrap();
        let (user, group, _) = of(folder.path());
        assert_eq!(of(&own), (user, group, 0o600));
        assert_eq!(of(&whole).0, rustix::process::geteuid().as_raw());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
