//! Firmware versions: `MAJOR.MINOR.PATCH`, compared number by number.

use core::fmt;
use core::str::FromStr;

/// A version as the `swversion` claim has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    // The order of the fields is the order of comparison.
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// A version from its numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

/// The text is not `MAJOR.MINOR.PATCH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is MAJOR.MINOR.PATCH, three numbers without leading zeros")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut numbers = text.split('.').map(number);
        let version = match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(major), Some(minor), Some(patch), None) => Self::new(major?, minor?, patch?),
            _ => return Err(VersionError),
        };
        Ok(version)
    }
}

/// One number; `01` would be a second spelling of `1`, and `+1` is taken by the standard parser.
fn number(text: &str) -> Result<u32, VersionError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(VersionError);
    }
    text.parse().map_err(|_| VersionError)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::{Version, VersionError};
    use proptest::prelude::*;

    #[test]
    fn compares_numbers_and_not_texts() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.10.0") > version("1.9.9"));
        assert!(version("2.0.0") > version("1.99.99"));
        assert!(version("1.2.3") >= version("1.2.3"));
        assert!(version("0.0.10") > version("0.0.9"));
    }

    #[test]
    fn takes_one_spelling_only() {
        for bad in
            ["", "1", "1.2", "1.2.3.4", "1.2.", ".1.2", "01.2.3", "1.2.+3", "1.2.3-rc1", "1.2.4294967296"]
        {
            assert_eq!(bad.parse::<Version>(), Err(VersionError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip_and_order(a in any::<(u32, u32, u32)>(), b in any::<(u32, u32, u32)>()) {
            let (va, vb) = (Version::new(a.0, a.1, a.2), Version::new(b.0, b.1, b.2));
            prop_assert_eq!(va.to_string().parse(), Ok(va));
            prop_assert_eq!(va.cmp(&vb), a.cmp(&b));
        }

        #[test]
        fn never_panics(text in ".{0,24}") {
            if let Ok(version) = text.parse::<Version>() {
                prop_assert_eq!(version.to_string(), text);
            }
        }
    }
}
