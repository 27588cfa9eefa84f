//! Trust bundles: which CAs devices trust, signed by a key that is used for nothing else.
//!
//! What a device makes of a bundle is for the device to decide; the rules stand at
//! [`TrustBundle`].

use core::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use shared::codec::{DecodeError, EncodeError};
use shared::cose::{self, Content, Sign1};
use shared::message::latest::{SIGNER_KEY, TrustBundle};
use shared::{UnixTime, limits};

use crate::certificate::{CaCertificate, CaCertificateError};
use crate::key::{FileKey, KeyError};

/// The key that signs trust bundles.
pub struct TrustSigner {
    pair: EcdsaKeyPair,
    point: [u8; SIGNER_KEY],
}

impl TrustSigner {
    /// Takes the key over; its file is that of any [`FileKey`].
    ///
    /// # Errors
    /// Where the key cannot be used, which [`FileKey`] has ruled out.
    pub fn new(key: &FileKey) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.pkcs8())
            .map_err(|_| KeyError::Malformed)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Self { pair, point })
    }

    /// The public half: an uncompressed point.
    #[must_use]
    pub const fn public_point(&self) -> &[u8; SIGNER_KEY] {
        &self.point
    }

    /// Makes and signs a bundle (COSE_Sign1). `next_signer` is the key that signs the next one: this signer's
    /// own, unless it is being replaced.
    ///
    /// # Errors
    /// Where an anchor is no self-signed CA certificate, there are none or too many, or the key does not sign.
    pub fn sign(
        &self,
        number: u64,
        made: UnixTime,
        anchors: &[&CaCertificate],
        next_signer: &[u8; SIGNER_KEY],
    ) -> Result<Vec<u8>, BundleError> {
        if anchors.is_empty() || anchors.len() > limits::MAX_ANCHORS {
            return Err(BundleError::Anchors { found: anchors.len() });
        }
        if anchors.iter().any(|anchor| !anchor.is_self_issued()) {
            return Err(BundleError::NotARoot);
        }
        // The list panics on more than its capacity, which was checked above.
        let list = anchors.iter().map(|anchor| anchor.der()).collect();
        let bundle = TrustBundle { number, made, anchors: list, signer: next_signer };
        let mut payload = vec![0; limits::MAX_TRUST_BUNDLE];
        let length = bundle.encode(&mut payload)?;
        payload.truncate(length);
        let mut signed = Vec::with_capacity(length + 64);
        cose::signed_bytes(Content::TrustBundle, &payload, |part| signed.extend_from_slice(part));
        let signature = self.pair.sign(&SystemRandom::new(), &signed).map_err(|_| KeyError::Signing)?;
        let signature = signature.as_ref().try_into().map_err(|_| KeyError::Signing)?;
        let mut bytes = vec![0; limits::MAX_TRUST_BUNDLE];
        let length = cose::encode(Content::TrustBundle, &payload, signature, &mut bytes)?;
        bytes.truncate(length);
        verify(&bytes, &self.point)?;
        Ok(bytes)
    }
}

impl fmt::Debug for TrustSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustSigner([redacted])")
    }
}

/// Reads a signed bundle and verifies it under `signer`, and that its anchors are CA certificates.
///
/// # Errors
/// Says what is wrong with it.
pub fn verify<'b>(bytes: &'b [u8], signer: &[u8; SIGNER_KEY]) -> Result<TrustBundle<'b>, BundleError> {
    let sign1 = Sign1::decode(bytes, Content::TrustBundle, limits::MAX_TRUST_BUNDLE)?;
    let mut signed = Vec::with_capacity(bytes.len() + 16);
    sign1.signed_bytes(|part| signed.extend_from_slice(part));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer);
    key.verify(&signed, sign1.signature()).map_err(|_| BundleError::Signature)?;
    let bundle = TrustBundle::decode(sign1.unverified_payload())?;
    for anchor in &bundle.anchors {
        if !CaCertificate::from_der(anchor)?.is_self_issued() {
            return Err(BundleError::NotARoot);
        }
    }
    Ok(bundle)
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// No anchors, or too many.
    #[error("{found} trust anchors; 1 to {} are allowed", limits::MAX_ANCHORS)]
    Anchors {
        /// Anchors found.
        found: usize,
    },
    /// An anchor that is not self-signed.
    #[error("a trust anchor that is not a root; devices trust roots only")]
    NotARoot,
    /// An anchor that is no CA certificate.
    #[error("a trust anchor that is no CA certificate")]
    Anchor(#[from] CaCertificateError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Too long for a device.
    #[error("the bundle is longer than a device can hold")]
    TooLong(#[from] EncodeError),
    /// Not a signed bundle.
    #[error("this is not a signed trust bundle")]
    Malformed(#[from] DecodeError),
    /// Signed with another key.
    #[error("the bundle's signature does not verify under the signer's key")]
    Signature,
}
