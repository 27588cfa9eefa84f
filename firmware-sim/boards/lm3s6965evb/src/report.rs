//! Prints what happens to QEMU's console: stable names, a line each.

use agent_core::flow::{Notice, Publication};
use agent_core::platform::Observer;
use cortex_m_semihosting::hprintln;

/// Prints notices.
pub struct Report;

impl Observer for Report {
    fn notice(&mut self, notice: &Notice<'_>) {
        let _ = match notice {
            Notice::Refused { code, .. } => hprintln!("event {} {}", notice.name(), code),
            Notice::Unreachable { error, .. } => hprintln!("event {} {}", notice.name(), error),
            Notice::Published { what: Publication::Telemetry, .. } => hprintln!("event published telemetry"),
            _ => hprintln!("event {}", notice.name()),
        };
    }
}
