//! What the devices of this harness say of themselves, where an operator handed out what they prove it with.

use shared::DeviceId;
use shared::evidence::{Claims, DebugStatus, Measurement, key_thumbprint, ueid_of_name};

use super::{Challenged, Spoil};
use crate::harness::device::Csr;

/// The model that they say they are.
pub const CREDENTIAL_MODEL: &str = "credential-sensor";
/// SHA-256 of the application that they say they run; any value does.
pub const CREDENTIAL_DIGEST: [u8; 32] = [0x7e; 32];

/// The claims of `device` for this challenge and key, with the fault in them if it is one of the firmware.
pub(super) fn claims<'c>(
    device: &DeviceId,
    challenged: &Challenged,
    csr: &Csr,
    spoil: Option<Spoil>,
) -> Claims<'c> {
    Claims {
        confirmation: key_thumbprint(&csr.point),
        nonce: challenged.nonce,
        ueid: ueid_of_name(device),
        oemid: firmware_sim::factory::MAKER_NUMBER,
        hwmodel: CREDENTIAL_MODEL,
        hwversion: "1.0",
        dbgstat: if spoil == Some(Spoil::OpenDebug) {
            DebugStatus::Enabled
        } else {
            DebugStatus::DisabledPermanently
        },
        swname: "demo-firmware",
        swversion: if spoil == Some(Spoil::OldVersion) { "0.0.1" } else { "1.2.0" },
        measurements: core::iter::once(Measurement {
            component: "application",
            version: "1.2.0",
            digest: CREDENTIAL_DIGEST,
        })
        .collect(),
    }
}
