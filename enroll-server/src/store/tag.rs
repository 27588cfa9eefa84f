//! Tags: an operator's own words on devices.

use core::fmt;
use core::str::FromStr;

/// Most tags of one device.
pub const MAX_TAGS: usize = 16;
/// Longest tag, in bytes.
pub const MAX_TAG: usize = 48;

/// A tag: 1 to 48 letters, digits and `. _ : = / -`, beginning with a letter or digit, such as `site:berlin`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Tag(String);

/// The text is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to {MAX_TAG} letters, digits and . _ : = / -, with a letter or digit in front")]
pub struct TagError;

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'=' | b'/' | b'-');
        let front = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let good = front && text.len() <= MAX_TAG && text.bytes().all(allowed);
        if good { Ok(Self(text.into())) } else { Err(TagError) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Tag, TagError};

    #[test]
    fn a_tag_is_one_plain_word() {
        for good in ["a", "site:berlin", "env=prod", "2026/lot-7", "A.b_c", &"x".repeat(48)] {
            assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a;b", "a,b", "-a", "ü", "a\n", &"x".repeat(49)] {
            assert_eq!(bad.parse::<Tag>(), Err(TagError), "{bad}");
        }
    }
}
