//! Delivers the events of one webhook, in order, for as long as the server runs.
//!
//! Keeps nothing that is not in the store but where to look next, and how often the next event was called bad: a courier
//! that dies is taken over by the next one, in this process or another, where its cursor stands.

use core::time::Duration;
use std::sync::Arc;

use shared::UnixTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Consequence, Message, Sender, consequence};
use crate::clock::Clock;
use crate::issuance::chain;
use crate::outgoing::{Reply, SendError};
use crate::random;
use crate::serve::unless_stopped;
use crate::store::{CursorStep, Event, Failure, Lease, Parked, Parking, Store, StoreError, WebhookState};

/// How often the store is asked for new events.
const POLL: Duration = Duration::from_millis(250);
/// How often one who has not the lease asks for it.
const STANDBY: Duration = Duration::from_secs(1);
/// What a lease lasts beyond two attempts.
const MARGIN: Duration = Duration::from_secs(5);
/// Events of one page.
const PAGE: u32 = 64;
/// The cursor is moved when it lies so far behind events that are none of this webhook's.
const SKIP: u64 = 1_000;
/// Longest problem that is kept.
const MAX_PROBLEM: usize = 200;

/// Delivers the events of one webhook.
#[derive(Debug)]
pub(crate) struct Courier {
    sender: Sender,
    outbox: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    owner: String,
    /// When the lease was last taken.
    leased: Option<Instant>,
    /// The cursor as it was last seen.
    cursor: u64,
    /// Up to here there is nothing to deliver; may lie ahead of the cursor.
    seen: u64,
    /// So often the receiver has called the event behind the cursor bad. Apart from the attempts, which count when it
    /// was ill too: an outage takes no event its tries. A courier that takes over begins anew, so an event has more
    /// tries then, and never fewer.
    refusals: u32,
    /// Errors of the store in a row.
    troubles: u32,
    /// The planted bug: the cursor moves before the event is delivered.
    #[cfg(test)]
    pub(super) moves_first: bool,
}

/// How the delivery of one event went.
enum Went {
    /// The next one, please.
    On,
    /// Not before this has passed.
    Wait(Duration),
    /// Somebody else has the lease, or an operator moved the cursor.
    Lost,
}

impl Courier {
    /// A courier that has done nothing yet.
    #[must_use]
    pub(crate) fn new(sender: Sender, outbox: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        tracing::debug!(webhook = sender.webhook().name, "a courier begins");
        Self {
            sender,
            outbox,
            clock,
            // Of two with one name, the cursor still moves for one alone.
            owner: random::name(),
            leased: None,
            cursor: 0,
            seen: 0,
            refusals: 0,
            troubles: 0,
            #[cfg(test)]
            moves_first: false,
        }
    }

