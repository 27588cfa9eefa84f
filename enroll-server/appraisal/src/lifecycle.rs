//! The security lifecycle of a device, as its root of trust states it (RFC 9783, section 4.3.1).
//!
//! Whether a state is good enough is for the policy to say.

use core::fmt;

/// Where a device's root of trust stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Must not occur.
    Unknown,
    /// At the factory, not provisioned.
    AssemblyAndTest,
    /// At the factory, being provisioned.
    Provisioning,
    /// In the field, root of trust closed.
    Secured,
    /// The software outside of the root of trust can be debugged.
    NonRotDebug,
    /// The root of trust itself can be debugged, and the device can come back from there.
    RecoverableRotDebug,
    /// Given up for good.
    Decommissioned,
}

impl Lifecycle {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::AssemblyAndTest,
        Self::Provisioning,
        Self::Secured,
        Self::NonRotDebug,
        Self::RecoverableRotDebug,
        Self::Decommissioned,
    ];

    /// The stable name, as in policies and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::AssemblyAndTest => "assembly-and-test",
            Self::Provisioning => "provisioning",
            Self::Secured => "secured",
            Self::NonRotDebug => "non-rot-debug",
            Self::RecoverableRotDebug => "recoverable-rot-debug",
            Self::Decommissioned => "decommissioned",
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
