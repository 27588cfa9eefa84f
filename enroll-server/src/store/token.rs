//! One-time tokens, and what is found of them, page by page.

use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

use super::ListPlace;
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

/// One page of tokens, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct TokenPage {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The `after` of the next page, if there is one.
    #[serde(with = "OptionalText::<ListPlace>")]
    pub next: Option<ListPlace>,
}