    /// Delivers until `stop`.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // An attempt that is broken off by the stop is made again, with the same identifier.
        while let Some(pause) = unless_stopped(&mut stop, self.round()).await
            && unless_stopped(&mut stop, tokio::time::sleep(pause)).await.is_some()
        {}
        let (name, owner) = (self.name(), self.owner.clone());
        if let Err(error) = self.outbox.release(name, owner).await {
            tracing::debug!(error = chain(&error), "a webhook's lease was not given back; it runs out");
        }
    }

    /// One look at what waits, and its delivery. Gives the pause until the next.
    pub(super) async fn round(&mut self) -> Duration {
        match self.try_round().await {
            Ok(pause) => {
                self.troubles = 0;
                pause
            }
            Err(error) => {
                self.troubles = self.troubles.saturating_add(1);
                let name = self.name();
                tracing::warn!(
                    webhook = name,
                    error = chain(&error),
                    "a webhook's cursor cannot be read or moved"
                );
                // What was delivered may be delivered again, but not at full speed.
                STANDBY.saturating_add(self.sender.webhook().backoff.pause(
                    self.troubles,
                    None,
                    random::number(),
                ))
            }
        }
    }

    async fn try_round(&mut self) -> Result<Duration, StoreError> {
        let Some(state) = self.outbox.webhook(self.name()).await? else {
            self.outbox.open_webhook(self.name()).await?;
            return Ok(Duration::ZERO);
        };
        if state.cursor != self.cursor {
            (self.cursor, self.seen, self.refusals) = (state.cursor, state.cursor, 0);
        }
        if state.attempts == 0 {
            // The cursor was moved, if only to where it stood: `webhook replay --from`.
            self.refusals = 0;
        }
        let is_new = self.leased.is_none();
        if !self.keep_lease(&state).await? {
            return Ok(STANDBY);
        }
        if is_new && let Some(next) = state.next_attempt {
            // Starting again is no reason to call at once on one who is ill.
            let left = next.since(self.clock.now()).min(self.sender.webhook().backoff.most);
            if !left.is_zero() {
                return Ok(left);
            }
        }
        if let Some(parked) = self.outbox.parked(self.name(), true, 1).await?.pop() {
            return self.send_again(&parked, state.attempts).await;
        }
        self.deliver_page(&state).await
    }

    /// Whether the lease is held for one more attempt at least.
    async fn keep_lease(&mut self, state: &WebhookState) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if state.is_leased_to(&self.owner, now) && self.lease_lasts() {
            return Ok(true);
        }
        let lease = Lease { owner: self.owner.clone(), until: now.after(self.lease_length()) };
        let held = self.outbox.lease(self.name(), lease, now).await?;
        self.leased = held.then(Instant::now);
        Ok(held)
    }

    fn lease_length(&self) -> Duration {
        self.sender.webhook().timeout.saturating_mul(2).saturating_add(MARGIN)
    }

    fn lease_lasts(&self) -> bool {
        let needed = self.sender.webhook().timeout.saturating_add(MARGIN / 2);
        self.leased.is_some_and(|at| at.elapsed().saturating_add(needed) < self.lease_length())
    }

    async fn deliver_page(&mut self, state: &WebhookState) -> Result<Duration, StoreError> {
        let query = self.sender.webhook().filter.after(self.seen, PAGE);
        let before = self.seen;
        let pending = self.outbox.pending(query).await?;
        let mut attempts = state.attempts;
        for event in &pending.events {
            if !self.lease_lasts() {
                return Ok(Duration::ZERO);
            }
            match self.deliver(event, attempts).await? {
                Went::On => attempts = 0,
                Went::Wait(pause) => return Ok(pause),
                Went::Lost => {
                    self.leased = None;
                    return Ok(Duration::ZERO);
                }
            }
        }
        self.seen = pending.seen;
        if self.seen.saturating_sub(self.cursor) >= SKIP {
            let step = self.step(self.seen);
            if self.outbox.advance(step, false, self.clock.now()).await? {
                self.cursor = self.seen;
            }
        }
        Ok(if self.seen == before { POLL } else { Duration::ZERO })
    }

    async fn deliver(&mut self, event: &Event, attempts: u32) -> Result<Went, StoreError> {
        let step = self.step(event.number);
        #[cfg(test)]
        if self.moves_first {
            self.outbox.advance(step.clone(), true, self.clock.now()).await?;
            self.cursor = event.number;
        }
        let answer = self.sender.send(&Message::of(event), self.clock.now()).await;
        let now = self.clock.now();
        let tries = attempts.saturating_add(1);
        let (outcome, problem) = judge(&answer, self.refusals.saturating_add(1), now);
        let moved = match outcome {
            Consequence::Delivered => self.delivered(step, now).await?,
            Consequence::Again(asked) => return self.again(step, (tries, asked), problem, now).await,
            Consequence::Refused(asked) => {
                self.refusals = self.refusals.saturating_add(1);
                return self.again(step, (tries, asked), problem, now).await;
            }
            Consequence::Park => {
                let failure = Failure { at: now, problem: problem.clone(), next_attempt: now };
                match self.outbox.park(step.clone(), failure).await? {
                    Parking::Parked => {
                        let (webhook, number) = (self.name(), event.number);
                        tracing::warn!(
                            webhook,
                            number,
                            problem,
                            "a webhook's receiver refused an event for good"
                        );
                        true
                    }
                    Parking::Full => return self.again(step, (tries, None), problem, now).await,
                    Parking::Lost => false,
                }
            }
        };
        if moved {
            (self.cursor, self.seen, self.refusals) = (event.number, event.number, 0);
        }
        Ok(if moved { Went::On } else { Went::Lost })
    }

    async fn delivered(&self, step: CursorStep, now: UnixTime) -> Result<bool, StoreError> {
        #[cfg(test)]
        if self.moves_first {
            return Ok(true);
        }
        self.outbox.advance(step, true, now).await
    }

    async fn again(
        &self,
        step: CursorStep,
        (tries, asked): (u32, Option<Duration>),
        problem: String,
        now: UnixTime,
    ) -> Result<Went, StoreError> {
        let pause = self.sender.webhook().backoff.pause(tries, asked, random::number());
        tracing::debug!(webhook = step.webhook, event = step.to, tries, problem, ?pause, "not delivered");
        let failure = Failure { at: now, problem, next_attempt: now.after(pause) };
        Ok(if self.outbox.failed(step, failure).await? { Went::Wait(pause) } else { Went::Lost })
    }

    /// Sends a parked event again, because an operator wants it: one answer decides.
    async fn send_again(&self, parked: &Parked, attempts: u32) -> Result<Duration, StoreError> {
        let answer = self.sender.send(&Message::of(&parked.event), self.clock.now()).await;
        let now = self.clock.now();
        let (outcome, problem) = judge(&answer, super::TRIES, now);
        let problem = match outcome {
            Consequence::Delivered => None,
            Consequence::Park => Some(problem),
            Consequence::Again(asked) | Consequence::Refused(asked) => {
                let tries = attempts.saturating_add(1);
                // Nothing is passed: the cursor stays where it is.
                let step = self.step(self.cursor);
                return Ok(match self.again(step, (tries, asked), problem, now).await? {
                    Went::Wait(pause) => pause,
                    Went::On | Went::Lost => STANDBY,
                });
            }
        };
        self.outbox.sent_again(self.name(), parked.event.number, problem, now).await?;
        Ok(Duration::ZERO)
    }

    fn step(&self, to: u64) -> CursorStep {
        CursorStep { webhook: self.name(), owner: self.owner.clone(), from: self.cursor, to }
    }

    fn name(&self) -> String {
        self.sender.webhook().name.clone()
    }
}

/// What follows from an attempt, and what is noted of it: nothing that the receiver wrote.
fn judge(answer: &Result<Reply, SendError>, refusals: u32, now: UnixTime) -> (Consequence, String) {
    let (seen, problem) = match answer {
        Ok(reply) => (Some((reply.status, &reply.headers)), format!("status {}", reply.status.as_u16())),
        Err(error) => (None, chain(error).chars().take(MAX_PROBLEM).collect()),
    };
    (consequence(seen, refusals, now), problem)
}
