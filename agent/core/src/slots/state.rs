//! The lifecycle's durable state: which slot holds what. All changes go through methods that keep the rules.

use serde::{Deserialize, Serialize};
use shared::UnixTime;
use shared::message::latest::{EvidenceKind, Nonce};

use crate::flow::BrokerAccepted;
use crate::platform::Slot;

/// What a device remembers of its identities. The slot that is neither `current` nor `next` counts as empty,
/// whatever lies in it.
///
/// The rules that the methods keep: `next` is never the slot of `current`; another slot becomes `current`
/// only with a [`BrokerAccepted`] for it, or where there is no current one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    counter: u64,
    floor: u64,
    current: Option<Current>,
    next: Option<Next>,
    refusal: Option<Refusal>,
}

/// The identity in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Where.
    pub slot: Slot,
    /// Whether the broker has accepted it.
    pub accepted: bool,
}

/// The identity that is to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// Where.
    pub slot: Slot,
    /// How far it is.
    pub stage: Stage,
}

/// How far the next identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The key is there, and a request for it may have left. The same request goes out again until the server
    /// answers, so that a lost answer never leads to two certificates.
    Requested(Asked),
    /// The certificate is there; the broker has not accepted it yet.
    Issued,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Which way.
    pub purpose: Purpose,
    /// The nonce and the number of the evidence kind; none for a renewal without evidence.
    evidence: Option<(Nonce, u8)>,
}

/// Which way an identity is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// By proof of what the device is.
    Enroll,
    /// Over mutual TLS with the identity in use.
    Renew,
}

/// The last refusal, if no success came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The wire code.
    pub code: u16,
    /// Whether the device gives up until an operator acts.
    pub is_final: bool,
    /// When, in seconds since the epoch, by the server's clock.
    at: u64,
}

impl Asked {
    /// A request with evidence for `nonce`.
    #[must_use]
    pub fn with_evidence(purpose: Purpose, nonce: Nonce, kind: EvidenceKind) -> Self {
        // The numbers in use are small; one that is not reads back as no evidence, which no request can be made of: the
        // next one begins with a new nonce.
        Self { purpose, evidence: Some((nonce, u8::try_from(kind.code()).unwrap_or(0))) }
    }

    /// A renewal that rests on the TLS identity alone.
    #[must_use]
    pub const fn bare_renewal() -> Self {
        Self { purpose: Purpose::Renew, evidence: None }
    }

    /// Nonce and evidence kind.
    #[must_use]
    pub fn evidence(&self) -> Option<(Nonce, EvidenceKind)> {
        let (nonce, code) = self.evidence?;
        Some((nonce, EvidenceKind::from_code(code.into())?))
    }
}

impl Refusal {
    /// When it was, by the server's clock.
    #[must_use]
    pub const fn at(&self) -> UnixTime {
        UnixTime::from_secs(self.at)
    }
}

impl State {
    /// The state of a blank device.
    #[must_use]
    pub const fn blank(floor: UnixTime) -> Self {
        Self { counter: 0, floor: floor.as_secs(), current: None, next: None, refusal: None }
    }

    /// The identity in use.
    #[must_use]
    pub const fn current(&self) -> Option<Current> {
        self.current
    }

    /// The identity that is to follow.
    #[must_use]
    pub const fn next(&self) -> Option<Next> {
        self.next
    }

