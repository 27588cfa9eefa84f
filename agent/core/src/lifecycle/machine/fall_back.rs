//! The fall-back from renewal to enrollment, and the way back.
//!
//! Closed connections made it seem that the server does not take the identity in use; that may have been something else. An
//! enrollment that is held, or for which the device cannot make evidence, must not let a good certificate run out. So where it
//! gets no further, the identity is shown once a day with a question for a nonce. The enrollment stays as it is meanwhile: an
//! operator approves one key, and may be about to. Only an identity that was taken makes the device give it up and renew.
//!
//! Where the server has refused the identity in so many words, or its key is lost, nothing is tried again.

use core::time::Duration;

use shared::Reject;
use shared::reject::DeviceAction;

use super::Machine;
use super::acquire::TOO_MANY_REQUESTS;
use crate::lifecycle::{Now, Verdict};
use crate::slots::{Purpose, State};

/// When the identity is shown again of which there is nothing to hope.
const NEVER: Duration = Duration::MAX;

impl Machine {
    pub(super) fn purpose(&self) -> Purpose {
        let renews = self.state.current().is_some() && (self.fall_back.is_none() || self.probing);
        if renews { Purpose::Renew } else { Purpose::Enroll }
    }

    /// The fall-back that a start finds. The request that may have left is sent first, and brings what a lost answer held; but
    /// a device that starts every few hours has no day to wait for.
    pub(super) fn fallen_back(state: &State, now: &Now) -> Option<Duration> {
        let enrolls = state.asked().is_some_and(|asked| asked.purpose == Purpose::Enroll);
        // One that was refused for good has had its answer: the next attempt begins with the gentler way again.
        let is_open = enrolls && state.current().is_some() && state.final_refusal().is_none();
        is_open.then_some(if refused_for_good(state) { NEVER } else { now.uptime })
    }

    /// The identity in use is of no use for a renewal, and that is certain.
    pub(super) const fn fall_back_for_good(&mut self) {
        self.fall_back = Some(NEVER);
        self.probing = false;
    }

    /// An enrollment got no further, and the server has made no certificate of it.
    pub(super) fn enrollment_waits(&mut self, now: &Now) {
        let is_due = self.fall_back.is_some_and(|at| at <= now.uptime);
        let current = self.state.current().map(|current| current.slot);
        self.probing = is_due && current.is_some_and(|slot| !self.has_ended(slot, now));
    }

    /// Someone at the device wants a renewal. By chance, since the device may run for this one attempt and remember nothing:
    /// so each way has its turn, however often that is.
    pub(super) fn probe_by_chance(&mut self, now: &Now, random: u64) {
        if self.fall_back.is_some_and(|at| at != NEVER) {
            self.fall_back = Some(now.uptime);
            if random & 1 == 1 {
                self.enrollment_waits(now);
            }
        }
    }

    /// The identity was not taken, or the server is away, which says nothing about it. The enrollment goes on.
    pub(super) const fn probe_failed(&mut self, is_away: bool, now: &Now) {
        self.probing = false;
        if !is_away {
            self.fall_back = Some(now.uptime.saturating_add(self.pace.final_retry));
        }
    }

    /// The server answered, but did not give a nonce.
    pub(super) fn probe_answered(&mut self, answer: Verdict, now: &Now, random: u64) {
        match answer {
            Verdict::Rejected { status: TOO_MANY_REQUESTS, retry_after: Some(after), .. } => {
                self.probe_failed(true, now);
                let at = self.told(after, now, random);
                self.server.succeed(at);
            }
            Verdict::Rejected { retry_after, .. } => {
                self.probe_failed(false, now);
                self.retry(retry_after, now, random);
            }
            // Not what was asked for.
            Verdict::Issued { .. } | Verdict::Pending { .. } => {
                self.probe_failed(false, now);
                self.retry(None, now, random);
            }
        }
    }

    /// Back to renewal, with another key: the server may know the one that was to be enrolled.
    pub(super) fn leave_fall_back(&mut self) {
        self.fall_back = None;
        self.probing = false;
        self.pending = false;
        self.leftovers |= self.key_ready;
        self.drop_request();
    }
}

/// Whether the server said that the identity is to be replaced by an enrollment.
pub(super) fn refused_for_good(state: &State) -> bool {
    let reject = state.refusal().and_then(|refusal| Reject::from_code(refusal.code));
    reject.is_some_and(|reject| reject.device_action() == DeviceAction::EnrollAgain)
}
