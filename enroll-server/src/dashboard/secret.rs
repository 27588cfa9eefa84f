//! The secrets of links and sessions, and what is derived from them.
//!
//! 256 random bits each, as 64 hexadecimal digits. The database holds their SHA-256 only.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::random;
use crate::store::Sha256;

/// Random bytes of a secret.
const BYTES: usize = 32;
/// Random bytes of a session's public name.
const NAME: usize = 6;

/// The secret of a link or of a session.
pub struct Secret(Zeroizing<String>);

/// The random generator failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the random generator failed")]
pub struct NoRandom;

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// Where the random generator fails.
    pub fn new() -> Result<Self, NoRandom> {
        random::secret(BYTES).map(Self).ok_or(NoRandom)
    }

    /// One that somebody shows; `None` where it has not the form of one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let good = text.len() == 2 * BYTES && text.bytes().all(digit);
        good.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Its text, to be shown to whom it is for, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database knows it by. The secret is random, so nothing slower than SHA-256 is needed.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        hash
    }

    /// What every form of a session carries: nobody makes it who has not the secret, and the secret does not follow
    /// from it.
    pub(super) fn form_token(&self) -> FormToken {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        FormToken(hex::encode(hmac::sign(&key, b"dashboard form").as_ref()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the forms of a session carry against requests that other sites cause.
pub(super) struct FormToken(String);

impl FormToken {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `given` is it; takes the same time wherever they differ.
    pub(super) fn is(&self, given: &str) -> bool {
        bool::from(self.0.as_bytes().ct_eq(given.as_bytes()))
    }
}

impl fmt::Debug for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormToken(..)")
    }
}

/// A public name for a session.
pub(super) fn public_name() -> Result<String, NoRandom> {
    let mut bytes = [0; NAME];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn secrets_have_one_form_and_are_not_shown_by_accident() {
        let secret = Secret::new().unwrap();
        assert_eq!(Secret::read(secret.expose()).unwrap().sha256(), secret.sha256());
        assert_ne!(Secret::new().unwrap().expose(), secret.expose());
        assert!(!format!("{secret:?} {:?}", secret.form_token()).contains(secret.expose()));
        for wrong in ["", "00", &"A".repeat(64), &"g".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            assert!(Secret::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn forms_of_one_session_carry_the_same_token_and_others_do_not() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        let token = one.form_token();
        assert!(token.is(one.form_token().as_str()));
        let short: String = token.as_str().chars().skip(1).collect();
        for wrong in ["", other.form_token().as_str(), one.expose(), &short] {
            assert!(!token.is(wrong), "{wrong}");
        }
    }
}
