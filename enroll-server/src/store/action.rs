//! What an operator does to one device or to many, and what became of it.

use appraisal::GroupName;
use ca::Serial;
use ca::crl::Reason;
use shared::DeviceId;

use super::state::{DeviceState, IllegalMove, Move};
use super::tag::Tag;
use crate::written::OptionalText;

/// Which devices an action is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// This one.
    One(DeviceId),
    /// This one, as long as this is the request that is held for it: whoever decided about one request does not decide about
    /// another that came in its place.
    Request(DeviceId, Serial),
    /// All of a group.
    Group(GroupName),
    /// All with a tag.
    Tag(Tag),
    /// All there are.
    All,
}

impl Selection {
    /// The device, where it is one.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::One(device) | Self::Request(device, _) => Some(device),
            Self::Group(_) | Self::Tag(_) | Self::All => None,
        }
    }
}

/// What an operator does to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Approve the held request and no other; where none is held, the next enrollment. Lifts a denial.
    Approve,
    /// Deny the held request, and every enrollment until one is approved; the text is why, for the trail.
    Deny(String),
    /// Out of service for a time: certificates on hold, nothing new. What is open is voided.
    Suspend,
    /// Back into service.
    Resume,
    /// Revoke for good, for this reason.
    Revoke(Reason),
    /// End of life.
    Retire,
    /// Back to the maker: certificates, approval, group, tags and tokens end, the pinned identity stays.
    Return,
    /// To another owner: as [`Return`](Self::Return), and into this group.
    Transfer(GroupName),
}

/// Longest reason of a denial, in characters.
const MAX_DENIAL: usize = 200;

/// The text is no reason for a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reason is a sentence of 1 to {MAX_DENIAL} characters")]
pub struct DenialError;

impl Action {
    /// A denial for this reason.
    ///
    /// # Errors
    /// Where the text is empty, too long, or has control characters.
    pub fn deny(reason: &str) -> Result<Self, DenialError> {
        let good = (1..=MAX_DENIAL).contains(&reason.chars().count()) && !reason.contains(char::is_control);
        if good { Ok(Self::Deny(reason.to_owned())) } else { Err(DenialError) }
    }

    /// The move it is.
    #[must_use]
    pub const fn step(&self) -> Move {
        match self {
            Self::Approve => Move::Approve,
            Self::Deny(_) => Move::Deny,
            Self::Suspend => Move::Suspend,
            Self::Resume => Move::Resume,
            Self::Revoke(_) => Move::Revoke,
            Self::Retire => Move::Retire,
            Self::Return => Move::Return,
            Self::Transfer(_) => Move::Transfer,
        }
    }
}

/// One part of a selection, by identifier, or of another list by what its rows are in the order of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<A = DeviceId> {
    /// Begin behind this; it need not exist.
    pub after: Option<A>,
    /// Most rows.
    pub limit: u32,
}

impl<A> Page<A> {
    /// The first `limit` rows.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }
}

/// What became of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Carried {
    /// Devices it was carried out for.
    pub done: u64,
    /// Certificates that were revoked by it.
    pub certificates: u64,
    /// Devices for which it was illegal; nothing was changed for them.
    pub illegal: Vec<IllegalMove>,
    /// The state of the last device, after it.
    pub state: Option<DeviceState>,
    /// Where the next page begins, if there is one.
    #[serde(with = "OptionalText::<DeviceId>")]
    pub next: Option<DeviceId>,
}
