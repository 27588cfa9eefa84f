//! Files: secrets that only their owner may read, and replacing a file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub use ca::secret::{SecretError, read_secret};

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
    crash_point();
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
    replace_with(path, content, mode, |_| Ok(()))
}

/// As [`replace`], with something done to the new file before it takes its place.
pub(crate) fn replace_with(
    path: &Path,
    content: &[u8],
    mode: u32,
    prepare: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create(&temporary, content, mode)?;
    prepare(&temporary)?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes the name of `path` in its folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
