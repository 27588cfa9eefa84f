//! What is to be done next, and when: read off what the machine knows, changing nothing.

use core::time::Duration;

use super::Machine;
use crate::lifecycle::{Action, Cause, Errand, Now};
use crate::platform::Slot;
use crate::x509::Validity;

impl Machine {
    /// What to do now. Changes nothing: asked again, it says the same.
    #[must_use]
    pub fn next_action(&self, now: &Now) -> Action {
        let validity = self.time.validity(now);
        if self.unsaved && self.save.is_due(now.uptime) {
            return Action::Save(self.state.clone());
        }
        if self.leftovers && !self.unsaved && self.erase.is_due(now.uptime) {
            return Action::Erase;
        }
        if let Some(cause) = self.cause(now)
            && !self.unsaved
            && self.server.is_due(now.uptime)
        {
            return self.acquisition_step(cause, validity);
        }
        if self.trust_due().is_some_and(|due| due <= now.uptime) {
            return Action::FetchTrust { validity };
        }
        if self.until_question(now).is_some_and(|left| left.is_zero()) {
            return Action::Challenge { errand: Errand::Time, validity };
        }
        match self.login_slot(now) {
            Some(slot) if self.broker.is_due(now.uptime) => Action::Connect { slot, validity },
            login => {
                let errand = self.errand(now).unwrap_or(self.pace.final_retry);
                let login = login.map_or(errand, |_| self.broker.due().saturating_sub(now.uptime));
                // A little more than nothing, so that rounding never makes a busy loop.
                Action::Sleep {
                    duration: errand.min(login).clamp(Duration::from_millis(1), self.pace.final_retry),
                }
            }
        }
    }

    /// How long until something is to be done for which a connection to the broker has to end, if anything is
    /// known to come.
    #[must_use]
    pub fn errand(&self, now: &Now) -> Option<Duration> {
        let mut first: Option<Duration> = None;
        let mut add = |due: Duration| {
            let left = due.saturating_sub(now.uptime);
            first = Some(first.map_or(left, |first| first.min(left)));
        };
        if self.unsaved {
            add(self.save.due());
        } else {
            if self.leftovers {
                add(self.erase.due());
            }
            if self.cause(now).is_some() {
                add(self.server.due());
            } else if let Some(at) = self.commanded.filter(|_| self.state.candidate().is_none()) {
                add(at.max(self.server.due()));
                if let Some(until) = self.until_renewal(now) {
                    add(self.server.due().max(now.uptime.saturating_add(until)));
                }
            } else if self.state.candidate().is_some() {
                // It became durable while the identity in use was connected, as where its write failed at first:
                // that connection may last for ever, and the candidate is not tried before it ends.
                add(self.broker.due().max(self.rests_until()));
            } else if let Some(until) = self.until_renewal(now) {
                add(self.server.due().max(now.uptime.saturating_add(until)));
            }
        }
        if let Some(due) = self.trust_due() {
            add(due);
        }
        if let Some(left) = self.until_question(now) {
            add(now.uptime.saturating_add(left));
        }
        first
    }

    /// Why the next identity is wanted, if it is.
    pub(super) fn cause(&self, now: &Now) -> Option<Cause> {
        if self.state.current().is_none() {
            return Some(Cause::None);
        }
        if self.state.candidate().is_some() {
            return None;
        }
        if self.commanded.is_some_and(|at| at <= now.uptime) {
            return Some(Cause::Commanded);
        }
        if self.suspicious {
            return Some(Cause::BrokerRefused);
        }
        // A request that may have left is brought to its end.
        let due = self.state.asked().is_some() || self.until_renewal(now) == Some(Duration::ZERO);
        due.then_some(Cause::Due)
    }

    /// How long until the identity in use is to be renewed, if the time is known.
    fn until_renewal(&self, now: &Now) -> Option<Duration> {
        let dates = self.dates(self.state.current()?.slot)?;
        Some(dates.renew_at.since(self.time.known(now)?))
    }

    /// Whether the server has to be asked for the time: no one will know when to renew otherwise.
    fn needs_time(&self, now: &Now) -> bool {
        self.state.current().is_some() && self.time.known(now).is_none()
    }

    /// How long until the enrollment server is asked a question that can wait: for the time, where nobody would know
    /// when to renew otherwise, or whether there is something to do.
    pub(super) fn until_question(&self, now: &Now) -> Option<Duration> {
        let due = if self.needs_time(now) {
            self.learn.due()
        } else if self.state.current().is_some() && !self.pace.check_in.is_zero() {
            self.check_in.due().max(self.learn.due())
        } else {
            return None;
        };
        Some(due.saturating_sub(now.uptime))
    }

    /// Which identity to show to the broker: a candidate, or else the one in use unless it has certainly ended.
    /// Only what the durable state names: see [`crate::slots::open_identity_key`].
    pub(super) fn login_slot(&self, now: &Now) -> Option<Slot> {
        let candidate = self.state.candidate().filter(|slot| self.saved.names(*slot));
        let current = self.state.current().map(|current| current.slot);
        // Where storage fails after the broker took the candidate, the durable state has it as that still.
        let current = current.filter(|slot| self.saved.names(*slot) && !self.has_ended(*slot, now));
        if self.rests_until() > now.uptime { current.or(candidate) } else { candidate.or(current) }
    }

    /// Until when the candidate is left alone, in uptime: where its broker cannot be reached, that of the identity in use
    /// perhaps can.
    const fn rests_until(&self) -> Duration {
        if self.unreached == 0 { Duration::ZERO } else { self.trial.due() }
    }

    /// When the server is to be asked for a trust bundle, in uptime: because one is missing, or to report the one held,
    /// which takes an identity.
    pub(super) fn trust_due(&self) -> Option<Duration> {
        let report = self.state.current().map(|_| self.report.max(self.trust.due()));
        let wanted = self.trust_wanted.then(|| self.trust.due());
        report.into_iter().chain(wanted).min()
    }

    fn acquisition_step(&self, cause: Cause, validity: Validity) -> Action {
        let purpose = self.purpose();
        if !self.key_ready {
            return Action::MakeKey { cause };
        }
        if self.has_good_request(purpose) {
            Action::Request { purpose, validity }
        } else {
            Action::Challenge { errand: Errand::Identity, validity }
        }
    }
}
