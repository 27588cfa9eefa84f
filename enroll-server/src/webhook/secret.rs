//! The secret that a receiver shares, and signatures with it.

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::files::{SecretError, create, read_secret};

/// What a secret begins with, as Standard Webhooks writes it.
const PREFIX: &str = "whsec_";
/// Lengths that Standard Webhooks allows.
const LENGTHS: core::ops::RangeInclusive<usize> = 24..=64;
/// Most secrets in one file: the one in use, and those before it while the receiver changes over.
const MOST: usize = 3;

/// Secrets of one webhook. Every message is signed with each, so that a receiver can change from one to the next.
pub struct Secret(Vec<Zeroizing<Vec<u8>>>);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSecretError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] SecretError),
    /// The file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is no secret.
    #[error("{}:{line}: expected whsec_ and 24 to 64 bytes in base64; enroll-server webhook secret makes one", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There are none, or too many.
    #[error("{}: holds {found} secrets, expected 1 to {MOST}", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// How many.
        found: usize,
    },
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
}

impl Secret {
    /// Reads a file with one secret a line, which nobody but its owner may read.
    pub(super) fn read(path: &Path) -> Result<Self, WebhookSecretError> {
        let text = read_secret(path)?;
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let secrets = lines.map(|(text, line)| {
            let form = || WebhookSecretError::Form { path: path.to_owned(), line };
            decode(text.trim()).ok_or_else(form)
        });
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        if (1..=MOST).contains(&secrets.len()) {
            Ok(Self(secrets))
        } else {
            Err(WebhookSecretError::Number { path: path.to_owned(), found: secrets.len() })
        }
    }

    /// The signatures over `signed`, as the header carries them: version and MAC, with spaces between.
    pub(super) fn sign(&self, signed: &[u8]) -> String {
        let signatures = self.0.iter().map(|secret| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed);
            format!("v1,{}", STANDARD.encode(tag.as_ref()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let secret = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?);
    LENGTHS.contains(&secret.len()).then_some(secret)
}

/// Makes a secret in a new file of mode 0600.
///
/// # Errors
/// Where the file is there already, or cannot be written.
pub fn new_secret(path: &Path) -> Result<(), WebhookSecretError> {
    let mut secret = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(secret.as_mut_slice()).map_err(|_| WebhookSecretError::Random)?;
    let mut text = Zeroizing::new(PREFIX.to_owned());
    text.reserve(64);
    STANDARD.encode_string(secret.as_slice(), &mut text);
    text.push('\n');
    create(path, text.as_bytes(), 0o600)
        .map_err(|source| WebhookSecretError::Unwritable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::{Secret, WebhookSecretError, new_secret};
    use std::os::unix::fs::PermissionsExt as _;

    fn read(text: &str) -> Result<Secret, WebhookSecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        crate::files::create(&path, text.as_bytes(), 0o600).unwrap();
        Secret::read(&path)
    }

    #[test]
    fn a_new_secret_can_be_read_by_its_owner_alone_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        new_secret(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = Secret::read(&path).unwrap();
        assert_eq!(secret.0[0].len(), 32);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(matches!(new_secret(&path), Err(WebhookSecretError::Unwritable { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Secret::read(&path), Err(WebhookSecretError::File(_))));
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_line() {
        let good = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        assert_eq!(read(&format!("{good}\n\n{good}\n")).unwrap().0.len(), 2);
        for bad in ["", "\n\n", &format!("{good}\n").repeat(4)] {
            assert!(matches!(read(bad), Err(WebhookSecretError::Number { .. })), "{bad:?}");
        }
        for bad in ["AAEC", "whsec_AAEC", "whsec_!", "whsec_", &good.replace("whsec", "wsec")] {
            let error = read(&format!("{good}\n{bad}\n")).unwrap_err();
            assert!(matches!(error, WebhookSecretError::Form { line: 2, .. }), "{bad:?}: {error}");
        }
    }
}
