//! The store: devices, certificates, tokens, makers and the audit trail, behind one trait.
//!
//! The trait speaks of the domain, not of tables, so that another database can stand behind it. What has to
//! happen together is one call here, and one transaction there.

mod action;
mod appraisal;
mod attestation;
mod backup;
mod credential;
mod database;
mod error;
mod event;
mod filter;
mod grant;
mod held;
mod import;
mod issuer;
mod label;
mod list_place;
mod log;
mod migrate;
mod missed;
mod model;
mod outbox;
mod outcome;
mod outlook;
mod reference;
mod renewal;
mod revocation;
mod rollover;
mod session;
mod sql;
mod state;
mod tag;
mod token;
mod transfer;

use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use ::appraisal::{KnownDevice, TokenGrant};
use ca::Serial;
use shared::{DeviceId, UnixTime};

use crate::audit::Caller;
use crate::authorization::{Authorized, Decision};
use crate::intent_key::NotOurs;

pub use action::{Action, Carried, DenialError, Page, Selection};
pub use appraisal::{
    Appraisal, AppraisalFilter, Asked, Difference, NewAppraisal, Opinion, RecordLimits, Ruled,
};
pub use attestation::{AttestationKey, KeysAdded, NewAttestationKey};
pub use backup::{BackupError, Copied, copy_database};
pub use credential::{Credential, CredentialKind, CredentialPage, FoundCredential, NewCredential};
pub(crate) use database::SERVING_CACHE_KIB;
#[cfg(test)]
pub(crate) use database::injected::Injected;
pub use database::{PostgresOptions, PostgresUrlError, SqliteOptions};
pub use error::StoreError;
pub use event::{Event, EventQuery, NewEvent, Observed, Order};
pub use filter::{DeviceFilter, DevicePage, Find, FindError, MAX_FIND};
pub use grant::{Grant, GrantRow, GrantRows};
pub use held::{HeldPage, HeldRequest};
pub use import::{ImportChunk, ImportCounts, ImportState, RowOutcome};
pub use issuer::{IssuerNumber, KnownIssuer};
pub use label::{Label, Labelled};
pub use list_place::{ListPlace, ListPlaceError, MAX_PLACE_NAME, MAX_PLACE_TIME};
pub use log::{CertificateRow, DeviceRow, LeafRow, LogHead, LogStore};
use missed::CaughtUp;
pub(crate) use missed::in_place_of_key;
pub use missed::{Missed, MissedList, MissedLog};
pub use model::{
    Binding, Certificate, CertificatePage, CertificateState, Device, ImportReport, InventoryEntry, Maker,
    Revocation, RevokedEntry, RevokedList, Sha256, StoredCrl, StoredEvidence, Via,
};
pub use outbox::{
    CursorStep, Failure, Lag, Lease, MAX_PARKED, Outbox, Parked, Parking, Pending, Replay, WebhookState,
};
pub use outcome::{Completed, CrlStored, OpenIntent, RecordOutcome, Recorded};
pub use outlook::{Activity, Day, Hour, Outlook, StoreLoad};
pub use reference::{
    ImportTerms, KeyAdded, ReferenceSetRow, ReferenceState, ReferenceStore, ReleaseOutcome, SetChange,
    SetImport, SetRefused, StoredKey,
};
pub use renewal::{
    DueRenewal, Rate, RateError, Renewals, TOLD_QUIET, TellOutcome, Told, Turns, Wanted, WantedCounts,
    WantedPage, WantedRenewal,
};
pub use revocation::{
    CertificateStatus, Listing, Partition, Partitioning, RevocationChanges, RevocationState,
    RevocationsSince, RevokedPeer,
};
pub use rollover::{
    NewRollover, Rollover, RolloverStore, SignedBundle, Spread, TakeStep, Taken, Unmoved, UnmovedPage,
};
pub use session::{Link, NewSession, Redeemed, Session, Sessions};
#[cfg(test)]
pub(crate) use sql::PLANT;
pub use sql::SqlStore;
#[cfg(test)]
pub(crate) use sql::places::{Place, entry, on_both};
pub use state::{DeviceState, IllegalMove, Move, Standing, Step};
pub use tag::{MAX_TAG, MAX_TAGS, Tag, TagError};
pub use token::{Token, TokenPage};
pub use transfer::{MoveProgress, Moved, MovedTable, TransferError, transfer};

