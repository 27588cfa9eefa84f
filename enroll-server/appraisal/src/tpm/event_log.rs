//! The firmware's event log in its crypto-agile form (TCG PC Client Platform Firmware Profile, section 10.2),
//! replayed: extended once more, event by event, it has to come to the registers that the TPM quotes.
//!
//! The log is a claim of the platform's software. Only the digests are held together by the registers, so nothing
//! is concluded from an event's data unless its digest was looked for.

use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA384, digest};
use shared::evidence::DebugStatus;
use shared::limits::MAX_EVENT_LOG;
use shared::tpm2::{Bank, MAX_PCRS, algorithm};

/// The register that holds the state of secure boot, debug mode included (section 3.3.4.8).
pub(super) const SECURE_BOOT_REGISTER: u8 = 7;

/// Why an event log cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// Longer than [`MAX_EVENT_LOG`].
    #[error("an event log of {found} bytes; {MAX_EVENT_LOG} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// It ends in the middle of an event.
    #[error("an event log that ends in the middle of event {event}, in its {field}")]
    Truncated {
        /// Number of the event, from 0.
        event: usize,
        /// The field that is not all there.
        field: &'static str,
    },
    /// The first event does not say that the log is crypto-agile.
    #[error("an event log without the header of a crypto-agile one (\"Spec ID Event03\")")]
    Header,
    /// The log's header does not have the quoted bank.
    #[error("an event log without digests of the quoted bank")]
    NoBank,
    /// An event has no digest of the quoted bank, or two of one algorithm, or one that the header does not list.
    #[error("event {event} has not exactly one digest of each algorithm in the log's header")]
    Digests {
        /// Number of the event.
        event: usize,
    },
    /// An event is for a register that no platform has.
    #[error("event {event} is for register {register}")]
    Register {
        /// Number of the event.
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
/// EV_NO_ACTION: not extended (section 10.4.1).
const NO_ACTION: u32 = 3;
/// What EV_EFI_ACTION measures where a debugger of the firmware may be attached (section 3.3.4.8).
const DEBUG_MODE: &[u8] = b"UEFI Debug Mode";
/// What EV_SEPARATOR measures where the firmware hands over without an error (section 10.4.1).
const SEPARATORS: [&[u8]; 2] = [&[0; 4], &[0xff; 4]];
/// Signature of the header event (section 10.4.5.1).
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
/// Says from which locality register 0 was begun (section 10.4.5.3).
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";
/// Most algorithms in a log's header.
const MAX_ALGORITHMS: usize = 8;

/// Replays a log for one bank.
///
/// # Errors
/// Says why it cannot be read.
pub fn replay(log: &[u8], bank: Bank) -> Result<Replayed, EventLogError> {
    if log.len() > MAX_EVENT_LOG {
        return Err(EventLogError::TooLong { found: log.len() });
    }
    let mut reader = Events { left: log, event: 0 };
    let algorithms = header(&mut reader)?;
    let listed = algorithms.iter().find(|(id, _)| *id == bank.algorithm());
    if listed.is_none_or(|(_, length)| *length != bank.length()) {
        return Err(EventLogError::NoBank);
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
    while !reader.left.is_empty() {
        reader.event += 1;
        let event = reader.next(&algorithms, bank)?;
        let register = usize::try_from(event.register).ok();
        let Some(value) = register.and_then(|register| replayed.registers.get_mut(register)) else {
            return Err(EventLogError::Register { event: reader.event, register: event.register });
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
            replayed.debug_mode |= event.digest == debug_mode.as_ref();
            replayed.measured |= separators.iter().any(|separator| event.digest == separator.as_ref());
        }
        let mut context = Context::new(hash);
        context.update(value.get(..bank.length()).unwrap_or_default());
        context.update(event.digest);
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

/// An algorithm's identifier and the length of its digests.
type Listed = (u16, usize);

/// Reads the first event, which has the old form (section 10.2.1), and gives the algorithms it lists.
fn header(reader: &mut Events<'_>) -> Result<Vec<Listed>, EventLogError> {
    let register = reader.u32("register")?;
    let kind = reader.u32("type")?;
    let _sha1 = reader.take(20, "digest")?;
    let length = reader.length("data")?;
    let data = reader.take(length, "data")?;
    let mut spec = Events { left: data, event: 0 };
    if (register, kind) != (0, NO_ACTION) || spec.take(SPEC_ID.len(), "header").ok() != Some(SPEC_ID) {
        return Err(EventLogError::Header);
    }
    // Platform class, version and the size of a native integer are of no use here.
    let _class_and_versions = spec.take(8, "header")?;
    let count = spec.length("header")?;
    if !(1..=MAX_ALGORITHMS).contains(&count) {
        return Err(EventLogError::Header);
    }
    let mut algorithms: Vec<Listed> = Vec::with_capacity(count);
    for _ in 0..count {
        let (id, length) = (spec.u16("header")?, usize::from(spec.u16("header")?));
        let known = match id {
            algorithm::SHA1 => Some(20),
            algorithm::SHA256 | algorithm::SM3_256 => Some(32),
            algorithm::SHA384 => Some(48),
            algorithm::SHA512 => Some(64),
            _ => None,
        };
        let sound = known.map_or_else(|| (1..=64).contains(&length), |known| known == length);
        if !sound || algorithms.iter().any(|(other, _)| *other == id) {
            return Err(EventLogError::Header);
        }
        algorithms.push((id, length));
    }
    Ok(algorithms)
}

struct Event<'l> {
    register: u32,
    kind: u32,
    digest: &'l [u8],
    data: &'l [u8],
}

/// What is left of a log; numbers are little-endian.
struct Events<'l> {
    left: &'l [u8],
    event: usize,
}

impl<'l> Events<'l> {
    /// TCG_PCR_EVENT2 (section 10.2.2).
    fn next(&mut self, algorithms: &[Listed], bank: Bank) -> Result<Event<'l>, EventLogError> {
        let register = self.u32("register")?;
        let kind = self.u32("type")?;
        let wrong = EventLogError::Digests { event: self.event };
        if self.length("digests")? != algorithms.len() {
            return Err(wrong);
        }
        let mut seen = [false; MAX_ALGORITHMS];
        let mut found = None;
        for _ in algorithms {
            let id = self.u16("digests")?;
            let at = algorithms.iter().position(|(listed, _)| *listed == id).ok_or(wrong)?;
            let (_, length) = algorithms.get(at).ok_or(wrong)?;
            let digest = self.take(*length, "digests")?;
            if core::mem::replace(seen.get_mut(at).ok_or(wrong)?, true) {
                return Err(wrong);
            }
            if id == bank.algorithm() {
                found = Some(digest);
            }
        }
        let length = self.length("data")?;
        let data = self.take(length, "data")?;
        Ok(Event { register, kind, digest: found.ok_or(wrong)?, data })
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'l [u8], EventLogError> {
        let truncated = EventLogError::Truncated { event: self.event, field };
        let (taken, left) = self.left.split_at_checked(length).ok_or(truncated)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], EventLogError> {
        let truncated = EventLogError::Truncated { event: self.event, field };
        self.take(N, field)?.try_into().map_err(|_| truncated)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, EventLogError> {
        self.array(field).map(u16::from_le_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, EventLogError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn length(&mut self, field: &'static str) -> Result<usize, EventLogError> {
        let truncated = EventLogError::Truncated { event: self.event, field };
        usize::try_from(self.u32(field)?).map_err(|_| truncated)
    }
}
