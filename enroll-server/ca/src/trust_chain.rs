//! All trust bundles there were, in order, and which of them a device takes next.
//!
//! A device takes a bundle if its number is higher and it is signed by the key that the device's own bundle names. As
//! long as one key signs, a device that was away takes the newest at once; where the key was changed in between, it
//! needs the bundle that names the next one first. Bundles are read and verified here; whether an anchor belongs in one
//! is for the caller.

use shared::UnixTime;
use shared::codec::DecodeError;
use shared::cose::{Content, Sign1};
use shared::limits;
use shared::message::latest::{SIGNER_KEY, TrustBundle};

use crate::bundle::{self, BundleError};

/// One signed bundle, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    number: u64,
    made: UnixTime,
    signer: [u8; SIGNER_KEY],
    anchors: Vec<Vec<u8>>,
    signed: Vec<u8>,
}

impl Link {
    fn new(signed: &[u8], bundle: &TrustBundle<'_>) -> Self {
        Self {
            number: bundle.number,
            made: bundle.made,
            signer: *bundle.signer,
            anchors: bundle.anchors.iter().map(|anchor| anchor.to_vec()).collect(),
            signed: signed.to_vec(),
        }
    }

    /// Reads a bundle without verifying its signature: for whoever signs the next one and has been handed this one.
    ///
    /// # Errors
    /// Where it is no bundle.
    pub fn unverified(signed: &[u8]) -> Result<Self, DecodeError> {
        let sign1 = Sign1::decode(signed, Content::TrustBundle, limits::MAX_TRUST_BUNDLE)?;
        Ok(Self::new(signed, &TrustBundle::decode(sign1.unverified_payload())?))
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    #[must_use]
    pub const fn made(&self) -> UnixTime {
        self.made
    }

    /// The key that signs the next one: an uncompressed point.
    #[must_use]
    pub const fn signer(&self) -> &[u8; SIGNER_KEY] {
        &self.signer
    }

    /// The root certificates in it, in DER.
    #[must_use]
    pub fn anchors(&self) -> &[Vec<u8>] {
        &self.anchors
    }

    /// The signed bundle, as devices take it.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }
}

/// The bundles, each verified under the key that the one before names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustChain {
    first: Link,
    later: Vec<Link>,
}

/// Why a bundle is no link of the chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// It is no bundle, or not signed by the key that signs the next one.
    #[error("the trust bundle does not follow the one in force: devices would refuse it")]
    Bundle(#[from] BundleError),
    /// Its number is not higher.
    #[error("the trust bundle has number {found}; one above {newest} is needed, or devices refuse it")]
    NotNewer {
        /// Number of the newest bundle.
        newest: u64,
        /// Its own number.
        found: u64,
    },
}

impl TrustChain {
    /// Begins with the bundle that devices have from the factory: its own signer has to have signed it, as they check.
    ///
    /// # Errors
    /// Where it is no such bundle.
    pub fn begin(signed: &[u8]) -> Result<Self, ChainError> {
        let signer = named_signer(signed).map_err(BundleError::from)?;
        let bundle = bundle::verify(signed, &signer)?;
        Ok(Self { first: Link::new(signed, &bundle), later: Vec::new() })
    }

    /// Adds the next bundle.
    ///
    /// # Errors
    /// Where devices would refuse it.
    pub fn push(&mut self, signed: &[u8]) -> Result<(), ChainError> {
        let newest = self.newest();
        let bundle = bundle::verify(signed, &newest.signer)?;
        if bundle.number <= newest.number {
            return Err(ChainError::NotNewer { newest: newest.number, found: bundle.number });
        }
        self.later.push(Link::new(signed, &bundle));
        Ok(())
    }

    /// The newest bundle.
    #[must_use]
    pub fn newest(&self) -> &Link {
        self.later.last().unwrap_or(&self.first)
    }

    /// All bundles, the oldest first.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        core::iter::once(&self.first).chain(&self.later)
    }

    /// What a device that holds bundle `held` takes next: the highest that is signed by the key it knows; the newest
    /// where it has that already, or does not say what it holds.
    #[must_use]
    pub fn next_for(&self, held: Option<u64>) -> &Link {
        let known = held.and_then(|held| self.links().find(|link| link.number == held));
        let Some(known) = known else { return self.newest() };
        let mut signer = &known.signer;
        let mut next = known;
        for link in self.links().filter(|link| link.number > known.number) {
            // `signer` signed this link: it is what the one before names.
            if *signer != known.signer {
                break;
            }
            (next, signer) = (link, &link.signer);
        }
        next
    }
}

fn named_signer(signed: &[u8]) -> Result<[u8; SIGNER_KEY], DecodeError> {
    let sign1 = Sign1::decode(signed, Content::TrustBundle, limits::MAX_TRUST_BUNDLE)?;
    Ok(*TrustBundle::decode(sign1.unverified_payload())?.signer)
}
