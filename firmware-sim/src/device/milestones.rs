//! What a device has reached, and when: made of the notices of its agent.

use core::time::Duration;

use agent_core::flow::{Notice, Peer, Publication};
use shared::Reject;
use tokio::time::Instant;

/// Something worth counting that a device told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// A key is durable.
    KeyMade,
    /// An identity is durable; it may be a renewed one.
    Enrolled {
        /// Whether there was one before.
        renewal: bool,
    },
    /// The device calls the broker.
    Connecting,
    /// The broker accepted login and subscription.
    Connected,
    /// The broker acknowledged a publication.
    Published(Publication),
    /// The enrollment server refused.
    Refused {
        /// The refusal, where this build knows its code.
        reject: Option<Reject>,
        /// Whether the device gives up.
        is_final: bool,
    },
    /// The connection to the broker was lost, or did not come about.
    BrokerLost(String),
    /// Anything else that went wrong; the device tries again.
    Trouble(String),
    /// A command was taken.
    Command(String),
    /// A new identity took the place of the old one.
    Renewed,
}

impl Milestone {
    /// What a notice means, if it is worth counting.
    #[must_use]
    pub fn of(notice: &Notice<'_>) -> Option<Self> {
        Some(match notice {
            Notice::KeyMade { .. } => Self::KeyMade,
            Notice::Enrolled { renewal, .. } => Self::Enrolled { renewal: *renewal },
            Notice::Connecting { .. } => Self::Connecting,
            Notice::BrokerAccepted { .. } => Self::Connected,
            Notice::Published { what, .. } => Self::Published(*what),
            Notice::Refused { reject, is_final, .. } => {
                Self::Refused { reject: *reject, is_final: *is_final }
            }
            Notice::Unreachable { peer: Peer::Broker, error } => Self::BrokerLost(error.to_string()),
            Notice::Unreachable { peer: Peer::EnrollmentServer, error } => {
                Self::Trouble(format!("enrollment server: {error}"))
            }
            Notice::BadAnswer(error) => Self::Trouble(error.to_string()),
            Notice::AttestFailed(error) => Self::Trouble(error.to_string()),
            Notice::KeyFailed(error) => Self::Trouble(error.to_string()),
            Notice::StorageFailed(error) => Self::Trouble(error.to_string()),
            Notice::TrustRefused(error) => Self::Trouble(error.to_string()),
            Notice::Command { name } => Self::Command((*name).to_owned()),
            Notice::Rotated { .. } => Self::Renewed,
            _ => return None,
        })
    }
}

impl core::fmt::Display for Milestone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::KeyMade => f.write_str("a key is made"),
            Self::Enrolled { renewal: false } => f.write_str("the first identity is issued"),
            Self::Enrolled { renewal: true } => f.write_str("the next identity is issued"),
            Self::Connecting => f.write_str("calling the broker"),
            Self::Connected => f.write_str("the broker accepted the identity"),
            Self::Published(Publication::Status) => f.write_str("status published"),
            Self::Published(Publication::Telemetry) => f.write_str("telemetry published"),
            Self::Refused { reject: Some(reject), is_final } => {
                let again = if *is_final { "for good" } else { "for now" };
                write!(f, "refused {again}: {reject} ({})", reject.code())
            }
            Self::Refused { reject: None, .. } => f.write_str("refused with an unknown code"),
            Self::BrokerLost(error) => write!(f, "broker: {error}"),
            Self::Trouble(error) => f.write_str(error),
            Self::Command(name) => write!(f, "command: {name}"),
            Self::Renewed => f.write_str("the next identity is in use"),
        }
    }
}

/// What one device has reached.
#[derive(Clone, Debug)]
pub struct Milestones {
    begun: Instant,
    connecting: Option<Instant>,
    accepted: Option<Instant>,
    /// From the start to a durable identity.
    pub identity: Option<Duration>,
    /// From the call of the broker to its acceptance: TCP, TLS, login, subscription.
    pub handshake: Option<Duration>,
    /// From there to the first acknowledged publication.
    pub publish: Option<Duration>,
    /// From the start to the first acknowledged publication.
    pub online: Option<Duration>,
    /// Telemetry messages that were acknowledged.
    pub telemetry: u64,
    /// The last thing that went wrong.
    pub trouble: Option<String>,
    /// The last refusal.
    pub refusal: Option<Reject>,
    /// When it lost the broker, or last could not reach it.
    pub lost: Option<Instant>,
    /// Why it ended, where it ended in error.
    pub ended: Option<String>,
}

impl Milestones {
    /// Of a device that begins now.
    #[must_use]
    pub const fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            connecting: None,
            accepted: None,
            identity: None,
            handshake: None,
            publish: None,
            online: None,
            telemetry: 0,
            trouble: None,
            refusal: None,
            lost: None,
            ended: None,
        }
    }

    /// Adds one.
    pub fn reach(&mut self, milestone: &Milestone, now: Instant) {
        let since_begin = now.saturating_duration_since(self.begun);
        match milestone {
            Milestone::Enrolled { renewal: false } => {
                self.identity.get_or_insert(since_begin);
            }
            Milestone::Connecting if self.handshake.is_none() => self.connecting = Some(now),
            Milestone::Connected if self.handshake.is_none() => {
                self.handshake = self.connecting.map(|then| now.saturating_duration_since(then));
                self.accepted = Some(now);
            }
            Milestone::Published(what) => {
                if *what == Publication::Telemetry {
                    self.telemetry += 1;
                }
                if self.publish.is_none() {
                    self.publish = self.accepted.map(|then| now.saturating_duration_since(then));
                    self.online = Some(since_begin);
                }
            }
            Milestone::Refused { reject, .. } => {
                self.refusal = *reject;
                let name = reject.map_or("unknown reason", Reject::name);
                self.trouble = Some(format!("refused: {name}"));
            }
            Milestone::BrokerLost(error) => {
                self.trouble = Some(format!("broker: {error}"));
                self.lost = Some(now);
            }
            Milestone::Trouble(error) => self.trouble = Some(error.clone()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Milestone, Milestones};
    use agent_core::flow::Publication;
    use core::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn times_are_measured_from_their_own_beginnings() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut device = Milestones::begin(begin);
        device.reach(&Milestone::Enrolled { renewal: false }, at(100));
        device.reach(&Milestone::Connecting, at(110));
        // The first login fails, and the second is the one that counts.
        device.reach(&Milestone::BrokerLost("the server cannot be reached".into()), at(120));
        device.reach(&Milestone::Connecting, at(200));
        device.reach(&Milestone::Connected, at(230));
        device.reach(&Milestone::Published(Publication::Status), at(235));
        device.reach(&Milestone::Published(Publication::Telemetry), at(240));
        device.reach(&Milestone::Enrolled { renewal: true }, at(900));
        device.reach(&Milestone::Connecting, at(950));
        let ms = |duration: Option<Duration>| duration.unwrap().as_millis();
        assert_eq!(ms(device.identity), 100);
        assert_eq!(ms(device.handshake), 30);
        assert_eq!(ms(device.publish), 5);
        assert_eq!(ms(device.online), 235);
        assert_eq!(device.telemetry, 1);
    }
}
