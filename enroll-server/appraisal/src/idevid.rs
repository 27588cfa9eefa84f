//! Verification of an IDevID chain (IEEE 802.1AR) up to a maker the server knows.
//!
//! The path is that of [`crate::path`]; on top stand the form of the device's key and of its name. Revocation of
//! IDevIDs is not looked at: the inventory decides.

use shared::{DeviceId, Reject, UnixTime};
use x509_parser::certificate::X509Certificate;

use crate::key::PublicKey;
use crate::maker::{Endorsements, Maker};
use crate::oid;
use crate::path::{self, PathRules};

pub use crate::path::PathError;

/// Proof that an IDevID leads to a known maker and fits this protocol's profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsedIdevid {
    device: DeviceId,
    maker: Maker,
    key: PublicKey,
}

impl EndorsedIdevid {
    /// The device, as its maker named it.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
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
    let (device, key) = check_leaf(endorsed.leaf())?;
    Ok(EndorsedIdevid { device, maker: endorsed.ca().maker().clone(), key })
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
    /// The subject has not exactly one serial number (IEEE 802.1AR, section 8.6).
    #[error("an IDevID whose subject has {found} serialNumber attributes; exactly one is wanted")]
    SerialNumbers {
        /// Attributes found.
        found: usize,
    },
    /// The serial number is no device identifier.
    #[error("an IDevID whose serialNumber is no device identifier")]
    DeviceId(#[source] shared::id::DeviceIdError),
    /// The serial number is not text.
    #[error("an IDevID whose serialNumber is not a PrintableString")]
    SerialNumberType,
}

impl EndorsementError {
    /// What the device is told.
    #[must_use]
    pub const fn reject(&self) -> Reject {
        match self {
            Self::Path(error) => error.reject(),
            Self::LeafIsCa
            | Self::LeafKeyUsage
            | Self::LeafKey
            | Self::SerialNumbers { .. }
            | Self::DeviceId(_)
            | Self::SerialNumberType => Reject::BadEndorsement,
        }
    }
}

fn check_leaf(certificate: &X509Certificate<'_>) -> Result<(DeviceId, PublicKey), EndorsementError> {
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
    let key = PublicKey::from_spki_der(certificate.public_key().raw).ok_or(EndorsementError::LeafKey)?;
    let mut serials = certificate
        .subject()
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().as_bytes() == oid::SERIAL_NUMBER);
    let (Some(serial), None) = (serials.next(), serials.next()) else {
        let found = certificate.subject().iter_attributes();
        let found = found.filter(|a| a.attr_type().as_bytes() == oid::SERIAL_NUMBER).count();
        return Err(EndorsementError::SerialNumbers { found });
    };
    // IEEE 802.1AR, section 8.6: X520SerialNumber, a PrintableString; some makers write UTF8String.
    let text = serial.as_str().map_err(|_| EndorsementError::SerialNumberType)?;
    Ok((DeviceId::new(text).map_err(EndorsementError::DeviceId)?, key))
}
