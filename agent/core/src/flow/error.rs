//! What can end a flow.

use shared::codec::DecodeError;

use crate::platform::{AttestError, KeyError, StorageError, TransportError};
use crate::slots::IdentityError;
use crate::trust::TrustError;

/// Why an agent cannot run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The records cannot be read or written.
    #[error("the device's records cannot be used")]
    Storage(#[from] StorageError),
    /// The key store does not answer.
    #[error("the device's key store cannot be used")]
    Key(#[from] KeyError),
    /// There is no usable trust bundle, stored or provisioned.
    #[error("the device has no usable trust bundle: provision it with the server's signed bundle")]
    Trust(#[from] TrustError),
}

/// What became of a single enrollment or renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnceError {
    /// The agent cannot run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no identity to renew; enroll first.
    #[error("there is no identity to renew; enroll first")]
    NotEnrolled,
    /// Held for approval; the request is kept, ask again later.
    #[error("the server holds the request for an operator's approval")]
    Pending,
    /// The server refused with this code of [`shared::Reject`].
    #[error("the server refused with code {code}")]
    Refused {
        /// The wire code.
        code: u16,
    },
    /// The server could not be asked.
    #[error("the enrollment server could not be asked")]
    Transport(#[from] TransportError),
    /// The answer was not taken.
    #[error("the enrollment server's answer was not taken")]
    Answer(#[from] AnswerError),
    /// The key failed.
    #[error("the operational key failed")]
    Key(#[from] KeyError),
    /// No evidence could be made.
    #[error("no evidence could be made")]
    Attest(#[from] AttestError),
    /// A record could not be written.
    #[error("a record could not be written")]
    Storage(#[from] StorageError),
    /// The new identity could not be tried at the broker.
    #[error("the new identity could not be tried at the broker")]
    Broker(#[source] TransportError),
    /// The broker refused the new identity; the one before stays in use.
    #[error("the broker refused the new identity; the one before stays in use")]
    TrialFailed,
    /// A stop was asked.
    #[error("stopped before the end")]
    Stopped,
}

/// Why an answer of the enrollment server was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is no message of this protocol.
    #[error("the answer is no message of this protocol: {0}")]
    Message(#[from] DecodeError),
    /// An HTTP status without a message of this protocol.
    #[error("the server answered with HTTP status {0} and no message")]
    Status(u16),
    /// The issued certificate is of no use: unreadable, for another key, or for another device.
    #[error("the issued certificate is of no use: {0}")]
    Identity(#[from] IdentityError),
    /// The issued certificate has ended by the server's own time.
    #[error("the issued certificate has already ended")]
    Ended,
    /// The answer does not fit the request, as a challenge that is none.
    #[error("the server answered something else than was asked")]
    Unasked,
    /// The server wants evidence of a kind that was not offered.
    #[error("the server wants a kind of evidence that was not offered")]
    Kind,
}
