//! Rollovers and trust bundles as the store keeps them, and how devices stand to them.

use ca::Serial;
use shared::{DeviceId, UnixTime};

use super::{IssuerNumber, Page, Reply, Sha256};
use crate::rollover::{NotYet, Order, Standing, Step};
use crate::written::{OptionalText, Text};

/// What the store keeps of rollovers.
///
/// To implement: as [`Store`](super::Store) says; the conditions of a step are checked in the transaction that takes it.
pub trait RolloverStore {
    /// Rises with every trust bundle and every step.
    fn rollover_generation(&self) -> Reply<'_, u64>;

    /// Every rollover there was, the oldest first.
    fn rollovers(&self) -> Reply<'_, Vec<Rollover>>;

    /// Every signed trust bundle there was, the oldest first.
    fn trust_bundles(&self) -> Reply<'_, Vec<Vec<u8>>>;

    /// Adds trust bundles by their numbers, all or none; `false` where one of the numbers is taken by another bundle.
    fn add_trust_bundles(&self, bundles: Vec<SignedBundle>, now: UnixTime) -> Reply<'_, bool>;

    /// Begins a rollover; `None` where one is under way, or its bundle's number is taken.
    fn begin_rollover(&self, new: NewRollover, now: UnixTime) -> Reply<'_, Option<u32>>;

    /// Takes the step that `order` asks for, if it may be taken.
    fn take_step(&self, order: TakeStep, now: UnixTime) -> Reply<'_, Taken>;

    /// How the living devices stand to a rollover.
    fn standing(&self, number: u32, now: UnixTime) -> Reply<'_, Option<Standing>>;

    /// One page of the living devices that have not moved.
    fn unmoved(&self, number: u32, page: Page, now: UnixTime) -> Reply<'_, UnmovedPage>;

    /// A device has proved who it is and said which trust bundle it holds. Where it showed the identity in use, `shown`,
    /// the broker has accepted that, and the certificate it was renewed with is not needed once more: it is revoked as
    /// superseded.
    fn confirm_trust<'a>(
        &'a self,
        device: &'a DeviceId,
        number: u64,
        shown: Option<Serial>,
        now: UnixTime,
    ) -> Reply<'a, ()>;

    /// How many living devices are where.
    fn spread(&self, now: UnixTime) -> Reply<'_, Spread>;
}

/// A signed trust bundle with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBundle {
    /// Its number.
    pub number: u64,
    /// As devices take it.
    pub signed: Vec<u8>,
}

/// A rollover to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRollover {
    /// See [`crate::rollover::Plan`], as JSON.
    pub plan: String,
    /// SHA-256 of the new issuing CA's certificate.
    pub issuer: Sha256,
    /// The bundle with both roots, where there is a new one.
    pub bundle: Option<SignedBundle>,
    /// For the audit trail.
    pub detail: String,
}

/// A step to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeStep {
    /// Of which rollover.
    pub number: u32,
    /// What is asked for.
    pub order: Order,
    /// The bundle that goes out with it.
    pub bundle: Option<SignedBundle>,
    /// Whether devices may be left behind.
    pub force: bool,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken; so many devices are left behind.
    Done {
        /// How many, because it was forced.
        left_behind: u64,
    },
    /// Something is missing.
    NotYet(NotYet),
    /// Another trust bundle came out meanwhile, or there is no such rollover.
    Changed,
}

/// One rollover.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Rollover {
    /// Its number.
    pub number: u32,
    /// How far it is.
    pub step: Step,
    /// See [`crate::rollover::Plan`], as JSON.
    #[serde(skip)]
    pub plan: String,
    /// Number of the trust bundle that devices have to confirm, where there is a new root.
    pub bundle: Option<u64>,
    /// When it was begun.
    #[serde(with = "Text::<UnixTime>")]
    pub begun: UnixTime,
    /// When the last step was taken.
    #[serde(with = "Text::<UnixTime>")]
    pub changed: UnixTime,
}

/// A living device that has not moved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Unmoved {
    /// Which.
    pub device: String,
    /// The trust bundle that it confirmed last.
    pub trust: Option<u64>,
    /// When it did.
    #[serde(with = "OptionalText::<UnixTime>")]
    pub trust_at: Option<UnixTime>,
    /// Whether it has not confirmed the bundle with the new root.
    pub unconfirmed: bool,
    /// Whether it has a certificate of another CA than the new one.
    pub old_certificate: bool,
}

/// A page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct UnmovedPage {
    /// By identifier.
    pub devices: Vec<Unmoved>,
    /// What to ask for the next page after.
    pub next: Option<String>,
}

/// How many living devices are where.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Spread {
    /// By the trust bundle that they confirmed last; `None`: none yet.
    pub trust: Vec<(Option<u64>, u64)>,
    /// Certificates that are neither revoked nor over, by issuing CA.
    pub issuers: Vec<(IssuerNumber, u64)>,
}
