//! A server's parts, opened on its files and its store; nothing runs yet.

use std::sync::Arc;

use ca::CrlAddress;
use ca::trust_chain::TrustChain;

use super::error::StartError;
use super::load::{LoadError, check_issuing, check_trust, issuer_without_key, load, look_at_answers};
use super::restored;
use crate::admin::Admin;
use crate::admission::Gate;
use crate::audit::Caller;
use crate::authorities::{Authorities, InOffice};
use crate::clock::Clock;
use crate::config::Config;
use crate::credential::look_for_key;
use crate::failpoint::Hook;
#[cfg(any(test, feature = "plants"))]
use crate::failpoint::Plant;
use crate::in_force::InForce;
use crate::issuance::{Issuance, Parts, Recovered, chain};
use crate::revocation::Publisher;
use crate::rollover::{Lineup, load_trust, read_trust, tls_settings};
use crate::store::{Partitioning, SERVING_CACHE_KIB, SqlStore, SqliteOptions, Store, StoreError};
use crate::transparency_log::{Folder, Keeper, LogKey};

/// A server's parts, before anything runs.
pub(crate) struct Opened {
    pub(crate) issuance: Issuance,
    pub(crate) trust: Arc<InForce<TrustChain>>,
    pub(crate) tls: Arc<InForce<rustls::ServerConfig>>,
    pub(crate) lineup: Arc<InForce<Lineup>>,
    /// Of the rollovers, before anything was read.
    pub(crate) generation: u64,
}

/// Reads the files and opens the store.
pub(crate) async fn open(config: &Config, clock: &Arc<dyn Clock>, hook: Hook) -> Result<Opened, StartError> {
    let store = open_store_with(config, |options| {
        options.cache_kib = SERVING_CACHE_KIB;
        #[cfg(any(test, feature = "plants"))]
        {
            options.commits_without_sync = hook.has(Plant::CommitsWithoutSync);
        }
    })?;
    let generation = store.rollover_generation().await?;
    let lineup = Lineup::of(config, &store.rollovers().await?)?;
    let (trust, _) = read_trust(config, store.as_ref()).await?;
    check_trust(config, &trust, &lineup)?;
    check_issuing(&lineup)?;
    let authorities = lineup.authorities(store.as_ref(), None, clock.now()).await?;
    #[cfg(any(test, feature = "plants"))]
    let believes = hook.has(Plant::BelievesOldDatabase);
    #[cfg(not(any(test, feature = "plants")))]
    let believes = false;
    if !believes {
        restored::look(config, &store, &authorities, clock.now()).await?;
    }
    // Not earlier: the event of a newer bundle would take a number that the log has for another, where the database is old.
    let trust = load_trust(config, store.as_ref(), &lineup.active.certificate, clock.now()).await?;
    look_at_answers(config, &trust, &lineup)?;
    let tls = tls_settings(config, &authorities, clock)?;
    if let Err(error) = look_for_key(store.as_ref(), &config.files.credential_key).await {
        tracing::warn!(error = chain(&error), "devices with symmetric keys are refused");
    }
    let issuance = issuance(config, clock, store, authorities, hook)?;
    let (trust, tls) = (Arc::new(InForce::new(trust)), Arc::new(InForce::new(tls)));
    let lineup = Arc::new(InForce::new(lineup));
    Ok(Opened { issuance, trust, tls, lineup, generation })
}

/// A server that has started and serves nobody.
#[derive(Debug)]
pub struct AtRest {
    /// Issues, on the files and the store of the server.
    pub issuance: Issuance,
    /// What the last run left open, and what became of it.
    pub recovered: Recovered,
    /// Keeps the log; after its first round.
    pub log: Keeper,
}

/// Does what a start does up to its listeners: finishes what the last run left open, publishes the revocation list,
/// brings the log up to date. For programs that look after a server's files, such as the tests of its faults.
///
/// # Errors
/// As [`Server::start`](super::Server::start).
pub async fn start_at_rest(
    config: &Config,
    clock: &Arc<dyn Clock>,
    hook: Hook,
) -> Result<AtRest, StartError> {
    let Opened { issuance, lineup, .. } = open(config, clock, hook.clone()).await?;
    let recovered = issuance.recover().await.map_err(StartError::Recovery)?;
    publisher(config, &issuance, &lineup, clock).publish_if_due().await?;
    let log = Box::pin(keeper(config, issuance.store(), clock, hook)).await?;
    Ok(AtRest { issuance, recovered, log })
}

