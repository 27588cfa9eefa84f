//! An operator's orders to a rollover that is under way, and trust bundles between rollovers.

use std::path::{Path, PathBuf};

use ca::CaCertificate;
use ca::trust_chain::{ChainError, TrustChain};
use shared::UnixTime;

use super::lineup::Lineup;
use super::plan::{Plan, PlanError};
use super::root_list::{self, NewRootListError};
use super::step::{NotYet, Order, decide};
use super::trust::{self, SignerError, SignerOptions, TrustFileError};
use crate::config::Config;
use crate::startup::{LoadError, read_file};
use crate::store::{SignedBundle, Store, StoreError, TakeStep, Taken};

/// What is ordered.
#[derive(Clone, Debug)]
pub struct OrderOptions {
    /// The step.
    pub order: Order,
    /// Whether devices may be left behind.
    pub force: bool,
    /// Who signs the next trust bundle, where one goes out.
    pub signer: SignerOptions,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No rollover is under way.
    #[error("no rollover is under way: begin one with `ca rollover start`")]
    None,
    /// Something is missing.
    #[error(transparent)]
    NotYet(#[from] NotYet),
    /// Somebody else did something at the same time.
    #[error("the rollover or the trust bundle changed meanwhile; look at `ca status` and try again")]
    Changed,
    /// Verifiers that check every CA would let nobody in below the new root.
    #[error(transparent)]
    RootList(#[from] NewRootListError),
    /// There is no next trust bundle.
    #[error("the next trust bundle cannot go out")]
    Signer(#[from] SignerError),
    /// A certificate in the trust bundle cannot be read.
    #[error("a root in the trust bundle cannot be read")]
    Anchor(#[from] ca::CaCertificateError),
    /// A trust bundle does not follow.
    #[error("{}: devices would refuse it", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ChainError,
    },
    /// A trust bundle changes the roots.
    #[error("{}: has other roots than the trust bundle in force; roots change by `ca rollover` only", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
    },
    /// The stored plan cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Carries out an order; tells how many devices are left behind by it, which is none unless it was forced.
///
/// # Errors
/// Says what is missing, and for how many devices.
pub async fn take(
    config: &Config,
    store: &dyn Store,
    options: &OrderOptions,
    now: UnixTime,
) -> Result<u64, OrderError> {
    let rollovers = store.rollovers().await?;
    let current = rollovers.iter().rfind(|rollover| rollover.step.is_under_way()).ok_or(OrderError::None)?;
    let number = current.number;
    // Asked before a bundle is signed: the store asks again in the transaction.
    let standing = store.standing(number, now).await?.unwrap_or_default();
    decide(current.step, options.order, standing, options.force)?;
    let plan = Plan::from_json(number, &current.plan)?;
    if options.order == Order::Switch {
        // Force leaves devices behind, and this is about all of them.
        root_list::check(&Lineup::of(config, &rollovers)?.list_of(config, &plan), &plan, now)?;
    }
    let gone = match (options.order, &plan.root) {
        (Order::Retire, Some(_)) => Some(&plan.old_root),
        (Order::Abort, Some(new)) => Some(new),
        _ => None,
    };
    let bundle = match gone {
        Some(gone) => Some(without(config, store, gone, options, now).await?),
        None => None,
    };
    let step = TakeStep { number, order: options.order, bundle, force: options.force };
    match store.take_step(step, now).await? {
        Taken::Done { left_behind } => Ok(left_behind),
        Taken::NotYet(not_yet) => Err(not_yet.into()),
        Taken::Changed => Err(OrderError::Changed),
    }
}

/// The next bundle, without one root.
async fn without(
    config: &Config,
    store: &dyn Store,
    gone: &CaCertificate,
    options: &OrderOptions,
    now: UnixTime,
) -> Result<SignedBundle, OrderError> {
    let chain = chain(store).await?;
    let kept = chain.newest().anchors().iter().filter(|anchor| anchor.as_slice() != gone.der());
    let kept: Vec<CaCertificate> = kept.map(|der| CaCertificate::from_der(der)).collect::<Result<_, _>>()?;
    Ok(trust::next_bundle(&chain, &kept, &options.signer, &default_signer(config), now)?)
}

/// Publishes bundles that were signed elsewhere and trust the same roots as the one in force: how the key that signs
/// them is changed. Devices get them one after the other.
///
/// # Errors
/// Where devices would refuse one, or one has other roots.
pub async fn publish_bundles(store: &dyn Store, paths: &[PathBuf], now: UnixTime) -> Result<u64, OrderError> {
    let mut chain = chain(store).await?;
    let mut bundles = Vec::new();
    for path in paths {
        let signed = read_file(path)?;
        let before = sorted(chain.newest().anchors());
        chain.push(&signed).map_err(|source| OrderError::Bundle { path: path.clone(), source })?;
        if sorted(chain.newest().anchors()) != before {
            return Err(OrderError::Roots { path: path.clone() });
        }
        bundles.push(SignedBundle { number: chain.newest().number(), signed });
    }
    if store.add_trust_bundles(bundles, now).await? {
        Ok(chain.newest().number())
    } else {
        Err(OrderError::Changed)
    }
}

fn sorted(anchors: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut anchors = anchors.to_vec();
    anchors.sort();
    anchors
}

async fn chain(store: &dyn Store) -> Result<TrustChain, OrderError> {
    let chain = trust::from_store(store).await?;
    Ok(chain.ok_or(TrustFileError::None).map_err(LoadError::from)?)
}

/// Where `init` put the key that signs trust bundles.
pub(super) fn default_signer(config: &Config) -> PathBuf {
    config.files.trust_bundle.parent().unwrap_or_else(|| Path::new("")).join("trust-signer.key")
}
