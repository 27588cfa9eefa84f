//! Verification of an IDevID chain (IEEE 802.1AR) up to a maker the server knows.
//!
//! The path is that of `path`; on top stand the form of the device's key and of its name. Revocation by
//! the maker is looked at in `revocation`.

use shared::{DeviceId, Reject, UnixTime};
use x509_parser::certificate::X509Certificate;

use crate::device_name::{self, HardwareModule, NameError};
use crate::key::PublicKey;
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
    PublicKey::from_spki_der(certificate.public_key().raw).ok_or(EndorsementError::LeafKey)
}
