//! One log line for each notice: a sentence for people, fields for programs. No keys, tokens or payloads.

use agent_core::flow::{Cause, Notice, Peer, Publication};
use agent_core::platform::Slot;
use tracing::{debug, error, info, warn};

use super::harmless;

/// Writes the line.
pub(super) fn log(notice: &Notice<'_>) {
    let event = notice.name();
    match *notice {
        Notice::Started { phase } => info!(event, phase = phase.name(), "agent started"),
        Notice::Recovered => warn!(event, "a record was damaged or stale and was put in order"),
        Notice::KeyMade { slot } => info!(event, slot = name(slot), "new key made"),
        Notice::Challenged { kind } => debug!(event, evidence = kind.name(), "the server asks for evidence"),
        Notice::Enrolled { slot, not_after, renew_at, renewal, .. } => {
            info!(event, slot = name(slot), %not_after, %renew_at, renewal, "certificate issued");
        }
        Notice::Pending { retry_in } => {
            let seconds = retry_in.as_secs();
            info!(event, seconds, "the server holds the request for an operator's approval");
        }
        Notice::Refused { code, reject, message, is_final } => {
            let reason = reject.map(|reject| reject.name());
            let operator = reject.map(|reject| reject.operator_action());
            let message = harmless(message);
            error!(event, code, reason, message, is_final, operator, "the enrollment server refused");
        }
        Notice::Unreachable { peer, error } => match peer {
            Peer::EnrollmentServer => warn!(event, %error, "no answer from the enrollment server"),
            Peer::Broker => warn!(event, %error, "no connection to the broker"),
        },
        Notice::BadAnswer(error) => error!(event, %error, "the enrollment server's answer was not taken"),
        Notice::AttestFailed(error) => error!(event, %error, "no evidence could be made"),
        Notice::KeyFailed(error) => error!(event, %error, "the operational key failed"),
        Notice::StorageFailed(error) => error!(event, %error, "a record could not be read or written"),
        Notice::TrustChanged { number, anchors } => {
            info!(event, number, anchors = anchors.len(), "trust bundle in force");
        }
        Notice::TrustRefused(error) => error!(event, %error, "a trust bundle was not taken"),
        Notice::TimeLearned { time } => debug!(event, %time, "time learned"),
        Notice::Connecting { slot, trial } => debug!(event, slot = name(slot), trial, "calling the broker"),
        Notice::BrokerAccepted { slot } => info!(event, slot = name(slot), "connected to the broker"),
        Notice::IdentityActivated { slot, .. } => info!(event, slot = name(slot), "identity in use"),
        Notice::Rotated { from, to } => info!(event, from = name(from), to = name(to), "identity renewed"),
        Notice::TrialFailed { slot } => {
            error!(event, slot = name(slot), "the broker refused the new identity; the old one stays in use");
        }
        Notice::Erased { slot } => info!(event, slot = name(slot), "key and certificate erased"),
        Notice::Published { what, sequence } => match what {
            Publication::Status => debug!(event, "status published"),
            Publication::Telemetry => debug!(event, sequence, "telemetry published"),
        },
        Notice::Command { name } => info!(event, command = name, "command taken"),
        Notice::CommandRefused { length } => {
            warn!(event, length, "a message that is no command was left aside")
        }
        Notice::RenewalStarted { cause } => {
            info!(event, cause = because(cause), "asking for the next identity")
        }
        Notice::Disconnected => info!(event, "disconnected from the broker in order"),
        Notice::Waiting { duration, phase } => {
            debug!(event, milliseconds = duration.as_millis(), phase = phase.name(), "waiting");
        }
        _ => debug!(event, "something new happened"),
    }
}

const fn name(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "a",
        Slot::B => "b",
    }
}

const fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::None => "there is none",
        Cause::Due => "its time has come",
        Cause::Commanded => "commanded",
        Cause::BrokerRefused => "the broker refuses the one in use",
    }
}
