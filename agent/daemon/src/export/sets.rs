//! The sets in an export directory: which there are, which are needed no more, and how their keys go.
//!
//! Writes none.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{CURRENT, KEY_FILE};

const PREFIX: &str = "set-";

/// The sets that were there when they were looked at.
#[derive(Debug)]
pub(super) struct Sets<'d> {
    directory: &'d Path,
    /// All, whole or not.
    numbers: Vec<u64>,
    current: Option<u64>,
}

impl<'d> Sets<'d> {
    pub(super) fn look(directory: &'d Path) -> io::Result<Self> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            numbers.extend(entry?.file_name().to_str().and_then(number));
        }
        let target = std::fs::read_link(directory.join(CURRENT)).ok();
        let current = target.as_deref().and_then(Path::to_str).and_then(number);
        Ok(Self { directory, numbers, current })
    }

    /// The one in force, if the link says so.
    pub(super) const fn current(&self) -> Option<u64> {
        self.current
    }

    /// A name that no set has.
    pub(super) fn next(&self) -> String {
        name(self.numbers.iter().max().map_or(1, |most| most.saturating_add(1)))
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
fn erase(set: &Path) -> io::Result<()> {
    let overwritten = overwrite(&set.join(KEY_FILE));
    std::fs::remove_dir_all(set)?;
    overwritten
}

fn overwrite(key: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(key) {
        Ok(mut key) => {
            let length = key.metadata()?.len();
            io::copy(&mut io::repeat(0).take(length), &mut key)?;
            key.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
