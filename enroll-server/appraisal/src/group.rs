//! Names of device groups: what a policy is for.

use core::fmt;
use core::str::FromStr;

/// The name of a device group: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter or digit.
/// It is part of file names, so nothing else may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(String);

/// The text is no name of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group's name is 1 to 32 lower-case letters, digits and hyphens, with a letter or digit in front")]
pub struct GroupNameError;

impl GroupName {
    /// The group of every device that was put into no other.
    pub const DEFAULT: &'static str = "default";

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the group of devices that were put into no other.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }
}

impl Default for GroupName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for GroupName {
    type Err = GroupNameError;

    fn from_str(text: &str) -> Result<Self, GroupNameError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (1..=32).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-');
        if good { Ok(Self(text.into())) } else { Err(GroupNameError) }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupName, GroupNameError};

    #[test]
    fn a_name_is_fit_for_a_file() {
        for good in ["default", "a", "lot-7", "0", &"a".repeat(32)] {
            assert_eq!(good.parse::<GroupName>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "a b", "../a", "a.b", "-a", "ä", &"a".repeat(33)] {
            assert_eq!(bad.parse::<GroupName>(), Err(GroupNameError), "{bad}");
        }
    }
}
