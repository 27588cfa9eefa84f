//! From everything that can go wrong to what the device is told: one exhaustive mapping.
//!
//! The operator's reason goes to the log and to the counters; the device gets the code, a sentence without
//! detail, and when to come back.

use core::time::Duration;

use shared::codec::{DecodeError, EncodeError};
use shared::reject::DeviceAction;
use shared::{DeviceId, Reject};

use crate::admission::Later;
use crate::issuance::{Denied, chain, reject_of_message, rule_of};
use crate::telemetry::traces::spans;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("nothing is at this path for this method")]
    NoSuchEndpoint,
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("the body broke off")]
    BodyBroken,
    #[error(transparent)]
    Later(#[from] Later),
    #[error("the request took longer than allowed")]
    RequestTooSlow,
    #[error("the message cannot be read")]
    Message(#[from] DecodeError),
    #[error("the client's certificate names {found}, the request {asked}")]
    NotYourDevice { found: DeviceId, asked: DeviceId },
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the answer cannot be written")]
    Answer(#[from] EncodeError),
    #[error("no revocation list was published yet")]
    NoCrl,
    #[error("there is no broker to tell the device")]
    NoBroker,
}

impl Problem {
    /// What the device is told.
    pub(super) const fn reject(&self) -> Reject {
        match self {
            Self::NoSuchEndpoint => Reject::NoSuchEndpoint,
            Self::Later(_) => Reject::TooManyRequests,
            Self::BodyTooLarge { .. } => Reject::TooLarge,
            Self::Message(error) => reject_of_message(error),
            Self::BodyTooSlow | Self::RequestTooSlow => Reject::TooSlow,
            Self::BodyBroken => Reject::MalformedMessage,
            Self::NotYourDevice { .. } => Reject::NotYourDevice,
            Self::Denied(denied) => denied.reject(),
            Self::Answer(_) => Reject::Internal,
            Self::NoCrl | Self::NoBroker => Reject::Unavailable,
        }
    }

    /// What there was too much of, where that is the reason.
    pub(super) const fn later(&self) -> Option<Later> {
        match self {
            Self::Later(later) | Self::Denied(Denied::Later(later)) => Some(*later),
            _ => None,
        }
    }

    /// When the device may come again: at its own time where many come; see [`retry_after`].
    pub(super) fn retry_after(&self, busy: Duration) -> Option<Duration> {
        self.later().map_or_else(|| retry_after(self.reject(), busy), |later| Some(later.after))
    }

    /// The rule that decided.
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.rule(),
            _ => rule_of(self.reject()),
        }
    }

    /// One log line with the operator's reason.
    pub(super) fn log(&self, endpoint: &'static str, device: Option<&DeviceId>) {
        let reason = chain(self);
        if self.later().is_some() {
            let device = device.map(tracing::field::display);
            // One line for each would be a load of its own; the counters say how many.
            tracing::debug!(endpoint, device, reason, "told to come again");
        } else {
            log_refusal((endpoint, device), self.reject(), self.rule(), reason);
        }
    }
}

/// The line of a refusal, of whatever protocol: loud where the server is at fault.
pub(super) fn log_refusal(
    (endpoint, device): (&'static str, Option<&DeviceId>),
    reject: Reject,
    rule: &'static str,
    reason: String,
) {
    let (device, refusal) = (device.map(tracing::field::display), reject.name());
    let (action, trace_id) = (reject.operator_action(), spans::trace());
    if reject.http_status() >= 500 {
        tracing::error!(endpoint, device, refusal, reason, action, trace_id, "not served");
    } else {
        tracing::info!(endpoint, device, refusal, rule, reason, action, trace_id, "refused");
    }
}

/// When a suspended device asks again whether it still is. Nobody is woken when a suspension ends.
const SUSPENDED: Duration = Duration::from_secs(3_600);

/// When the device may come again; `None` where that does not help.
pub(super) const fn retry_after(reject: Reject, busy: Duration) -> Option<Duration> {
    match reject.device_action() {
        _ if matches!(reject, Reject::DeviceSuspended) => Some(SUSPENDED),
        DeviceAction::RetrySame => Some(busy),
        DeviceAction::RetryFresh | DeviceAction::EnrollAgain => Some(Duration::from_secs(1)),
        DeviceAction::Stop => None,
    }
}

/// The sentence a device gets. It says what the code says and nothing of how the server came to it.
pub(super) fn sentence(reject: Reject) -> String {
    format!("The server refused the request ({}).", reject.name())
}

#[cfg(test)]
mod tests {
    use super::{retry_after, sentence};
    use core::time::Duration;
    use shared::Reject;
    use shared::limits::MAX_SENTENCE;

    #[test]
    fn every_refusal_has_a_sentence_that_fits_and_the_right_hint() {
        for reject in Reject::ALL {
            assert!(sentence(*reject).len() <= MAX_SENTENCE);
            let busy = Duration::from_secs(5);
            if reject.http_status() == 503 {
                assert_eq!(retry_after(*reject, busy), Some(busy));
            }
        }
        assert_eq!(retry_after(Reject::UnknownMaker, Duration::from_secs(5)), None);
    }
}
