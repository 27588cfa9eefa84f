//! HTTP Basic authentication (RFC 7617): the user is the device identifier, the password a one-time token.
//!
//! Reads the header. Whether the token is good is for the store and the appraisal to say: it is looked up by its hash,
//! so that no comparison tells anything about its text.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::DeviceId;
use shared::id::DeviceIdError;
use shared::limits::{MAX_DEVICE_ID, MAX_TOKEN};
use zeroize::Zeroizing;

/// What a client showed.
pub struct Credentials {
    device: DeviceId,
    token: Zeroizing<Vec<u8>>,
}

/// Why a header is no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasicError {
    /// Another scheme.
    #[error("the Authorization header is of another scheme than Basic")]
    Scheme,
    /// Too long.
    #[error("the Authorization header has {found} bytes; {MAX_HEADER} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not base64, or without a colon.
    #[error("the Authorization header is not the base64 of USER:PASSWORD")]
    Malformed,
    /// The user name is no device identifier.
    #[error("the user name is not the device's identifier")]
    User(#[source] DeviceIdError),
    /// The password cannot be a token.
    #[error("the password is not a one-time token: 1 to {MAX_TOKEN} bytes are")]
    Password,
}

/// Longest header: a user name, a colon and a token in base64, behind the scheme.
const MAX_HEADER: usize = 6 + (MAX_DEVICE_ID + 1 + MAX_TOKEN).div_ceil(3) * 4;

impl Credentials {
    /// Reads the value of an Authorization header.
    ///
    /// # Errors
    /// Where it is not Basic, or holds something else than a device identifier and a token.
    pub fn read(header: &[u8]) -> Result<Self, BasicError> {
        if header.len() > MAX_HEADER {
            return Err(BasicError::TooLong { found: header.len() });
        }
        // RFC 9110, section 11.1: the scheme is case-insensitive.
        let (scheme, encoded) = header.split_at_checked(6).ok_or(BasicError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return Err(BasicError::Scheme);
        }
        let decoded = STANDARD.decode(encoded.trim_ascii()).map_err(|_| BasicError::Malformed)?;
        let decoded = Zeroizing::new(decoded);
        let colon = decoded.iter().position(|byte| *byte == b':').ok_or(BasicError::Malformed)?;
        let (user, password) = decoded.split_at_checked(colon).ok_or(BasicError::Malformed)?;
        let user = core::str::from_utf8(user).map_err(|_| BasicError::Malformed)?;
        let device = DeviceId::new(user).map_err(BasicError::User)?;
        let token = Zeroizing::new(password.get(1..).unwrap_or_default().to_vec());
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Err(BasicError::Password);
        }
        Ok(Self { device, token })
    }

    /// Who asks, as the user name says.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The token's text.
    #[must_use]
    pub fn token(&self) -> &[u8] {
        &self.token
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("device", &self.device).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{BasicError, Credentials};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn header(text: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    #[test]
    fn reads_device_and_token_and_shows_no_token() {
        let read = Credentials::read(&header("SN-1:secret:with:colons")).unwrap();
        assert_eq!((read.device().as_str(), read.token()), ("SN-1", b"secret:with:colons".as_slice()));
        assert!(!format!("{read:?}").contains("secret"));
        assert!(Credentials::read(b"basic U046dA==").is_ok(), "the scheme in any case");
    }

    #[test]
    fn refuses_what_is_something_else() {
        let of = |header: &[u8]| Credentials::read(header).unwrap_err();
        assert_eq!(of(b"Bearer abc"), BasicError::Scheme);
        assert_eq!(of(b""), BasicError::Scheme);
        assert_eq!(of(b"Basic !!!!"), BasicError::Malformed);
        assert_eq!(of(&header("no colon")), BasicError::Malformed);
        assert!(matches!(of(&header("SN 1:x")), BasicError::User(_)));
        assert!(matches!(of(&header(":x")), BasicError::User(_)));
        assert_eq!(of(&header("SN-1:")), BasicError::Password);
        assert_eq!(of(&header(&format!("SN-1:{}", "x".repeat(65)))), BasicError::Password);
        assert_eq!(of(&[b'B'; 200]), BasicError::TooLong { found: 200 });
        let longest = format!("{}:{}", "d".repeat(48), "t".repeat(64));
        assert!(Credentials::read(&header(&longest)).is_ok());
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = Credentials::read(&[b"Basic ".as_slice(), &bytes].concat());
            let _read = Credentials::read(&bytes);
        }
    }
}
