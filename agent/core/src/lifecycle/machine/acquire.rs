//! How the machine gets the next identity from the enrollment server.

use core::time::Duration;

use shared::Reject;
use shared::message::latest::{EvidenceKind, Nonce};
use shared::reject::DeviceAction;

use super::Machine;
use super::fall_back::refused_for_good;
use crate::lifecycle::blame::{Blame, blame, consequence};
use crate::lifecycle::schedule::{Retry, fraction};
use crate::lifecycle::{Cause, Errand, Now, Verdict};
use crate::platform::{Slot, TransportError};
use crate::slots::{Asked, Purpose};
use crate::x509::Validity;

/// HTTP status (RFC 6585, section 4): the server is there and says when to come.
pub(super) const TOO_MANY_REQUESTS: u16 = 429;
/// So many times longer are the bounds of delays of a device that can wait.
const CALM: u32 = 6;

impl Machine {
    pub(super) fn has_good_request(&self, purpose: Purpose) -> bool {
        !self.request_stale && self.state.asked().is_some_and(|asked| asked.purpose == purpose)
    }

    /// A renewal that needs no nonce is ready as soon as there is a key.
    pub(super) fn prepare(&mut self, now: &Now) {
        let renews = self.purpose() == Purpose::Renew && !self.probing;
        let bare = renews && !self.evidence_lasts && !self.evidence_asked;
        if bare && self.key_ready && self.cause(now).is_some() && !self.has_good_request(Purpose::Renew) {
            self.request(Asked::bare_renewal());
        }
    }

    pub(super) fn key_failed(&mut self, now: &Now, random: u64) {
        self.drop_request();
        self.retry(None, now, random);
    }

    pub(super) fn challenged(&mut self, errand: Errand, nonce: Nonce, kind: EvidenceKind, now: &Now) {
        self.learn.succeed(now.uptime);
        if errand == Errand::Identity {
            // Whoever renews has shown its identity, and it was taken: what was suspected before was the server.
            self.renewal_suspects = 0;
            if self.probing {
                self.leave_fall_back();
            }
        }
        if self.cause(now).is_none() {
            // It was about the time only; or now that the time is known, nothing is due.
            self.leftovers |= self.key_ready;
            self.key_ready = false;
        } else if errand == Errand::Identity && self.key_ready && !self.has_good_request(self.purpose()) {
            self.request(Asked::with_evidence(self.purpose(), nonce, kind));
        }
    }

    pub(super) fn answered(&mut self, errand: Errand, answer: Verdict, now: &Now, random: u64) {
        if errand != Errand::Identity {
            // A refused question; where it was about the time, the answer told it all the same.
            match answer {
                Verdict::Rejected { status: TOO_MANY_REQUESTS, retry_after: Some(after), .. } => {
                    let at = self.told(after, now, random);
                    self.errand_retry(errand).succeed(at);
                }
                _ => self.errand_failed(errand, now, random),
            }
            return;
        }
        if self.probing {
            return self.probe_answered(answer, now, random);
        }
        self.renewal_suspects = 0;
        match answer {
            Verdict::Issued { dates } => {
                if let Some(next) = self.state.next() {
                    match next.slot {
                        Slot::A => self.dates = [Some(dates), self.dates[1]],
                        Slot::B => self.dates = [self.dates[0], Some(dates)],
                    }
                }
                self.state.issued();
                self.unsaved = true;
                let server = self.server;
                self.end_acquisition(now);
                if self.time.known(now).is_some_and(|time| time >= dates.renew_at) {
                    // By what the device knows of the time the server has lost it, and the next one will be no better.
                    self.server = server;
                    let (first, most) = (self.pace.suspicion, self.pace.final_retry);
                    self.server.fail(now.uptime, Duration::ZERO, first, most, random);
                }
                self.broker.set(now.uptime);
                self.login_suspects = 0;
            }
            Verdict::Pending { retry_after } => {
                self.pending = true;
                // Why it enrolls again stays: whoever starts anew goes by it.
                if self.state.refusal().is_some() && !refused_for_good(&self.state) {
                    self.state.clear_refusal();
                    self.unsaved = true;
                }
                let jitter = fraction(self.pace.server_first, random);
                self.server.succeed(now.uptime.saturating_add(self.cap(retry_after)).saturating_add(jitter));
                self.enrollment_waits(now);
            }
            Verdict::Rejected { code, status, retry_after } => {
                self.pending = false;
                let enrolls = self.purpose() == Purpose::Enroll;
                self.rejected(code, status, retry_after, now, random);
                if enrolls {
                    self.enrollment_waits(now);
                }
            }
        }
    }

