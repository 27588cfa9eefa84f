//! Groups and tags: what an operator puts on devices.

use appraisal::GroupName;
use shared::DeviceId;

use super::tag::Tag;
use crate::written::OptionalText;

/// A change of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// Puts devices into a group, out of the one they are in.
    Group(GroupName),
    /// Takes tags away and puts others on, or does neither.
    Tags {
        /// Tags to take away.
        remove: Vec<Tag>,
        /// Tags to put on; one that is also taken away stays.
        add: Vec<Tag>,
    },
}

impl Label {
    /// Adds tags.
    #[must_use]
    pub const fn add(tags: Vec<Tag>) -> Self {
        Self::Tags { remove: Vec::new(), add: tags }
    }

    /// Takes tags away.
    #[must_use]
    pub const fn remove(tags: Vec<Tag>) -> Self {
        Self::Tags { remove: tags, add: Vec::new() }
    }
}

/// What became of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Labelled {
    /// Devices that were looked at.
    pub seen: u64,
    /// Devices that are different now.
    pub changed: u64,
    /// Devices that would have more than [`MAX_TAGS`](super::MAX_TAGS) tags; nothing was changed for them.
    pub full: Vec<String>,
    /// Where the next page begins, if there is one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub next: Option<DeviceId>,
}
