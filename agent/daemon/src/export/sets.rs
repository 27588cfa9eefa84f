//! The sets in an export directory: which there are, which are needed no more, and how their keys go.
//!
//! Writes none.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::place::this_user;
use super::{CURRENT, KEY_FILE};
use crate::wipe;

const PREFIX: &str = "set-";

/// The sets that were there when they were looked at.
#[derive(Debug)]
pub(super) struct Sets<'d> {
    directory: &'d Path,
    /// All that the agent made, whole or not.
    numbers: Vec<u64>,
    /// The highest number that has a place, whoever made what is there.
    taken: Option<u64>,
    current: Option<u64>,
}

impl<'d> Sets<'d> {
    pub(super) fn look(directory: &'d Path) -> io::Result<Self> {
        let (mut numbers, mut taken) = (Vec::new(), None);
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Some(number) = entry.file_name().to_str().and_then(number) else { continue };
            taken = taken.max(Some(number));
            // Not what a link leads to.
            if entry.metadata().is_ok_and(|found| is_ours(&found)) {
                numbers.push(number);
            } else {
                let set = entry.path();
                tracing::warn!(set = %set.display(), "no set of the agent's own; it is left alone");
            }
        }
        let target = std::fs::read_link(directory.join(CURRENT)).ok();
        let current = target.as_deref().and_then(Path::to_str).and_then(number);
        Ok(Self { directory, numbers, taken, current })
    }

    /// The one in force, if the link says so.
    pub(super) const fn current(&self) -> Option<u64> {
        self.current
    }

    /// A name that nothing has.
    pub(super) fn next(&self) -> String {
        name(self.taken.map_or(1, |most| most.saturating_add(1)))
    }

    /// Erases what is neither in force nor was just before.
    pub(super) fn erase_all_but_two(&self) {
        let before = self.numbers.iter().copied().filter(|number| Some(*number) < self.current).max();
        self.erase_unless(|number| Some(number) == self.current || Some(number) == before);
    }

    /// Erases what was not in force when they were looked at.
    pub(super) fn erase_all_but_current(&self) {
        self.erase_unless(|number| Some(number) == self.current);
    }

    /// Erases all.
    pub(super) fn erase_all(&self) -> io::Result<()> {
        self.numbers.iter().try_for_each(|number| erase(&self.path(*number)))
    }

    fn erase_unless(&self, stays: impl Fn(u64) -> bool) {
        for number in self.numbers.iter().filter(|number| !stays(**number)) {
            erase_or_warn(&self.path(*number));
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(name(number))
    }
}

/// Erases a set that nobody needs. Where that fails it is tried again with the next change, and what is in force does not
/// suffer for it.
pub(super) fn erase_or_warn(set: &Path) {
    match erase(set) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(set = %set.display(), %error, "an old or unfinished set of files could not be erased");
        }
        _ => {}
    }
}

/// Overwrites the key, then removes the set, also where the key could not be overwritten.
///
/// The set is opened first, and the key found from there: in a directory where others write, what has the set's name may be a
/// link by now, or somebody else's.
fn erase(set: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = File::from(openat(CWD, set, flags, Mode::empty())?);
    if !is_ours(&opened.metadata()?) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the set is not the agent's own"));
    }
    let overwritten = overwrite(&opened);
    std::fs::remove_dir_all(set)?;
    overwritten
}

fn overwrite(set: &File) -> io::Result<()> {
    wipe::open(set, Path::new(KEY_FILE))?.map_or(Ok(()), |mut key| wipe::overwrite(&mut key))
}

/// Whether the agent made it: also a set whose files were given away stays its own.
fn is_ours(found: &Metadata) -> bool {
    found.is_dir() && found.uid() == this_user()
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

/// As [`name`] writes it, and not `set-007`.
fn number(text: &str) -> Option<u64> {
    text.strip_prefix(PREFIX)?.parse().ok().filter(|number| name(*number) == text)
}

#[cfg(test)]
mod tests {
    use super::{KEY_FILE, Sets};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_planted_link_leads_to_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let (directory, elsewhere) = (root.path().join("export"), root.path().join("elsewhere"));
        fs::create_dir_all(directory.join("set-9")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join(KEY_FILE), "precious\n").unwrap();
        // One with a link in the place of its key, and sets that are links.
        symlink(elsewhere.join(KEY_FILE), directory.join("set-9").join(KEY_FILE)).unwrap();
        symlink(&elsewhere, directory.join("set-8")).unwrap();
        symlink(&elsewhere, directory.join("set-10")).unwrap();
        let sets = Sets::look(&directory).unwrap();
        assert_eq!(sets.next(), "set-11");
        sets.erase_all().unwrap_err();
        sets.erase_all_but_current();
        assert_eq!(fs::read_to_string(elsewhere.join(KEY_FILE)).unwrap(), "precious\n");
        // A link that came when the sets had been looked at.
        super::erase(&directory.join("set-8")).unwrap_err();
        assert_eq!(fs::read_to_string(elsewhere.join(KEY_FILE)).unwrap(), "precious\n");
        let mut left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["set-10", "set-8"]);
    }

    /// What is not the agent's stays, whoever may write to it.
    #[test]
    fn somebody_elses_set_is_left_alone() {
        if rustix::process::geteuid().is_root() {
            let root = tempfile::tempdir().unwrap();
            let (set, key) = (root.path().join("set-3"), root.path().join("set-3").join(KEY_FILE));
            fs::create_dir(&set).unwrap();
            fs::write(&key, "theirs\n").unwrap();
            std::os::unix::fs::chown(&set, Some(65534), None).unwrap();
            Sets::look(root.path()).unwrap().erase_all().unwrap();
            super::erase(&set).unwrap_err();
            assert_eq!(fs::read_to_string(&key).unwrap(), "theirs\n");
        }
    }
}
