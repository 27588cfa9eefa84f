//! Authorization values: what has to be said to use a key (TPM 2.0 Library, part 1, section 19.6).

use core::fmt;

use zeroize::Zeroizing;

use super::TpmError;

/// Longest authorization value of a key whose name is a SHA-256 (part 1, section 19.6.4.2), in bytes.
pub const MAX_AUTH: usize = 32;

/// An authorization value; by default the empty one. Wiped when dropped, and never shown.
///
/// It goes to the TPM as it is: whoever taps the bus between processor and TPM reads it.
#[derive(Clone, Default)]
pub struct AuthValue(Zeroizing<Vec<u8>>);

impl AuthValue {
    /// Takes a value over.
    ///
    /// # Errors
    /// Where it has more than [`MAX_AUTH`] bytes.
    pub fn new(value: &[u8]) -> Result<Self, TpmError> {
        // Zeros at the end do not count (part 1, section 19.6.4.3).
        let length = value.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if length > MAX_AUTH {
            return Err(TpmError::AuthTooLong);
        }
        Ok(Self(Zeroizing::new(value.iter().copied().take(length).collect())))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthValue([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::{AuthValue, MAX_AUTH};

    #[test]
    fn a_value_is_bounded_and_not_shown() {
        assert!(AuthValue::new(&[7; MAX_AUTH]).is_ok());
        assert!(AuthValue::new(&[7; MAX_AUTH + 1]).is_err());
        assert_eq!(AuthValue::new(b"secret\0\0").unwrap().as_bytes(), b"secret");
        assert!(!format!("{:?}", AuthValue::new(b"secret").unwrap()).contains("secret"));
    }
}
