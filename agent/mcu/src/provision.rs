//! What the factory writes into a device's flash, and how the device reads it back.
//!
//! One region of flash, written once, apart from the records:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `DEVPROV2` |
//! | 4 | length of the body, little-endian |
//! | 32 | SHA-256 of the body |
//! | n | the body: [`Provision`] in postcard |
//!
//! The checksum finds a torn or rotten region; it proves nothing about who wrote it. The IDevID key has a page of its
//! own: [`crate::custody`].

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::limits::MAX_CHAIN;

/// Longest region, in bytes, header included.
pub const MAX_REGION: usize = 4096;

/// What a device is given at the factory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision<'f> {
    /// Host name or address of the enrollment server.
    pub host: &'f str,
    /// Its TCP port.
    pub port: u16,
    /// Signed trust bundle (COSE_Sign1).
    pub trust_bundle: &'f [u8],
    /// The IDevID's chain in DER, leaf first, trust anchor left out.
    #[serde(borrow)]
    pub idevid_chain: heapless::Vec<&'f [u8], MAX_CHAIN>,
    /// The maker's private enterprise number.
    pub oemid: u32,
    /// Model.
    pub hwmodel: &'f str,
    /// Version of the hardware.
    pub hwversion: &'f str,
}

/// Why a region cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// Never written.
    #[error("the device was not provisioned: the factory region does not begin with DEVPROV2")]
    Blank,
    /// The length or the checksum is wrong.
    #[error("the factory region is damaged")]
    Damaged,
    /// The body is of another version of this layout.
    #[error("the factory region cannot be understood")]
    Form,
    /// Longer than [`MAX_REGION`] or the buffer.
    #[error("the factory region is longer than {MAX_REGION} bytes")]
    TooLong,
}

const MAGIC: [u8; 8] = *b"DEVPROV2";
const HEADER: usize = 8 + 4 + 32;

impl<'f> Provision<'f> {
    /// Reads a region.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(region: &'f [u8]) -> Result<Self, ProvisionError> {
        let (magic, rest) = region.split_first_chunk().ok_or(ProvisionError::Blank)?;
        if *magic != MAGIC {
            return Err(ProvisionError::Blank);
        }
        let (length, rest) = rest.split_first_chunk().ok_or(ProvisionError::Damaged)?;
        let (checksum, rest) = rest.split_first_chunk::<32>().ok_or(ProvisionError::Damaged)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ProvisionError::Damaged)?;
        let body = rest.get(..length).ok_or(ProvisionError::Damaged)?;
        if <[u8; 32]>::from(Sha256::digest(body)) != *checksum {
            return Err(ProvisionError::Damaged);
        }
        postcard::from_bytes(body).map_err(|_| ProvisionError::Form)
    }

    /// Writes a region into `out`; returns its length.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, ProvisionError> {
        let room = out.len().min(MAX_REGION);
        let out = out.get_mut(..room).ok_or(ProvisionError::TooLong)?;
        let (header, body) = out.split_at_mut_checked(HEADER).ok_or(ProvisionError::TooLong)?;
        let length = postcard::to_slice(self, body).map_err(|_| ProvisionError::TooLong)?.len();
        let checksum = Sha256::digest(body.get(..length).unwrap_or_default());
        let count = u32::try_from(length).map_err(|_| ProvisionError::TooLong)?.to_le_bytes();
        let fields = MAGIC.iter().chain(&count).chain(checksum.iter());
        for (place, byte) in header.iter_mut().zip(fields) {
            *place = *byte;
        }
        Ok(HEADER + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Provision<'static> {
        Provision {
            host: "enroll.example",
            port: 8443,
            trust_bundle: b"bundle",
            idevid_chain: heapless::Vec::from_slice(&[&b"leaf"[..], b"issuer"]).unwrap(),
            oemid: 32473,
            hwmodel: "sensor",
            hwversion: "1.0",
        }
    }

    #[test]
    fn what_was_written_is_read_and_every_flipped_bit_is_found() {
        let mut region = [0xff; 512];
        let length = sample().write(&mut region).unwrap();
        assert_eq!(Provision::read(&region), Ok(sample()));
        for bit in 0..length * 8 {
            region[bit / 8] ^= 1 << (bit % 8);
            assert!(Provision::read(&region).is_err(), "bit {bit}");
            region[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn blank_cut_and_short_are_told_apart() {
        assert_eq!(Provision::read(&[0xff; 64]), Err(ProvisionError::Blank));
        let mut region = [0; 512];
        let length = sample().write(&mut region).unwrap();
        assert_eq!(Provision::read(&region[..length - 1]), Err(ProvisionError::Damaged));
        assert_eq!(sample().write(&mut [0; 64]), Err(ProvisionError::TooLong));
    }
}
