//! The clocks of a device in virtual time.

use core::time::Duration;
use std::sync::Arc;

use agent_core::platform::Clock;
use enroll_server::clock::Clock as _;
use shared::UnixTime;

use super::time::Participant;

/// What the real-time clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wall {
    /// There is none.
    None,
    /// The time.
    Right,
    /// It runs, and began here.
    From(UnixTime),
}

/// The clocks of a device from one start on.
#[derive(Debug)]
pub(super) struct DeviceClock {
    who: Arc<Participant>,
    started: Duration,
    wall: Wall,
}

impl DeviceClock {
    pub(super) fn start(who: Arc<Participant>, wall: Wall) -> Self {
        Self { started: who.time().elapsed(), who, wall }
    }
}

impl Clock for DeviceClock {
    fn wall(&self) -> Option<UnixTime> {
        match self.wall {
            Wall::None => None,
            Wall::Right => Some(self.who.time().now()),
            Wall::From(begin) => Some(begin.after(self.uptime())),
        }
    }

    fn uptime(&self) -> Duration {
        self.who.time().elapsed().saturating_sub(self.started)
    }

    async fn sleep(&mut self, duration: Duration) {
        self.who.sleep(duration).await;
    }
}
