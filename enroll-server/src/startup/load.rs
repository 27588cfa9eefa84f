//! Reads the files that a configuration names, and checks that they fit together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::pem::NotPem;
use ca::{
    CaCertificate, CaCertificateError, FileKey, IssueError, Issuer, IssuerKey, KeyError, LdevidProfile,
    ProfileError,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use shared::codec::DecodeError;
use shared::cose::{Content, Sign1};
use shared::limits::MAX_TRUST_BUNDLE;
use shared::message::latest::TrustBundle;

use super::issuing_key;
use crate::authorities::{Authorities, AuthoritiesError, Authority};
use crate::ceremony::CeremonyError;
use crate::clock::Clock;
use crate::config::{Config, Files, PreviousCa};
use crate::credential::{WrappingFile, WrappingKeyError};
use crate::nonce::{NonceKey, NonceKeyError};
use crate::outgoing::AnchorsError;
use crate::policies::{Policies, PolicyFiles, PolicyFilesError};
use crate::revocation::RootSource;
use crate::tls::{TlsError, server_config};

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
    /// The trust bundle cannot be read.
    #[error("{}: is no trust bundle", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// Devices would not trust what this server issues and shows.
    #[error("{}: does not hold the root CA {}", bundle.display(), root.display())]
    BundleWithoutRoot {
        /// The trust bundle.
        bundle: PathBuf,
        /// The root CA's certificate.
        root: PathBuf,
    },
    /// The root's certificate or list cannot be used.
    #[error(transparent)]
    Root(#[from] CeremonyError),
    /// The root has revoked the issuing CA.
    #[error("{}: the root has revoked this issuing CA; it issues nothing any more: make another one", path.display())]
    Revoked {
        /// The CA's certificate.
        path: PathBuf,
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

/// What devices are shown.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) trust_bundle: Vec<u8>,
    pub(super) tls: Arc<ServerConfig>,
}

/// The issuing CA with its key.
pub(super) fn issuer(config: &Config) -> Result<Issuer, LoadError> {
    let path = &config.files.issuing_certificate;
    if path.try_exists().is_ok_and(|exists| !exists) {
        return Err(LoadError::NoIssuingCa { path: path.clone() });
    }
    let certificate = ca_certificate(path)?;
    let held = root_source(config)?.read()?;
    if held.is_some_and(|root| root.list.revokes(&certificate.serial())) {
        return Err(LoadError::Revoked { path: path.clone() });
    }
    let key = issuing_key::open(&config.issuing_key, &config.files.issuing_key, &certificate)?;
    Ok(Issuer::new(certificate, key)?)
}

/// Where the root's revocation list comes from.
pub(super) fn root_source(config: &Config) -> Result<RootSource, LoadError> {
    let root = ca_certificate(&config.files.root_certificate)?;
    Ok(RootSource::new(config.files.root_crl.clone(), root))
}

/// The issuing CAs that signed before, with their keys.
pub(super) fn previous(config: &Config) -> Result<Vec<Issuer>, LoadError> {
    let open = |previous: &PreviousCa| {
        let certificate = ca_certificate(&previous.certificate)?;
        let key = issuing_key::open(&previous.key, &previous.key_file, &certificate)?;
        Ok(Issuer::new(certificate, key)?)
    };
    config.previous_cas.iter().map(open).collect()
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

pub(super) fn front(
    config: &Config,
    authorities: &Authorities,
    clock: &Arc<dyn Clock>,
) -> Result<Front, LoadError> {
    let files = &config.files;
    let tls = Arc::new(tls(files, authorities, Arc::clone(clock))?);
    Ok(Front { trust_bundle: trust_bundle(files)?, tls })
}

pub(super) fn load(config: &Config) -> Result<Loaded, LoadError> {
    let files = &config.files;
    let policies = Policies::load(PolicyFiles::of(files))?;
    let mut profile = LdevidProfile::new(&config.tenant, config.certificates.pen)?;
    if let Some(url) = &config.certificates.crl_url {
        profile = profile.with_crl_url(url)?;
    }
    if let Some(url) = &config.certificates.ocsp_url {
        profile = profile.with_ocsp_url(url)?;
    }
    Ok(Loaded {
        profile,
        nonces: NonceKey::load(&files.nonce_key)?,
        policies: Arc::new(policies),
        wrapping: WrappingFile::open(&files.credential_key)?,
    })
}

fn tls(files: &Files, authorities: &Authorities, clock: Arc<dyn Clock>) -> Result<ServerConfig, LoadError> {
    let chain = certificates(&files.server_certificate)?.into_iter().map(CertificateDer::from).collect();
    let key = FileKey::load(&files.server_key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()));
    let signing = authorities.all().iter().filter(|authority| authority.signer().is_some());
    let issuing: Vec<CertificateDer<'_>> =
        signing.map(|authority: &Authority| CertificateDer::from(authority.certificate().der())).collect();
    Ok(server_config(chain, key, &issuing, clock)?)
}

/// The bundle as devices get it. Its signature is for devices to verify, under the signer they know.
fn trust_bundle(files: &Files) -> Result<Vec<u8>, LoadError> {
    let path = &files.trust_bundle;
    let bytes = read(path)?;
    let root = ca_certificate(&files.root_certificate)?;
    let holds_root = Sign1::decode(&bytes, Content::TrustBundle, MAX_TRUST_BUNDLE)
        .and_then(|sign1| TrustBundle::decode(sign1.unverified_payload()))
        .map(|bundle| bundle.anchors.contains(&root.der()))
        .map_err(|source| LoadError::Bundle { path: path.clone(), source })?;
    if !holds_root {
        let root = files.root_certificate.clone();
        return Err(LoadError::BundleWithoutRoot { bundle: path.clone(), root });
    }
    Ok(bytes)
}

fn ca_certificate(path: &Path) -> Result<CaCertificate, LoadError> {
    let list = certificates(path)?;
    let first = list.first().map(Vec::as_slice).unwrap_or_default();
    CaCertificate::from_der(first).map_err(|source| LoadError::NotACa { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, LoadError> {
    let bytes = read(path)?;
    ca::pem::read_certificates(&bytes).map_err(|source| LoadError::NotPem { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })
}
