//! What the device knows about the time.
//!
//! Three sources: the server's time, taken from an authenticated answer and carried on by the uptime; a
//! real-time clock, if there is one; and a floor that only rises. The server's time is believed for good only
//! after a server's certificate was verified in full against it, so that no server can push the floor beyond
//! the end of its own certificate, and the floor follows in steps, so that an hour in which a server was wrong by a
//! year does not cost the device a year. A time that makes good certificates look bad is dropped again: then the floor
//! alone counts, so that a wrong clock, of the device or of the server, never locks a device out.

use core::time::Duration;

use shared::UnixTime;

use super::Now;
use crate::x509::Validity;

/// The device's knowledge of the time.
#[derive(Clone, Debug)]
pub struct Time {
    floor: UnixTime,
    /// The floor at the start, and the uptime then.
    begun: (UnixTime, Duration),
    learned: Option<Learned>,
    /// Failures in a row that a wrong clock of the device's own would explain.
    wall_doubts: u32,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    time: UnixTime,
    uptime: Duration,
}

/// The floor rises by so much at once,
const LEAP: Duration = Duration::from_secs(7 * 86_400);
/// and so many times as fast as time passes after that: two years that a device was off take it 100 days.
const PACE: u32 = 7;
/// A server's time so far behind the floor is believed for what it says of the device's certificates: the floor may be
/// what is wrong.
const BEHIND: Duration = Duration::from_secs(60 * 86_400);

/// So many servers are refused on the word of the device's own clock; then it is not believed any more.
const WALL_PATIENCE: u32 = 3;

impl Time {
    /// Only a floor is known, at the start.
    #[must_use]
    pub const fn new(floor: UnixTime, now: &Now) -> Self {
        Self { floor, begun: (floor, now.uptime), learned: None, wall_doubts: 0 }
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

    /// What certificates are to be held against.
    #[must_use]
    pub fn validity(&self, now: &Now) -> Validity {
        self.known(now).map_or(Validity::NotEndedBy(self.floor), |time| Validity::At(time.max(self.floor)))
    }

    /// An authenticated answer came and told `time`; its sender was verified against `validity`.
    pub fn learn(&mut self, time: UnixTime, validity: Validity, now: &Now) {
        self.succeeded(validity, now);
        // One that lies far behind the floor is known to be wrong; the floor is closer.
        let time = if time.after(BEHIND) < self.floor { self.floor } else { time };
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
            let (begun, since) = self.begun;
            let passed = now.uptime.saturating_sub(since).saturating_mul(PACE);
            self.floor = self.floor.max(at.min(time).min(begun.after(LEAP).after(passed)));
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
        let mut time = started(1000);
        assert_eq!(time.validity(&now(1, None)), Validity::NotEndedBy(at(1000)));
        time.learn(at(5000), Validity::NotEndedBy(at(1000)), &now(1, None));
        assert_eq!(time.validity(&now(3, None)), Validity::At(at(5002)));
        assert_eq!(time.floor(), at(1000), "one answer does not raise the floor");
        time.learn(at(5002), Validity::At(at(5002)), &now(3, None));
        assert_eq!(time.floor(), at(5002));
    }

    #[test]
    fn a_server_whose_own_certificate_does_not_bear_its_time_is_not_believed() {
        let mut time = started(1000);
        time.learn(at(9_000_000), Validity::NotEndedBy(at(1000)), &now(1, None));
        time.doubt(Validity::At(at(9_000_001)));
        assert_eq!(time.validity(&now(2, None)), Validity::NotEndedBy(at(1000)));
        assert_eq!(time.floor(), at(1000));
    }

    #[test]
    fn a_clock_before_the_floor_is_not_believed() {
        let time = started(1000);
        assert_eq!(time.validity(&now(1, Some(0))), Validity::NotEndedBy(at(1000)));
    }

    #[test]
    fn a_clock_far_ahead_is_dropped_after_some_failures_and_does_not_raise_the_floor() {
        let mut time = started(1000);
        for _ in 0..WALL_PATIENCE {
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
        let mut time = started(1000);
        for _ in 0..10 {
            time.doubt(Validity::At(at(2000)));
            time.succeeded(Validity::At(at(2000)), &now(1, Some(2000)));
        }
        assert_eq!(time.validity(&now(1, Some(2000))), Validity::At(at(2000)));
        assert_eq!(time.floor(), at(1000), "the device's own clock never raises the floor");
    }

    #[test]
    fn a_server_behind_the_floor_does_not_turn_time_back() {
        let floor = 100 * DAY;
        let mut time = started(floor);
        // It tells what the device's certificates are worth, and not what those of servers are.
        time.learn(at(50 * DAY), Validity::NotEndedBy(at(floor)), &now(1, None));
        assert_eq!(time.known(&now(1, None)), Some(at(50 * DAY)));
        assert_eq!(time.validity(&now(1, None)), Validity::At(at(floor)));
        assert_eq!(time.floor(), at(floor));
        // Too far behind to be right.
        time.learn(at(39 * DAY), Validity::At(at(floor)), &now(1, None));
        assert_eq!(time.known(&now(1, None)), Some(at(floor)));
    }

    /// A server was wrong by a year for an hour, which its certificate bore; then it is right again.
    #[test]
    fn the_floor_rises_in_steps() {
        let floor = |time: &mut Time, hours: u64, told: u64| {
            let now = now(hours * 3600, None);
            time.learn(at(told), time.validity(&now), &now);
            time.learn(at(told), time.validity(&now), &now);
            time.floor()
        };
        let (begun, year) = (100 * DAY, 365 * DAY);
        let mut time = started(begun);
        assert_eq!(floor(&mut time, 0, begun + year), at(begun + 7 * DAY));
        assert_eq!(floor(&mut time, 1, begun + year), at(begun + 7 * DAY + 7 * 3600));
        assert_eq!(floor(&mut time, 2, begun + 7200), at(begun + 7 * DAY + 14 * 3600), "it does not sink");
        assert_eq!(time.known(&now(7200, None)), Some(at(begun + 7200)), "but the server is believed");
        // A year that a device was off is caught up with.
        assert_eq!(floor(&mut time, 24 * 60, begun + year), at(begun + year));
    }

    const DAY: u64 = 86_400;

    fn started(floor: u64) -> Time {
        Time::new(at(floor), &now(0, None))
    }
}
