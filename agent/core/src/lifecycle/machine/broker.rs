//! How the machine deals with the broker: acceptance, refusal, and reconnecting.

use core::time::Duration;

use super::Machine;
use crate::flow::BrokerAccepted;
use crate::lifecycle::blame::{Blame, blame};
use crate::lifecycle::schedule::fraction;
use crate::lifecycle::{Errand, Now};
use crate::platform::{Slot, TransportError};
use crate::x509::Validity;

impl Machine {
    pub(super) fn accepted(&mut self, proof: &BrokerAccepted) {
        self.login_refused = false;
        let before = self.state.clone();
        if self.state.accept(proof) {
            self.leftovers = true;
            self.trial.succeed(Duration::ZERO);
            self.unreached = 0;
        }
        self.unsaved |= before != self.state;
        if self.unreached >= self.pace.patience && self.state.candidate().is_some() {
            // The broker of the identity in use is there, and that of the candidate is not: the settings that came with it are
            // wrong, and those of the next one may be right.
            self.give_up_candidate();
            self.server.set(self.server.due().max(self.trial.due()));
        }
    }

    pub(super) fn disconnected(
        &mut self,
        result: Result<(), TransportError>,
        slot: Slot,
        lasted: Option<Duration>,
        validity: Validity,
        now: &Now,
        random: u64,
    ) {
        let settled = lasted.is_some_and(|lasted| lasted >= self.pace.settled);
        if settled || (lasted.is_some() && result.is_ok()) {
            self.login_suspects = 0;
            self.broker.succeed(now.uptime);
            self.suspicion.succeed(now.uptime);
        }
        if settled {
            self.suspicious = false;
        }
        let Err(error) = result else {
            return;
        };
        let mut most = self.pace.broker_most;
        let blame = blame(error);
        if lasted.is_none() {
            self.not_let_in(slot, blame, now, random);
        }
        match blame {
            Blame::Network => {}
            Blame::Dates => {
                if self.time.authenticated(now).is_some() {
                    // The server is asked for the time anew, but a broker whose certificate has ended is not its fault.
                    self.errand_failed(Errand::Time, now, random);
                }
                self.time.doubt(validity);
            }
            Blame::Trust => self.trust_wanted = true,
            // After a while of good service, a closed connection says nothing about the identity.
            Blame::PerhapsIdentity if settled => {}
            blame @ (Blame::Identity | Blame::PerhapsIdentity) => {
                if self.login_suspected(slot, blame == Blame::Identity, now, random) && self.is_stopped() {
                    most = most.max(self.pace.suspicion);
                }
            }
        }
        self.broker.fail(now.uptime, Duration::ZERO, self.pace.broker_first, most, random);
    }

    /// The broker that the identity in `slot` is for did not let it in: what that says of the candidate's settings.
    fn not_let_in(&mut self, slot: Slot, blame: Blame, now: &Now, random: u64) {
        if self.state.candidate() == Some(slot) {
            // What may be the identity's own fault counts as that.
            if matches!(blame, Blame::Network | Blame::Dates | Blame::Trust) {
                self.unreached = self.unreached.saturating_add(1);
                let (first, most) = (self.pace.suspicion, self.pace.final_retry);
                self.trial.fail(now.uptime, Duration::ZERO, first, most, random);
            }
        } else if self.unreached > 0 {
            // The identity in use gets no further either: the candidate rests no longer, and its settings may be right.
            self.unreached = 1;
            self.trial.set(now.uptime);
        }
    }

    /// A login failed in a way that may be the identity's fault. Returns whether that is believed by now.
    fn login_suspected(&mut self, slot: Slot, certain: bool, now: &Now, random: u64) -> bool {
        self.login_suspects = self.login_suspects.saturating_add(1);
        let on_trial = self.state.candidate() == Some(slot);
        let believed = self.login_suspects >= self.pace.patience || (certain && !on_trial);
        if !believed {
            return false;
        }
        self.login_suspects = 0;
        self.login_refused = !on_trial;
        let least = self.pace.suspicion;
        if on_trial {
            // Back to the identity before; the next attempt at another one is not made soon.
            self.give_up_candidate();
            self.trial.fail(now.uptime, least, least, self.pace.final_retry, random);
            self.server.set(self.server.due().max(self.trial.due()));
        } else if self.cause(now).is_none() && self.suspicion.is_due(now.uptime) {
            // Where the server is being asked already, that goes on at its own pace.
            // The enrollment server knows why. A broker that is ill makes every device ask at once, so where
            // nothing is certain the questions are spread over a long time.
            self.suspicious = true;
            let spread = if certain { self.pace.server_first } else { self.pace.suspicion };
            let at = now.uptime.saturating_add(fraction(spread, random));
            self.server.set(self.server.due().max(at));
            self.suspicion.fail(now.uptime, least, least, self.pace.final_retry, random);
        }
        true
    }
}
