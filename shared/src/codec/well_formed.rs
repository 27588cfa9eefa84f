//! Checks one whole item: well formed, deterministic, bounded in depth. Iterative: depth costs no stack.

use super::DecodeError;
use crate::limits::MAX_DEPTH;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Checks that `bytes` are exactly one item in core deterministic encoding (RFC 8949, section 4.2.1), no
/// longer than `limit` and no deeper than [`MAX_DEPTH`]. Floating-point numbers are not part of the protocol.
///
/// # Errors
/// Says what is wrong and where.
pub fn check(bytes: &[u8], limit: usize) -> Result<(), DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { limit, found: bytes.len() });
    }
    let mut stack: heapless::Vec<Level, MAX_DEPTH> = heapless::Vec::new();
    let mut at = 0;
    loop {
        let head = head(bytes, at)?;
        let after_head = at + head.length;
        let mut next = after_head;
        let mut opened = None;
        match head.major {
            UNSIGNED | NEGATIVE => {}
            BYTES | TEXT => {
                let length = usize::try_from(head.value).map_err(|_| DecodeError::Truncated { at })?;
                next = after_head.checked_add(length).ok_or(DecodeError::Truncated { at })?;
                let body = bytes.get(after_head..next).ok_or(DecodeError::Truncated { at })?;
                if head.major == TEXT && core::str::from_utf8(body).is_err() {
                    return Err(DecodeError::NotDeterministic { at });
                }
            }
            ARRAY => opened = Some(Level::array(head.value)),
            MAP => opened = Some(Level::map(head.value, at)?),
            TAG => opened = Some(Level::array(1)),
            // 20 to 22: false, true, null. Everything else is unused here.
            _ => {
                if !(20..=22).contains(&head.value) || head.length != 1 {
                    return Err(DecodeError::NotDeterministic { at });
                }
            }
        }
        if let Some(level) = opened {
            if let Some(parent) = stack.last_mut() {
                parent.begin_item(bytes, at, None)?;
            }
            stack.push(level).map_err(|_| DecodeError::TooDeep { limit: MAX_DEPTH })?;
        } else if let Some(parent) = stack.last_mut() {
            parent.begin_item(bytes, at, Some(next))?;
        }
        at = next;
        while stack.last().is_some_and(|level| level.left == 0) {
            stack.pop();
        }
        if stack.is_empty() {
            return if at == bytes.len() { Ok(()) } else { Err(DecodeError::TrailingBytes { at }) };
        }
    }
}

/// A container that is open: how many items it still holds, and for a map the key before.
struct Level {
    left: u64,
    is_map: bool,
    previous_key: Option<(usize, usize)>,
}

impl Level {
    fn array(items: u64) -> Self {
        Self { left: items, is_map: false, previous_key: None }
    }

    fn map(pairs: u64, at: usize) -> Result<Self, DecodeError> {
        let left = pairs.checked_mul(2).ok_or(DecodeError::Truncated { at })?;
        Ok(Self { left, is_map: true, previous_key: None })
    }

    /// Counts an item that begins at `at` and, when it is no container, ends at `end`.
    fn begin_item(&mut self, bytes: &[u8], at: usize, end: Option<usize>) -> Result<(), DecodeError> {
        let is_key = self.is_map && self.left.is_multiple_of(2);
        if is_key {
            // Containers as keys are of no use here and would make the comparison unbounded.
            let end = end.ok_or(DecodeError::NotDeterministic { at })?;
            if let Some((start, stop)) = self.previous_key {
                let (before, key) = (bytes.get(start..stop), bytes.get(at..end));
                let ascends = before < key;
                #[cfg(feature = "plants")]
                let ascends =
                    ascends || crate::plant::has(crate::plant::Plant::DuplicateKey) && before == key;
                if !ascends {
                    return Err(DecodeError::NotDeterministic { at });
                }
            }
            self.previous_key = Some((at, end));
        }
        self.left -= 1;
        Ok(())
    }
}

struct Head {
    major: u8,
    value: u64,
    length: usize,
}

fn head(bytes: &[u8], at: usize) -> Result<Head, DecodeError> {
    let truncated = DecodeError::Truncated { at };
    let initial = *bytes.get(at).ok_or(truncated)?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    let extra = match info {
        0..=23 => return Ok(Head { major, value: u64::from(info), length: 1 }),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(DecodeError::NotDeterministic { at }),
    };
    let argument = bytes.get(at + 1..at + 1 + extra).ok_or(truncated)?;
    let value: u64 = argument.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let shortest = match extra {
        1 => value >= 24,
        2 => value > 0xff,
        4 => value > 0xffff,
        _ => value > 0xffff_ffff,
    };
    #[cfg(feature = "plants")]
    let value = if crate::plant::has(crate::plant::Plant::TruncatedLength) && extra == 4 && shortest {
        value & 0xffff
    } else {
        value
    };
    if shortest {
        Ok(Head { major, value, length: 1 + extra })
    } else {
        Err(DecodeError::NotDeterministic { at })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{DecodeError, check};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn reason(hex_text: &str) -> Result<(), DecodeError> {
        check(&hex::decode(hex_text).unwrap(), 4096)
    }

    #[test]
    fn deterministic_items_pass() {
        for item in [
            "00",
            "1818",
            "20",
            "40",
            "43010203",
            "6161",
            "80",
            "a0",
            "a201020203",
            "d28440a04040",
            "f4",
            "f6",
        ] {
            assert_eq!(reason(item), Ok(()), "{item}");
        }
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(reason(""), Err(DecodeError::Truncated { at: 0 }));
        assert_eq!(reason("43"), Err(DecodeError::Truncated { at: 0 }));
        assert_eq!(reason("5bffffffffffffffff"), Err(DecodeError::Truncated { at: 0 }));
        assert_eq!(reason("bbffffffffffffffff"), Err(DecodeError::Truncated { at: 0 }));
        assert_eq!(reason("0000"), Err(DecodeError::TrailingBytes { at: 1 }));
        for not_deterministic in
            ["1817", "9fff", "5f40ff", "a202010102", "a201010102", "61ff", "f90000", "f7", "a18001"]
        {
            assert!(
                matches!(reason(not_deterministic), Err(DecodeError::NotDeterministic { .. })),
                "{not_deterministic}"
            );
        }
    }

    #[test]
    fn a_hundred_thousand_levels_end_at_the_cap() {
        for opener in [0x81, 0xd2, 0xa1] {
            let mut deep = vec![opener; 100_000];
            deep.push(0);
            assert!(check(&deep, usize::MAX).is_err());
        }
        assert_eq!(check(&[0x81; 9], 9), Err(DecodeError::TooDeep { limit: 8 }));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _verdict = check(&bytes, 256);
        }

        #[test]
        fn what_passes_is_read_the_same_by_an_independent_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if check(&bytes, 256).is_ok() {
                let value: serde_cbor::Value = serde_cbor::from_slice(&bytes).unwrap();
                let again: Vec<u8> = serde_cbor::to_vec(&value).unwrap();
                // Tags are dropped by that decoder; everything else must come out byte for byte.
                if !bytes.iter().any(|b| b >> 5 == 6) {
                    prop_assert_eq!(again, bytes);
                }
            }
        }
    }
}
