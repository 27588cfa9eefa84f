//! The firmware's event log in its crypto-agile form (TCG PC Client Platform Firmware Profile, section 10.2), cut down
//! to what the quoted registers need.
//!
//! Replayed, it comes to the same values for those registers; the other registers' events, an operating system's
//! most of all, would fill the evidence for nothing. Whether the log is true is the server's judgement.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use agent_core::platform::{AttestError, KeyError, StorageError};
use shared::limits::MAX_EVENT_LOG;
use shared::tpm2::event_log::EventLog;

/// Longest log that is read, in bytes. The kernel's file has no length before it is read.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// Reads the log as it is now, with the events of these registers. A log that is of another form is left whole, so that
/// the server can say what is wrong with it.
pub(super) fn read(path: &Path, registers: &[u8]) -> Result<Vec<u8>, AttestError> {
    let mut log = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut log));
    if let Err(error) = read {
        tracing::error!(path = %path.display(), %error, "the firmware's event log cannot be read");
        return Err(KeyError::Storage(StorageError::Medium).into());
    }
    let found = log.len();
    let log = of_registers(&log, registers).unwrap_or(log);
    if log.len() > MAX_EVENT_LOG {
        tracing::error!(
            path = %path.display(),
            found,
            needed = log.len(),
            allowed = MAX_EVENT_LOG,
            "the firmware's event log is too long, even with nothing but the events of the quoted registers; quote fewer \
             (identity.tpm_registers)"
        );
        return Err(AttestError::TooLong);
    }
    Ok(log)
}

/// The header and the events of these registers, in their order; `None` where the log cannot be read to its end. Events
/// that are not extended (EV_NO_ACTION) belong to a register too: the one that says where register 0 begins goes with it.
fn of_registers(log: &[u8], registers: &[u8]) -> Option<Vec<u8>> {
    let log = EventLog::new(log).ok()?;
    let mut kept = log.header().to_vec();
    for event in log {
        let event = event.ok()?;
        if registers.iter().any(|quoted| u32::from(*quoted) == event.register) {
            kept.extend(event.bytes);
        }
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::{AttestError, MAX_EVENT_LOG, of_registers, read};

    const NO_ACTION: u32 = 3;
    const SEPARATOR: u32 = 4;
    const IPL: u32 = 13;

    /// A log with SHA-1 and SHA-256 digests.
    fn header() -> Vec<u8> {
        let mut spec = b"Spec ID Event03\0".to_vec();
        spec.extend([0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 4, 0, 20, 0, 0x0b, 0, 32, 0, 0]);
        let mut log = [&[0, 0, 0, 0, 3, 0, 0, 0][..], &[0; 20]].concat();
        log.extend(u32::try_from(spec.len()).unwrap().to_le_bytes());
        log.extend(spec);
        log
    }

    fn event(register: u32, kind: u32, data: &[u8]) -> Vec<u8> {
        let mut event = [register, kind, 2].map(u32::to_le_bytes).as_flattened().to_vec();
        event.extend([&[4, 0][..], &[9; 20], &[0x0b, 0], &[8; 32]].concat());
        event.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        event.extend(data);
        event
    }

    #[test]
    fn the_quoted_registers_events_are_kept_in_their_order_and_no_others() {
        let locality = event(0, NO_ACTION, b"StartupLocality\0\x03");
        // Section 10.4.5: what says nothing of any register.
        let reference = event(u32::MAX, NO_ACTION, b"SP800-155 Event3");
        let (zero, seven, four) =
            (event(0, SEPARATOR, &[0; 4]), event(7, SEPARATOR, &[0; 4]), event(4, 8, b""));
        let kernel = event(9, IPL, &[0x55; 3000]);
        let log = [&header()[..], &locality, &reference, &seven, &kernel, &zero, &kernel, &four].concat();
        let wanted = [&header()[..], &locality, &seven, &zero, &four].concat();
        assert_eq!(of_registers(&log, &[0, 2, 4, 7]).unwrap(), wanted);
        assert_eq!(of_registers(&log, &[7]).unwrap(), [header(), seven].concat());
        assert_eq!(of_registers(&header(), &[0]).unwrap(), header());
        // Cut off, at each byte that is not the end of an event: it is not ours to mend.
        let ends = [&header()[..], &locality].concat().len();
        let cut = (ends + 1..ends + reference.len()).filter_map(|at| of_registers(&log[..at], &[0]));
        assert_eq!(cut.count(), 0);
        assert_eq!(of_registers(b"none", &[0]), None);
    }

    #[test]
    fn a_log_that_outgrew_the_evidence_by_other_registers_is_sent_all_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = |log: &[u8], registers: &[u8]| {
            std::fs::write(file.path(), log).unwrap();
            read(file.path(), registers)
        };
        let seven = event(7, SEPARATOR, &[0; 4]);
        let kernel = event(9, IPL, &[0x55; 3000]).repeat(40);
        let log = [&header()[..], &kernel, &seven].concat();
        assert!(log.len() > MAX_EVENT_LOG);
        assert_eq!(written(&log, &[0, 2, 4, 7]), Ok([&header()[..], &seven].concat()));
        assert_eq!(written(&log, &[7, 9]), Err(AttestError::TooLong));
        // What cannot be read is for the server to judge, as long as there is room for it.
        assert_eq!(written(b"none", &[7]), Ok(b"none".to_vec()));
        assert_eq!(written(&vec![1; MAX_EVENT_LOG + 1], &[7]), Err(AttestError::TooLong));
    }
}