    /// The request under way.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        match self.next?.stage {
            Stage::Requested(asked) => Some(asked),
            Stage::Issued => None,
        }
    }

    /// The slot of the request under way.
    #[must_use]
    pub fn requested_slot(&self) -> Option<Slot> {
        self.next.filter(|next| next.stage != Stage::Issued).map(|next| next.slot)
    }

    /// The issued identity that is still to be tried in place of the current one.
    #[must_use]
    pub fn candidate(&self) -> Option<Slot> {
        self.next.filter(|next| next.stage == Stage::Issued).map(|next| next.slot)
    }

    /// The last refusal, if no success came after it.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The least that the time can be.
    #[must_use]
    pub const fn floor(&self) -> UnixTime {
        UnixTime::from_secs(self.floor)
    }

    /// Rises with each write of the state.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// Where a new key may be made: never the slot in use.
    #[must_use]
    pub fn vacant(&self) -> Slot {
        match (self.current, self.next) {
            (Some(current), _) => current.slot.other(),
            (None, Some(next)) => next.slot,
            (None, None) => Slot::A,
        }
    }

    /// Whether `slot` holds nothing that counts.
    #[must_use]
    pub fn is_unreferenced(&self, slot: Slot) -> bool {
        self.current.is_none_or(|current| current.slot != slot)
            && self.next.is_none_or(|next| next.slot != slot)
    }

    /// A request is about to leave for the key in the vacant slot.
    pub fn request(&mut self, asked: Asked) {
        self.next = Some(Next { slot: self.vacant(), stage: Stage::Requested(asked) });
    }

    /// The certificate for the request under way is durable. Where there is no identity in use, it becomes that
    /// one, not yet accepted: there is nothing that it could push out.
    pub fn issued(&mut self) {
        if let Some(next) = self.next {
            if self.current.is_none() {
                self.current = Some(Current { slot: next.slot, accepted: false });
                self.next = None;
            } else {
                self.next = Some(Next { slot: next.slot, stage: Stage::Issued });
            }
        }
        self.refusal = None;
    }

    /// The broker accepted an identity. Returns whether another slot is in use now.
    pub fn accept(&mut self, proof: &BrokerAccepted) -> bool {
        let slot = proof.slot();
        if self.candidate() == Some(slot) {
            self.current = Some(Current { slot, accepted: true });
            self.next = None;
            return true;
        }
        if let Some(current) = self.current.as_mut().filter(|current| current.slot == slot) {
            current.accepted = true;
        }
        false
    }

    /// Gives up the next identity; the one in use stays.
    pub const fn give_up_next(&mut self) {
        self.next = None;
    }

    /// The identity in use is gone: its records were found damaged.
    pub(super) fn lose_current(&mut self) {
        self.current = self.candidate().map(|slot| Current { slot, accepted: false });
        if self.current.is_some() {
            self.next = None;
        }
    }

    /// Whether it says the same of the slots.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.current == other.current && self.next == other.next && self.refusal == other.refusal
    }

    /// Takes the identity found in `slot` into use, where there is no other.
    pub(super) fn adopt(&mut self, slot: Slot) {
        if self.current.is_none() {
            self.current = Some(Current { slot, accepted: false });
            self.next = self.next.filter(|next| next.slot != slot);
        }
    }

    /// Puts the identity found in `slot` on trial beside the one in use.
    pub(super) fn put_on_trial(&mut self, slot: Slot) {
        if self.current.is_some_and(|current| current.slot != slot) {
            self.next = Some(Next { slot, stage: Stage::Issued });
        }
    }

    /// The last refusal, where the device gives up until an operator acts.
    #[must_use]
    pub fn final_refusal(&self) -> Option<Refusal> {
        self.refusal.filter(|refusal| refusal.is_final)
    }

    /// The server refused.
    pub fn refused(&mut self, code: u16, is_final: bool, at: UnixTime) {
        self.refusal = Some(Refusal { code, is_final, at: at.as_secs() });
    }

    /// The server does not refuse any more.
    pub const fn clear_refusal(&mut self) {
        self.refusal = None;
    }

    /// It cannot be earlier than `time`.
    pub fn raise_floor(&mut self, time: UnixTime) {
        self.floor = self.floor.max(time.as_secs());
    }

    /// Counts from `least` on at least.
    pub(super) fn count_from(&mut self, least: u64) {
        self.counter = self.counter.max(least);
    }

    /// The next number, whatever copy of the state this is.
    pub(super) fn count_on(&mut self, before: u64) {
        self.counter = self.counter.max(before).saturating_add(1);
    }
}
