//! How fast a device retries: the bounds of every delay.

use core::time::Duration;

/// Bounds of delays. Every delay is drawn at random from zero to a bound that doubles with each failure
/// (full jitter), on top of whatever the server asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// First bound of the delay before asking the enrollment server again; six times as long for a renewal that is due
    /// while the identity in use is good for more than a day.
    pub server_first: Duration,
    /// Highest bound of that delay; six times as long as above.
    pub server_most: Duration,
    /// First bound of the delay before connecting to the broker again.
    pub broker_first: Duration,
    /// Highest bound of that delay.
    pub broker_most: Duration,
    /// Least time between two questions to the enrollment server because the broker refused; doubles up to
    /// [`final_retry`](Self::final_retry).
    pub suspicion: Duration,
    /// After a final refusal: time until the server is asked again.
    pub final_retry: Duration,
    /// A connection to the broker that lasted this long counts as good.
    pub settled: Duration,
    /// About how often a device that has nothing to ask comes to the enrollment server all the same: the time of
    /// day, and whether an operator wants a renewal. Zero: never.
    pub check_in: Duration,
    /// Mean time between two reports to the enrollment server of which trust bundle is held, which bring the next one:
    /// each is at a random point between half and one and a half of it. Zero: only when asked.
    pub trust_check: Duration,
    /// Failed logins in a row that may be the identity's fault, before that is believed.
    pub patience: u32,
}

impl Pace {
    /// For devices in the field.
    pub const DEFAULT: Self = Self {
        server_first: Duration::from_secs(10),
        server_most: Duration::from_secs(3600),
        broker_first: Duration::from_secs(5),
        broker_most: Duration::from_secs(600),
        suspicion: Duration::from_secs(3600),
        final_retry: Duration::from_secs(24 * 3600),
        settled: Duration::from_secs(60),
        check_in: Duration::from_secs(7 * 24 * 3600),
        trust_check: Duration::from_secs(7 * 24 * 3600),
        patience: 3,
    };
}

impl Default for Pace {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use core::time::Duration;

    /// What operators read in docs/renewal.md, and what the fleets of docs/storms.md are counted with.
    #[test]
    fn devices_in_the_field_have_the_pace_that_is_documented() {
        let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
        let pace = Pace::DEFAULT;
        assert_eq!((pace.server_first, pace.server_most), (Duration::from_secs(10), hour));
        assert_eq!((pace.broker_first, pace.broker_most), (Duration::from_secs(5), Duration::from_secs(600)));
        assert_eq!((pace.suspicion, pace.final_retry, pace.settled), (hour, day, Duration::from_secs(60)));
        assert_eq!((pace.check_in, pace.trust_check), (day * 7, day * 7));
        assert_eq!((Pace::default(), pace.patience), (pace, 3));
    }
}
