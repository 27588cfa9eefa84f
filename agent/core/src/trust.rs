//! The trust bundle in force: which servers and brokers a device believes.

use shared::codec::DecodeError;

/// Why a trust bundle was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// None is stored, and none was provisioned.
    #[error("there is no trust bundle")]
    Missing,
    /// It cannot be read.
    #[error("the trust bundle cannot be read: {0}")]
    Message(#[from] DecodeError),
    /// Its signature is not by the signer that the bundle in force names.
    #[error("the trust bundle is not signed by the expected signer")]
    Signature,
    /// The signer's key is no point on P-256.
    #[error("the signer of the trust bundle is no P-256 key")]
    Signer,
    /// Its number is lower than that of the bundle in force, or equal with another content.
    #[error("trust bundle {offered} does not follow the one in force, {held}")]
    NotNewer {
        /// Number of the bundle in force.
        held: u64,
        /// Number of the bundle offered.
        offered: u64,
    },
}
