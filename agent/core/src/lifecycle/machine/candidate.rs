//! How a candidate comes to its end without having been accepted.

use core::time::Duration;

use super::Machine;
use crate::lifecycle::Now;
use crate::platform::Slot;

impl Machine {
    /// How long ago the candidate was made, if the time is known.
    pub(super) fn candidate_age(&self, now: &Now) -> Option<Duration> {
        let dates = self.dates(self.state.candidate()?)?;
        Some(self.time.known(now)?.since(dates.not_before))
    }

    pub(super) fn drop_ended_candidate(&mut self, now: &Now) {
        if self.state.candidate().is_some_and(|slot| self.has_ended(slot, now)) {
            self.give_up_candidate();
        }
    }

    pub(super) fn give_up_candidate(&mut self) {
        self.unreached = 0;
        self.state.give_up_next();
        self.unsaved = true;
        self.leftovers = true;
    }

    pub(super) fn identity_unusable(&mut self, slot: Slot, now: &Now, random: u64) {
        if self.state.candidate() == Some(slot) {
            self.give_up_candidate();
        } else {
            // Without its key it can neither log in nor renew.
            self.suspicious = true;
            self.fall_back_for_good();
        }
        self.broker.fail(now.uptime, Duration::ZERO, self.pace.broker_first, self.pace.broker_most, random);
    }
}