/// What a call gives back, later.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Everything the server asks of a database.
///
/// To implement: a call that changes something is durable when it returns `Ok`. Each call is atomic.
pub trait Store:
    GrantRows
    + LogStore
    + Outbox
    + Outlook
    + ReferenceStore
    + Renewals
    + RolloverStore
    + Sessions
    + core::fmt::Debug
{
    /// Reads what an appraisal needs.
    fn snapshot<'a>(&'a self, device: &'a DeviceId, now: UnixTime) -> Reply<'a, Snapshot>;

    /// Finds a token by the hash of its text, and by which key it was used.
    fn find_token(&self, sha256: Sha256) -> Reply<'_, Option<FoundToken>>;

    /// Records the intent to issue, or whatever [`decide`](crate::authorization::decide) says. The nonce and
    /// the token are used up, and the device's identity key is pinned unless the request is held, all in one transaction.
    fn record(&self, request: Authorized) -> Reply<'_, RecordOutcome>;

    /// What [`record`](Self::record) would decide, without doing it.
    fn would(&self, request: Authorized) -> Reply<'_, Decision>;

    /// Stores the certificate of a recorded intent, and revokes those it takes the place of. When the intent
    /// was completed or voided in the meantime, says so and changes nothing.
    fn complete(&self, recorded: Recorded, der: Vec<u8>, now: UnixTime) -> Reply<'_, Completed>;

    /// Intents that a crash or a failure left open, or that somebody put there.
    fn open_intents(&self) -> Reply<'_, Vec<OpenIntent>>;

    /// Gives an open intent up for good.
    fn void(&self, serial: Serial, reason: String, now: UnixTime) -> Reply<'_, ()>;

    /// Gives an open intent up that no server recorded as it stands there, and says so in the audit trail.
    fn disown(&self, serial: Serial, why: NotOurs, now: UnixTime) -> Reply<'_, ()>;

    /// How a certificate stands, and whose it is.
    fn certificate(&self, serial: Serial) -> Reply<'_, Option<Certificate>>;

    /// Certificates, newest first: of one device or of all, `limit` at most.
    fn certificates(&self, device: Option<DeviceId>, limit: u32) -> Reply<'_, Vec<Certificate>>;

    /// One page of the certificates of one device or of all, newest first.
    fn certificate_page(&self, device: Option<DeviceId>, page: Page<ListPlace>)
    -> Reply<'_, CertificatePage>;

    /// The numbers that rise with every change others have to notice.
    fn generations(&self) -> Reply<'_, Generations>;

    /// Makes issuing CAs known, each with the SHA-256 of its certificate and the certificate in DER, in the order in
    /// which they are to be numbered. Gives all that are known, by number; those that were there keep theirs.
    fn add_issuers(&self, issuers: Vec<(Sha256, Vec<u8>)>, now: UnixTime) -> Reply<'_, Vec<KnownIssuer>>;

    /// All revoked certificates of one CA that have not ended before `ended_before`.
    fn revoked(&self, issuer: IssuerNumber, ended_before: UnixTime) -> Reply<'_, RevokedList>;

    /// What lists are made of, of all CAs, without certificates that ended before `ended_before`.
    fn revocations(&self, ended_before: UnixTime) -> Reply<'_, RevocationState>;

    /// The changes of that after the one with the number `after`.
    fn revocations_since(&self, after: u64, ended_before: UnixTime) -> Reply<'_, RevocationsSince>;

    /// Revokes a certificate that is no device's, for good; `false` where it is revoked already.
    fn revoke_peer(&self, peer: RevokedPeer) -> Reply<'_, bool>;

    /// How certificates stand that were issued to devices, or are no device's and revoked; `None` for every other serial number.
    fn statuses(&self, serials: Vec<Serial>) -> Reply<'_, Vec<Option<CertificateStatus>>>;

    /// The number of the next revocation list; each is given once.
    fn next_crl_number(&self) -> Reply<'_, u64>;

    /// Adds a maker; gives the one that is there already, if it is.
    fn add_maker(&self, maker: Maker) -> Reply<'_, Maker>;

    /// All makers, by name.
    fn makers(&self) -> Reply<'_, Vec<Maker>>;

    /// The attestation key registered for an instance identifier.
    fn attestation_key(&self, instance: Sha256) -> Reply<'_, Option<AttestationKey>>;

    /// All registered attestation keys, by device.
    fn attestation_keys(&self) -> Reply<'_, Vec<AttestationKey>>;

    /// Registers attestation keys; what is there is never changed.
    fn add_attestation_keys(&self, keys: Vec<NewAttestationKey>, now: UnixTime) -> Reply<'_, KeysAdded>;

    /// Removes an attestation key; gives the device that it was registered for, if it was there.
    fn remove_attestation_key(&self, instance: Sha256, now: UnixTime) -> Reply<'_, Option<DeviceId>>;

    /// Stores a maker's revocation list in place of the older one of its issuer. The number never goes back.
    fn put_maker_crl(&self, crl: StoredCrl, now: UnixTime) -> Reply<'_, CrlStored>;

    /// The newest revocation list of every issuer that has one.
    fn maker_crls(&self) -> Reply<'_, Vec<StoredCrl>>;

    /// Imports inventory entries.
    fn import(&self, entries: Vec<InventoryEntry>, now: UnixTime) -> Reply<'_, ImportReport>;

    /// Imports a part of a file and notes how far the file is, in one transaction. Says what became of each row.
    fn import_chunk(&self, chunk: ImportChunk, now: UnixTime) -> Reply<'_, Vec<RowOutcome>>;

    /// How far the import of the file with this SHA-256 is, where one was begun.
    fn import_state(&self, file: Sha256) -> Reply<'_, Option<ImportState>>;

    /// Says what importing each of these rows would do; changes nothing.
    fn preview(&self, entries: Vec<InventoryEntry>) -> Reply<'_, Vec<RowOutcome>>;

    /// One device.
    fn device<'a>(&'a self, device: &'a DeviceId) -> Reply<'a, Option<Device>>;

    /// One page of the devices that `filter` finds, by identifier.
    fn devices(&self, filter: DeviceFilter, page: Page) -> Reply<'_, DevicePage>;

    /// One page of the requests that wait for approval, by device; all, or those of a selection.
    fn held(&self, selection: Option<Selection>, page: Page) -> Reply<'_, HeldPage>;

    /// Changes the group or the tags of one page of a selection, in one transaction.
    fn label(&self, selection: Selection, label: Label, page: Page, now: UnixTime) -> Reply<'_, Labelled>;

    /// Carries out an operator's action for one page of a selection, in one transaction. A device for which it is
    /// illegal is left as it is.
    fn act(&self, selection: Selection, action: Action, page: Page, now: UnixTime) -> Reply<'_, Carried>;

    /// Adds tokens, each with the hash of its text: all or none.
    fn add_tokens(&self, tokens: Vec<(Token, Sha256)>) -> Reply<'_, ()>;

    /// One page of the tokens, newest first.
    fn tokens(&self, page: Page<ListPlace>) -> Reply<'_, TokenPage>;

    /// Revokes a token; `false` where there is none of this name.
    fn revoke_token(&self, id: String, now: UnixTime) -> Reply<'_, bool>;

    /// Adds a credential. A key for one device takes over the device from its group's key.
    fn add_credential(&self, new: NewCredential) -> Reply<'_, ()>;

    /// Finds a credential by its public name, and how it stands to `device`.
    fn find_credential<'a>(&'a self, id: String, device: &'a DeviceId) -> Reply<'a, Option<FoundCredential>>;

    /// All batches, and how they stand to `device`.
    fn batches<'a>(&'a self, device: &'a DeviceId) -> Reply<'a, Vec<FoundCredential>>;

    /// The credential of this public name.
    fn credential(&self, id: String) -> Reply<'_, Option<Credential>>;

    /// One page of the credentials of these kinds, newest first.
    fn credentials(
        &self,
        kinds: &'static [CredentialKind],
        page: Page<ListPlace>,
    ) -> Reply<'_, CredentialPage>;

    /// The oldest key that is not revoked.
    fn oldest_key(&self) -> Reply<'_, Option<Credential>>;

    /// Revokes a credential; `false` where there is none of this name.
    fn revoke_credential(&self, id: String, now: UnixTime) -> Reply<'_, bool>;

    /// Adds an event. One of the same kind about the same device within `quiet` is not repeated.
    fn add_event(&self, event: NewEvent, quiet: core::time::Duration) -> Reply<'_, ()>;

    /// Adds the event of a certificate that is no device's, once for each serial number.
    fn add_peer_event(&self, serial: Serial, event: NewEvent) -> Reply<'_, ()>;

    /// Events that fit the query, in its order.
    fn events(&self, query: EventQuery) -> Reply<'_, Vec<Event>>;

    /// Compares what a device's good evidence says with what it was last accepted with, and adds an event for
    /// each change that is one. What it was accepted with stays as it is.
    fn observe(&self, observed: Observed) -> Reply<'_, ()>;

    /// The same store for changes that `caller` causes: its events say so. An administrator's call that is under way in
    /// this task, see [`Caller::during`], comes before that.
    fn acting_as(&self, caller: Caller) -> Arc<dyn Store>;

    /// Adds records of appraisals, and drops those that are too many of their class.
    fn add_appraisals(&self, appraisals: Vec<NewAppraisal>) -> Reply<'_, ()>;

    /// Records of appraisals, newest first.
    fn appraisals(&self, filter: AppraisalFilter) -> Reply<'_, Vec<Appraisal>>;

    /// How many records [`appraisals`](Self::appraisals) would find without its limit, whatever the device.
    fn count_appraisals(&self, filter: AppraisalFilter) -> Reply<'_, u64>;

    /// Drops records that are older than they are kept, some at a time; gives how many.
    fn prune_appraisals(&self, now: UnixTime) -> Reply<'_, usize>;

    /// To which ends policies came that were before the same requests, and how often.
    fn differences(&self) -> Reply<'_, Vec<Difference>>;

    /// How many devices each group has.
    fn groups(&self) -> Reply<'_, Vec<(String, u64)>>;

    /// Leaves a short text under a name, for operators; it takes the place of the last one.
    fn set_note<'a>(&'a self, name: &'a str, text: String) -> Reply<'a, ()>;

    /// The text under a name.
    fn note<'a>(&'a self, name: &'a str) -> Reply<'a, Option<String>>;

    /// How many devices and certificates there are in each state.
    fn counts(&self) -> Reply<'_, Counts>;

    /// Writes something and takes it back: tells whether the store can be written to.
    fn probe(&self) -> Reply<'_, ()>;

    /// Closes the store: what is queued is finished first.
    fn close(&self) -> Reply<'_, ()>;
}

/// What an appraisal needs of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The device, if it is known.
    pub known: Option<KnownDevice>,
    /// Number of the set of makers; the set is read anew when it has risen.
    pub makers: u64,
    /// Number of the set of reference values that were imported; it is read anew when it has risen.
    pub reference: u64,
    /// Whether an operator wants it to renew, and its turn has come.
    pub renewal_wanted: bool,
}

/// A token that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundToken {
    /// What it grants.
    pub grant: TokenGrant,
    /// The key of the request that used it up.
    pub used_by_key: Option<Sha256>,
    /// Whether an operator revoked it.
    pub revoked: bool,
}

/// Numbers that rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// With every change of what is revoked.
    pub revocations: u64,
    /// With every maker.
    pub makers: u64,
    /// Of the last revocation list.
    pub crl: u64,
}

/// How many there are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Devices.
    pub devices: Vec<(DeviceState, u64)>,
    /// Certificates.
    pub certificates: Vec<(CertificateState, u64)>,
}
