//! The clock of a Linux system.

use core::time::Duration;

use agent_core::platform::Clock;
use shared::UnixTime;
use tokio::time::Instant;

use crate::heartbeat::Heartbeat;

/// Wall-clock and monotonic time of the system. Waits beat the heart, so that a long wait is not taken for a
/// hang.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
    built: UnixTime,
    heartbeat: Heartbeat,
}

impl SystemClock {
    /// A clock whose uptime begins now. A wall clock that shows a time before `built` is not set.
    #[must_use]
    pub fn new(built: UnixTime, heartbeat: Heartbeat) -> Self {
        Self { start: Instant::now(), built, heartbeat }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Option<UnixTime> {
        wall().filter(|now| *now >= self.built)
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&mut self, duration: Duration) {
        let mut left = duration;
        while !left.is_zero() {
            self.heartbeat.beat();
            let part = left.min(self.heartbeat.longest_silence());
            tokio::time::sleep(part).await;
            left -= part;
        }
        self.heartbeat.beat();
    }
}

/// The system's wall clock, believed or not; 1970 where it shows something earlier.
#[must_use]
pub fn now() -> UnixTime {
    wall().unwrap_or_default()
}

/// The system's wall clock; `None` where it shows a time before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
pub(crate) fn wall() -> Option<UnixTime> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(UnixTime::from_secs(since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::SystemClock;
    use crate::heartbeat::Heartbeat;
    use agent_core::platform::Clock as _;
    use core::time::Duration;
    use shared::UnixTime;

    #[test]
    fn a_clock_before_the_build_is_not_believed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _in_runtime = runtime.enter();
        let future = UnixTime::from_secs(u64::MAX / 2);
        assert!(SystemClock::new(future, Heartbeat::silent()).wall().is_none());
        assert!(SystemClock::new(UnixTime::from_secs(0), Heartbeat::silent()).wall().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_as_long_as_asked() {
        let mut clock = SystemClock::new(UnixTime::from_secs(0), Heartbeat::silent());
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.uptime(), Duration::from_secs(3600));
    }
}
