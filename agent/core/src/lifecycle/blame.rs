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
        | TransportError::NotShown
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

#[cfg(test)]
mod tests {
    use super::{Blame, blame, consequence};
    use crate::platform::TransportError;
    use crate::x509::PathError;
    use core::time::Duration;
    use shared::Reject;
    use shared::reject::DeviceAction;

    #[test]
    fn a_broker_refuses_an_identity_or_is_not_there_for_anybody() {
        for code in [0x85, 0x86, 0x87, 0x8a, 0x8c] {
            assert_eq!(blame(TransportError::Refused(code)), Blame::Identity, "{code:#x}");
        }
        // Unspecified, malformed, unsupported version, unavailable, busy, use another server, moved, quota, rate.
        for code in [0x80, 0x81, 0x84, 0x88, 0x89, 0x97, 0x9c, 0x9d, 0x9f] {
            assert_eq!(blame(TransportError::Refused(code)), Blame::Network, "{code:#x}");
        }
    }

    #[test]
    fn a_failed_connection_says_what_it_can() {
        for network in [
            TransportError::Unreachable,
            TransportError::TurnedAway,
            TransportError::NotShown,
            TransportError::TimedOut,
            TransportError::TooLarge,
            TransportError::Protocol,
        ] {
            assert_eq!(blame(network), Blame::Network, "{network:?}");
        }
        for perhaps in [TransportError::Tls, TransportError::Closed] {
            assert_eq!(blame(perhaps), Blame::PerhapsIdentity, "{perhaps:?}");
        }
        for dates in [PathError::Expired, PathError::NotYetValid] {
            assert_eq!(blame(TransportError::Certificate(dates)), Blame::Dates, "{dates:?}");
        }
        assert_eq!(blame(TransportError::Certificate(PathError::Malformed)), Blame::Trust);
    }

    #[test]
    fn a_refusal_of_a_newer_server_is_taken_by_its_status() {
        let newer = u16::MAX;
        assert_eq!(Reject::from_code(newer), None);
        let later = Some(Duration::from_secs(9));
        for status in [408, 429, 500, 503, 599] {
            assert_eq!(consequence(newer, status, None), DeviceAction::RetrySame, "{status}");
            assert_eq!(consequence(newer, status, later), DeviceAction::RetrySame, "{status}");
        }
        for status in [400, 403, 409, 428, 430, 499] {
            assert_eq!(consequence(newer, status, None), DeviceAction::Stop, "{status}");
            assert_eq!(consequence(newer, status, later), DeviceAction::RetryFresh, "{status}");
        }
    }

    #[test]
    fn a_refusal_that_is_known_says_itself_what_to_do() {
        for reject in [Reject::EvidenceWanted, Reject::DeviceRevoked] {
            assert_eq!(consequence(reject.code(), 500, None), reject.device_action(), "{reject:?}");
        }
    }
}
