//! The agent of one device.

use core::fmt;

use shared::limits::{MAX_ANSWER_LARGE, MAX_REQUEST};

use super::drive::{Goal, Run, now};
use super::{Control, IdentityStatus, OnceError, Parts, RunError, Settings, Status, World, payload};
use crate::lifecycle::Machine;
use crate::platform::{Attester as _, Slot, Storage as _};
use crate::slots::{self, Identity, State, identity_record};
use crate::trust::{LONGEST_TRUST_RECORD, TrustAnchors};

/// The agent of one device. Holds all large buffers itself, 18 KiB by default, so that its futures stay small.
///
/// Where RAM is short, `REQUEST` and `ANSWER` may be less than the protocol's limits, down to what the device's
/// own certificates and its server's answers need: what does not fit is an error, and never cut off. The device's
/// IDevID chain and evidence set the length of requests; answers have [`MAX_ANSWER`](shared::limits::MAX_ANSWER), unless
/// a server grew beyond it before that was a limit. Neither is less than [`LONGEST_TRUST_RECORD`].
pub struct Agent<'s, W, const REQUEST: usize = MAX_REQUEST, const ANSWER: usize = MAX_ANSWER_LARGE> {
    pub(super) world: W,
    pub(super) settings: Settings<'s>,
    pub(super) trust: TrustAnchors,
    /// A request on its way; at other times room for a record, or for what a session publishes.
    pub(super) request: [u8; REQUEST],
    /// An answer; at other times room for what a request is made of, or for the identity of a session.
    pub(super) answer: [u8; ANSWER],
}

impl<'s, W: World, const REQUEST: usize, const ANSWER: usize> Agent<'s, W, REQUEST, ANSWER> {
    /// Puts an agent together; does nothing yet.
    pub const fn new(world: W, settings: Settings<'s>) -> Self {
        const { assert!(REQUEST >= 2 * payload::MAX, "a session's publications do not fit") };
        // A stored bundle is read into the answer's buffer; a new one lies there, and is sealed into the request's.
        const { assert!(ANSWER >= LONGEST_TRUST_RECORD, "a trust bundle does not fit into an answer") };
        const { assert!(REQUEST >= LONGEST_TRUST_RECORD, "a trust bundle does not fit into a request") };
        Self { world, settings, trust: TrustAnchors::none(), request: [0; REQUEST], answer: [0; ANSWER] }
    }

    /// Enrolls if needed, connects, publishes, renews and reconnects until `control` asks to stop.
    ///
    /// # Errors
    /// Only where the records or the trust bundle cannot be used at the start; all else is retried.
    pub async fn run(&mut self, control: &Control) -> Result<(), RunError> {
        let mut run = self.begin().await?;
        // Without a goal it ends only when a stop is asked.
        let _stopped = self.drive(&mut run, control, Goal::Never).await;
        Ok(())
    }

    /// Asks for a first identity, once, and returns when it is durable; returns at once where there is one.
    /// What the server said before about when to ask again does not count: someone asks for it.
    ///
    /// # Errors
    /// Says what became of the attempt.
    pub async fn enroll_once(&mut self, control: &Control) -> Result<Status, OnceError> {
        let mut run = self.begin().await?;
        if run.stored.state().current().is_none() {
            self.drive(&mut run, control, Goal::Identity).await?;
        }
        Ok(self.status().await?)
    }

    /// Asks for the next identity, once, and tries it at the broker; returns when it is the one in use.
    ///
    /// # Errors
    /// Says what became of the attempt; the old identity stays in use.
    pub async fn renew_once(&mut self, control: &Control) -> Result<Status, OnceError> {
        let mut run = self.begin_enrolled().await?;
        let order = run.order();
        self.drive(&mut run, control, Goal::Another(order)).await?;
        Ok(self.status().await?)
    }

    /// As [`renew_once`](Self::renew_once), where it is due by the server's time; `None` where it is not. The device's own
    /// clock does not count: one that is behind would let the certificate end, and one ahead renew it without pause.
    ///
    /// # Errors
    /// As [`renew_once`](Self::renew_once).
    pub async fn renew_if_due(&mut self, control: &Control) -> Result<Option<Status>, OnceError> {
        let mut run = self.begin_enrolled().await?;
        let order = run.order();
        self.learn_time(&mut run, control).await?;
        if !run.machine.wants_another(&now(self.world.parts().clock)) {
            return Ok(None);
        }
        self.drive(&mut run, control, Goal::Another(order)).await?;
        Ok(Some(self.status().await?))
    }

