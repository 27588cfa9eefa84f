//! Counts what a fleet has reached.

use core::time::Duration;

use tokio::time::Instant;

use super::{Told, What};
use crate::device::{Milestone, Milestones};

/// The milestones of all devices of a fleet.
#[derive(Clone, Debug)]
pub struct Tally {
    devices: Vec<Milestones>,
}

impl Tally {
    /// Of so many devices that begin now.
    #[must_use]
    pub fn begin(devices: usize, now: Instant) -> Self {
        Self { devices: vec![Milestones::begin(now); devices] }
    }

    /// Adds what a device told.
    pub fn take(&mut self, told: &Told) {
        let Some(device) = self.devices.get_mut(told.device) else { return };
        match &told.what {
            What::Begun => *device = Milestones::begin(told.at),
            What::Milestone(milestone) => device.reach(milestone, told.at),
            What::Ended(Ok(())) => {}
            What::Ended(Err(error)) => device.ended = Some(super::chain(error)),
        }
    }

    /// All devices, in the order they were started.
    #[must_use]
    pub fn devices(&self) -> &[Milestones] {
        &self.devices
    }

    /// Devices that have an identity: they got one, or the broker accepted one that they had before.
    #[must_use]
    pub fn enrolled(&self) -> usize {
        self.devices.iter().filter(|device| device.identity.is_some() || device.handshake.is_some()).count()
    }

    /// Devices that the broker accepted.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.devices.iter().filter(|device| device.handshake.is_some()).count()
    }

    /// Devices of which the broker acknowledged a publication.
    #[must_use]
    pub fn published(&self) -> usize {
        self.devices.iter().filter(|device| device.publish.is_some()).count()
    }

    /// Devices that ended in error.
    #[must_use]
    pub fn ended_in_error(&self) -> usize {
        self.devices.iter().filter(|device| device.ended.is_some()).count()
    }

    /// One time of all devices that have it, sorted.
    #[must_use]
    pub fn sorted(&self, time: impl Fn(&Milestones) -> Option<Duration>) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.devices.iter().filter_map(time).collect();
        times.sort_unstable();
        times
    }
}

/// The `percent`th percentile of sorted times, by nearest rank; zero where there are none.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl Milestone {
    /// Whether a progress bar moves by it.
    #[must_use]
    pub const fn is_progress(&self) -> bool {
        matches!(self, Self::Enrolled { .. } | Self::Connected | Self::Published(_))
    }
}

#[cfg(test)]
mod tests {
    use super::percentile;
    use core::time::Duration;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times: Vec<Duration> = (1..=10).map(Duration::from_millis).collect();
        let at = |percent| percentile(&times, percent).as_millis();
        assert_eq!((at(50), at(99), at(100), at(1)), (5, 10, 10, 1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
        assert_eq!(percentile(&[Duration::from_secs(1)], 50), Duration::from_secs(1));
    }
}
