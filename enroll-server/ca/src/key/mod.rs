//! Keys that sign: the trait, and the implementations over a file, a PKCS#11 token, a TPM and a command.
//!
//! All are ECDSA on P-256. Whoever holds an [`IssuerKey`] can sign anything with it; only
//! [`Issuer`](crate::Issuer) does, and only what was linted.

mod command;
mod encrypted;
mod file;
mod pkcs11;
mod tpm;
mod uri;

use core::error::Error;
use core::fmt;
use std::io;
use std::path::PathBuf;

use crate::secret::SecretError;

pub use command::{CommandError, CommandKey};
pub use encrypted::{KeyFile, LockedKey, MAX_ITERATIONS, MAX_MEMORY, MAX_PASSES, MAX_PASSPHRASE, Passphrase};
pub use file::FileKey;
pub use pkcs11::Pkcs11Key;
pub use tpm::{MIN_AUTH, TpmKey, TpmKeyError, TpmPlace, make_tpm_key};
pub use uri::{Pkcs11Uri, UriError};

/// A key of a CA.
///
/// To implement: the key may be remote (another process, PKCS#11). `sign` may block, for a bounded time.
/// `Debug` shows no secret.
pub trait IssuerKey: fmt::Debug + Send + Sync {
    /// The public half: an uncompressed point (SEC 1, section 2.3.3: 4, x, y).
    fn public_point(&self) -> &[u8; 65];

    /// Signs `message` with ECDSA and SHA-256; the result is an ECDSA-Sig-Value in DER (RFC 3279, section
    /// 2.2.3).
    ///
    /// # Errors
    /// Where the key cannot be reached or does not sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Whether signing is but computing, and waits for nothing: no device, no other process, no network. To implement:
    /// leave it at `false` unless that is so.
    fn is_at_hand(&self) -> bool {
        false
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, or is not for its owner only.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key in a TPM cannot be used.
    #[error(transparent)]
    Tpm(#[from] TpmKeyError),
    /// The file cannot be written.
    #[error("cannot use the key file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there already; keys are never overwritten.
    #[error("{path} exists already; move it away first, a key is never overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It holds no key.
    #[error("{path} is not a key file")]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
    },
    /// The file is encrypted, and there is no passphrase.
    #[error("{path} is encrypted; give its passphrase")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Another passphrase than the one the key was encrypted under.
    #[error("the passphrase is wrong, or the key file is damaged")]
    WrongPassphrase,
    /// The file asks for more time or memory than is given.
    #[error(
        "opening the encrypted key would take too long or too much memory; taken are at most {MAX_ITERATIONS} iterations of \
         PBKDF2, or scrypt with {} MiB and {MAX_PASSES} passes; encrypt it anew: openssl pkcs8 -topk8 -scrypt",
        MAX_MEMORY >> 20
    )]
    TooCostly,
    /// No passphrase, or one that is too long.
    #[error("a passphrase has 1 to {} bytes", MAX_PASSPHRASE)]
    Passphrase,
    /// A new passphrase was typed in differently the second time.
    #[error("the two passphrases are not the same; no key was made")]
    PassphrasesDiffer,
    /// The token or the key is not there.
    #[error("there is no {what} \"{name}\" that can be used")]
    NotThere {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// More than one fits.
    #[error("more than one {what} is called \"{name}\"; name one of them alone")]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Not a P-256 key.
    #[error("no P-256 key in PKCS#8")]
    Malformed,
    /// The random generator failed.
    #[error("no key could be made: the random generator failed")]
    Random,
    /// The library did not sign.
    #[error("the key did not sign")]
    Signing,
    /// A remote key does not answer.
    #[error("the key cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The key was asked for a signature to see whether it signs, and has not answered.
    #[error("the key did not sign the last time, and does not answer now that it is tried again")]
    OnTrial,
}
