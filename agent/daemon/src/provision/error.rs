//! Why what was provisioned cannot be used.

use std::io;
use std::path::PathBuf;

use agent_core::evidence::{DiceError, IdevidError, PsaError, SymmetricKeyError, TokenError};
use shared::limits;

/// Why a provisioned file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// It cannot be read.
    #[error("the {what} {path} cannot be read")]
    Unreadable {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is longer than such a file can be.
    #[error("the {what} {path} is longer than {limit} bytes")]
    TooLong {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// Others than the agent's user and group can read or change a secret.
    #[error("others can read or change the {what} {path} (mode {mode:04o}); run: chmod 0600 {path}")]
    Open {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not certificates in PEM, none, or more than a chain can have.
    #[error("{path} is no chain of 1 to {} certificates in PEM", limits::MAX_CHAIN)]
    Chain {
        /// The file.
        path: PathBuf,
    },
    /// Key and chain make no IDevID.
    #[error("{path} is no IDevID for the configured key")]
    Idevid {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: IdevidError,
    },
    /// Key and chain make no DICE evidence.
    #[error("{path} is no DICE chain for the configured alias key")]
    Dice {
        /// The chain's file.
        path: PathBuf,
        /// What is wrong.
        source: DiceError,
    },
    /// No P-256 key in PKCS#8 PEM.
    #[error("{path} is no P-256 private key in PEM (PKCS#8)")]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The chain of the PSA attestation key does not fit evidence.
    #[error("the PSA attestation service cannot be used")]
    Psa(#[source] PsaError),
    /// Key and chain make no claim certificate.
    #[error("{path} is no claim certificate for the configured key")]
    Claim {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: IdevidError,
    },
    /// No symmetric key of a device.
    #[error("{path} is no symmetric key of a device")]
    Symmetric {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SymmetricKeyError,
    },
    /// No token.
    #[error("the one-time token must be 1 to {} printable ASCII characters", limits::MAX_TOKEN)]
    Token,
    /// A token that was typed wrongly.
    #[error("the one-time token cannot be used")]
    Mistyped(#[source] TokenError),
}
