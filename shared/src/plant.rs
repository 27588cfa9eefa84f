//! Defects that parsers of others had, planted in ours for the fuzzing to find. With the feature `plants` alone, which
//! the crate `tests` turns on; even there no configuration, environment or command line of ours reaches them.
//!
//! Parsers are pure functions that get nothing but bytes, so a plant holds for what one thread runs inside of [`with`].

extern crate std;

use core::cell::Cell;

/// A defect. What others had it, and which fuzz target has to find it, stands with the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// DER: a length is taken in a longer form than it needs, so that one certificate has several spellings.
    LongFormLength,
    /// DER: the last byte of a BIT STRING without bits is looked at.
    EmptyBitString,
    /// DER: the length of a UTCTime is not looked at.
    UncheckedTime,
    /// CBOR: a key may come twice in one map.
    DuplicateKey,
    /// CBOR: a length of 32 bits is cut to 16.
    TruncatedLength,
    /// CBOR: nesting is not bounded.
    UnboundedDepth,
    /// TPM 2.0: the length of a sized buffer is believed.
    BelievedSize,
    /// Text: digits are cut out in the middle of a character.
    SplitCharacter,
    /// TLS: ChangeCipherSpec is passed on however often it comes.
    RepeatedChange,
    /// TLS: a server that ends the handshake is taken for one that has proved who it is.
    UnprovedServer,
}

std::thread_local! {
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Whether this defect is planted here and now.
#[must_use]
pub fn has(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Runs `body` with this defect, on this thread; the defect is gone afterwards, also where `body` panics.
pub fn with<R>(plant: Plant, body: impl FnOnce() -> R) -> R {
    struct Dug;
    impl Drop for Dug {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }
    PLANTED.set(Some(plant));
    let _dug = Dug;
    body()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Plant, has, with};

    #[test]
    fn a_plant_ends_with_what_it_was_for() {
        assert!(!has(Plant::DuplicateKey));
        with(Plant::DuplicateKey, || {
            assert!(has(Plant::DuplicateKey) && !has(Plant::BelievedSize));
            assert!(!std::thread::spawn(|| has(Plant::DuplicateKey)).join().unwrap());
        });
        assert!(std::panic::catch_unwind(|| with(Plant::BelievedSize, || panic!("found"))).is_err());
        assert!(!has(Plant::BelievedSize));
    }
}