    fn rejected(&mut self, code: u16, status: u16, retry_after: Option<Duration>, now: &Now, random: u64) {
        let action = consequence(code, status, retry_after);
        let is_final = action == DeviceAction::Stop;
        let before = self.state.refusal();
        if is_final || before.is_none_or(|before| before.is_final || before.code != code) {
            self.state.refused(code, is_final, self.server_time_or_floor(now));
            self.unsaved = true;
        }
        match (action, retry_after) {
            // The server is there, and has set this time aside: whatever failed before says nothing any more, and a long
            // jitter would only miss it.
            (DeviceAction::RetrySame, Some(after)) if status == TOO_MANY_REQUESTS => {
                let at = self.told(after, now, random);
                self.server.succeed(at);
            }
            _ => self.rejected_otherwise(action, code, retry_after, now, random),
        }
    }

    fn rejected_otherwise(
        &mut self,
        action: DeviceAction,
        code: u16,
        retry_after: Option<Duration>,
        now: &Now,
        random: u64,
    ) {
        match action {
            DeviceAction::RetrySame => self.retry(retry_after, now, random),
            // The policy wants evidence with renewals; the next attempt begins with a challenge, at once.
            DeviceAction::RetryFresh if code == Reject::EvidenceWanted.code() && !self.evidence_asked => {
                self.evidence_asked = true;
                self.request_stale = true;
                let jitter = fraction(self.pace.server_first, random);
                self.server.succeed(now.uptime.saturating_add(jitter));
            }
            DeviceAction::RetryFresh => {
                if code == Reject::KeyReused.code() {
                    self.drop_request();
                }
                self.request_stale = true;
                self.retry(retry_after, now, random);
            }
            DeviceAction::EnrollAgain if self.purpose() == Purpose::Renew => {
                self.request_stale = true;
                self.fall_back_for_good();
                let jitter = fraction(self.pace.server_first, random);
                self.server.succeed(
                    now.uptime
                        .saturating_add(self.cap(retry_after.unwrap_or_default()))
                        .saturating_add(jitter),
                );
            }
            // An enrollment cannot fall back any further; asking at full speed would not help.
            DeviceAction::EnrollAgain => {
                self.request_stale = true;
                self.retry(retry_after, now, random);
            }
            DeviceAction::Stop => {
                self.request_stale = true;
                // The next attempt, a day later, begins with the gentler way again.
                self.fall_back = None;
                self.commanded = None;
                let jitter = fraction(self.pace.final_retry / 12, random);
                self.server.succeed(now.uptime.saturating_add(self.pace.final_retry).saturating_add(jitter));
            }
        }
    }

    pub(super) fn request_failed(&mut self, errand: Errand, again: bool, now: &Now, random: u64) {
        if errand == Errand::Identity {
            if self.probing {
                // Not even the question can be made: a renewal may do without.
                self.leave_fall_back();
            } else {
                self.request_stale |= !again;
                self.enrollment_waits(now);
            }
            self.retry(None, now, random);
        } else {
            self.errand_failed(errand, now, random);
        }
    }

