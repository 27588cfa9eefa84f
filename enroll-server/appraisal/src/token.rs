//! The rule for one-time tokens: whom a token is for, and until when.
//!
//! That the token exists, is neither used up nor revoked, and that it is used up in the issuing transaction,
//! is the store's to see to. A token proves nothing about the device or its firmware.

use shared::{DeviceId, Reject, UnixTime};

use crate::Verified;
use crate::credential::check_group;
use crate::device::{KnownDevice, Shown};
use crate::group::GroupName;
use crate::record::{Refusal, Trail, rule};
use crate::revocation::Findings;

/// A token as the store has it, found by what the device sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    /// Its public name, for records; never the token itself.
    pub label: String,
    /// The device it was made for; any, where none is named.
    pub device: Option<DeviceId>,
    /// The model it was made for, if one is named.
    pub model: Option<String>,
    /// The group its devices are put into; where none is named they stay where they are.
    pub group: Option<GroupName>,
    /// The last second it is good for.
    pub expires: UnixTime,
    /// The request that is judged has used it up already, when it was good: it comes again for its answer, for as long as that
    /// takes.
    pub taken: bool,
}

impl TokenGrant {
    pub(crate) fn verify(
        &self,
        device: &DeviceId,
        known: Option<&KnownDevice>,
        now: UnixTime,
        trail: &mut Trail,
    ) -> Result<Verified, Refusal> {
        let scope = self.device.as_ref().map_or("any device", DeviceId::as_str);
        let taken = if self.taken { ", used by this request" } else { "" };
        let found = format!("token {:?} for {scope} until {}{taken}", self.label, self.expires);
        let in_time = self.taken || now <= self.expires;
        let good = in_time && self.device.as_ref().is_none_or(|for_device| for_device == device);
        let wanted = format!("a token for {device} that is good at {now}");
        trail.require(good, rule::TOKEN, Reject::BadToken, found, wanted)?;
        check_group(self.group.as_ref(), known, rule::TOKEN, Reject::BadToken, trail)?;
        Ok(Verified {
            shown: Shown::Token(self.device.is_some()),
            maker: None,
            claims: None,
            model: self.model.clone(),
            token: Some(self.label.clone()),
            credential: None,
            group: self.group.clone(),
            revocation: Findings::default(),
        })
    }
}
