//! The form of a stored record: version, postcard body, checksum.
//!
//! The checksum finds bit rot and torn writes, and a record that lies in another record's place. It is no
//! protection against someone who writes to the flash.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::platform::{Record, StorageError};

/// Version of all records; a record of another version is not read.
const VERSION: u8 = 1;
/// Bytes of SHA-256 that are kept.
const CHECKSUM: usize = 8;

/// The record is not whole, of another version, or another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Writes a record to the front of `out`; returns its length.
pub(crate) fn seal<T: Serialize>(record: Record, body: &T, out: &mut [u8]) -> Result<usize, StorageError> {
    let (version, rest) = out.split_first_mut().ok_or(StorageError::TooLong)?;
    *version = VERSION;
    let length = postcard::to_slice(body, rest).map_err(|_| StorageError::TooLong)?.len();
    let (written, free) = rest.split_at_mut_checked(length).ok_or(StorageError::TooLong)?;
    let place = free.first_chunk_mut::<CHECKSUM>().ok_or(StorageError::TooLong)?;
    *place = checksum(record, written);
    Ok(1 + length + CHECKSUM)
}

/// Reads a record.
pub(crate) fn open<'b, T: Deserialize<'b>>(record: Record, bytes: &'b [u8]) -> Result<T, Damaged> {
    let (version, rest) = bytes.split_first().ok_or(Damaged)?;
    let (body, found) = rest.split_last_chunk::<CHECKSUM>().ok_or(Damaged)?;
    if *version != VERSION || *found != checksum(record, body) {
        return Err(Damaged);
    }
    let (value, left) = postcard::take_from_bytes(body).map_err(|_| Damaged)?;
    if left.is_empty() { Ok(value) } else { Err(Damaged) }
}

fn checksum(record: Record, body: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update([VERSION, record.number()]).chain_update(body).finalize();
    let mut short = [0; CHECKSUM];
    for (to, from) in short.iter_mut().zip(digest) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Damaged, open, seal};
    use crate::platform::{Record, StorageError};
    use proptest::prelude::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let mut out = [0; 64];
        let length = seal(Record::KeyA, &(7_u32, [9_u8; 20]), &mut out).unwrap();
        let whole = &out[..length];
        assert_eq!(open::<(u32, [u8; 20])>(Record::KeyA, whole), Ok((7, [9; 20])));
        assert_eq!(open::<(u32, [u8; 20])>(Record::KeyB, whole), Err(Damaged), "another record's place");
        for bit in 0..length * 8 {
            let mut rotten = out;
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open::<(u32, [u8; 20])>(Record::KeyA, &rotten[..length]), Err(Damaged), "bit {bit}");
        }
        for cut in 0..length {
            assert_eq!(open::<(u32, [u8; 20])>(Record::KeyA, &out[..cut]), Err(Damaged), "cut {cut}");
        }
    }

    #[test]
    fn a_record_that_does_not_fit_is_refused() {
        for room in 0..13 {
            assert_eq!(seal(Record::State, &[1_u8; 5], &mut [0; 13][..room]), Err(StorageError::TooLong));
        }
        assert_eq!(seal(Record::State, &[1_u8; 5], &mut [0; 14]), Ok(14));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(open::<(u64, [u8; 4])>(Record::State, &bytes), Err(Damaged));
        }
    }
}
