//! Rows of the audit trail: as they are written, as they are read, and how they are looked for.

use shared::{DeviceId, UnixTime};
use transparency::Field;

use super::Sha256;
use crate::audit::changes::LastClaims;
use crate::audit::{Actor, EventKind, Severity};
use crate::written::{OptionalHex, Text};

/// An event to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When.
    pub at: UnixTime,
    /// What happened.
    pub kind: EventKind,
    /// Which device it is about.
    pub device: Option<DeviceId>,
    /// The rule or the refusal behind it, a stable name.
    pub reason: Option<String>,
    /// SHA-256 of the evidence it is based on, as it came.
    pub evidence_sha256: Option<Sha256>,
    /// Who caused it; `None`: whoever the store acts for, see [`Store::acting_as`](super::Store::acting_as).
    pub actor: Option<Actor>,
    /// More, for a person.
    pub detail: String,
}

impl NewEvent {
    /// An event with nothing but a sentence.
    #[must_use]
    pub fn new(at: UnixTime, kind: EventKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { at, kind, device: None, reason: None, evidence_sha256: None, actor: None, detail }
    }

    /// About this device.
    #[must_use]
    pub fn about(self, device: &DeviceId) -> Self {
        Self { device: Some(device.clone()), ..self }
    }

    /// For this reason: the name of a rule or a refusal.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }

    /// Based on evidence with this hash, where there was some.
    #[must_use]
    pub fn on(self, evidence_sha256: Option<Sha256>) -> Self {
        Self { evidence_sha256, ..self }
    }

    /// Caused by this actor.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }
}

/// One row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Event {
    /// Number, rising.
    pub number: u64,
    /// When.
    #[serde(with = "Text::<UnixTime>")]
    pub at: UnixTime,
    /// What happened, a stable name: see [`EventKind`].
    pub kind: String,
    /// How much it matters, a stable name: see [`Severity`].
    pub severity: String,
    /// Which device it is about.
    pub device: Option<String>,
    /// The rule or the refusal behind it, a stable name.
    pub reason: Option<String>,
    /// SHA-256 of the evidence it is based on.
    #[serde(with = "OptionalHex")]
    pub evidence_sha256: Option<Sha256>,
    /// Who caused it: `system`, `device`, `admin-api:CREDENTIAL`, `dashboard:LABEL/SESSION` or
    /// `operator:USER(UID)@HOST`.
    pub actor: String,
    /// From where, where an administrator caused it: the peer's address, or `local` and `ssh:ADDRESS`.
    pub source: Option<String>,
    /// By what, where an administrator caused it: the call of the API or the command line.
    pub action: Option<String>,
    /// The salt of [`commitment`](Self::commitment); none where the row is older than the log.
    #[serde(skip)]
    pub salt: Option<Vec<u8>>,
    /// More, for a person.
    pub detail: String,
}

impl Event {
    /// What the log has of this row: see `docs/log.md`.
    #[must_use]
    pub fn commitment(&self) -> Sha256 {
        transparency::commitment(
            self.salt.as_deref().unwrap_or_default(),
            &[
                Field::Number(self.number),
                Field::Number(self.at.as_secs()),
                Field::Text(&self.kind),
                Field::Text(&self.severity),
                Field::from(self.device.as_deref()),
                Field::from(self.reason.as_deref()),
                Field::from(self.evidence_sha256.as_ref().map(<[u8; 32]>::as_slice)),
                Field::Text(&self.actor),
                Field::from(self.source.as_deref()),
                Field::from(self.action.as_deref()),
                Field::Text(&self.detail),
            ],
        )
    }
}

/// What is looked for in the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// One of these kinds; empty: any.
    pub kinds: Vec<EventKind>,
    /// About this device.
    pub device: Option<DeviceId>,
    /// Not older.
    pub since: Option<UnixTime>,
    /// At least so severe.
    pub severity: Option<Severity>,
    /// With a number greater than this.
    pub after: u64,
    /// With a number less than this.
    pub before: Option<u64>,
    /// In which order.
    pub order: Order,
    /// So many at most.
    pub limit: u32,
}

/// The order of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// By rising number.
    OldestFirst,
}

impl EventQuery {
    /// The last `limit` events, the newest first.
    #[must_use]
    pub fn last(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The first `limit` events with a number greater than `number`.
    #[must_use]
    pub fn after(number: u64, limit: u32) -> Self {
        Self { after: number, order: Order::OldestFirst, limit, ..Self::default() }
    }
}

/// What a device said about itself with evidence that was found genuine, accepted or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The device.
    pub device: DeviceId,
    /// What it said.
    pub claims: LastClaims,
    /// SHA-256 of the evidence.
    pub evidence_sha256: Option<Sha256>,
    /// When.
    pub at: UnixTime,
}
