//! Which devices are looked for, and what is found, page by page.

use appraisal::GroupName;

use super::model::Device;
use super::state::DeviceState;
use super::tag::Tag;
use crate::written::OptionalText;
use shared::{DeviceId, UnixTime};

/// Longest text to look for, in characters: that of a SHA-256 in hexadecimal digits.
pub const MAX_FIND: usize = 64;

/// What is looked for; the conditions add up, and none finds every device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// In this state.
    pub state: Option<DeviceState>,
    /// In this group.
    pub group: Option<GroupName>,
    /// Of this model.
    pub model: Option<String>,
    /// With all of these tags.
    pub tags: Vec<Tag>,
    /// With an identifier that begins so.
    pub prefix: Option<String>,
    /// With this text in one of its identities.
    pub find: Option<Find>,
    /// With a certificate, and none that is good at this time or later: without a renewal it runs out before.
    pub expires_before: Option<UnixTime>,
}

/// A text that stands somewhere in the identifier, model, group or a tag (capitals and small letters are alike),
/// or hexadecimal digits with which the identity's hash, a certificate's serial number or its key's hash begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find(String);

/// The text cannot be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is looked for is 1 to {MAX_FIND} characters without control characters")]
pub struct FindError;

impl Find {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hashes and serial numbers that begin with the text: from the first up to, and without, the second; no
    /// second where the text is all `f`. `None` where it is not four hexadecimal digits at least.
    #[must_use]
    pub fn range(&self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let digits: Option<Vec<u8>> = self
            .0
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.filter(|digits| digits.len() >= 4)?;
        let mut next = digits.clone();
        while next.last() == Some(&0xf) {
            next.pop();
        }
        let end = next.last_mut().map(|last| *last += 1).is_some();
        Some((packed(&digits), end.then(|| packed(&next))))
    }
}

/// Two digits a byte; an odd one is filled up with zeros, which come first of all that begin with it.
fn packed(digits: &[u8]) -> Vec<u8> {
    let byte = |pair: &[u8]| match *pair {
        [high, low] => high << 4 | low,
        [high] => high << 4,
        _ => 0,
    };
    digits.chunks(2).map(byte).collect()
}

impl core::str::FromStr for Find {
    type Err = FindError;

    fn from_str(text: &str) -> Result<Self, FindError> {
        let good = (1..=MAX_FIND).contains(&text.chars().count()) && !text.contains(char::is_control);
        if good { Ok(Self(text.into())) } else { Err(FindError) }
    }
}

/// One page of devices, by identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct DevicePage {
    /// The devices.
    pub devices: Vec<Device>,
    /// The `after` of the next page, if there is one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub next: Option<DeviceId>,
}

#[cfg(test)]
mod tests {
    use super::Find;
    use proptest::prelude::*;

    #[test]
    fn digits_are_a_range_of_hashes() {
        let range = |text: &str| text.parse::<Find>().unwrap().range();
        assert_eq!(range("ab12"), Some((vec![0xab, 0x12], Some(vec![0xab, 0x13]))));
        assert_eq!(range("ab123"), Some((vec![0xab, 0x12, 0x30], Some(vec![0xab, 0x12, 0x40]))));
        assert_eq!(range("abff"), Some((vec![0xab, 0xff], Some(vec![0xac]))));
        assert_eq!(range("FFFF"), Some((vec![0xff, 0xff], None)));
        assert_eq!((range("abc"), range("SN-0001")), (None, None));
        for bad in ["", "a\n", &"x".repeat(65)] {
            bad.parse::<Find>().unwrap_err();
        }
    }

    proptest! {
        /// A hash is in the range of a text if, and only if, its digits begin with it.
        #[test]
        fn the_range_is_the_prefix(hash in any::<[u8; 4]>(), text in "[0-9a-f]{4,8}", own in any::<bool>()) {
            let digits = hex::encode(hash);
            let text = if own { digits.chars().take(text.len()).collect() } else { text };
            let (low, high) = text.parse::<Find>().unwrap().range().unwrap();
            let within = low.as_slice() <= hash.as_slice()
                && high.is_none_or(|high| hash.as_slice() < high.as_slice());
            prop_assert_eq!(within, digits.starts_with(&text));
        }
    }
}
