//! What webhooks need of the store: a durable cursor over the events, a lease, and a place for events that a
//! receiver refuses for good.
//!
//! There is no copy of the events: they are append-only, so a cursor says all there is to say, and an event that was
//! committed can no more be lost than the change it belongs to.

use shared::UnixTime;

use super::Reply;
use super::event::{Event, EventQuery};
use crate::written::{OptionalText, Text};

/// The store as webhooks see it.
///
/// To implement: as for [`Store`](super::Store). A call that names an owner changes something only while the owner
/// has the lease and the cursor is where the owner believes it to be; it gives back whether it did.
pub trait Outbox: Send + Sync {
    /// Makes the cursor of a webhook that is new, behind the last event there is: what comes from now on is
    /// delivered.
    fn open_webhook(&self, name: String) -> Reply<'_, ()>;

    /// How a webhook stands; `None` where there never was one of this name.
    fn webhook(&self, name: String) -> Reply<'_, Option<WebhookState>>;

    /// Takes the lease, or makes one's own longer. `false` while another owner has it.
    fn lease(&self, name: String, lease: Lease, now: UnixTime) -> Reply<'_, bool>;

    /// Gives the lease back.
    fn release(&self, name: String, owner: String) -> Reply<'_, ()>;

    /// Events that fit the query, out of the next few thousand after its cursor, and how far that goes.
    fn pending(&self, query: EventQuery) -> Reply<'_, Pending>;

    /// How many events that fit wait, counted up to some thousands, and the time of the oldest.
    fn lag(&self, query: EventQuery) -> Reply<'_, Lag>;

    /// Moves the cursor past an event that was delivered, or past events that are none of this webhook's.
    fn advance(&self, step: CursorStep, delivered: bool, now: UnixTime) -> Reply<'_, bool>;

    /// Notes a failed attempt.
    fn failed(&self, step: CursorStep, failure: Failure) -> Reply<'_, bool>;

    /// Parks the event that the step goes past and moves the cursor behind it; an event of its own says so once in a
    /// while. [`Parking::Full`] changes nothing.
    fn park(&self, step: CursorStep, failure: Failure) -> Reply<'_, Parking>;

    /// Parked events, the oldest first; only those to be sent again where `again` says so.
    fn parked(&self, name: String, again: bool, limit: u32) -> Reply<'_, Vec<Parked>>;

    /// Ends the sending again of a parked event: it was delivered and is not parked any more, or stays parked for
    /// this problem.
    fn sent_again(&self, name: String, event: u64, problem: Option<String>, now: UnixTime) -> Reply<'_, ()>;

    /// Has events sent again. Gives how many, or `None` where there is no such webhook.
    fn replay(&self, name: String, what: Replay) -> Reply<'_, Option<u64>>;
}

/// A time during which one owner alone delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub owner: String,
    /// Until when.
    pub until: UnixTime,
}

/// One step of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorStep {
    /// The webhook.
    pub webhook: String,
    /// Who has the lease.
    pub owner: String,
    /// Where the cursor is.
    pub from: u64,
    /// Where it goes.
    pub to: u64,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: UnixTime,
    /// What went wrong.
    pub problem: String,
    /// When it is tried again.
    pub next_attempt: UnixTime,
}

/// What became of an event that was to be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parking {
    /// It is parked.
    Parked,
    /// So many are parked already that this one has to wait.
    Full,
    /// The lease or the cursor is not what it was.
    Lost,
}

/// How a webhook stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WebhookState {
    /// Its name.
    pub name: String,
    /// Number of the last event that is dealt with.
    pub cursor: u64,
    /// Failed attempts for the event that is next.
    pub attempts: u32,
    /// When it is tried again.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub next_attempt: Option<UnixTime>,
    /// What went wrong the last time; `None` after a delivery.
    pub problem: Option<String>,
    /// When something was last sent.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub last_attempt: Option<UnixTime>,
    /// When something was last taken.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub last_delivery: Option<UnixTime>,
    /// Events delivered.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events that are parked.
    pub parked: u64,
    /// Who delivers at the moment.
    #[serde(skip)]
    pub lease: Option<Lease>,
}

/// The next events of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Those that fit, by rising number.
    pub events: Vec<Event>,
    /// The last number that was looked at: up to it there are no others.
    pub seen: u64,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events.
    pub events: u64,
    /// When the oldest of them happened.
    pub oldest: Option<UnixTime>,
}

/// An event that a receiver refused for good.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Parked {
    /// When it was parked.
    #[serde(with = "Text::<UnixTime>")]
    pub at: UnixTime,
    /// What the receiver said.
    pub problem: String,
    /// Whether it is to be sent again.
    pub again: bool,
    /// The event.
    pub event: Event,
}

/// What is to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// All that is parked.
    Parked,
    /// One parked event.
    Event(u64),
    /// Every event from this number on: the cursor goes back. It never goes forward, so that nothing that waits is left out.
    From(u64),
}

/// Whether a store is full of parked events is a question of policy: beyond this the next one waits.
pub const MAX_PARKED: u64 = 10_000;

impl WebhookState {
    /// Whether `owner` may deliver at `now`.
    #[must_use]
    pub fn is_leased_to(&self, owner: &str, now: UnixTime) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owner == owner && now < lease.until)
    }
}
