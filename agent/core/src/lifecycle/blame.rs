//! What a failed connection or a refusal says, and what it leaves open.

use core::time::Duration;

use shared::Reject;
use shared::reject::DeviceAction;

use crate::platform::TransportError;
use crate::x509::PathError;

/// Whose fault a failed connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The network, or the peer is down or busy.
    Network,
    /// The device's identity was refused, and the peer said so.
    Identity,
    /// Perhaps the device's identity: in TLS 1.3 a refused client certificate shows only after the handshake,
    /// often as a closed connection.
    PerhapsIdentity,
    /// The dates of the peer's certificate: its fault, or the device's idea of the time.
    Dates,
    /// The peer's certificate otherwise: an impostor, or another trust bundle is in force.
    Trust,
}

/// Whose fault `error` may be.
pub(super) const fn blame(error: TransportError) -> Blame {
    match error {
        TransportError::Unreachable
        | TransportError::TurnedAway
        | TransportError::TimedOut
        | TransportError::TooLarge
        | TransportError::Protocol => Blame::Network,
        TransportError::Tls | TransportError::Closed => Blame::PerhapsIdentity,
        TransportError::Certificate(PathError::Expired | PathError::NotYetValid) => Blame::Dates,
        TransportError::Certificate(_) => Blame::Trust,
        TransportError::Refused(code) => match code {
            // MQTT 5, table 3-1: client identifier not valid, bad user name or password, not authorized,
            // banned, bad authentication method.
            0x85 | 0x86 | 0x87 | 0x8a | 0x8c => Blame::Identity,
            _ => Blame::Network,
        },
    }
}

/// What a device does after a refusal with `code` and HTTP `status`.
pub(super) fn consequence(code: u16, status: u16, retry_after: Option<Duration>) -> DeviceAction {
    match Reject::from_code(code) {
        Some(reject) => reject.device_action(),
        None if status >= 500 || status == 429 || status == 408 => DeviceAction::RetrySame,
        None if retry_after.is_some() => DeviceAction::RetryFresh,
        None => DeviceAction::Stop,
    }
}
