//! The trust bundle in force: which servers and brokers a device believes, and which bundle may follow.
//!
//! A bundle that was taken once is not verified against its predecessor again: it lies in the device's own
//! storage, and the signer before may be gone. Nothing here looks into the anchors; that is [`crate::x509`].

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use shared::codec::DecodeError;
use shared::cose::{Content, Sign1};
use shared::limits::{MAX_ANSWER, MAX_REQUEST, MAX_TRUST_BUNDLE};
use shared::message::latest::{SIGNER_KEY, TrustBundle};

use crate::platform::{Record, Storage, StorageError};
use crate::slots::record;

/// Why a trust bundle was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// None is stored, and none was provisioned.
    #[error("there is no trust bundle")]
    Missing,
    /// It cannot be read.
    #[error("the trust bundle cannot be read: {0}")]
    Message(#[from] DecodeError),
    /// Its signature is not by the signer that the bundle in force names.
    #[error("the trust bundle is not signed by the expected signer")]
    Signature,
    /// The signer's key is no point on P-256.
    #[error("the signer of the trust bundle is no P-256 key")]
    Signer,
    /// Its number is lower than that of the bundle in force, or equal with another content.
    #[error("trust bundle {offered} does not follow the one in force, {held}")]
    NotNewer {
        /// Number of the bundle in force.
        held: u64,
        /// Number of the bundle offered.
        offered: u64,
    },
}

/// The trust bundle in force, held in RAM: every connection needs its anchors.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    signed: heapless::Vec<u8, MAX_TRUST_BUNDLE>,
}

impl TrustAnchors {
    /// No bundle: nothing is trusted.
    #[must_use]
    pub const fn none() -> Self {
        Self { signed: heapless::Vec::new() }
    }

    /// The bundle.
    ///
    /// # Errors
    /// [`TrustError::Missing`] before [`load`](Self::load).
    pub fn bundle(&self) -> Result<TrustBundle<'_>, TrustError> {
        if self.signed.is_empty() {
            return Err(TrustError::Missing);
        }
        payload(&self.signed)
    }

    /// The bundle as it was signed.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// Takes the stored bundle or the provisioned one into RAM, whichever has the higher number. `buffer` holds
    /// the longest record of a bundle.
    ///
    /// # Errors
    /// Says what is wrong with the provisioned bundle where none is stored.
    pub async fn load(
        &mut self,
        storage: &mut impl Storage,
        provisioned: &[u8],
        buffer: &mut [u8],
    ) -> Result<Result<(), TrustError>, StorageError> {
        let stored = match storage.load(Record::Trust, buffer).await {
            Ok(length) => length.and_then(|length| read(buffer.get(..length)?)),
            Err(StorageError::TooLong) => None,
            Err(error) => return Err(error),
        };
        let provisioned = self_signed(provisioned);
        let signed = match (stored, provisioned) {
            (Some(stored), Ok(provisioned)) if stored.number >= provisioned.number => stored.signed,
            (_, Ok(provisioned)) => provisioned.signed,
            (Some(stored), Err(_)) => stored.signed,
            (None, Err(error)) => return Ok(Err(error)),
        };
        self.replace(signed)?;
        Ok(Ok(()))
    }

    /// Verifies a bundle offered by the server: whether it follows the one in force.
    ///
    /// # Errors
    /// Says why it does not.
    pub fn verify<'o>(&self, offered: &'o [u8]) -> Result<Offer<'o>, TrustError> {
        let held = self.bundle()?;
        if offered == self.signed() {
            return Ok(Offer::Same);
        }
        let bundle = signed_by(offered, held.signer)?;
        if bundle.number <= held.number {
            return Err(TrustError::NotNewer { held: held.number, offered: bundle.number });
        }
        Ok(Offer::Newer(Newer { signed: offered, number: bundle.number }))
    }

    /// Makes a verified bundle durable, and then the one in force.
    ///
    /// # Errors
    /// Where storage fails; the bundle before stays in force.
    pub async fn take(
        &mut self,
        offer: Newer<'_>,
        storage: &mut impl Storage,
        buffer: &mut [u8],
    ) -> Result<(), StorageError> {
        let length = record::seal(Record::Trust, &offer.signed, buffer)?;
        storage.store(Record::Trust, buffer.get(..length).ok_or(StorageError::TooLong)?).await?;
        self.replace(offer.signed)
    }

    /// In place: a second copy would be 4 KiB of stack.
    fn replace(&mut self, signed: &[u8]) -> Result<(), StorageError> {
        self.signed.clear();
        self.signed.extend_from_slice(signed).map_err(|_| StorageError::TooLong)
    }
}

