//! One-time tokens, and what is found of them, page by page.

use core::fmt;

use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

use crate::written::{OptionalText, Text};

/// A one-time token, without its text: only a hash of that is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Token {
    /// Short public name, for lists and revocation.
    pub id: String,
    /// The one device it is for, if it is for one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub device: Option<DeviceId>,
    /// The group it is limited to, and which its devices are put into.
    #[serde(with = "OptionalText::<GroupName>")]
    pub group: Option<GroupName>,
    /// When it was made.
    #[serde(with = "Text::<UnixTime>")]
    pub created: UnixTime,
    /// Until when it can be used.
    #[serde(with = "Text::<UnixTime>")]
    pub expires: UnixTime,
    /// Which device used it.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub used_by: Option<DeviceId>,
    /// Whether an operator revoked it.
    pub revoked: bool,
}

/// A place in the list of tokens: behind one with this name that was made then. As a text, the seconds since 1970 and the
/// name, with a dash between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPlace {
    /// When the token was made.
    pub created: UnixTime,
    /// Its public name.
    pub id: String,
}

/// The text is no place in the list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the `next` of a page of tokens")]
pub struct TokenPlaceError;

/// Most digits of the time in a place: those of the year 9999.
pub const MAX_PLACE_TIME: usize = 12;
/// Longest name in a place.
pub const MAX_PLACE_NAME: usize = 64;

impl TokenPlace {
    /// That behind `token`.
    #[must_use]
    pub fn behind(token: &Token) -> Self {
        Self { created: token.created, id: token.id.clone() }
    }
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created.as_secs(), self.id)
    }
}

impl core::str::FromStr for TokenPlace {
    type Err = TokenPlaceError;

    fn from_str(text: &str) -> Result<Self, TokenPlaceError> {
        let (created, id) = text.split_once('-').ok_or(TokenPlaceError)?;
        let digits = (1..=MAX_PLACE_TIME).contains(&created.len())
            && (created == "0" || !created.starts_with('0'))
            && created.bytes().all(|byte| byte.is_ascii_digit());
        let named = (1..=MAX_PLACE_NAME).contains(&id.len())
            && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let created = created.parse().ok().filter(|_| digits && named).ok_or(TokenPlaceError)?;
        Ok(Self { created: UnixTime::from_secs(created), id: id.to_owned() })
    }
}

/// One page of tokens, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct TokenPage {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The `after` of the next page, if there is one.
    #[serde(with = "OptionalText::<TokenPlace>")]
    pub next: Option<TokenPlace>,
}

#[cfg(test)]
mod tests {
    use super::TokenPlace;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for good in ["1800000000-0a1b2c3d4e5f", "0-0"] {
            assert_eq!(good.parse::<TokenPlace>().unwrap().to_string(), good);
        }
        for bad in
            ["", "-", "1-", "-a", "01-a", "+1-a", "1-A", "1-g", "1-a-b", "1234567890123-a", &"1-".repeat(40)]
        {
            assert!(bad.parse::<TokenPlace>().is_err(), "{bad}");
        }
        assert!(format!("1-{}", "a".repeat(65)).parse::<TokenPlace>().is_err());
    }
}
