//! What an agent tells its observer.

use core::time::Duration;

use shared::message::latest::EvidenceKind;
use shared::{Reject, UnixTime};

use super::error::AnswerError;
use crate::lifecycle::{Cause, Phase};
use crate::platform::{AttestError, KeyError, Slot, StorageError, TransportError};
use crate::trust::TrustError;

/// Something happened. Names are stable; fields may be added.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// The records were read; the agent begins here.
    Started {
        /// Where it stands.
        phase: Phase,
    },
    /// A record was damaged or did not fit the others, and the rest was put in order.
    Recovered,
    /// A new key is durable.
    KeyMade {
        /// Where.
        slot: Slot,
    },
    /// The server gave a nonce.
    Challenged {
        /// The evidence it wants.
        kind: EvidenceKind,
    },
    /// The server issued a certificate; it is durable, and the broker has not seen it yet.
    Enrolled {
        /// Where.
        slot: Slot,
        /// The chain in DER, leaf first.
        chain: &'a [&'a [u8]],
        /// End of the leaf.
        not_after: UnixTime,
        /// When the device renews.
        renew_at: UnixTime,
        /// Whether an earlier identity is in use.
        renewal: bool,
    },
    /// The server holds the request for approval.
    Pending {
        /// When the device asks again.
        retry_in: Duration,
    },
    /// The server refused.
    Refused {
        /// The wire code.
        code: u16,
        /// The refusal, where this build knows the code.
        reject: Option<Reject>,
        /// The server's sentence.
        message: &'a str,
        /// Whether the device gives up until an operator acts.
        is_final: bool,
    },
    /// A connection did not come about or was lost.
    Unreachable {
        /// To whom.
        peer: Peer,
        /// How it failed.
        error: TransportError,
    },
    /// The enrollment server's answer was not taken.
    BadAnswer(AnswerError),
    /// The identity key gave no evidence.
    AttestFailed(AttestError),
    /// A key could not be made, opened or erased.
    KeyFailed(KeyError),
    /// A record could not be read or written; the agent goes on with what it has and tries again.
    StorageFailed(StorageError),
    /// Another trust bundle is in force and durable.
    TrustChanged {
        /// Its number.
        number: u64,
        /// Its anchors in DER.
        anchors: &'a [&'a [u8]],
    },
    /// A trust bundle was not taken.
    TrustRefused(TrustError),
    /// The time is known from an authenticated answer.
    TimeLearned {
        /// The time.
        time: UnixTime,
    },
    /// The agent calls the broker.
    Connecting {
        /// With the identity in this slot.
        slot: Slot,
        /// Whether it is a new identity's trial.
        trial: bool,
    },
    /// The broker accepted login and subscription.
    BrokerAccepted {
        /// The identity's slot.
        slot: Slot,
    },
    /// The broker accepted this identity, and that is durable: it is the one in use now. Once for each identity,
    /// and once after each start, so that what depends on it can be brought up to date.
    IdentityActivated {
        /// Its slot.
        slot: Slot,
        /// Its chain in DER, leaf first.
        chain: &'a [&'a [u8]],
    },
    /// A new identity took the place of an old one.
    Rotated {
        /// Slot of the old one.
        from: Slot,
        /// Slot of the new one.
        to: Slot,
    },
    /// The broker would not have the new identity; the old one stays in use.
    TrialFailed {
        /// Slot of the new one.
        slot: Slot,
    },
    /// Key and certificate of a slot were erased.
    Erased {
        /// The slot.
        slot: Slot,
    },
    /// The broker acknowledged a publication.
    Published {
        /// What it was.
        what: Publication,
        /// Number of telemetry publications since start.
        sequence: u32,
    },
    /// A command came and was taken.
    Command {
        /// Its name.
        name: &'a str,
    },
    /// A message on the command topic that is no command known here; it is left aside.
    CommandRefused {
        /// Its length in bytes.
        length: usize,
    },
    /// The agent begins to ask for the next identity.
    RenewalStarted {
        /// Why.
        cause: Cause,
    },
    /// The connection to the broker ended in order.
    Disconnected,
    /// Nothing to do for a while.
    Waiting {
        /// How long, at most.
        duration: Duration,
        /// Where the device stands.
        phase: Phase,
    },
}

impl Notice<'_> {
    /// The stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Recovered => "recovered",
            Self::KeyMade { .. } => "key-made",
            Self::Challenged { .. } => "challenged",
            Self::Enrolled { .. } => "enrolled",
            Self::Pending { .. } => "pending",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::BadAnswer(_) => "bad-answer",
            Self::AttestFailed(_) => "attest-failed",
            Self::KeyFailed(_) => "key-failed",
            Self::StorageFailed(_) => "storage-failed",
            Self::TrustChanged { .. } => "trust-changed",
            Self::TrustRefused(_) => "trust-refused",
            Self::TimeLearned { .. } => "time-learned",
            Self::Connecting { .. } => "connecting",
            Self::BrokerAccepted { .. } => "broker-accepted",
            Self::IdentityActivated { .. } => "identity-activated",
            Self::Rotated { .. } => "rotated",
            Self::TrialFailed { .. } => "trial-failed",
            Self::Erased { .. } => "erased",
            Self::Published { .. } => "published",
            Self::Command { .. } => "command",
            Self::CommandRefused { .. } => "command-refused",
            Self::RenewalStarted { .. } => "renewal-started",
            Self::Disconnected => "disconnected",
            Self::Waiting { .. } => "waiting",
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The enrollment server.
    EnrollmentServer,
    /// The MQTT broker.
    Broker,
}

/// What a device publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The retained status.
    Status,
    /// Telemetry.
    Telemetry,
}
