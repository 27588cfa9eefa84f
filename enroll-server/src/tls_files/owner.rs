//! To whom a file is given: a user and a group, by number or by name.

use std::io;
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

    /// Gives it the file.
    pub(crate) fn take(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
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
