//! A summary of where a device stands.

use shared::{DeviceId, UnixTime};

use crate::lifecycle::Phase;
use crate::platform::Slot;

/// Where a device stands, out of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The lifecycle's state.
    pub phase: Phase,
    /// The device.
    pub device: DeviceId,
    /// The identity in use.
    pub identity: Option<IdentityStatus>,
    /// The identity that was issued and is still to be accepted by the broker in place of `identity`.
    pub candidate: Option<IdentityStatus>,
    /// Wire code of the last refusal, if no success came after it.
    pub last_refusal: Option<u16>,
    /// Number of the trust bundle in force, if there is a usable one.
    pub trust_number: Option<u64>,
    /// The least that the time can be.
    pub time_floor: UnixTime,
}

/// One identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityStatus {
    /// Where it is.
    pub slot: Slot,
    /// Serial number of the certificate: the content octets of the INTEGER, big-endian.
    pub serial: heapless::Vec<u8, 20>,
    /// Begin of the certificate.
    pub not_before: UnixTime,
    /// End of the certificate.
    pub not_after: UnixTime,
    /// When the device renews.
    pub renew_at: UnixTime,
    /// Whether the broker has accepted it.
    pub accepted: bool,
}
