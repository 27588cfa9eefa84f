//! To whom a file is given: a user and a group, by number or by name.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown, lchown};
use std::path::Path;

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

/// Why there is no such owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected USER:GROUP, each a number or a name of this system, found {found:?}")]
pub struct OwnerError {
    /// What was given.
    pub found: String,
}

impl Owner {
    /// Reads `USER:GROUP`. Names are looked up in /etc/passwd and /etc/group.
    ///
    /// # Errors
    /// Where one of them is not known.
    pub fn parse(text: &str) -> Result<Self, OwnerError> {
        let unknown = || OwnerError { found: text.to_owned() };
        let (user, group) = text.split_once(':').ok_or_else(unknown)?;
        let uid = number(user, Path::new("/etc/passwd")).ok_or_else(unknown)?;
        let gid = number(group, Path::new("/etc/group")).ok_or_else(unknown)?;
        Ok(Self { uid, gid })
    }

    /// To whom the folder of `path` belongs, where this is root and the folder somebody else's: root would make files there that
    /// their server cannot read.
    pub(crate) fn of_folder(path: &Path) -> io::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let metadata = std::fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?;
        let owner = Self { uid: metadata.uid(), gid: metadata.gid() };
        Ok(Some(owner).filter(|owner| owner.uid != 0))
    }

    /// Gives it what is at `path`, and not what a symbolic link there leads to.
    pub(crate) fn take(self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Gives it the folder and all that is in it.
    pub(crate) fn take_all(self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.take_all(&entry.path())?;
            } else {
                self.take(&entry.path())?;
            }
        }
        self.take(folder)
    }

    /// Gives it the file.
    pub(crate) fn take_open(self, file: &File) -> io::Result<()> {
        fchown(file, Some(self.uid), Some(self.gid))
    }
}

fn number(text: &str, file: &Path) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    in_table(text, &std::fs::read_to_string(file).ok()?)
}

/// The number of `name` in the form of passwd(5) and group(5): `NAME:PASSWORD:NUMBER:...`.
fn in_table(name: &str, table: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name || name.is_empty() {
            return None;
        }
        fields.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::{Owner, in_table};

    #[test]
    fn owners_are_numbers_or_known_names() {
        assert_eq!(Owner::parse("0:7"), Ok(Owner { uid: 0, gid: 7 }));
        assert_eq!(Owner::parse("root:root"), Ok(Owner { uid: 0, gid: 0 }));
        for bad in ["", "root", "no-such-user-here:root", "root:no-such-group-here", ":", "-1:0"] {
            assert!(Owner::parse(bad).is_err(), "{bad}");
        }
        let table = "root:x:0:\nmosquitto:x:118:\nbroken\n";
        assert_eq!(in_table("mosquitto", table), Some(118));
        assert_eq!(
            (in_table("broken", table), in_table("", table), in_table("mosquit", table)),
            (None, None, None)
        );
    }
}
