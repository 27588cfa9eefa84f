//! What a renewal that somebody asks for changes.

use core::time::Duration;

use super::Machine;
use crate::lifecycle::schedule::fraction;
use crate::lifecycle::{Asker, Now};

impl Machine {
    pub(super) fn renew_asked(&mut self, by: Asker, now: &Now, random: u64) {
        if self.state.candidate().is_some() {
            if self.unreached == 0 || by == Asker::Broker {
                // The next identity is there already.
                self.broker.set(now.uptime);
                return;
            }
            // What it says of its broker is wrong, as far as is known: whoever asks may have put that right.
            self.give_up_candidate();
        }
        if self.state.current().is_none() {
            // An enrollment is under way, at its own pace.
            if by == Asker::Local {
                self.server.set(now.uptime);
            }
            return;
        }
        let jitter = now.uptime.saturating_add(fraction(self.pace.server_first, random));
        match by {
            Asker::Local => {
                self.commanded = Some(now.uptime);
                self.server.set(now.uptime);
                self.probe_by_chance(now, random);
            }
            Asker::Server => self.commanded = Some(self.commanded.map_or(jitter, |at| at.min(jitter))),
            // One is on its way: another command neither hastens nor delays it.
            Asker::Broker if self.commanded.is_some() || self.cause(now).is_some() => {}
            Asker::Broker => self.commanded = Some(self.broker_command(now, jitter, random)),
        }
    }

    /// When a command of the broker takes effect. The broker could say the same to all devices without end: each
    /// command that counts makes the next one wait longer, up to a day on average, and only a long quiet makes up
    /// for it. What is due anyway is not delayed.
    fn broker_command(&mut self, now: &Now, jitter: Duration, random: u64) -> Duration {
        let most = self.pace.final_retry;
        if now.uptime >= self.command.due().saturating_add(most) {
            self.command.succeed(now.uptime);
        }
        let at = self.command.due().max(jitter);
        let least = self.pace.settled;
        self.command.fail(at, least, least, most.saturating_mul(2), random);
        at
    }
}
