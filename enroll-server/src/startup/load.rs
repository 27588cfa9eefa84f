//! Reads the files that a configuration names, and checks that they fit together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::pem::NotPem;
use ca::{
    CaCertificate, CaCertificateError, IssueError, Issuer, IssuerKey, KeyError, LdevidProfile, ProfileError,
};

use crate::authorities::AuthoritiesError;
use crate::ceremony::CeremonyError;
use crate::config::{Config, Files};
use crate::credential::{WrappingFile, WrappingKeyError};
use crate::longest_answer::{self, TooLong};
use crate::nonce::{NonceKey, NonceKeyError};
use crate::outgoing::AnchorsError;
use crate::policies::{Policies, PolicyFiles, PolicyFilesError};
use crate::revocation::RootSource;
use crate::rollover::{Lineup, PlanError, TrustFileError};
use crate::store::StoreError;
use crate::tls::TlsError;
use crate::tls_files::TlsFileError;
use ca::trust_chain::TrustChain;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds no certificate.
    #[error("{}: holds no certificate in PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        source: NotPem,
    },
    /// It holds a certificate that is not a CA's.
    #[error("{}: holds no CA certificate", path.display())]
    NotACa {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        source: CaCertificateError,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The nonce key cannot be used.
    #[error(transparent)]
    NonceKey(#[from] NonceKeyError),
    /// The key that wraps symmetric keys cannot be used.
    #[error(transparent)]
    WrappingKey(#[from] WrappingKeyError),
    /// The issuing CAs cannot be put together.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// The issuing CA cannot be used.
    #[error("the issuing CA cannot be used")]
    Issuer(#[from] IssueError),
    /// The profile cannot be.
    #[error("the settings of certificates cannot be used")]
    Profile(#[from] ProfileError),
    /// The policy or the reference values have mistakes; all of them are here.
    #[error(transparent)]
    Policy(#[from] PolicyFilesError),
    /// The trust bundle does not fit what devices were given.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
    /// A rollover in the store cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate of the HTTPS listener cannot be put in order.
    #[error(transparent)]
    TlsFile(#[from] TlsFileError),
    /// Devices would not trust what this server issues and shows.
    #[error("{}: does not hold the root CA {root}", bundle.display())]
    BundleWithoutRoot {
        /// The trust bundle.
        bundle: PathBuf,
        /// The root CA's subject.
        root: String,
    },
    /// A board could not hold the answers.
    #[error(transparent)]
    LongAnswer(#[from] TooLong),
    /// The root's certificate or list cannot be used.
    #[error(transparent)]
    Root(#[from] CeremonyError),
    /// The root has revoked the issuing CA.
    #[error("{ca}: the root has revoked this issuing CA; it issues nothing any more: make another one")]
    Revoked {
        /// The CA's subject.
        ca: String,
    },
    /// There is no issuing CA yet.
    #[error(
        "{}: there is no issuing CA yet: make its request by `ca csr`, have the root sign it, and give the certificate \
         to `ca import`", path.display()
    )]
    NoIssuingCa {
        /// Where its certificate would be.
        path: PathBuf,
    },
    /// The CA certificates for a webhook cannot be used.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Everything that stands in files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) profile: LdevidProfile,
    pub(super) nonces: NonceKey,
    pub(super) policies: Arc<Policies>,
    pub(super) wrapping: WrappingFile,
}

/// Refuses to issue with a CA that the root above it has revoked.
pub(super) fn check_issuing(lineup: &Lineup) -> Result<(), LoadError> {
    let active = &lineup.active.certificate;
    for root in lineup.roots.iter().filter(|root| active.is_signed_by(&root.certificate)) {
        let held = RootSource::new(root.list.clone(), root.certificate.clone()).read()?;
        if held.is_some_and(|held| held.list.revokes(&active.serial())) {
            return Err(LoadError::Revoked { ca: active.subject().to_owned() });
        }
    }
    Ok(())
}

/// The issuing CA without its key: it signs nothing.
pub(super) fn issuer_without_key(files: &Files) -> Result<Issuer, LoadError> {
    let certificate = ca_certificate(&files.issuing_certificate)?;
    let key = NoKey(*certificate.public_point());
    Ok(Issuer::new(certificate, Box::new(key))?)
}

/// In place of a key that is not needed, and so not read.
#[derive(Debug)]
struct NoKey([u8; 65]);

impl IssuerKey for NoKey {
    fn public_point(&self) -> &[u8; 65] {
        &self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
        Err(KeyError::Signing)
    }
}

pub(super) fn load(config: &Config) -> Result<Loaded, LoadError> {
    let files = &config.files;
    let policies = Policies::load(PolicyFiles::of(files))?;
    Ok(Loaded {
        profile: ldevid_profile(config)?,
        nonces: NonceKey::load(&files.nonce_key)?,
        policies: Arc::new(policies),
        wrapping: WrappingFile::open(&files.credential_key)?,
    })
}

/// What this server adds to all profiles of certificates.
pub(crate) fn ldevid_profile(config: &Config) -> Result<LdevidProfile, ProfileError> {
    let mut profile = LdevidProfile::new(&config.tenant, config.certificates.pen)?;
    if let Some(url) = &config.certificates.crl_url {
        profile = profile.with_crl_url(url)?;
    }
    if let Some(url) = &config.certificates.ocsp_url {
        profile = profile.with_ocsp_url(url)?;
    }
    Ok(profile)
}

/// Tells where a board could not hold an answer. What is out may have worked, where there are no boards.
pub(super) fn look_at_answers(config: &Config, chain: &TrustChain, lineup: &Lineup) -> Result<(), LoadError> {
    match longest_answer::check(config, chain.newest().signed(), &lineup.active.certificate) {
        Err(LoadError::LongAnswer(error)) => {
            tracing::warn!(%error, "boards cannot be served");
            Ok(())
        }
        checked => checked,
    }
}

/// Refuses a trust bundle by which devices would not trust what this server issues and shows.
pub(super) fn check_trust(config: &Config, chain: &TrustChain, lineup: &Lineup) -> Result<(), LoadError> {
    let anchors = chain.newest().anchors();
    let mut roots = lineup.roots.iter().map(|root| &root.certificate);
    match roots.find(|root| !anchors.iter().any(|anchor| anchor == root.der())) {
        None => Ok(()),
        Some(root) => Err(LoadError::BundleWithoutRoot {
            bundle: config.files.trust_bundle.clone(),
            root: root.subject().to_owned(),
        }),
    }
}

/// The first certificate of a file, which is that of a CA.
pub(crate) fn ca_certificate(path: &Path) -> Result<CaCertificate, LoadError> {
    let list = certificates(path)?;
    let first = list.first().map(Vec::as_slice).unwrap_or_default();
    CaCertificate::from_der(first).map_err(|source| LoadError::NotACa { path: path.to_owned(), source })
}

/// All certificates of a file, in DER.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, LoadError> {
    let bytes = read(path)?;
    ca::pem::read_certificates(&bytes).map_err(|source| LoadError::NotPem { path: path.to_owned(), source })
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}
