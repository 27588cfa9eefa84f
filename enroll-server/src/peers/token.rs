//! The token with which brokers and terminators ask this server who may do what.
//!
//! It stands in one file that only the server's user reads. The file is read at every question, so that a token can be
//! exchanged while the server runs, and none is taken where the file is not there.

use core::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::files::{self, SecretError, read_secret};
use crate::random;

/// Bytes of randomness.
const BYTES: usize = 32;
/// Longest header: `Basic` with a user name of up to 64 bytes.
const MAX_HEADER: usize = 256;

/// The token: 64 hexadecimal digits.
pub struct BrokerToken(Zeroizing<String>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read, or others may read it.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file holds something else.
    #[error("{}: expected the token of brokers, 64 hexadecimal digits; remove the file and it is made anew", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl BrokerToken {
    /// The token in a file.
    ///
    /// # Errors
    /// Where there is none, or others than its owner have access.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = read_secret(path)?;
        let token = Zeroizing::new(text.trim().to_owned());
        if token.len() != 2 * BYTES || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(TokenError::Form { path: path.to_owned() });
        }
        Ok(Self(token))
    }

    /// The token in a file, which is made where it is not there.
    ///
    /// # Errors
    /// As [`read`](Self::read), and where it cannot be made.
    pub fn read_or_make(path: &Path) -> Result<Self, TokenError> {
        if !path.exists() {
            let text = random::secret(BYTES).ok_or(TokenError::Random)?;
            match files::create_own(path, text.as_bytes(), 0o600) {
                // Someone else was faster: theirs is taken.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => made.map_err(|source| TokenError::Unwritable { path: path.to_owned(), source })?,
            }
        }
        Self::read(path)
    }

    pub(super) fn into_text(self) -> Zeroizing<String> {
        self.0
    }

    /// Whether an Authorization header shows it: as `Bearer TOKEN`, or as the password of `Basic`, whoever the user is.
    #[must_use]
    pub fn is_shown_by(&self, header: &[u8]) -> bool {
        let shown = shown(header);
        // Of digests, so that the time says nothing about the length either.
        let digest_of = |text: &[u8]| digest(&SHA256, text);
        shown.is_some_and(|shown| {
            verify_slices_are_equal(digest_of(&shown).as_ref(), digest_of(self.0.as_bytes()).as_ref()).is_ok()
        })
    }
}

/// The secret of a header (RFC 6750, section 2.1; RFC 7617, section 2).
fn shown(header: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if header.len() > MAX_HEADER {
        return None;
    }
    let (scheme, rest) = header.split_at_checked(header.iter().position(|byte| *byte == b' ')?)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(Zeroizing::new(rest.to_vec()));
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(rest).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(colon + 1..).map(|password| Zeroizing::new(password.to_vec()))
}

impl fmt::Debug for BrokerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{BrokerToken, STANDARD, TokenError};
    use base64::Engine as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_is_made_once_kept_secret_and_shown_by_both_schemes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.token");
        assert!(matches!(BrokerToken::read(&path), Err(TokenError::Secret(_))));
        let made = BrokerToken::read_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(BrokerToken::read_or_make(&path).unwrap().0.as_str(), text);
        assert!(!format!("{made:?}").contains(&text));

        assert!(made.is_shown_by(format!("Bearer {text}").as_bytes()));
        assert!(made.is_shown_by(format!("Basic {}", STANDARD.encode(format!("x:{text}"))).as_bytes()));
        for wrong in [
            String::new(),
            text.clone(),
            "Bearer".into(),
            "Bearer ".into(),
            format!("Bearer {}", text.to_uppercase()),
            format!("Bearer {text}0"),
            format!("Digest {text}"),
            format!("Basic {text}"),
            format!("Basic {}", STANDARD.encode(&text)),
            format!("Basic {}", STANDARD.encode(format!("{text}:"))),
            format!("Bearer {}", "0".repeat(300)),
        ] {
            assert!(!made.is_shown_by(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_read_or_that_holds_nothing_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.token");
        let _made = BrokerToken::read_or_make(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(BrokerToken::read(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for content in ["", "short", &"g".repeat(64)] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(BrokerToken::read_or_make(&path), Err(TokenError::Form { .. })), "{content}");
        }
    }
}
