//! The loop that asks the machine and carries out what it says.

use core::pin::pin;
use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Agent, Control, Notice, OnceError, Parts, RunError, World};
use crate::apart::apart;
use crate::lifecycle::{Action, Asker, Errand, Event, Machine, Now};
use crate::platform::{Attester as _, Clock, Observer as _, Slot, Storage};
use crate::slots::{self, Stored};
use shared::DeviceId;
use shared::message::latest::EvidenceKind;

/// What an agent holds while it runs.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) machine: Machine,
    pub(super) stored: Stored,
    /// The identity that was last announced as the one in use.
    pub(super) announced: Option<u64>,
    /// How the last attempt at something failed.
    pub(super) failure: Option<OnceError>,
    /// Telemetry publications since start.
    pub(super) sequence: u32,
    /// Leave the broker as soon as it has accepted the identity.
    pub(super) trial_only: bool,
    /// So many failures of one attempt were put down to the device's own clock.
    doubts: u32,
}

impl Run {
    /// The identity in use, by its order.
    pub(super) fn order(&self) -> Option<u64> {
        let current = self.stored.state().current()?;
        self.machine.dates(current.slot).map(|dates| dates.order)
    }

    /// Forgets a failure that was put down to the device's own clock, and says whether it was one. A device that does one
    /// thing at a time starts with as much faith in its clock each time, so it has to lose it within one attempt.
    fn blames_clock(&mut self) -> bool {
        let doubts = self.machine.time().wall_doubts();
        let blamed = matches!(self.failure, Some(OnceError::Transport(_))) && doubts > self.doubts;
        if blamed {
            self.doubts = doubts;
            self.failure = None;
        }
        blamed
    }
}

/// When to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// When asked to stop.
    Never,
    /// When there is an identity, or the first attempt failed.
    Identity,
    /// When another identity than this one, by its order, is in use, or the first attempt failed.
    Another(Option<u64>),
}

impl<W: World, const REQUEST: usize, const ANSWER: usize> Agent<'_, W, REQUEST, ANSWER> {
    /// Reads and orders the records.
    pub(super) async fn begin(&mut self) -> Result<Run, RunError> {
        apart(pin!(self.boot())).await
    }

    async fn boot(&mut self) -> Result<Run, RunError> {
        let built = self.settings.built;
        let Parts { keys, storage, attester, observer, clock, rng, .. } = self.world.parts();
        self.trust.load(storage, self.settings.trust_bundle, &mut self.answer).await??;
        let device = attester.device_id();
        let (stored, records) = slots::boot(keys, storage, device, built, &mut self.answer).await?;
        if records.repaired {
            observer.notice(&Notice::Recovered);
        }
        let evidence_lasts = attester.kind() == EvidenceKind::IdevidEat;
        let now = now(clock);
        let random = random(rng, device, now.uptime);
        let machine = Machine::new(&records, self.settings.pace, evidence_lasts, now, random);
        observer.notice(&Notice::Started { phase: machine.phase(&now) });
        Ok(Run { machine, stored, announced: None, failure: None, sequence: 0, trial_only: false, doubts: 0 })
    }

    /// Runs until `goal` is reached or a stop is asked.
    pub(super) async fn drive(
        &mut self,
        run: &mut Run,
        control: &Control,
        goal: Goal,
    ) -> Result<(), OnceError> {
        if goal != Goal::Never {
            run.trial_only = true;
            self.tell(run, Event::RenewAsked { by: Asker::Local });
        }
        loop {
            if control.is_stopped() {
                return Err(OnceError::Stopped);
            }
            if control.take_renew() {
                self.tell(run, Event::RenewAsked { by: Asker::Local });
            }
            let in_use = run.stored.state().current();
            let order = run.order();
            match goal {
                Goal::Identity if in_use.is_some() => return Ok(()),
                Goal::Another(before) if in_use.is_some_and(|c| c.accepted) && order != before => {
                    return Ok(());
                }
                Goal::Never => run.failure = None,
                Goal::Identity | Goal::Another(_) => {}
            }
            let now = now(self.world.parts().clock);
            let action = run.machine.next_action(&now);
            // What became of the attempt is written down before it is told, so that a status asked for later shows
            // it. A storage that fails makes the machine wait, which ends this too.
            if !matches!(action, Action::Save(_) | Action::Erase)
                && let Some(failure) = run.failure
            {
                if !run.blames_clock() {
                    return Err(failure);
                }
                self.learn_time(run, control).await?;
                continue;
            }
            self.carry_out(run, action, control).await;
        }
    }

    /// Asks the server for the time, until it is told or something else than the device's own clock is in the way.
    pub(super) async fn learn_time(&mut self, run: &mut Run, control: &Control) -> Result<(), OnceError> {
        loop {
            let now = now(self.world.parts().clock);
            if run.machine.time().authenticated(&now).is_some() {
                // A refusal told it too.
                run.failure = None;
                return Ok(());
            }
            if let Some(failure) = run.failure
                && !run.blames_clock()
            {
                return Err(failure);
            }
            if control.is_stopped() {
                return Err(OnceError::Stopped);
            }
            let validity = run.machine.time().validity(&now);
            apart(pin!(self.challenge(run, Errand::Time, validity))).await;
        }
    }

    async fn carry_out(&mut self, run: &mut Run, action: Action, control: &Control) {
        match action {
            Action::Save(_) | Action::Erase => {
                let Parts { keys, storage, observer, clock, rng, attester, .. } = self.world.parts();
                let random = random(rng, attester.device_id(), clock.uptime());
                let now = now(clock);
                apart(pin!(keep(keys, storage, observer, run, action, now, random))).await;
            }
            Action::MakeKey { cause } => apart(pin!(self.make_key(run, cause))).await,
            Action::Challenge { errand, validity } => {
                apart(pin!(self.challenge(run, errand, validity))).await;
            }
            Action::Request { purpose, validity } => {
                apart(pin!(self.request(run, purpose, validity))).await;
            }
            Action::FetchTrust { validity } => apart(pin!(self.fetch_trust(run, validity))).await,
            Action::Connect { slot, validity } => {
                apart(pin!(self.connect(run, slot, validity, control))).await;
            }
            Action::Sleep { duration } => {
                let poll = self.settings.poll;
                let Parts { clock, observer, .. } = self.world.parts();
                observer.notice(&Notice::Waiting { duration, phase: run.machine.phase(&now(clock)) });
                sleep(clock, duration, poll, control).await;
            }
        }
    }

    async fn make_key(&mut self, run: &mut Run, cause: crate::lifecycle::Cause) {
        let Parts { keys, storage, rng, observer, .. } = self.world.parts();
        if run.stored.state().current().is_some() {
            observer.notice(&Notice::RenewalStarted { cause });
        }
        let event = match slots::make_key(keys, storage, rng, &run.stored).await {
            Ok(slot) => {
                observer.notice(&Notice::KeyMade { slot });
                Event::KeyMade
            }
            Err(error) => {
                observer.notice(&Notice::KeyFailed(error));
                run.failure = Some(error.into());
                Event::KeyFailed
            }
        };
        self.tell(run, event);
    }

    /// Tells the machine what happened.
    pub(super) fn tell(&mut self, run: &mut Run, event: Event) {
        let Parts { clock, rng, attester, observer, .. } = self.world.parts();
        let now = now(clock);
        let random = random(rng, attester.device_id(), now.uptime);
        tell(run, event, now, random, observer);
    }
}

