//! Event logs, built here byte by byte: what they come to, and what is refused.

use appraisal::tpm::{ReplayError, replay};
use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest};
use proptest::prelude::*;
use shared::evidence::DebugStatus;
use shared::tpm2::Bank;
use shared::tpm2::event_log::EventLogError;

const NO_ACTION: u32 = 3;
const SEPARATOR: u32 = 4;
const ACTION: u32 = 0x8000_0007;
const ALGORITHMS: [(u16, &Algorithm); 3] = [(4, &SHA1_FOR_LEGACY_USE_ONLY), (0x0b, &SHA256), (0x0c, &SHA384)];

/// The header event with these algorithms.
fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut spec = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
    spec.extend(u32::try_from(algorithms.len()).unwrap().to_le_bytes());
    for (id, length) in algorithms {
        spec.extend([id.to_le_bytes(), length.to_le_bytes()].as_flattened());
    }
    spec.push(0);
    let mut log = [0_u32.to_le_bytes(), NO_ACTION.to_le_bytes()].as_flattened().to_vec();
    log.extend([0; 20]);
    log.extend(u32::try_from(spec.len()).unwrap().to_le_bytes());
    log.extend(spec);
    log
}

fn event(register: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut event = [register, kind, 3].map(u32::to_le_bytes).as_flattened().to_vec();
    for (id, algorithm) in ALGORITHMS {
        event.extend(id.to_le_bytes());
        event.extend(digest(algorithm, data).as_ref());
    }
    event.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    event.extend(data);
    event
}

fn log(events: &[Vec<u8>]) -> Vec<u8> {
    [header(&[(4, 20), (0x0b, 32), (0x0c, 48)]), events.concat()].concat()
}

#[test]
fn a_log_comes_to_the_registers_in_both_banks() {
    let log = log(&[event(0, 8, b"firmware"), event(7, SEPARATOR, &[0; 4]), event(0, SEPARATOR, &[0; 4])]);
    for (bank, algorithm, length) in [(Bank::Sha256, &SHA256, 32), (Bank::Sha384, &SHA384, 48)] {
        let extend = |value: &[u8], data: &[u8]| {
            digest(algorithm, &[value, digest(algorithm, data).as_ref()].concat()).as_ref().to_vec()
        };
        let replayed = replay(&log, bank).unwrap();
        let zero = vec![0; length];
        assert_eq!(replayed.register(0), extend(&extend(&zero, b"firmware"), &[0; 4]));
        assert_eq!(replayed.register(7), extend(&zero, &[0; 4]));
        assert_eq!(replayed.register(1), zero);
        assert_eq!(replayed.register(17), vec![0xff; length], "begins with ones");
        assert_eq!(replayed.debug(), Some(DebugStatus::Disabled));
    }
}

#[test]
fn the_debug_state_is_that_of_the_digests_and_not_of_the_data() {
    let debug = |events: &[Vec<u8>]| replay(&log(events), Bank::Sha256).unwrap().debug();
    let open = event(7, ACTION, b"UEFI Debug Mode");
    assert_eq!(debug(&[open.clone(), event(7, SEPARATOR, &[0; 4])]), Some(DebugStatus::Enabled));
    // The data says something harmless, the digest does not.
    let mut relabelled = open;
    let length = relabelled.len();
    relabelled[length - 15..].copy_from_slice(b"Nothing to see.");
    assert_eq!(debug(&[relabelled, event(7, SEPARATOR, &[0; 4])]), Some(DebugStatus::Enabled));
    // Firmware that never measured its security says nothing of it.
    assert_eq!(debug(&[event(0, SEPARATOR, &[0; 4])]), None);
    assert_eq!(debug(&[]), None);
}

#[test]
fn the_startup_locality_counts_once_and_first() {
    let locality = event(0, NO_ACTION, b"StartupLocality\0\x03");
    let first = replay(&log(core::slice::from_ref(&locality)), Bank::Sha256).unwrap();
    assert_eq!(first.register(0), [&[0; 31][..], &[3]].concat());
    let measured = event(0, 8, b"firmware");
    let alone = replay(&log(core::slice::from_ref(&measured)), Bank::Sha256).unwrap();
    // Behind a measurement it takes nothing back.
    let late = replay(&log(&[measured, locality]), Bank::Sha256).unwrap();
    assert_eq!(late, alone);
}

#[test]
fn what_is_no_log_is_refused_by_name() {
    let all = [(4, 20), (0x0b, 32), (0x0c, 48)];
    let good = event(0, 8, b"firmware");
    let refused = |log: &[u8]| replay(log, Bank::Sha256).unwrap_err();
    let unread = |log: &[u8]| match refused(log) {
        ReplayError::Log(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(unread(&[]), EventLogError::Truncated { event: 0, field: "register" });
    assert_eq!(refused(&vec![0; 48 * 1024 + 1]), ReplayError::TooLong { found: 48 * 1024 + 1 });
    assert_eq!(unread(&header(&[])), EventLogError::Header);
    assert_eq!(unread(&header(&[(0x0b, 20)])), EventLogError::Header, "a digest of the wrong length");
    assert_eq!(unread(&header(&[(0x0b, 32), (0x0b, 32)])), EventLogError::Header, "one twice");
    assert_eq!(refused(&header(&[(4, 20)])), ReplayError::NoBank);
    // The header of the form before, with SHA-1 only.
    let mut old_form = header(&all);
    old_form[32 + 14] = b'2';
    assert_eq!(unread(&old_form), EventLogError::Header);
    let fewer = [header(&all[..2]), good.clone()].concat();
    assert_eq!(unread(&fewer), EventLogError::Digests { event: 1 });
    let mut twice = log(core::slice::from_ref(&good));
    let at = header(&all).len() + 12;
    // The first digest is called SHA-256 as well: another length would follow.
    twice[at] = 0x0b;
    assert!(matches!(unread(&twice), EventLogError::Digests { .. } | EventLogError::Truncated { .. }));
    assert_eq!(refused(&log(&[event(24, 8, b"x")])), ReplayError::Register { event: 1, register: 24 });
    let mut huge = log(&[good]);
    let length = huge.len() - b"firmware".len() - 4;
    huge[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(unread(&huge), EventLogError::Truncated { event: 1, field: "data" });
}

proptest! {
    #[test]
    fn a_cut_log_is_refused_or_ends_between_two_events(cut in 0_usize..400) {
        let events = [event(0, 8, b"a"), event(7, SEPARATOR, &[0; 4])];
        let whole = log(&events);
        let cut = cut.min(whole.len());
        let between = (0..=events.len()).any(|count| log(&events[..count]).len() == cut);
        prop_assert_eq!(replay(&whole[..cut], Bank::Sha256).is_ok(), between);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), bank in 0..2) {
        let bank = if bank == 0 { Bank::Sha256 } else { Bank::Sha384 };
        let behind_a_header = [header(&[(0x0b, 32), (0x0c, 48)]), bytes.clone()].concat();
        let _verdicts = (replay(&bytes, bank), replay(&behind_a_header, bank));
    }
}
