//! What the device knows about the time.
//!
//! Three sources: the server's time, taken from an authenticated answer and carried on by the uptime; a
//! real-time clock, if there is one; and a floor that only rises. The server's time is believed for good only
//! after a server's certificate was verified in full against it, so that no server can push the floor beyond
//! the end of its own certificate. A time that makes good certificates look bad is dropped again: then the
//! floor alone counts, so that a wrong clock, of the device or of the server, never locks a device out.

use core::time::Duration;

use shared::UnixTime;

use super::Now;
use crate::x509::Validity;

/// The device's knowledge of the time.
#[derive(Clone, Debug)]
pub struct Time {
    floor: UnixTime,
    learned: Option<Learned>,
    /// Failures in a row that a wrong clock of the device's own would explain.
    wall_doubts: u32,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    time: UnixTime,
    uptime: Duration,
}

/// So many servers are refused on the word of the device's own clock; then it is not believed any more.
const WALL_PATIENCE: u32 = 3;

impl Time {
    /// Only a floor is known.
    #[must_use]
    pub const fn new(floor: UnixTime) -> Self {
        Self { floor, learned: None, wall_doubts: 0 }
    }

    /// The least that the time can be.
    #[must_use]
    pub const fn floor(&self) -> UnixTime {
        self.floor
    }

    /// The time, if any source is believed.
    #[must_use]
    pub fn known(&self, now: &Now) -> Option<UnixTime> {
        self.authenticated(now).or_else(|| self.wall(now))
    }

    /// The time by the server's answers.
    #[must_use]
    pub fn authenticated(&self, now: &Now) -> Option<UnixTime> {
        let learned = self.learned?;
        Some(learned.time.after(now.uptime.saturating_sub(learned.uptime)))
    }

    /// Failures in a row that were held against the device's own clock.
    #[must_use]
    pub const fn wall_doubts(&self) -> u32 {
        self.wall_doubts
    }

    /// What certificates are to be held against.
    #[must_use]
    pub fn validity(&self, now: &Now) -> Validity {
        self.known(now).map_or(Validity::NotEndedBy(self.floor), Validity::At)
    }

    /// An authenticated answer came and told `time`; its sender was verified against `validity`.
    pub fn learn(&mut self, time: UnixTime, validity: Validity, now: &Now) {
        self.succeeded(validity, now);
        // A server whose clock lies behind the floor is known to be wrong; the floor is closer.
        let time = time.max(self.floor);
        self.learned = Some(Learned { time, uptime: now.uptime });
    }

    /// A peer was verified against `validity`.
    pub fn succeeded(&mut self, validity: Validity, now: &Now) {
        // What was held against the floor alone says nothing for the clock: believed again, it would lead the next
        // question into the same failure, and a broker that is reached in between would hide that for ever.
        if let Validity::At(_) = validity {
            self.wall_doubts = 0;
        }
        // Where the server's time is known, nothing else is held against a certificate.
        if let (Validity::At(at), Some(time)) = (validity, self.authenticated(now)) {
            self.floor = self.floor.max(at.min(time));
        }
    }

    /// A peer's certificate was refused because of its dates.
    pub const fn doubt(&mut self, validity: Validity) {
        if let Validity::At(_) = validity {
            if self.learned.is_some() {
                self.learned = None;
            } else {
                self.wall_doubts = self.wall_doubts.saturating_add(1);
            }
        }
    }

    fn wall(&self, now: &Now) -> Option<UnixTime> {
        now.wall.filter(|wall| *wall >= self.floor && self.wall_doubts < WALL_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Time, WALL_PATIENCE};
    use crate::lifecycle::Now;
    use crate::x509::Validity;
    use core::time::Duration;
    use shared::UnixTime;

    const fn now(secs: u64, wall: Option<u64>) -> Now {
        let wall = match wall {
            Some(secs) => Some(UnixTime::from_secs(secs)),
            None => None,
        };
        Now { uptime: Duration::from_secs(secs), wall }
    }

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn without_a_clock_the_server_tells_the_time_and_confirms_it_the_second_time() {
        let mut time = Time::new(at(1000));
        assert_eq!(time.validity(&now(1, None)), Validity::NotEndedBy(at(1000)));
        time.learn(at(5000), Validity::NotEndedBy(at(1000)), &now(1, None));
        assert_eq!(time.validity(&now(3, None)), Validity::At(at(5002)));
        assert_eq!(time.floor(), at(1000), "one answer does not raise the floor");
        time.learn(at(5002), Validity::At(at(5002)), &now(3, None));
        assert_eq!(time.floor(), at(5002));
    }

    #[test]
    fn a_server_whose_own_certificate_does_not_bear_its_time_is_not_believed() {
        let mut time = Time::new(at(1000));
        time.learn(at(9_000_000), Validity::NotEndedBy(at(1000)), &now(1, None));
        time.doubt(Validity::At(at(9_000_001)));
        assert_eq!(time.validity(&now(2, None)), Validity::NotEndedBy(at(1000)));
        assert_eq!(time.floor(), at(1000));
    }

    #[test]
    fn a_clock_before_the_floor_is_not_believed() {
        let time = Time::new(at(1000));
        assert_eq!(time.validity(&now(1, Some(0))), Validity::NotEndedBy(at(1000)));
    }

    #[test]
    fn a_clock_far_ahead_is_dropped_after_some_failures_and_does_not_raise_the_floor() {
        let mut time = Time::new(at(1000));
        for doubts in 0..WALL_PATIENCE {
            assert_eq!(time.wall_doubts(), doubts);
            let validity = time.validity(&now(1, Some(9_000_000)));
            assert_eq!(validity, Validity::At(at(9_000_000)));
            time.doubt(validity);
        }
        assert_eq!(time.validity(&now(1, Some(9_000_000))), Validity::NotEndedBy(at(1000)));
        time.learn(at(2000), Validity::NotEndedBy(at(1000)), &now(1, Some(9_000_000)));
        assert_eq!(time.known(&now(2, Some(9_000_001))), Some(at(2001)));
    }

    #[test]
    fn a_clock_that_is_right_is_not_doubted_for_single_failures() {
        let mut time = Time::new(at(1000));
        for _ in 0..10 {
            time.doubt(Validity::At(at(2000)));
            time.succeeded(Validity::At(at(2000)), &now(1, Some(2000)));
        }
        assert_eq!(time.validity(&now(1, Some(2000))), Validity::At(at(2000)));
        assert_eq!(time.floor(), at(1000), "the device's own clock never raises the floor");
    }

    #[test]
    fn a_server_behind_the_floor_does_not_turn_time_back() {
        let mut time = Time::new(at(1000));
        time.learn(at(10), Validity::NotEndedBy(at(1000)), &now(1, None));
        assert_eq!(time.known(&now(1, None)), Some(at(1000)));
    }
}
