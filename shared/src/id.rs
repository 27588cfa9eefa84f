//! The device identifier and its URN form.

use core::fmt;
use core::str::FromStr;

use crate::limits::MAX_DEVICE_ID;

/// Names one device within a tenant: the serial number of its IDevID (IEEE 802.1AR, section 8.6).
///
/// 1 to [`MAX_DEVICE_ID`] characters out of letters, digits, `.` and `-` (`devunreserved` of RFC 9039,
/// section 3.2), beginning and ending with a letter or digit. So it fits an X.509 common name, an MQTT
/// client identifier, one MQTT topic level and a URN without any escaping.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(heapless::String<MAX_DEVICE_ID>);

/// Why a text is no device identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceIdError {
    /// Empty, or longer than [`MAX_DEVICE_ID`] characters.
    #[error("a device identifier has 1 to {MAX_DEVICE_ID} characters, this one has {found}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// A character outside letters, digits, `.` and `-`.
    #[error("a device identifier has letters, digits, '.' and '-' only; byte {at} is another character")]
    Character {
        /// Offset of the first offending byte.
        at: usize,
    },
    /// Begins or ends with `.` or `-`.
    #[error("a device identifier begins and ends with a letter or digit")]
    Edge,
}

impl DeviceId {
    /// Checks `text` and takes it over.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn new(text: &str) -> Result<Self, DeviceIdError> {
        let length = DeviceIdError::Length { found: text.len() };
        if text.is_empty() {
            return Err(length);
        }
        if let Some(at) = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'.' || b == b'-')) {
            return Err(if text.len() > MAX_DEVICE_ID { length } else { DeviceIdError::Character { at } });
        }
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        if !edge(text.bytes().next()) || !edge(text.bytes().next_back()) {
            return Err(DeviceIdError::Edge);
        }
        heapless::String::try_from(text).map(Self).map_err(|_| length)
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URN of this device under the organisation with private enterprise number `pen`:
    /// `urn:dev:os:PEN-SERIAL` (RFC 9039, section 4.4).
    #[must_use]
    pub fn urn(&self, pen: u32) -> Urn<'_> {
        Urn { id: self, pen }
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl AsRef<str> for DeviceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

/// Displays a [`DeviceId`] as a URN; see [`DeviceId::urn`].
#[derive(Clone, Copy, Debug)]
pub struct Urn<'a> {
    id: &'a DeviceId,
    pen: u32,
}

impl fmt::Display for Urn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "urn:dev:os:{}-{}", self.pen, self.id)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{DeviceId, DeviceIdError};
    use proptest::prelude::*;
    use std::string::ToString as _;

    #[test]
    fn rules_are_told_apart() {
        assert_eq!(DeviceId::new(""), Err(DeviceIdError::Length { found: 0 }));
        assert_eq!(DeviceId::new(&"a".repeat(49)), Err(DeviceIdError::Length { found: 49 }));
        assert_eq!(DeviceId::new("a/b"), Err(DeviceIdError::Character { at: 1 }));
        assert_eq!(DeviceId::new("a+"), Err(DeviceIdError::Character { at: 1 }));
        assert_eq!(DeviceId::new("-a"), Err(DeviceIdError::Edge));
        assert_eq!(DeviceId::new("a."), Err(DeviceIdError::Edge));
        assert!(DeviceId::new("SN-0001.b").is_ok());
    }

    #[test]
    fn urn_follows_rfc_9039() {
        let id = DeviceId::new("SN-0001").unwrap();
        assert_eq!(id.urn(32473).to_string(), "urn:dev:os:32473-SN-0001");
    }

    proptest! {
        #[test]
        fn never_panics_and_what_passes_is_kept(text in ".{0,64}") {
            if let Ok(id) = DeviceId::new(&text) {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert!(!text.contains(['/', '+', '#', '_', ':', ' ']));
            }
        }
    }
}
