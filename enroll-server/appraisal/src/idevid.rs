//! Verification of an IDevID chain (IEEE 802.1AR) up to a maker the server knows.
//!
//! The path is that of `path`; on top stand the form of the device's key and of its name. Revocation by
//! the maker is looked at in `revocation`.

use aws_lc_rs::digest::{SHA256, digest};
use shared::{DeviceId, Reject, UnixTime, limits};
use webpki::{KeyUsage, aws_lc_rs as algorithms};
use x509_parser::certificate::X509Certificate;

use crate::device_name::{self, HardwareModule, NameError};
use crate::key::{PublicKey, SpkiHash};
use crate::maker::{Endorsements, Maker};
use crate::path::{self, PathRules};
use crate::revocation::Link;

pub use crate::path::PathError;

/// Proof that an IDevID leads to a known maker and fits this protocol's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsedIdevid {
    device: DeviceId,
    module: Option<HardwareModule>,
    maker: Maker,
    key: PublicKey,
    links: Vec<Link>,
}

impl EndorsedIdevid {
    /// The device, as its maker named it.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The device's hardware module, where its maker named that too.
    #[must_use]
    pub const fn hardware_module(&self) -> Option<&HardwareModule> {
        self.module.as_ref()
    }

    /// The certificates from the IDevID up, for the maker's revocation lists.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The maker that endorses it.
    #[must_use]
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// The IDevID key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Verifies a chain in DER, leaf first, trust anchor left out.
///
/// # Errors
/// Says what is wrong with it.
pub fn verify(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
) -> Result<EndorsedIdevid, EndorsementError> {
    let endorsed = path::verify(chain, makers, &PathRules::ECDSA, now)?;
    let key = check_leaf(endorsed.leaf())?;
    let (device, module) = device_name::device(endorsed.leaf())?;
    let (maker, links) = (endorsed.ca().maker().clone(), endorsed.links().to_vec());
    Ok(EndorsedIdevid { device, module, maker, key, links })
}

/// Proof that an IDevID leads to a known maker, whatever kind of key it has: enough for TLS client authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsedClient {
    device: DeviceId,
    module: Option<HardwareModule>,
    maker: Maker,
    spki_sha256: SpkiHash,
    links: Vec<Link>,
}

impl EndorsedClient {
    /// The device, as its maker named it.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The device's hardware module, where its maker named that too.
    #[must_use]
    pub const fn hardware_module(&self) -> Option<&HardwareModule> {
        self.module.as_ref()
    }

    /// The maker that endorses it.
    #[must_use]
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// SHA-256 of the IDevID's SubjectPublicKeyInfo.
    #[must_use]
    pub const fn spki_sha256(&self) -> &SpkiHash {
        &self.spki_sha256
    }

    /// The certificates from the IDevID up, for the maker's revocation lists.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }
}

/// RSA too: the key signs the TLS handshake, and nothing that a small device would have to read.
const CLIENT: PathRules<'static> = PathRules {
    algorithms: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    usage: KeyUsage::client_auth(),
    max_chain: limits::MAX_CHAIN,
    max_certificate: limits::MAX_TPM_CERTIFICATE,
};

/// Verifies the chain of a TLS client in DER, leaf first, trust anchor left out. As [`verify`], with the keys that TLS
/// takes: ECDSA on P-256 and P-384, RSA of 2048 bits or more.
///
/// # Errors
/// Says what is wrong with it.
pub fn verify_client(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
) -> Result<EndorsedClient, EndorsementError> {
    let endorsed = path::verify(chain, makers, &CLIENT, now)?;
    check_usage(endorsed.leaf())?;
    let (device, module) = device_name::device(endorsed.leaf())?;
    let mut spki_sha256 = [0; 32];
    spki_sha256.copy_from_slice(digest(&SHA256, endorsed.leaf().public_key().raw).as_ref());
    let (maker, links) = (endorsed.ca().maker().clone(), endorsed.links().to_vec());
    Ok(EndorsedClient { device, module, maker, spki_sha256, links })
}

/// The device that an IDevID names, to look it up by; nothing is verified.
///
/// # Errors
/// Where it names none.
pub fn claimed_device(leaf: &[u8]) -> Result<DeviceId, EndorsementError> {
    if leaf.len() > limits::MAX_TPM_CERTIFICATE {
        let allowed = limits::MAX_TPM_CERTIFICATE;
        return Err(PathError::TooLong { found: leaf.len(), allowed }.into());
    }
    let (device, _) = device_name::device(&path::parse(leaf)?)?;
    Ok(device)
}

/// Why an IDevID is not endorsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementError {
    /// Its chain does not lead to a known maker.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The leaf may sign certificates.
    #[error("an IDevID with the CA bit or key usage keyCertSign")]
    LeafIsCa,
    /// The leaf's key usage does not allow signatures.
    #[error("an IDevID whose key usage lacks digitalSignature")]
    LeafKeyUsage,
    /// The leaf's key is not a P-256 key.
    #[error("an IDevID whose key is not an uncompressed point on P-256")]
    LeafKey,
    /// The leaf is not valid now.
    #[error("a certificate that is valid from {from} until {until}")]
    LeafDates {
        /// Start of its life.
        from: UnixTime,
        /// End of its life.
        until: UnixTime,
    },
    /// It names no device.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl EndorsementError {
    /// What the device is told.
    #[must_use]
    pub const fn reject(&self) -> Reject {
        match self {
            Self::Path(error) => error.reject(),
            Self::LeafIsCa | Self::LeafKeyUsage | Self::LeafKey | Self::LeafDates { .. } | Self::Name(_) => {
                Reject::BadEndorsement
            }
        }
    }
}

/// The key of a leaf that signs evidence.
pub(crate) fn check_leaf(certificate: &X509Certificate<'_>) -> Result<PublicKey, EndorsementError> {
    check_usage(certificate)?;
    PublicKey::from_spki_der(certificate.public_key().raw).ok_or(EndorsementError::LeafKey)
}

/// That a leaf is no CA's, and that its key signs.
fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), EndorsementError> {
    if certificate.is_ca() {
        return Err(EndorsementError::LeafIsCa);
    }
    if let Some(usage) = certificate.key_usage().map_err(|_| PathError::Malformed)? {
        if usage.value.key_cert_sign() {
            return Err(EndorsementError::LeafIsCa);
        }
        if !usage.value.digital_signature() {
            return Err(EndorsementError::LeafKeyUsage);
        }
    }
    Ok(())
}
