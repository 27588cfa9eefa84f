//! Prints what happens to QEMU's console: stable names, a line each; and, when it has a certificate or has published,
//! what it has spent until then, and how much of the stack was used.

use agent_core::flow::{Notice, Publication};
use agent_core::platform::Observer;
use cortex_m_semihosting::hprintln;

use crate::{spent, stack};

/// Prints notices.
pub struct Report;

impl Observer for Report {
    fn notice(&mut self, notice: &Notice<'_>) {
        let milestone = matches!(
            notice,
            Notice::Enrolled { .. } | Notice::Published { what: Publication::Telemetry, .. }
        );
        if milestone {
            let (erased, written) = spent::flash();
            hprintln!("spent {} {} {}", spent::busy(), erased, written);
        }
        match notice {
            Notice::Refused { code, .. } => hprintln!("event {} {}", notice.name(), code),
            Notice::Unreachable { error, .. } => hprintln!("event {} {}", notice.name(), error),
            Notice::Published { what: Publication::Telemetry, .. } => {
                let (size, used) = stack::usage();
                hprintln!("event published telemetry\nstack {} of {}", used, size)
            }
            _ => hprintln!("event {}", notice.name()),
        }
    }
}
