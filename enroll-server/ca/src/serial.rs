//! Serial numbers: 16 bytes from the CSPRNG (RFC 5280, section 4.1.2.2, asks for positive and at most 20).
//!
//! Uniqueness over all certificates of a CA is for the store to enforce; with 128 bits it holds by itself.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// A serial number: a positive integer of exactly 16 significant bytes, so that it has one spelling only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

/// Why there is no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SerialError {
    /// The random generator gave no bytes.
    #[error("the random generator failed")]
    Random,
    /// Not 32 hexadecimal digits, the first two not both zero.
    #[error("a serial number is 32 hexadecimal digits and does not begin with 00")]
    Text,
}

impl Serial {
    /// Draws a serial number from the operating system's generator.
    ///
    /// # Errors
    /// Where the generator fails; there is no fallback.
    pub fn random() -> Result<Self, SerialError> {
        let system = SystemRandom::new();
        Self::draw(|bytes| system.fill(bytes).map_err(|_| SerialError::Random))
    }

    /// Draws a serial number from `fill`, which puts random bytes into the whole buffer.
    ///
    /// A leading zero byte is drawn again, not changed: what is left is uniform.
    ///
    /// # Errors
    /// Where `fill` fails, or gives leading zeros so often that it cannot be random.
    pub fn draw(mut fill: impl FnMut(&mut [u8; 16]) -> Result<(), SerialError>) -> Result<Self, SerialError> {
        // A sound generator needs more than 16 tries once in 2^128 cases.
        for _ in 0..16 {
            let mut bytes = [0; 16];
            fill(&mut bytes)?;
            if let Some(serial) = Self::from_bytes(bytes) {
                return Ok(serial);
            }
        }
        Err(SerialError::Random)
    }

    /// Takes big-endian bytes as stored; `None` where the first is zero.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        if bytes[0] == 0 { None } else { Some(Self(bytes)) }
    }

    /// The bytes, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The value of the DER INTEGER: a leading zero byte keeps it positive where the top bit is set.
    #[must_use]
    pub fn to_der_value(self) -> Vec<u8> {
        let sign: &[u8] = if self.0[0] >= 0x80 { &[0] } else { &[] };
        [sign, &self.0].concat()
    }

    /// Reads the value of a DER INTEGER, as in a certificate; `None` where it is none of ours.
    #[must_use]
    pub fn from_der_value(value: &[u8]) -> Option<Self> {
        let serial = Self::from_bytes(value.strip_prefix(&[0]).unwrap_or(value).try_into().ok()?)?;
        (serial.to_der_value() == value).then_some(serial)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).map_err(|_| SerialError::Text)?;
        let serial = Self::from_bytes(number.to_be_bytes()).filter(|_| digits);
        serial.ok_or(SerialError::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Serial, SerialError};
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_million_are_unique_positive_and_short() {
        let mut seen = HashSet::with_capacity(1_000_000);
        let mut first_byte = [0_u32; 256];
        for _ in 0..1_000_000 {
            let serial = Serial::random().unwrap();
            let value = serial.to_der_value();
            assert!(value.len() <= 20);
            assert!(value[0] < 0x80, "positive");
            assert!(value[0] != 0 || value[1] >= 0x80, "shortest form");
            first_byte[usize::from(serial.as_bytes()[0])] += 1;
            assert!(seen.insert(serial), "{serial} twice");
        }
        // 255 values with an expected 3922 each and a standard deviation of 62: eight of those either way.
        assert_eq!(first_byte[0], 0);
        assert!(first_byte[1..].iter().all(|count| (3_420..=4_420).contains(count)), "{first_byte:?}");
    }

    #[test]
    fn a_generator_stuck_at_zero_is_no_generator() {
        assert_eq!(Serial::draw(|_| Ok(())), Err(SerialError::Random));
        assert_eq!(Serial::draw(|_| Err(SerialError::Random)), Err(SerialError::Random));
        let mut tries = 0;
        let serial = Serial::draw(|bytes| {
            tries += 1;
            bytes.fill(tries - 1);
            Ok(())
        });
        assert_eq!(serial.unwrap().as_bytes(), &[1; 16], "drawn again, not changed");
    }

    proptest! {
        #[test]
        fn round_trips(bytes in any::<[u8; 16]>()) {
            let Some(serial) = Serial::from_bytes(bytes) else {
                prop_assert_eq!(bytes[0], 0);
                return Ok(());
            };
            prop_assert_eq!(Serial::from_der_value(&serial.to_der_value()), Some(serial));
            prop_assert_eq!(serial.to_string().parse(), Ok(serial));
        }

        #[test]
        fn texts_never_panic(text in ".{0,40}") {
            if let Ok(serial) = text.parse::<Serial>() {
                prop_assert_eq!(serial.to_string(), text.to_lowercase());
            }
        }
    }
}