    async fn begin_enrolled(&mut self) -> Result<Run, OnceError> {
        let run = self.begin().await?;
        if run.stored.state().current().is_none() { Err(OnceError::NotEnrolled) } else { Ok(run) }
    }

    /// Erases keys, certificates and state. The trust bundle and the time floor stay, so that neither can be
    /// turned back this way.
    ///
    /// # Errors
    /// Where something could not be erased; to be called again.
    pub async fn reset(&mut self) -> Result<(), RunError> {
        let built = self.settings.built;
        let Parts { keys, storage, .. } = self.world.parts();
        let state = slots::read_state(storage).await?.unwrap_or_else(|| State::blank(built));
        Ok(slots::reset(keys, storage, state.floor().max(built), state.counter()).await?)
    }

    /// Reads the records and changes nothing; may be asked while another process runs the agent.
    ///
    /// # Errors
    /// Where the records cannot be read.
    pub async fn status(&mut self) -> Result<Status, RunError> {
        let built = self.settings.built;
        let Parts { keys, storage, attester, clock, .. } = self.world.parts();
        let trust_number =
            match self.trust.load(storage, self.settings.trust_bundle, &mut self.answer).await? {
                Ok(()) => Some(self.trust.bundle()?.number),
                Err(_) => None,
            };
        let device = attester.device_id().clone();
        let seen = slots::inspect(keys, storage, &device, built, &mut self.answer).await?;
        let now = now(clock);
        // As a machine would find it after a start, without the jitter.
        let phase = Machine::new(&seen, self.settings.pace, true, now, 0).phase(&now);
        let state = seen.state;
        let identity = match state.current() {
            Some(current) => self.identity_status(current.slot, current.accepted).await?,
            None => None,
        };
        let candidate = match state.candidate() {
            Some(slot) => self.identity_status(slot, false).await?,
            None => None,
        };
        Ok(Status {
            phase,
            device,
            identity,
            candidate,
            last_refusal: state.refusal().map(|refusal| refusal.code),
            trust_number,
            time_floor: state.floor(),
        })
    }

    /// The certificate chain of the identity in use, and the broker it is for; `None` where there is none.
    ///
    /// # Errors
    /// Where the records cannot be read.
    pub async fn identity(&mut self) -> Result<Option<Identity<'_>>, RunError> {
        let built = self.settings.built;
        let Parts { keys, storage, attester, .. } = self.world.parts();
        let seen = slots::inspect(keys, storage, attester.device_id(), built, &mut self.answer).await?;
        let Some(current) = seen.state.current() else {
            return Ok(None);
        };
        self.load_identity(current.slot).await
    }

    /// The parts of the device.
    pub const fn world(&self) -> &W {
        &self.world
    }

    /// The parts of the device, to be changed between two calls.
    pub const fn world_mut(&mut self) -> &mut W {
        &mut self.world
    }

    async fn load_identity(&mut self, slot: Slot) -> Result<Option<Identity<'_>>, RunError> {
        let storage = self.world.parts().storage;
        let length = storage.load(identity_record(slot), &mut self.answer).await?;
        let bytes = length.and_then(|length| self.answer.get(..length));
        Ok(bytes.and_then(|bytes| Identity::read(slot, bytes).ok()))
    }

    async fn identity_status(
        &mut self,
        slot: Slot,
        accepted: bool,
    ) -> Result<Option<IdentityStatus>, RunError> {
        let Some(identity) = self.load_identity(slot).await? else {
            return Ok(None);
        };
        Ok(identity.leaf().ok().map(|leaf| IdentityStatus {
            slot,
            serial: heapless::Vec::from_slice(leaf.serial()).unwrap_or_default(),
            not_before: leaf.not_before(),
            not_after: leaf.not_after(),
            renew_at: identity.renew_at,
            accepted,
        }))
    }
}

impl<W: fmt::Debug, const REQUEST: usize, const ANSWER: usize> fmt::Debug for Agent<'_, W, REQUEST, ANSWER> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The buffers hold evidence and tokens at times.
        f.debug_struct("Agent")
            .field("world", &self.world)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
