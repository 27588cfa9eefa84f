//! The store on a database that speaks SQL: one writer thread that commits in groups, and a few readers.
//!
//! The queries are the same on SQLite and PostgreSQL; `database` holds what differs. Other processes (the command line,
//! other replicas) may write to the same database: the database's own locks let one transaction change it at a time, so
//! that what a change reads holds until it is committed. Nothing is kept between two calls.

mod actions;
mod actor;
mod appraisals;
mod attestation_keys;
mod complete;
mod convert;
mod counts;
mod credentials;
mod crl;
mod events;
mod facts;
mod grants;
mod import;
mod inventory;
mod issue;
mod issuers;
mod labels;
mod log;
mod log_store;
mod maker_crl;
mod missed;
mod outbox;
mod outlook;
mod profiles;
mod quota;
mod read;
mod reader;
mod reference_plan;
mod references;
mod renewals;
mod revoke;
mod rollovers;
mod search;
mod sessions;
mod tokens;
mod webhooks;
mod writer;

#[cfg(test)]
mod action_tests;
#[cfg(test)]
mod appraisal_tests;
#[cfg(test)]
mod attestation_keys_tests;
#[cfg(test)]
mod counts_tests;
#[cfg(test)]
mod credential_tests;
#[cfg(test)]
mod crl_tests;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod maker_crl_tests;
#[cfg(test)]
mod migrate_tests;
#[cfg(test)]
mod outbox_tests;
#[cfg(test)]
pub(crate) mod places;
#[cfg(test)]
mod postgres_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod rollover_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust_tests;

use core::time::Duration;
use std::sync::Arc;
use std::thread::JoinHandle;

use appraisal::TokenGrant;
use ca::Serial;
use shared::{DeviceId, UnixTime};
use tracing::{Instrument as _, Span};

use super::database::{Connection, Intent, PostgresOptions, SqliteOptions, params};
use super::{
    Action, Appraisal, AppraisalFilter, Carried, Certificate, Completed, Counts, Credential, Device,
    DeviceFilter, DevicePage, Difference, Event, EventQuery, FoundCredential, FoundToken, Generations,
    HeldPage, ImportChunk, ImportReport, ImportState, InventoryEntry, Label, Labelled, ListPlace, Maker,
    NewAppraisal, NewCredential, NewEvent, Observed, OpenIntent, Page, RecordLimits, RecordOutcome, Recorded,
    Reply, RevokedList, RowOutcome, Selection, Sha256, Snapshot, Store, StoreError, Token, TokenPage,
};
use super::{AttestationKey, KeysAdded, NewAttestationKey};
use super::{CertificatePage, CredentialKind, CredentialPage};
use super::{CertificateStatus, Partitioning, RevocationState, RevocationsSince, RevokedPeer};
use super::{CrlStored, IssuerNumber, KnownIssuer, StoredCrl};
use crate::audit::Caller;
use crate::authorization::{Authorized, Decision};
use crate::intent_key::NotOurs;
use crate::telemetry::traces::spans;
#[cfg(test)]
pub(crate) use log::PLANT;
use reader::Readers;
use writer::Writer;

/// A store in a SQLite file or on PostgreSQL.
#[derive(Clone, Debug)]
pub struct SqlStore {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    /// Who causes what is written through this handle.
    caller: Caller,
    records: RecordLimits,
    partitioning: Option<Partitioning>,
    /// Whether other servers may be on the same database.
    shared: bool,
}

/// Most records that go in one transaction, so that requests do not wait for it.
const PRUNED_AT_ONCE: u32 = 500;
/// Connections that read a SQLite file; the work they do is short.
const READERS: usize = 2;

impl SqlStore {
    /// Opens a SQLite file, makes it where there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// Where it cannot be opened, or comes from a newer version of this program.
    pub fn sqlite(options: &SqliteOptions) -> Result<Self, StoreError> {
        let writer = Connection::sqlite(options, Intent::Write)?;
        let readers = (0..READERS).map(|_| Connection::sqlite(options, Intent::Read));
        let readers = Readers::start(
            readers.collect::<Result<_, _>>()?,
            Some(Connection::sqlite(options, Intent::Read)?),
        )?;
        Self::start(writer, readers, options.records, options.partitioning.clone())
    }

