//! Serial numbers: 16 bytes, at least 12 of them from the CSPRNG (RFC 5280, section 4.1.2.2, asks for positive and at most
//! 20).
//!
//! Uniqueness over all certificates of a CA is for the store to enforce; with 96 bits for each second it holds by itself,
//! and nobody can tell a number before (the CA/Browser Forum asks for 64 bits).

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use shared::UnixTime;

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

    /// Draws a serial number that begins with `now`, in seconds, and goes on with 96 random bits. A certificate's beginning
    /// says that time anyway. Numbers of one moment stand together in a store's index, so that a thousand certificates
    /// write a few of its pages and not a thousand. Where the time does not fit into 32 bits, or begins with a zero byte
    /// (before August 1970), all of it is random.
    ///
    /// # Errors
    /// Where the generator fails; there is no fallback.
    pub fn random_at(now: UnixTime) -> Result<Self, SerialError> {
        let system = SystemRandom::new();
        Self::draw_at(now, |bytes| system.fill(bytes).map_err(|_| SerialError::Random))
    }

    /// As [`random_at`](Self::random_at), from `fill`.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    pub fn draw_at(
        now: UnixTime,
        fill: impl FnMut(&mut [u8; 16]) -> Result<(), SerialError>,
    ) -> Result<Self, SerialError> {
        let drawn = Self::draw(fill)?;
        let Ok(seconds) = u32::try_from(now.as_secs()) else { return Ok(drawn) };
        let mut bytes = drawn.0;
        if let Some(time) = bytes.first_chunk_mut() {
            *time = seconds.to_be_bytes();
        }
        Ok(Self::from_bytes(bytes).unwrap_or(drawn))
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
    use shared::UnixTime;
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
    fn those_of_a_moment_stand_together_and_differ_in_96_bits() {
        let now = UnixTime::from_secs(1_800_000_000);
        let drawn: HashSet<_> = (0..100_000).map(|_| Serial::random_at(now).unwrap()).collect();
        assert_eq!(drawn.len(), 100_000);
        let mut ones = [0_u32; 96];
        for serial in &drawn {
            assert!(serial.to_string().starts_with("6b49d200"), "{serial}");
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += u32::from(serial.as_bytes()[4 + bit / 8] >> (bit % 8) & 1);
            }
        }
        // 50,000 expected with a standard deviation of 158: eight of those either way.
        assert!(ones.iter().all(|ones| (48_736..=51_264).contains(ones)), "{ones:?}");
        let later = Serial::random_at(UnixTime::from_secs(1_800_000_001)).unwrap();
        assert!(drawn.iter().all(|earlier| *earlier < later));
    }

    #[test]
    fn a_clock_at_its_beginning_or_far_ahead_takes_nothing_away() {
        for seconds in [0, 1, 0x00ff_ffff, u64::from(u32::MAX) + 1, u64::MAX] {
            let now = UnixTime::from_secs(seconds);
            let (one, other) = (Serial::random_at(now).unwrap(), Serial::random_at(now).unwrap());
            assert_ne!(one.as_bytes()[..4], other.as_bytes()[..4], "{seconds}: random from the start");
        }
        let first = Serial::random_at(UnixTime::from_secs(0x0100_0000)).unwrap();
        assert_eq!(first.as_bytes()[..4], [1, 0, 0, 0]);
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