/// What an offered bundle is.
#[derive(Debug)]
pub enum Offer<'o> {
    /// The one in force, byte for byte.
    Same,
    /// The one to follow.
    Newer(Newer<'o>),
}

/// A bundle that was verified to follow the one in force. Made by [`TrustAnchors::verify`] only.
#[derive(Debug)]
pub struct Newer<'o> {
    signed: &'o [u8],
    number: u64,
}

impl Newer<'_> {
    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// A bundle's number with its signed bytes.
struct Numbered<'b> {
    number: u64,
    signed: &'b [u8],
}

/// A stored bundle: its record's checksum was checked, its signature when it was taken.
fn read(bytes: &[u8]) -> Option<Numbered<'_>> {
    let signed: &[u8] = record::open(Record::Trust, bytes).ok()?;
    Some(Numbered { number: payload(signed).ok()?.number, signed })
}

/// A provisioned bundle: trusted because it was put there, but it has to be whole.
fn self_signed(signed: &[u8]) -> Result<Numbered<'_>, TrustError> {
    if signed.is_empty() {
        return Err(TrustError::Missing);
    }
    let signer = *payload(signed)?.signer;
    Ok(Numbered { number: signed_by(signed, &signer)?.number, signed })
}

fn payload(signed: &[u8]) -> Result<TrustBundle<'_>, TrustError> {
    let sign1 = Sign1::decode(signed, Content::TrustBundle, MAX_TRUST_BUNDLE)?;
    Ok(TrustBundle::decode(sign1.unverified_payload())?)
}

fn signed_by<'b>(signed: &'b [u8], signer: &[u8; SIGNER_KEY]) -> Result<TrustBundle<'b>, TrustError> {
    let sign1 = Sign1::decode(signed, Content::TrustBundle, MAX_TRUST_BUNDLE)?;
    let key = VerifyingKey::from_sec1_bytes(signer).map_err(|_| TrustError::Signer)?;
    let signature = Signature::from_slice(sign1.signature()).map_err(|_| TrustError::Signature)?;
    let mut hash = Sha256::new();
    sign1.signed_bytes(|part| hash.update(part));
    key.verify_prehash(&hash.finalize(), &signature).map_err(|_| TrustError::Signature)?;
    let bundle = TrustBundle::decode(sign1.unverified_payload())?;
    // A bundle whose own signer is no key could never be followed by another.
    VerifyingKey::from_sec1_bytes(bundle.signer).map_err(|_| TrustError::Signer)?;
    Ok(bundle)
}

/// Room for the record of any bundle: what is added is 11 bytes.
pub const LONGEST_TRUST_RECORD: usize = MAX_TRUST_BUNDLE + 16;
// It fits the protocol's buffers.
const _: () = assert!(LONGEST_TRUST_RECORD <= MAX_ANSWER && LONGEST_TRUST_RECORD <= MAX_REQUEST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bundle_has_room_as_a_record() {
        let mut room = [0; LONGEST_TRUST_RECORD];
        let length = record::seal(Record::Trust, &&[0xff_u8; MAX_TRUST_BUNDLE][..], &mut room).unwrap();
        assert!(length > MAX_TRUST_BUNDLE);
        let signed: &[u8] = record::open(Record::Trust, &room[..length]).unwrap();
        assert_eq!(signed, [0xff; MAX_TRUST_BUNDLE]);
    }
}
