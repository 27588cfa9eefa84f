//! The firmware's event log in its crypto-agile form (TCG PC Client Platform Firmware Profile, section 10.2),
//! replayed: extended once more, event by event, it has to come to the registers that the TPM quotes.
//!
//! The log is a claim of the platform's software. Only the digests are held together by the registers, so nothing
//! is concluded from an event's data unless its digest was looked for.

use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA384, digest};
use shared::evidence::DebugStatus;
use shared::limits::MAX_EVENT_LOG;
use shared::tpm2::event_log::{EventLog, EventLogError, NO_ACTION};
use shared::tpm2::{Bank, MAX_PCRS};

/// The register that holds the state of secure boot, debug mode included (section 3.3.4.8).
pub(super) const SECURE_BOOT_REGISTER: u8 = 7;

/// Why an event log cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Longer than [`MAX_EVENT_LOG`].
    #[error("an event log of {found} bytes; {MAX_EVENT_LOG} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log's header does not have the quoted bank.
    #[error("an event log without digests of the quoted bank")]
    NoBank,
    /// An event is for a register that no platform has.
    #[error("event {event} is for register {register}")]
    Register {
        /// Number of the event, from 1.
        event: usize,
        /// The register.
        register: u32,
    },
}

/// What a log comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    registers: [[u8; LONGEST]; MAX_PCRS],
    bank: Bank,
    debug_mode: bool,
    measured: bool,
}

impl Replayed {
    /// The value of a register, as long as those of the bank; empty beyond the last.
    #[must_use]
    pub fn register(&self, register: u8) -> &[u8] {
        let value = self.registers.get(usize::from(register));
        value.and_then(|value| value.get(..self.bank.length())).unwrap_or_default()
    }

    /// Whether the platform's firmware was in debug mode: `None` where the log does not show that the firmware
    /// measured its security at all.
    #[must_use]
    pub const fn debug(&self) -> Option<DebugStatus> {
        match (self.debug_mode, self.measured) {
            (true, _) => Some(DebugStatus::Enabled),
            (false, true) => Some(DebugStatus::Disabled),
            (false, false) => None,
        }
    }
}

/// Longest register, in bytes.
const LONGEST: usize = 48;
/// What EV_EFI_ACTION measures where a debugger of the firmware may be attached (section 3.3.4.8).
const DEBUG_MODE: &[u8] = b"UEFI Debug Mode";
/// What EV_SEPARATOR measures where the firmware hands over without an error (section 10.4.1).
const SEPARATORS: [&[u8]; 2] = [&[0; 4], &[0xff; 4]];
/// Says from which locality register 0 was begun (section 10.4.5.3).
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// Replays a log for one bank.
///
/// # Errors
/// Says why that cannot be done.
pub fn replay(log: &[u8], bank: Bank) -> Result<Replayed, ReplayError> {
    if log.len() > MAX_EVENT_LOG {
        return Err(ReplayError::TooLong { found: log.len() });
    }
    let log = EventLog::new(log)?;
    if !log.has(bank.algorithm()) {
        return Err(ReplayError::NoBank);
    }
    let hash = hash(bank);
    let debug_mode = digest(hash, DEBUG_MODE);
    let separators = SEPARATORS.map(|data| digest(hash, data));
    let mut replayed =
        Replayed { registers: [[0; LONGEST]; MAX_PCRS], bank, debug_mode: false, measured: false };
    // Registers for dynamic launch begin with ones (PC Client Platform TPM Profile, section 4.6.2).
    for register in replayed.registers.iter_mut().take(23).skip(17) {
        *register = [0xff; LONGEST];
    }
    for (number, event) in (1..).zip(log) {
        let event = event?;
        let digest = event.digest(bank.algorithm()).ok_or(EventLogError::Digests { event: number })?;
        let register = usize::try_from(event.register).ok();
        let Some(value) = register.and_then(|register| replayed.registers.get_mut(register)) else {
            return Err(ReplayError::Register { event: number, register: event.register });
        };
        if event.kind == NO_ACTION {
            // It stands before whatever is extended, and changes nothing later.
            if let (0, Some([locality])) = (event.register, event.data.strip_prefix(STARTUP_LOCALITY))
                && *value == [0; LONGEST]
                && let Some(last) = value.get_mut(bank.length() - 1)
            {
                *last = *locality;
            }
            continue;
        }
        if event.register == u32::from(SECURE_BOOT_REGISTER) {
            replayed.debug_mode |= digest == debug_mode.as_ref();
            replayed.measured |= separators.iter().any(|separator| digest == separator.as_ref());
        }
        let mut context = Context::new(hash);
        context.update(value.get(..bank.length()).unwrap_or_default());
        context.update(digest);
        for (to, from) in value.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
    }
    Ok(replayed)
}

const fn hash(bank: Bank) -> &'static Algorithm {
    match bank {
        Bank::Sha256 => &SHA256,
        Bank::Sha384 => &SHA384,
    }
}
