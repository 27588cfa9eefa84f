//! What an agent has to be told before it starts.

use core::time::Duration;

use shared::UnixTime;

use crate::lifecycle::Pace;

/// Settings of one device.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// Host name or address of the enrollment server; its certificate must carry it.
    pub server_host: &'s str,
    /// TCP port of the enrollment server.
    pub server_port: u16,
    /// The signed trust bundle the device was provisioned with (COSE_Sign1). Empty where one is stored already;
    /// of the two, the one with the higher number counts.
    pub trust_bundle: &'s [u8],
    /// When this software was built: the least that the time floor can be.
    pub built: UnixTime,
    /// Version of the device's software, for the published status.
    pub software_version: &'s str,
    /// Time between two telemetry publications.
    pub telemetry_interval: Duration,
    /// How soon a [`Control`](super::Control) takes effect: the longest single wait.
    pub poll: Duration,
    /// Pace of retries and renewal.
    pub pace: Pace,
}

impl<'s> Settings<'s> {
    /// Settings with the defaults: telemetry each 60 s, control within 1 s.
    #[must_use]
    pub const fn new(
        server_host: &'s str,
        server_port: u16,
        trust_bundle: &'s [u8],
        built: UnixTime,
    ) -> Self {
        Self {
            server_host,
            server_port,
            trust_bundle,
            built,
            software_version: "",
            telemetry_interval: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            pace: Pace::DEFAULT,
        }
    }
}