/// An issuance that explains, on the files and the store of `config`, whether or not a server runs on them. The
/// CA's key is not read, and nothing can be issued.
///
/// # Errors
/// Where a file cannot be used, or the store cannot be opened.
pub async fn open_to_explain(config: &Config, clock: &Arc<dyn Clock>) -> Result<Issuance, StartError> {
    let store = open_store(config)?;
    let issuer = Arc::new(issuer_without_key(&config.files)?);
    let opened = Authorities::open(store.as_ref(), issuer, Vec::new(), clock.now()).await;
    issuance(config, clock, store, opened.map_err(LoadError::from)?, Hook::default())
}

fn issuance(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: Arc<dyn Store>,
    authorities: Authorities,
    hook: Hook,
) -> Result<Issuance, StartError> {
    let loaded = load(config)?;
    let parts = Parts {
        store,
        authorities: Arc::new(InOffice::new(authorities)),
        profile: loaded.profile,
        nonces: loaded.nonces,
        wrapping: loaded.wrapping,
        nonce_lifetime: config.nonce_lifetime,
        policies: loaded.policies,
        refusals: Arc::default(),
        hook,
    };
    Ok(Issuance::new(parts, Arc::clone(clock)).behind(Gate::new(config.admission.clone())))
}

/// The operator's hand on the store of `config`, whether or not a server runs on it. What it changes is put down to
/// the operator who runs this process, and to its command line.
///
/// # Errors
/// Where the store cannot be opened.
pub fn open_admin(config: &Config, clock: Arc<dyn Clock>) -> Result<Admin, StoreError> {
    Ok(Admin::new(open_store(config)?, clock).acting_as(Caller::this_operator()))
}

/// The store of `config`.
pub(crate) fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    open_store_with(config, |_| {})
}

/// As [`open_store`]; `change` what is said to SQLite, where that is the store.
fn open_store_with(
    config: &Config,
    change: impl FnOnce(&mut SqliteOptions),
) -> Result<Arc<dyn Store>, StoreError> {
    let address = config.certificates.crl_url.as_deref().and_then(|url| CrlAddress::parse(url).ok());
    let partitioning = address
        .filter(CrlAddress::is_partitioned)
        .map(|address| Partitioning { address, size: config.crl.partition_size });
    if let Some(postgres) = &config.postgres {
        let mut options = postgres.options()?;
        options.records = config.records;
        options.partitioning = partitioning;
        return Ok(Arc::new(SqlStore::postgres(&options)?));
    }
    let mut options = SqliteOptions::new(&config.files.store);
    options.max_mib = config.limits.store_mib;
    options.records = config.records;
    options.partitioning = partitioning;
    change(&mut options);
    Ok(Arc::new(SqlStore::sqlite(&options)?))
}

pub(super) fn publisher(
    config: &Config,
    issuance: &Issuance,
    lineup: &Arc<InForce<Lineup>>,
    clock: &Arc<dyn Clock>,
) -> Publisher {
    let (store, in_office) = (Arc::clone(issuance.store()), Arc::clone(issuance.in_office()));
    let publisher = Publisher::new(store, in_office, Arc::clone(clock), config.crl.clone());
    publisher.with_roots_of(Arc::clone(lineup))
}

/// The keeper of the log, after its first round. That the log is not as it should be stops no device; `readyz` says it.
pub(super) async fn keeper(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    hook: Hook,
) -> Result<Keeper, StartError> {
    let begun = store.log_head().await?.note.is_some();
    let key = LogKey::open(&config.files.log_key, &super::log_origin_of(&config.tenant), begun)?;
    let folder = Arc::new(Folder::new(config.transparency.folder.clone()));
    let (store, clock, interval) = (Arc::clone(store), Arc::clone(clock), config.transparency.interval);
    let mut keeper = Keeper::new(store, folder, Arc::new(key), clock, interval, hook);
    if let Err(error) = keeper.round().await {
        tracing::warn!(error = chain(&error), "the log got no checkpoint at the start");
    }
    Ok(keeper)
}