    /// Connects to PostgreSQL, makes the tables where there are none, and brings them up to date.
    ///
    /// # Errors
    /// Where it cannot be reached, may lose what it has called durable, or comes from a newer version of this program.
    pub fn postgres(options: &PostgresOptions) -> Result<Self, StoreError> {
        // A session waits in a runtime of its own, which a thread that runs another one cannot do.
        let opened = std::thread::scope(|scope| scope.spawn(|| Self::open_postgres(options)).join());
        opened.unwrap_or_else(|_| Err(StoreError::Failed("a thread of the store ended".to_owned())))
    }

    fn open_postgres(options: &PostgresOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(options.clone());
        let writer = Connection::postgres(Arc::clone(&shared), Intent::Write)?;
        let readers =
            (0..options.readers.max(1)).map(|_| Connection::postgres(Arc::clone(&shared), Intent::Read));
        let readers = Readers::start(readers.collect::<Result<_, _>>()?, None)?;
        let store = Self::start(writer, readers, options.records, options.partitioning.clone())?;
        Ok(Self { shared: true, ..store })
    }

    fn start(
        writer: Connection,
        readers: Readers,
        records: RecordLimits,
        partitioning: Option<Partitioning>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            writer: Arc::new(Writer::start(writer)?),
            readers: Arc::new(readers),
            caller: Caller::default(),
            records,
            partitioning,
            shared: false,
        })
    }

    /// Number of transactions committed until now: fewer than changes, because changes are committed in groups.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Closes the store from outside of a runtime.
    pub fn close_blocking(&self) {
        join(self.readers.close());
        join(self.writer.close());
    }

    fn read<T: Send + 'static, Q>(&self, query: Q) -> Reply<'_, T>
    where
        Q: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        traced(self.readers.run(query), spans::store::<Q>)
    }

    /// As [`read`](Self::read), for a query that looks at a few rows by their keys.
    fn look<T: Send + 'static, Q>(&self, query: Q) -> Reply<'_, T>
    where
        Q: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        traced(self.readers.look(query), spans::store::<Q>)
    }

    fn write<T: Send + 'static, C>(&self, change: C) -> Reply<'_, T>
    where
        C: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let caller = Caller::of_this_task().unwrap_or_else(|| self.caller.clone());
        traced(self.writer.run(move |c| actor::acting_as(caller.clone(), || change(c))), spans::store::<C>)
    }
}

impl Store for SqlStore {
    fn snapshot<'a>(&'a self, device: &'a DeviceId, now: UnixTime) -> Reply<'a, Snapshot> {
        let device = device.clone();
        self.look(move |c| {
            let known = read::known(c, &device, now)?;
            let (makers, reference, renewal_wanted) = read::circumstances(c, &device, now)?;
            Ok(Snapshot { known, makers, reference, renewal_wanted })
        })
    }