/// Tells the machine what happened, and the observer what the machine made of it.
pub(super) fn tell(
    run: &mut Run,
    event: Event,
    now: Now,
    random: u64,
    observer: &mut impl crate::platform::Observer,
) {
    let time = run.machine.time().authenticated(&now);
    let candidate = run.machine.state().candidate();
    let accepted = matches!(event, Event::Accepted { .. });
    run.machine.handle(event, now, random);
    if let (None, Some(time)) = (time, run.machine.time().authenticated(&now)) {
        observer.notice(&Notice::TimeLearned { time });
    }
    if let (Some(slot), None, false) = (candidate, run.machine.state().candidate(), accepted) {
        observer.notice(&Notice::TrialFailed { slot });
        run.failure = Some(OnceError::TrialFailed);
    }
}

/// Carries out [`Action::Save`] and [`Action::Erase`], in or out of a session.
pub(super) async fn keep<KS: crate::platform::KeyStore>(
    keys: &mut KS,
    storage: &mut impl Storage,
    observer: &mut impl crate::platform::Observer,
    run: &mut Run,
    action: Action,
    now: Now,
    random: u64,
) {
    let event = match action {
        Action::Save(state) => match slots::save(storage, state, run.stored.state().counter()).await {
            Ok(stored) => {
                run.stored = stored;
                Event::Saved
            }
            Err(error) => {
                observer.notice(&Notice::StorageFailed(error));
                run.failure = Some(error.into());
                Event::SaveFailed
            }
        },
        Action::Erase => match slots::erase_unreferenced(keys, storage, &run.stored).await {
            Ok(erased) => {
                erased_notices(observer, erased);
                Event::Erased
            }
            Err(error) => {
                observer.notice(&Notice::KeyFailed(error));
                Event::EraseFailed
            }
        },
        _ => return,
    };
    tell(run, event, now, random, observer);
}

fn erased_notices(observer: &mut impl crate::platform::Observer, erased: [Option<Slot>; 2]) {
    for slot in erased.into_iter().flatten() {
        observer.notice(&Notice::Erased { slot });
    }
}

/// The time of an event.
pub(super) fn now(clock: &impl Clock) -> Now {
    Now { uptime: clock.uptime(), wall: clock.wall() }
}

/// A random number for jitter. Where the generator fails, one that at least differs from device to device and
/// from moment to moment: jitter is no secret, and a device without keys still has to pace itself.
pub(super) fn random(rng: &mut impl rand_core::RngCore, device: &DeviceId, uptime: Duration) -> u64 {
    let mut bytes = [0; 8];
    if rng.try_fill_bytes(&mut bytes).is_err() {
        let digest = Sha256::new()
            .chain_update(device.as_str())
            .chain_update(uptime.as_nanos().to_be_bytes())
            .finalize();
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = from;
        }
    }
    u64::from_be_bytes(bytes)
}

/// Waits, in pieces, so that a control takes effect soon.
async fn sleep(clock: &mut impl Clock, duration: Duration, poll: Duration, control: &Control) {
    let end = clock.uptime().saturating_add(duration);
    loop {
        let left = end.saturating_sub(clock.uptime());
        if left.is_zero() || control.is_stopped() || control.has_renew() {
            return;
        }
        clock.sleep(left.min(poll.max(Duration::from_millis(1)))).await;
    }
}
