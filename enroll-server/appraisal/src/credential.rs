//! The rules for what an operator handed out so that devices can enroll with it: symmetric keys, and batches of
//! claim certificates. Whom such a credential is for, until when, and for how many.
//!
//! That it stands as it is said here is looked at again by the store in the transaction that records the request;
//! this is where it is explained.

use aws_lc_rs::digest::{Context, SHA256};
use shared::{DeviceId, Reject, UnixTime};

use crate::device::KnownDevice;
use crate::group::GroupName;
use crate::key::SpkiHash;
use crate::record::{Refusal, Trail, Verdict, rule};

/// A credential as the store has it, found by what the device sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialGrant {
    /// Its public name, for records.
    pub id: String,
    /// Whom it is for.
    pub scope: CredentialScope,
    /// The device group its devices are put into; where none is named they stay where they are.
    pub group: Option<GroupName>,
    /// The last second it is good for; without one it has no end.
    pub expires: Option<UnixTime>,
    /// How it stands.
    pub standing: Standing,
    /// How many devices it may bring in; any number, where none is named.
    pub quota: Option<u32>,
    /// How many it has brought in.
    pub used: u32,
    /// Whether the device that asks is one of them.
    pub brought_in: bool,
}

/// Whom a credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialScope {
    /// One device, which the operator named.
    Device(DeviceId),
    /// Every device that holds a key derived from it, or the key of its batch.
    Many,
}

/// How a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be used.
    Good,
    /// An operator revoked it.
    Revoked,
    /// The device has a key of its own, revoked or not, and its group's counts no more.
    Overridden,
}

impl CredentialGrant {
    /// Whether it is good for `device` now; its quota is looked at by [`check_quota`](Self::check_quota).
    pub(crate) fn check(
        &self,
        device: &DeviceId,
        known: Option<&KnownDevice>,
        now: UnixTime,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let scope = match &self.scope {
            CredentialScope::Device(for_device) => for_device.as_str(),
            CredentialScope::Many => "many devices",
        };
        let until = self.expires.map_or_else(|| "without an end".into(), |end| format!("until {end}"));
        let standing = match self.standing {
            Standing::Good => "",
            Standing::Revoked => ", revoked",
            Standing::Overridden => ", overridden by a key of the device's own",
        };
        let for_device = match &self.scope {
            CredentialScope::Device(for_device) => for_device == device,
            CredentialScope::Many => true,
        };
        trail.require(
            for_device && self.standing == Standing::Good && self.expires.is_none_or(|end| now <= end),
            rule::CREDENTIAL,
            Reject::BadCredential,
            format!("credential {:?} for {scope}, {until}{standing}", self.id),
            format!("one for {device} that is good at {now}"),
        )?;
        check_group(self.group.as_ref(), known, rule::CREDENTIAL, Reject::BadCredential, trail)
    }

    /// Whether one more device may come in by it.
    pub(crate) fn check_quota(&self, trail: &mut Trail) -> Result<(), Refusal> {
        let found = format!("{} devices brought in", self.used);
        let Some(quota) = self.quota else {
            trail.note(Verdict::Skipped, rule::QUOTA, found, "any number");
            return Ok(());
        };
        trail.require(
            self.brought_in || self.used < quota,
            rule::QUOTA,
            Reject::QuotaReached,
            found,
            if self.brought_in { "this device is one of them".into() } else { format!("less than {quota}") },
        )
    }
}

/// A credential that is limited to a group is good for devices of that group, and for those that are in none yet.
pub(crate) fn check_group(
    group: Option<&GroupName>,
    known: Option<&KnownDevice>,
    rule: &'static str,
    reject: Reject,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let (Some(group), Some(known)) = (group, known) else { return Ok(()) };
    trail.require(
        known.group == *group || known.group.is_default(),
        rule,
        reject,
        format!("a device of group {}", known.group),
        format!("one of group {group}, or of none"),
    )
}

/// What identifies a device that enrolls by a symmetric key of its own; all such keys of a device are one identity,
/// because the operator made each of them for it.
#[must_use]
pub fn own_key_identity(device: &DeviceId) -> SpkiHash {
    identity(&["symmetric-key", "device", device.as_str()])
}

/// What identifies a device that enrolls by the key of a group: another group's key does not lead to it.
#[must_use]
pub fn group_key_identity(credential: &str, device: &DeviceId) -> SpkiHash {
    identity(&["symmetric-key", "group", credential, device.as_str()])
}

/// What stands for a device that enrolled by the claim certificate of a batch: that it is known, and by whom.
#[must_use]
pub fn batch_identity(batch: &str, device: &DeviceId) -> SpkiHash {
    identity(&["claim-certificate", batch, device.as_str()])
}

/// SHA-256 over the parts, each ended by a zero byte, which stands in none of them.
fn identity(parts: &[&str]) -> SpkiHash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