    fn find_token(&self, sha256: Sha256) -> Reply<'_, Option<FoundToken>> {
        self.look(move |c| {
            let found = tokens::find(c, &sha256)?;
            Ok(found.map(|token| FoundToken {
                used_by_key: token.used_by_key,
                revoked: token.revoked,
                grant: TokenGrant {
                    label: token.id,
                    device: token.device,
                    model: None,
                    group: token.group,
                    expires: token.expires,
                    taken: token.used_by_key.is_some(),
                },
            }))
        })
    }

    fn record(&self, request: Authorized) -> Reply<'_, RecordOutcome> {
        let (limits, partitioning) = (self.records, self.partitioning.clone());
        self.write(move |c| issue::record(c, &request, &limits, partitioning.as_ref()))
    }

    fn would(&self, request: Authorized) -> Reply<'_, Decision> {
        self.read(move |c| issue::would(c, &request))
    }

    fn complete(&self, recorded: Recorded, der: Vec<u8>, now: UnixTime) -> Reply<'_, Completed> {
        self.write(move |c| complete::complete(c, &recorded, &der, now))
    }

    fn open_intents(&self) -> Reply<'_, Vec<OpenIntent>> {
        self.read(issue::open_intents)
    }

    fn void(&self, serial: Serial, reason: String, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| complete::void(c, serial, &reason, now))
    }

    fn disown(&self, serial: Serial, why: NotOurs, now: UnixTime) -> Reply<'_, ()> {
        self.write(move |c| complete::disown(c, serial, why, now))
    }

    fn certificate(&self, serial: Serial) -> Reply<'_, Option<Certificate>> {
        self.look(move |c| read::certificate(c, serial))
    }

    fn certificates(&self, device: Option<DeviceId>, limit: u32) -> Reply<'_, Vec<Certificate>> {
        self.read(move |c| read::certificates(c, device.as_ref(), limit))
    }

    fn certificate_page(
        &self,
        device: Option<DeviceId>,
        page: Page<ListPlace>,
    ) -> Reply<'_, CertificatePage> {
        self.read(move |c| read::certificate_page(c, device.as_ref(), &page))
    }

    fn generations(&self) -> Reply<'_, Generations> {
        self.look(|c| {
            Ok(Generations {
                revocations: read::counter(c, "revocations")?,
                makers: read::counter(c, "makers")?,
                crl: read::counter(c, "crl")?,
            })
        })
    }

    fn add_issuers(&self, issuers: Vec<(Sha256, Vec<u8>)>, now: UnixTime) -> Reply<'_, Vec<KnownIssuer>> {
        Box::pin(async move {
            let known = self.read(issuers::all).await?;
            let is_known = |(hash, _): &(Sha256, Vec<u8>)| known.iter().any(|issuer| issuer.sha256 == *hash);
            if issuers.iter().all(is_known) {
                return Ok(known);
            }
            let added = self.write(move |c| {
                issuers.iter().try_for_each(|(hash, der)| issuers::add(c, hash, der, now))?;
                issuers::all(c)
            });
            added.await
        })
    }

    fn revoked(&self, issuer: IssuerNumber, ended_before: UnixTime) -> Reply<'_, RevokedList> {
        self.read(move |c| read::revoked(c, issuer, ended_before))
    }

    fn revocations(&self, ended_before: UnixTime) -> Reply<'_, RevocationState> {
        self.read(move |c| crl::state(c, ended_before))
    }

    fn revocations_since(&self, after: u64, ended_before: UnixTime) -> Reply<'_, RevocationsSince> {
        self.read(move |c| crl::changes(c, after, ended_before))
    }

    fn revoke_peer(&self, peer: RevokedPeer) -> Reply<'_, bool> {
        self.write(move |c| revoke::peer(c, &peer))
    }

    fn statuses(&self, serials: Vec<Serial>) -> Reply<'_, Vec<Option<CertificateStatus>>> {
        self.look(move |c| serials.into_iter().map(|serial| crl::status(c, serial)).collect())
    }

    fn next_crl_number(&self) -> Reply<'_, u64> {
        self.write(|c| {
            revoke::raise(c, "crl")?;
            read::counter(c, "crl")
        })
    }

    fn add_maker(&self, maker: Maker) -> Reply<'_, Maker> {
        self.write(move |c| inventory::add_maker(c, &maker))
    }

    fn makers(&self) -> Reply<'_, Vec<Maker>> {
        self.read(inventory::makers)
    }

    fn attestation_key(&self, instance: Sha256) -> Reply<'_, Option<AttestationKey>> {
        self.look(move |c| attestation_keys::find(c, &instance))
    }

    fn attestation_keys(&self) -> Reply<'_, Vec<AttestationKey>> {
        self.read(attestation_keys::all)
    }

    fn add_attestation_keys(&self, keys: Vec<NewAttestationKey>, now: UnixTime) -> Reply<'_, KeysAdded> {
        self.write(move |c| attestation_keys::add(c, &keys, now))
    }

    fn remove_attestation_key(&self, instance: Sha256, now: UnixTime) -> Reply<'_, Option<DeviceId>> {
        self.write(move |c| attestation_keys::remove(c, &instance, now))
    }

    fn put_maker_crl(&self, crl: StoredCrl, now: UnixTime) -> Reply<'_, CrlStored> {
        self.write(move |c| maker_crl::put(c, &crl, now))
    }

    fn maker_crls(&self) -> Reply<'_, Vec<StoredCrl>> {
        self.read(maker_crl::all)
    }

    fn import(&self, entries: Vec<InventoryEntry>, now: UnixTime) -> Reply<'_, ImportReport> {
        self.write(move |c| inventory::import(c, &entries, now))
    }

    fn import_chunk(&self, chunk: ImportChunk, now: UnixTime) -> Reply<'_, Vec<RowOutcome>> {
        self.write(move |c| import::chunk(c, &chunk, now))
    }

    fn import_state(&self, file: Sha256) -> Reply<'_, Option<ImportState>> {
        self.read(move |c| import::state(c, &file))
    }

    fn preview(&self, entries: Vec<InventoryEntry>) -> Reply<'_, Vec<RowOutcome>> {
        self.read(move |c| entries.iter().map(|entry| import::preview(c, entry)).collect())
    }

    fn device<'a>(&'a self, device: &'a DeviceId) -> Reply<'a, Option<Device>> {
        let device = device.clone();
        self.look(move |c| read::device(c, &device))
    }

    fn devices(&self, filter: DeviceFilter, page: Page) -> Reply<'_, DevicePage> {
        self.read(move |c| search::devices(c, &filter, &page))
    }

    fn held(&self, selection: Option<Selection>, page: Page) -> Reply<'_, HeldPage> {
        self.read(move |c| search::held(c, selection.as_ref(), &page))
    }

    fn label(&self, selection: Selection, label: Label, page: Page, now: UnixTime) -> Reply<'_, Labelled> {
        self.write(move |c| labels::put(c, &selection, &label, &page, now))
    }

    fn act(&self, selection: Selection, action: Action, page: Page, now: UnixTime) -> Reply<'_, Carried> {
        self.write(move |c| actions::carry_out(c, &selection, &action, &page, now))
    }

    fn add_tokens(&self, tokens: Vec<(Token, Sha256)>) -> Reply<'_, ()> {
        self.write(move |c| tokens.iter().try_for_each(|(token, sha256)| tokens::add(c, token, sha256)))
    }

    fn tokens(&self, page: Page<ListPlace>) -> Reply<'_, TokenPage> {
        self.read(move |c| tokens::page(c, &page))
    }

    fn revoke_token(&self, id: String, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| tokens::revoke(c, &id, now))
    }

    fn add_credential(&self, new: NewCredential) -> Reply<'_, ()> {
        self.write(move |c| credentials::add(c, &new))
    }

    fn find_credential<'a>(&'a self, id: String, device: &'a DeviceId) -> Reply<'a, Option<FoundCredential>> {
        let device = device.clone();
        self.look(move |c| credentials::find(c, &id, &device))
    }

    fn batches<'a>(&'a self, device: &'a DeviceId) -> Reply<'a, Vec<FoundCredential>> {
        let device = device.clone();
        self.look(move |c| credentials::batches(c, &device))
    }

    fn credential(&self, id: String) -> Reply<'_, Option<Credential>> {
        self.look(move |c| credentials::named(c, &id))
    }

    fn credentials(
        &self,
        kinds: &'static [CredentialKind],
        page: Page<ListPlace>,
    ) -> Reply<'_, CredentialPage> {
        self.read(move |c| credentials::page(c, kinds, &page))
    }

    fn oldest_key(&self) -> Reply<'_, Option<Credential>> {
        self.look(credentials::oldest_key)
    }

    fn revoke_credential(&self, id: String, now: UnixTime) -> Reply<'_, bool> {
        self.write(move |c| credentials::revoke(c, &id, now))
    }

    fn add_event(&self, event: NewEvent, quiet: Duration) -> Reply<'_, ()> {
        self.write(move |c| events::add_once(c, &event, quiet))
    }

    fn add_peer_event(&self, serial: Serial, event: NewEvent) -> Reply<'_, ()> {
        self.write(move |c| events::add_of_peer(c, serial, &event))
    }

    fn events(&self, query: EventQuery) -> Reply<'_, Vec<Event>> {
        self.read(move |c| events::find(c, &query))
    }

    fn observe(&self, observed: Observed) -> Reply<'_, ()> {
        Box::pin(async move {
            let seen = observed.clone();
            if self.read(move |c| events::differs(c, &seen)).await? {
                self.write(move |c| events::observed(c, &observed)).await?;
            }
            Ok(())
        })
    }

    fn acting_as(&self, caller: Caller) -> Arc<dyn Store> {
        Arc::new(Self { caller, ..self.clone() })
    }

    fn add_appraisals(&self, new: Vec<NewAppraisal>) -> Reply<'_, ()> {
        let limits = self.records;
        self.write(move |c| new.iter().try_for_each(|new| appraisals::add(c, new, &limits)))
    }

    fn appraisals(&self, filter: AppraisalFilter) -> Reply<'_, Vec<Appraisal>> {
        self.read(move |c| appraisals::read(c, &filter))
    }

    fn count_appraisals(&self, filter: AppraisalFilter) -> Reply<'_, u64> {
        self.read(move |c| appraisals::count(c, &filter))
    }

    fn prune_appraisals(&self, now: UnixTime) -> Reply<'_, usize> {
        let before = now.before(self.records.retention);
        self.write(move |c| appraisals::prune(c, before, PRUNED_AT_ONCE))
    }

    fn differences(&self) -> Reply<'_, Vec<Difference>> {
        self.read(appraisals::differences)
    }

    fn groups(&self) -> Reply<'_, Vec<(String, u64)>> {
        self.read(appraisals::groups)
    }

    fn set_note<'a>(&'a self, name: &'a str, text: String) -> Reply<'a, ()> {
        let name = name.to_owned();
        self.write(move |c| appraisals::set_note(c, &name, &text))
    }

    fn note<'a>(&'a self, name: &'a str) -> Reply<'a, Option<String>> {
        let name = name.to_owned();
        self.read(move |c| appraisals::note(c, &name))
    }

    fn counts(&self) -> Reply<'_, Counts> {
        self.read(counts::by_state)
    }

    fn probe(&self) -> Reply<'_, ()> {
        self.write(|c| {
            // Takes a page of the log and a sync: finds a full or read-only disk, changes no fact.
            let sql = "UPDATE counters SET value = value WHERE name = 'revocations'";
            c.prepare_cached(sql)?.execute(params![])?;
            Ok(())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        Box::pin(async {
            // One after the other: two connections that close at once both leave the log to the other.
            let (readers, failed) = (self.readers.close(), |_| StoreError::Closed);
            tokio::task::spawn_blocking(|| join(readers)).await.map_err(failed)?;
            let writer = self.writer.close();
            tokio::task::spawn_blocking(|| join(writer)).await.map_err(failed)
        })
    }
}

/// `work`, in a span where spans are taken.
fn traced<'a, T: 'a>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    span: fn() -> Span,
) -> Reply<'a, T> {
    if !spans::on() {
        return Box::pin(work);
    }
    let span = span();
    let within = span.clone();
    let told = async move {
        let done = work.await;
        if done.is_err() {
            spans::failed(&span);
        }
        done
    };
    Box::pin(told.instrument(within))
}

/// Waits for threads; each closes its connection at its end, the last one folds the log into the database.
fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        let clean = thread.join().is_ok();
        tracing::debug!(clean, "a thread of the store ended");
    }
}
