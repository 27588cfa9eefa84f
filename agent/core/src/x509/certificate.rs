//! One certificate as a view into its DER.

use shared::UnixTime;

use super::PathError;
use crate::platform::PublicPoint;

/// A certificate, taken apart without copying. Its signature is not checked by parsing.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    not_before: UnixTime,
    not_after: UnixTime,
    spki: &'a [u8],
    point: &'a PublicPoint,
}

impl<'a> Certificate<'a> {
    /// Takes one certificate apart; nothing may follow it.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(_der: &'a [u8]) -> Result<Self, PathError> {
        Err(PathError::Malformed)
    }

    /// Beginning of validity, inclusive.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// End of validity, inclusive.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// SubjectPublicKeyInfo in DER, 91 bytes.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.spki
    }

    /// The public key as an uncompressed point.
    #[must_use]
    pub const fn public_point(&self) -> &'a PublicPoint {
        self.point
    }

    /// The subject's first common name, where it is text.
    #[must_use]
    pub fn subject_common_name(&self) -> Option<&'a str> {
        None
    }

    /// The subject's serialNumber attribute, where it is text: the device identifier (IEEE 802.1AR).
    #[must_use]
    pub fn subject_serial_number(&self) -> Option<&'a str> {
        None
    }
}
