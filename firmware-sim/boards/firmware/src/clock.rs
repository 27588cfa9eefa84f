//! Time since start, from the board's embassy time driver. No board here has a clock that survives a reset.

use core::time::Duration;

use agent_core::platform::Clock;
use embassy_time::{Instant, Timer};
use shared::UnixTime;

/// Time since start.
pub(crate) struct Uptime;

impl Clock for Uptime {
    fn wall(&self) -> Option<UnixTime> {
        None
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(Instant::now().as_millis())
    }

    async fn sleep(&mut self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // A century is as good as for ever, and cannot overflow.
        Timer::after_millis(millis.min(3_155_760_000_000)).await;
    }
}
