//! Whose turn it is where more come than the rate allows, and when the others come again.
//!
//! A device that is turned away is told a time of its own: the times are as far apart as the server needs for one, so
//! that those who come back are served and not turned away again. Nothing is kept of the device; a time is a promise of
//! nobody, it only spreads them.

use core::time::Duration;

use super::bucket::{Bucket, Fill};
use crate::store::Rate;

/// Those who proved an identity of this server, and the others: the first are served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Proven,
    Unproven,
}

impl Lane {
    pub(super) const fn of(proven: bool) -> Self {
        if proven { Self::Proven } else { Self::Unproven }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    fill: Fill,
    longest: Duration,
    bucket: Bucket,
    /// The next time to be told, by lane.
    next: [Duration; 2],
    /// Where no rate is kept: when the last one was told a time.
    told: Option<Duration>,
}

/// Where no rate is kept, so many a second are told to come again.
const SPREAD: u64 = 50;
/// Nobody is told to come sooner.
const SOONEST: Duration = Duration::from_secs(1);
/// A renewal is about to run out where it would have less than this left at the time it would be told: what it then
/// takes a device to come through, its jitter and a failure or two included.
const MARGIN: Duration = Duration::from_secs(600);
/// Where for so long nobody came whom there would have been room for, those who were told a time do not come.
const QUIET: Duration = Duration::from_secs(30);

/// When a renewal with `left` has to come at the latest, where `wait` is later than that. What has ended can wait.
fn too_late(left: Option<Duration>, wait: Duration) -> Option<Duration> {
    left.filter(|left| !left.is_zero() && *left <= wait.saturating_add(MARGIN))
        .map(|left| left.saturating_sub(MARGIN))
}

impl Turns {
    /// For a rate, if one is kept; without one, those are told a time for whom there is no place.
    pub(super) fn new(rate: Option<Rate>, longest: Duration) -> Self {
        let fill = Fill::evenly(rate.unwrap_or_else(|| Rate::of(SPREAD, Duration::from_secs(1))));
        let told = rate.is_none().then_some(Duration::ZERO);
        Self { fill, longest, bucket: Bucket::default(), next: [Duration::ZERO; 2], told }
    }

    /// Lets one in. `left` is what the certificate of a renewal has left of its life.
    ///
    /// # Errors
    /// When it comes again.
    pub(super) fn ask(&mut self, lane: Lane, left: Option<Duration>, now: Duration) -> Result<(), Duration> {
        if self.bucket.full_for(now).is_some_and(|full| full >= QUIET) {
            self.next = [now; 2];
        }
        // Whoever proved nothing leaves half of what is there to those who did.
        let rest = match lane {
            Lane::Proven => 0,
            Lane::Unproven => self.fill.half(),
        };
        if self.bucket.take(self.fill, rest, now).is_ok() {
            return Ok(());
        }
        if too_late(left, self.wait(lane, now)).is_some() {
            self.bucket.overdraw(self.fill, now);
            return Ok(());
        }
        Err(self.later(lane, left, now))
    }

    /// The next time to come, which is then taken. `left` is as in [`ask`](Self::ask): nobody is told a time at which its
    /// certificate has ended.
    pub(super) fn later(&mut self, lane: Lane, left: Option<Duration>, now: Duration) -> Duration {
        // The bucket, of which nobody takes where no rate is kept, says nothing of how quiet it was.
        if let Some(told) = &mut self.told {
            if now.saturating_sub(*told) >= QUIET {
                self.next = [now; 2];
            }
            *told = now;
        }
        let wait = self.wait(lane, now);
        if let Some(latest) = too_late(left, wait) {
            return latest.max(SOONEST);
        }
        self.book(lane, now.saturating_add(wait));
        wait
    }

    fn wait(&self, lane: Lane, now: Duration) -> Duration {
        let [proven, unproven] = self.next;
        let next = match lane {
            Lane::Proven => proven,
            Lane::Unproven => proven.max(unproven),
        };
        let wait = next.max(now.saturating_add(SOONEST)).saturating_sub(now);
        // Beyond that they are told times between others' again; what is kept even is their spread.
        if wait > self.longest { self.longest / 2 } else { wait }
    }

    fn book(&mut self, lane: Lane, at: Duration) {
        let [proven, unproven] = &mut self.next;
        *match lane {
            Lane::Proven => proven,
            Lane::Unproven => unproven,
        } = at.saturating_add(self.fill.spacing());
    }
}
