//! The certificate of an initial attestation key (RFC 9783, section 6): its path to a known maker, its form, and
//! the device that it may name.

use shared::{DeviceId, Reject, UnixTime};
use x509_parser::certificate::X509Certificate;

use super::key::AttestationKey;
use crate::device_name::{self, NameError};
use crate::maker::{Endorsements, Maker};
use crate::path::{self, PathError, PathRules};
use crate::revocation::{self, Findings};

/// A key that somebody vouches for.
#[derive(Clone, Debug)]
pub(super) struct EndorsedKey {
    pub(super) key: AttestationKey,
    /// The device it is in, where that is said.
    pub(super) device: Option<DeviceId>,
    pub(super) maker: Option<Maker>,
    pub(super) model: Option<String>,
    /// What the maker's revocation lists say of its certificates.
    pub(super) revocation: Findings,
}

/// Verifies a chain in DER, leaf first, trust anchor left out.
pub(super) fn verify(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
) -> Result<EndorsedKey, LeafError> {
    let endorsed = path::verify(chain, makers, &PathRules::ECDSA, now)?;
    let leaf = endorsed.leaf();
    check_usage(leaf)?;
    let key = AttestationKey::from_spki_der(leaf.public_key().raw).ok_or(LeafError::Key)?;
    Ok(EndorsedKey {
        key,
        device: device(leaf)?,
        maker: Some(endorsed.ca().maker().clone()),
        model: None,
        revocation: revocation::look_up(endorsed.links(), makers, now),
    })
}

/// Why a certificate endorses no attestation key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LeafError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("a certificate of an attestation key that may sign certificates")]
    IsCa,
    #[error("a certificate of an attestation key whose key usage lacks digitalSignature")]
    Usage,
    #[error("an attestation key that is not an uncompressed point on P-256, P-384 or P-521")]
    Key,
    /// It names a device, and not in a way that can be read.
    #[error(transparent)]
    Name(NameError),
}

impl LeafError {
    /// What the device is told.
    pub(super) const fn reject(&self) -> Reject {
        match self {
            Self::Path(error) => error.reject(),
            Self::IsCa | Self::Usage | Self::Key | Self::Name(_) => Reject::BadEndorsement,
        }
    }
}

fn check_usage(leaf: &X509Certificate<'_>) -> Result<(), LeafError> {
    let usage = leaf.key_usage().map_err(|_| PathError::Malformed)?;
    if leaf.is_ca() || usage.as_ref().is_some_and(|usage| usage.value.key_cert_sign()) {
        return Err(LeafError::IsCa);
    }
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(LeafError::Usage);
    }
    Ok(())
}

/// The device that it names, as an IDevID does; an attestation key's certificate need not name one. Only where it is
/// silent may the inventory say which device this is, so a name that cannot be read is not taken for none.
fn device(leaf: &X509Certificate<'_>) -> Result<Option<DeviceId>, LeafError> {
    match device_name::device(leaf) {
        Ok((device, _module)) => Ok(Some(device)),
        Err(NameError::None) => Ok(None),
        Err(error) => Err(LeafError::Name(error)),
    }
}
