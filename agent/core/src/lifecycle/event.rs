//! What happened: the input of the machine.

use core::time::Duration;

use shared::UnixTime;
use shared::message::latest::{EvidenceKind, Nonce};

use crate::flow::BrokerAccepted;
use crate::platform::{Slot, TransportError};
use crate::slots::Dates;
use crate::x509::Validity;

/// The time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since start.
    pub uptime: Duration,
    /// The device's own clock, if there is one.
    pub wall: Option<UnixTime>,
}

/// Something happened. `validity` is what the peer's certificate was held against.
#[derive(Debug)]
pub enum Event {
    /// The state of the last [`Action::Save`](super::Action::Save) is durable.
    Saved,
    /// It is not.
    SaveFailed,
    /// Nothing is left in a slot that does not count.
    Erased,
    /// Something may be.
    EraseFailed,
    /// A key is durable in the vacant slot.
    KeyMade,
    /// There is no key.
    KeyFailed,
    /// The server gave a nonce.
    Challenged {
        /// What it was asked for.
        errand: Errand,
        /// The server's time.
        server_time: UnixTime,
        /// The nonce.
        nonce: Nonce,
        /// The evidence the server wants.
        kind: EvidenceKind,
        /// Whether an operator wants the device to renew.
        renewal_wanted: bool,
        /// See above.
        validity: Validity,
    },
    /// The server answered the request, or refused a question.
    Answered {
        /// What was asked.
        errand: Errand,
        /// The server's time.
        server_time: UnixTime,
        /// The answer.
        answer: Verdict,
        /// See above.
        validity: Validity,
    },
    /// The certificate came and could not be stored: the same request brings it again.
    AnswerNotKept,
    /// There was no request to send, or the answer was not taken.
    RequestFailed {
        /// What was asked.
        errand: Errand,
        /// Whether the same request is of use again, as where only the key hardware failed.
        again: bool,
    },
    /// The enrollment server was not reached, or the exchange broke off.
    ExchangeFailed {
        /// What was asked.
        errand: Errand,
        /// How.
        error: TransportError,
        /// See above.
        validity: Validity,
    },
    /// The server sent its trust bundle.
    TrustFetched {
        /// Whether it is in force now and was not before.
        newer: bool,
        /// See above.
        validity: Validity,
    },
    /// The broker accepted an identity.
    Accepted {
        /// Proof of it.
        proof: BrokerAccepted,
        /// See above.
        validity: Validity,
    },
    /// The connection to the broker ended or did not come about.
    Disconnected {
        /// How.
        result: Result<(), TransportError>,
        /// With the identity in this slot.
        slot: Slot,
        /// How long it lasted after the broker accepted it; `None` where the broker did not.
        lasted: Option<Duration>,
        /// See above.
        validity: Validity,
    },
    /// Key or certificate of an identity cannot be used any more.
    IdentityUnusable {
        /// Its slot.
        slot: Slot,
    },
    /// The server is to be told soon which trust bundle is held: there is another one, or someone asks.
    TrustAsked,
    /// A renewal is wanted now.
    RenewAsked {
        /// By whom.
        by: Asker,
    },
}

/// What the enrollment server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The next identity.
    Identity,
    /// The time.
    Time,
    /// The trust bundle.
    Trust,
}

/// Who wants a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Someone at the device: at once, whatever the server said before.
    Local,
    /// The enrollment server, with an answer about something else: with jitter, and not before the time that it
    /// asked for.
    Server,
    /// A command through the broker, which nobody signed, and which may have gone to all devices at once: with
    /// jitter, and ever less often.
    Broker,
}

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A certificate came and is durable.
    Issued {
        /// Its dates.
        dates: Dates,
    },
    /// Held for approval.
    Pending {
        /// When to ask again.
        retry_after: Duration,
    },
    /// Refused.
    Rejected {
        /// The wire code.
        code: u16,
        /// HTTP status.
        status: u16,
        /// When to try again.
        retry_after: Option<Duration>,
    },
}