    pub(super) fn exchange_failed(
        &mut self,
        errand: Errand,
        error: TransportError,
        validity: Validity,
        now: &Now,
        random: u64,
    ) {
        let blame = blame(error);
        if blame == Blame::Dates {
            self.time.doubt(validity);
        }
        if errand != Errand::Identity {
            if error == TransportError::TurnedAway {
                self.errand_turned_away(errand, now, random);
            } else {
                self.errand_failed(errand, now, random);
            }
            return;
        }
        if self.probing {
            let is_away = matches!(error, TransportError::Unreachable | TransportError::TurnedAway);
            self.probe_failed(is_away, now);
            return self.retry(None, now, random);
        }
        // The identity in use is shown with the renewal, and with the question for a nonce before it.
        let renewing = self.purpose() == Purpose::Renew;
        if renewing && (blame == Blame::PerhapsIdentity || error == TransportError::TooLarge) {
            self.renewal_suspects = self.renewal_suspects.saturating_add(1);
            if self.renewal_suspects >= self.pace.patience {
                self.renewal_suspects = 0;
                self.fall_back = Some(now.uptime.saturating_add(self.pace.final_retry));
                self.request_stale = true;
            }
        } else if error == TransportError::Unreachable {
            // Nobody is there: what closed a connection before was the server's own end.
            self.renewal_suspects = 0;
        }
        self.retry(None, now, random);
    }

    /// A question for the time or the trust bundle failed: it can wait, and the broker is not kept waiting.
    pub(super) fn errand_failed(&mut self, errand: Errand, now: &Now, random: u64) {
        let (first, most) = (self.pace.suspicion, self.pace.final_retry);
        self.errand_retry(errand).fail(now.uptime, Duration::ZERO, first, most, random);
    }

    /// The server is there and has too much to do; it could not say when to come again.
    fn errand_turned_away(&mut self, errand: Errand, now: &Now, random: u64) {
        let (first, most) = (self.pace.server_first * CALM, self.pace.server_most);
        self.errand_retry(errand).fail(now.uptime, Duration::ZERO, first, most, random);
    }

    const fn errand_retry(&mut self, errand: Errand) -> &mut Retry {
        if matches!(errand, Errand::Trust) { &mut self.trust } else { &mut self.learn }
    }

    pub(super) fn retry(&mut self, retry_after: Option<Duration>, now: &Now, random: u64) {
        let least = self.cap(retry_after.unwrap_or_default());
        // Whoever has days left asks a server that is away less often: it is not what it comes back to.
        let calm = if self.can_wait(now) { CALM } else { 1 };
        let (first, most) = (self.pace.server_first * calm, self.pace.server_most * calm);
        self.server.fail(now.uptime, least, first, most, random);
    }

    /// Whether the identity in use is good for more than a day, and nobody waits for the next one.
    fn can_wait(&self, now: &Now) -> bool {
        let dates = self.state.current().and_then(|current| self.dates(current.slot));
        let left = dates.zip(self.time.known(now)).map(|(dates, time)| dates.not_after.since(time));
        self.purpose() == Purpose::Renew
            && self.cause(now) == Some(Cause::Due)
            && left.is_some_and(|left| left > self.pace.final_retry)
    }

    /// The time that the server told, with the jitter of a first attempt: it has told others others.
    pub(super) fn told(&self, after: Duration, now: &Now, random: u64) -> Duration {
        let jitter = fraction(self.pace.server_first, random);
        now.uptime.saturating_add(self.cap(after)).saturating_add(jitter)
    }

    /// No server can send a device away for longer than a final refusal does.
    fn cap(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.pace.final_retry)
    }

    fn request(&mut self, asked: Asked) {
        self.state.request(asked);
        self.request_stale = false;
        self.unsaved = true;
    }

    pub(super) fn drop_request(&mut self) {
        self.key_ready = false;
        if self.state.asked().is_some() {
            self.state.give_up_next();
            self.unsaved = true;
        }
    }

    pub(super) fn end_acquisition(&mut self, now: &Now) {
        self.key_ready = false;
        self.request_stale = false;
        self.evidence_asked = false;
        self.fall_back = None;
        self.probing = false;
        self.commanded = None;
        self.suspicious = false;
        self.pending = false;
        self.server.succeed(now.uptime);
    }
}
