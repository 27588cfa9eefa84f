//! The trust bundles that are out, and the key that signs the next one.

use std::path::{Path, PathBuf};

use ca::bundle::{BundleError, TrustSigner};
use ca::trust_chain::{ChainError, TrustChain};
use ca::{CaCertificate, FileKey, KeyError};
use shared::UnixTime;

use crate::config::Config;
use crate::longest_answer;
use crate::startup::LoadError;
use crate::startup::{passphrase, read_file};
use crate::store::{SignedBundle, Store};

/// Why the file of the trust bundle does not fit what devices were given.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// It is no bundle, or devices would refuse it.
    #[error("{}: does not follow the trust bundles that devices have", path.display())]
    Chain {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ChainError,
    },
    /// Another bundle has its number.
    #[error("{}: another trust bundle with number {number} is out already", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// The number.
        number: u64,
    },
    /// The store holds what devices would refuse.
    #[error("the trust bundles in the store do not follow each other")]
    Store(#[source] ChainError),
    /// There is none.
    #[error("there is no trust bundle in the store")]
    None,
}

/// All bundles: those of the store, and the one in the file where it is a newer one, which the store has then too. Refuses
/// such a one where a board could not hold it together with a certificate of `issuing`.
pub(crate) async fn load(
    config: &Config,
    store: &dyn Store,
    issuing: &CaCertificate,
    now: UnixTime,
) -> Result<TrustChain, LoadError> {
    let (chain, is_newer) = read(config, store).await?;
    if is_newer {
        longest_answer::check(config, chain.newest().signed(), issuing)?;
        add(store, &chain, &config.files.trust_bundle, now).await?;
    }
    Ok(chain)
}

/// As [`load`], and changes nothing; tells whether the one in the file is newer.
pub(crate) async fn read(config: &Config, store: &dyn Store) -> Result<(TrustChain, bool), LoadError> {
    let path = &config.files.trust_bundle;
    let file = read_file(path)?;
    let bad = |source| TrustFileError::Chain { path: path.clone(), source };
    let Some(mut chain) = from_store(store).await? else {
        return Ok((TrustChain::begin(&file).map_err(bad)?, true));
    };
    if chain.links().any(|link| link.signed() == file) {
        return Ok((chain, false));
    }
    let newest = chain.newest().number();
    match chain.push(&file) {
        Ok(()) => Ok((chain, true)),
        Err(ChainError::NotNewer { found, .. }) if found <= newest => {
            Err(TrustFileError::Taken { path: path.clone(), number: found }.into())
        }
        Err(error) => Err(bad(error).into()),
    }
}

/// All bundles of the store; `None` where there is none yet.
pub(super) async fn from_store(store: &dyn Store) -> Result<Option<TrustChain>, LoadError> {
    let bundles = store.trust_bundles().await?;
    let Some((first, later)) = bundles.split_first() else { return Ok(None) };
    let mut chain = TrustChain::begin(first).map_err(TrustFileError::Store)?;
    for signed in later {
        chain.push(signed).map_err(TrustFileError::Store)?;
    }
    Ok(Some(chain))
}

async fn add(store: &dyn Store, chain: &TrustChain, path: &Path, now: UnixTime) -> Result<(), LoadError> {
    let newest = chain.newest();
    let bundle = SignedBundle { number: newest.number(), signed: newest.signed().to_vec() };
    if store.add_trust_bundles(vec![bundle], now).await? {
        Ok(())
    } else {
        Err(TrustFileError::Taken { path: path.to_owned(), number: newest.number() }.into())
    }
}

/// Who signs the next bundle.
#[derive(Clone, Debug, Default)]
pub struct SignerOptions {
    /// The signer's key; by default `trust-signer.key` beside the bundle.
    pub key: Option<PathBuf>,
    /// Its passphrase's file.
    pub passphrase_file: Option<PathBuf>,
    /// A bundle that was signed elsewhere, in its place.
    pub bundle: Option<PathBuf>,
}

/// Why there is no next bundle.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key cannot be used.
    #[error(
        "the key that signs trust bundles cannot be used; where it is kept elsewhere, sign there with `enroll-server ca trust-bundle` and give --bundle"
    )]
    Key(#[from] KeyError),
    /// It is another key.
    #[error("{}: is not the key that the trust bundle in force names", path.display())]
    OtherKey {
        /// The key's file.
        path: PathBuf,
    },
    /// Nothing was signed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle that was signed elsewhere cannot be used.
    #[error("{}: cannot be the next trust bundle", path.display())]
    Chain {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ChainError,
    },
    /// It has other roots than it should.
    #[error("{}: has other roots than {expected}", path.display())]
    Anchors {
        /// The file.
        path: PathBuf,
        /// The subjects of those that it should have.
        expected: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Load(#[from] Box<LoadError>),
}

/// Opens the key that signs trust bundles.
///
/// # Errors
/// Where it cannot be read.
pub fn open_signer(path: &Path, passphrase_file: Option<&Path>) -> Result<TrustSigner, KeyError> {
    let key = FileKey::read(path)?.unlock(|| passphrase(passphrase_file, path))?;
    TrustSigner::new(&key)
}

/// The next bundle with exactly `anchors`: signed now, or read from where it was signed.
pub(super) fn next_bundle(
    chain: &TrustChain,
    anchors: &[CaCertificate],
    options: &SignerOptions,
    default_key: &Path,
    now: UnixTime,
) -> Result<SignedBundle, SignerError> {
    let newest = chain.newest();
    let Some(path) = &options.bundle else {
        let path = options.key.as_deref().unwrap_or(default_key);
        let signer = open_signer(path, options.passphrase_file.as_deref())?;
        if signer.public_point() != newest.signer() {
            return Err(SignerError::OtherKey { path: path.to_owned() });
        }
        let number = newest.number().saturating_add(1);
        let anchors: Vec<&CaCertificate> = anchors.iter().collect();
        let signed = signer.sign(number, now, &anchors, signer.public_point())?;
        return Ok(SignedBundle { number, signed });
    };
    let signed = read_file(path).map_err(Box::new)?;
    let mut longer = chain.clone();
    longer.push(&signed).map_err(|source| SignerError::Chain { path: path.clone(), source })?;
    let mut found: Vec<&[u8]> = longer.newest().anchors().iter().map(Vec::as_slice).collect();
    let mut wanted: Vec<&[u8]> = anchors.iter().map(CaCertificate::der).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    if found != wanted {
        let names: Vec<&str> = anchors.iter().map(CaCertificate::subject).collect();
        return Err(SignerError::Anchors { path: path.clone(), expected: names.join(" and ") });
    }
    Ok(SignedBundle { number: longer.newest().number(), signed })
}
