//! A user and a group as an operator names them, for files and sockets that other programs are to open.
//!
//! Names are looked up in `/etc/passwd` and `/etc/group` and nowhere else; a user of a directory service is written as a
//! number.

use core::fmt;
use core::str::FromStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longest `/etc/passwd` or `/etc/group` that is read, in bytes.
const MAX_TABLE: u64 = 1024 * 1024;
/// Longest name (useradd(8)).
const MAX_NAME: usize = 32;

/// Others come and go, but change only what is theirs.
const STICKY: u32 = 0o1000;

/// Whether others than its owner can put something else in the place of what lies in a directory with this mode.
pub(crate) const fn others_replace(mode: u32) -> bool {
    mode & 0o022 != 0 && mode & STICKY == 0
}

/// Who is to own a file: `user`, `user:group` or `:group`, each by name or number. At least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    user: Option<String>,
    group: Option<String>,
}

/// The numbers of an owner; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Of the user.
    pub user: Option<u32>,
    /// Of the group.
    pub group: Option<u32>,
}

/// The text names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no owner: expected user, user:group or :group, each a name or a number")]
pub struct NoOwner;

/// Why an owner's numbers are not known.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The table cannot be read.
    #[error("{} cannot be read to look up an owner", table.display())]
    Unreadable {
        /// The table.
        table: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The table does not have the name.
    #[error("{name} is not in {}; make it, or give its number", table.display())]
    Unknown {
        /// The name.
        name: String,
        /// The table.
        table: PathBuf,
    },
}

impl FromStr for Owner {
    type Err = NoOwner;

    fn from_str(text: &str) -> Result<Self, NoOwner> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let part = |name: &str| match name {
            "" => Ok(None),
            name if is_name(name) => Ok(Some(name.to_owned())),
            _ => Err(NoOwner),
        };
        let owner = Self { user: part(user)?, group: part(group)? };
        if owner.user.is_none() && owner.group.is_none() { Err(NoOwner) } else { Ok(owner) }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.user.as_deref().unwrap_or_default())?;
        self.group.as_deref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

impl Owner {
    /// Looks the names up, now: a package may make a user after the agent was started.
    ///
    /// # Errors
    /// Where a name is unknown.
    pub fn look_up(&self) -> Result<Ids, OwnerError> {
        self.look_up_in(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    fn look_up_in(&self, users: &Path, groups: &Path) -> Result<Ids, OwnerError> {
        let of =
            |name: &Option<String>, table: &Path| name.as_deref().map(|name| number(name, table)).transpose();
        Ok(Ids { user: of(&self.user, users)?, group: of(&self.group, groups)? })
    }
}

/// Whether the whole text can be a user's name or number.
fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    text.len() <= MAX_NAME && !text.starts_with('-') && text.bytes().all(allowed)
}

/// Both tables have the name in the first field of a line and the number in the third (passwd(5), group(5)).
fn number(name: &str, table: &Path) -> Result<u32, OwnerError> {
    // All ones is chown(2)'s "leave it", never an owner.
    if let Some(number) = name.parse().ok().filter(|number| *number != u32::MAX) {
        return Ok(number);
    }
    let mut text = Vec::new();
    File::open(table)
        .and_then(|file| file.take(MAX_TABLE).read_to_end(&mut text))
        .map_err(|source| OwnerError::Unreadable { table: table.to_owned(), source })?;
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
        })
        .next()
        .ok_or_else(|| OwnerError::Unknown { name: name.to_owned(), table: table.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Ids, Owner, OwnerError};

    fn owner(text: &str) -> Owner {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        for good in ["app", "app:web", ":web", "1000", "1000:1000", "_apt", "www-data"] {
            assert_eq!(owner(good).to_string(), good);
        }
        for bad in ["", ":", "a b", "-x", "a:b:c", "a/b", "a\nb", &"x".repeat(33)] {
            assert!(bad.parse::<Owner>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_looked_up_and_numbers_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (users, groups) = (dir.path().join("passwd"), dir.path().join("group"));
        std::fs::write(&users, "broken\nroot:x:0:0::/root:/bin/sh\napp:x:812:813::/:/bin/false\n").unwrap();
        std::fs::write(&groups, "root:x:0:\nweb:x:900:app\n").unwrap();
        let look_up = |text: &str| owner(text).look_up_in(&users, &groups);
        assert_eq!(look_up("app:web").unwrap(), Ids { user: Some(812), group: Some(900) });
        assert_eq!(look_up(":web").unwrap(), Ids { user: None, group: Some(900) });
        assert_eq!(look_up("7").unwrap(), Ids { user: Some(7), group: None });
        // A broken line is nobody's, and the number that means "leave it" is a name that nobody has.
        for unknown in ["ap", "broken", "4294967295", "web"] {
            assert!(matches!(look_up(unknown), Err(OwnerError::Unknown { .. })), "{unknown}");
        }
        assert!(matches!(
            owner("x").look_up_in(&dir.path().join("none"), &groups),
            Err(OwnerError::Unreadable { .. })
        ));
    }
}
