//! The server's client certificate at the brokers, and whom it believes to be one.
//!
//! The server certifies itself, and anew when two thirds of the certificate's life are over, where it has not begun (the clock was
//! ahead), or another CA issues. A certificate under another name is an operator's own and is left alone.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ca::hierarchy::{HierarchyError, SERVER_LIFETIME, client_certificate};
use ca::pem::NotPem;
use ca::{FileKey, Issuer, IssuerKey as _, KeyError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime as PkiTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, version};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use shared::UnixTime;

use crate::audit::EventKind;
use crate::clock::Clock;
use crate::config::{Config, Mqtt};
use crate::files;
use crate::in_force::InForce;
use crate::rollover::Lineup;
use crate::store::NewEvent;
use crate::tls_files::Made;

/// The common name in the certificate that the server makes for itself: by it brokers know whom to let write commands. No device has
/// an identifier with an underscore, so none can be certified under this name.
pub const CLIENT_NAME: &str = "enroll_server";

/// Largest file that is read.
const MAX_FILE: u64 = 256 * 1024;

/// Says in the audit trail that the server certified itself.
pub(crate) fn certified(made: &Made, now: UnixTime) -> NewEvent {
    NewEvent::new(now, EventKind::TlsCertificateRenewed, format!("this server at brokers: {made}"))
}

/// Why the server cannot show itself at brokers.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server cannot certify itself.
    #[error("the server's client certificate cannot be made")]
    Make(#[from] HierarchyError),
    /// A file holds no certificate.
    #[error("{}: holds no certificate in PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        source: NotPem,
    },
    /// The certificate has no name that could be a client identifier.
    #[error("{}: expected one common name in the subject of the certificate", path.display())]
    NoName {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Certificate and key do not belong together, or a CA is none.
    #[error("certificate, key and CA certificates of [mqtt] cannot be used for TLS")]
    Tls(#[from] rustls::Error),
}

/// The files, as the settings name them. They are read for every connection, so that a renewed certificate is taken
/// without a restart.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    tenant: String,
    certificate: PathBuf,
    key: PathBuf,
    anchors: Anchors,
    time: Arc<Time>,
    /// Held while the files are looked at: they are two, and change together.
    files: Arc<Mutex<()>>,
}

/// By whose certificates a broker is believed to be one.
#[derive(Clone, Debug)]
enum Anchors {
    /// Those in a file of the operator's.
    File(PathBuf),
    /// The roots in force, which a rollover changes.
    Roots(Arc<InForce<Lineup>>),
}

/// The server's time, as TLS asks for it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<PkiTime> {
        Some(PkiTime::since_unix_epoch(Duration::from_secs(self.0.now().as_secs())))
    }
}

/// What one connection is made with.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) tls: Arc<ClientConfig>,
    /// The name in the certificate; the client identifier too.
    pub(super) name: String,
}

impl Identity {
    pub(crate) fn new(
        config: &Config,
        mqtt: &Mqtt,
        lineup: &Arc<InForce<Lineup>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let roots = || Anchors::Roots(Arc::clone(lineup));
        Self {
            tenant: config.tenant.clone(),
            certificate: mqtt.certificate.clone(),
            key: mqtt.key.clone(),
            anchors: mqtt.ca_file.clone().map_or_else(roots, Anchors::File),
            time: Arc::new(Time(Arc::clone(clock))),
            files: Arc::default(),
        }
    }

    /// Makes the certificate where there is none, or its time has come. Gives what it made.
    ///
    /// # Errors
    /// Where it cannot be signed or written.
    pub(crate) fn keep(&self, issuer: &Issuer, now: UnixTime) -> Result<Option<Made>, IdentityError> {
        let _files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_due(issuer, now)? {
            return Ok(None);
        }
        let key = FileKey::generate()?;
        let made = client_certificate(&self.tenant, CLIENT_NAME, &key, issuer, SERVER_LIFETIME, now)?;
        // The key first: a crash in between leaves two that do not belong together, which is seen and mended.
        let write = |path: &Path, text: &str, mode| {
            files::replace(path, text.as_bytes(), mode)
                .map_err(|source| IdentityError::Unwritable { path: path.to_owned(), source })
        };
        write(&self.key, &ca::pem::private_key(key.pkcs8()), 0o600)?;
        let chain = ca::pem::chain([made.der(), issuer.certificate().der()]);
        write(&self.certificate, &chain, 0o644)?;
        tracing::info!(file = %self.certificate.display(), "made a client certificate for the brokers");
        Ok(Some(Made::new(&made, &[CLIENT_NAME.to_owned()])))
    }

    fn is_due(&self, issuer: &Issuer, now: UnixTime) -> Result<bool, IdentityError> {
        let chain = match certificates(&self.certificate) {
            Err(IdentityError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(true);
            }
            other => other?,
        };
        let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
        let unreadable = || IdentityError::NoName { path: self.certificate.clone() };
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
        if common_name(&leaf).ok_or_else(unreadable)? != CLIENT_NAME {
            return Ok(false);
        }
        let time = |time: x509_parser::time::ASN1Time| {
            UnixTime::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
        };
        let (from, to) = (time(leaf.validity().not_before), time(leaf.validity().not_after));
        let there = self.key.try_exists();
        let there = there.map_err(|source| IdentityError::Unreadable { path: self.key.clone(), source })?;
        let fits = there && {
            let key = FileKey::load(&self.key)?;
            leaf.public_key().subject_public_key.data.as_ref() == key.public_point().as_slice()
        };
        let by_this_ca = leaf.issuer().as_raw() == issuer.certificate().subject_der();
        Ok(!fits || !by_this_ca || now < from || now >= from.after(to.since(from) * 2 / 3))
    }

    /// Whether the files can be used as they are now.
    ///
    /// # Errors
    /// Says which cannot, and why.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        self.read().map(|_| ())
    }

    /// By whose certificates a broker is believed, in DER.
    pub(super) fn anchors(&self) -> Result<Vec<Vec<u8>>, IdentityError> {
        match &self.anchors {
            Anchors::File(path) => certificates(path),
            Anchors::Roots(lineup) => {
                Ok(lineup.now().roots.iter().map(|root| root.certificate.der().to_vec()).collect())
            }
        }
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<Credentials, IdentityError> {
        let _files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = certificates(&self.certificate)?;
        let name = chain.first().and_then(|leaf| {
            let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
            common_name(&leaf)
        });
        let name = name.ok_or_else(|| IdentityError::NoName { path: self.certificate.clone() })?;
        let mut roots = RootCertStore::empty();
        for anchor in self.anchors()? {
            roots.add(CertificateDer::from(anchor))?;
        }
        let key = FileKey::load(&self.key)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_details(provider, Arc::<Time>::clone(&self.time))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.into_iter().map(CertificateDer::from).collect(), key)?;
        Ok(Credentials { tls: Arc::new(tls), name })
    }
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
    use std::io::Read as _;
    let unreadable = |source| IdentityError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    ca::pem::read_certificates(&bytes)
        .map_err(|source| IdentityError::NotPem { path: path.to_owned(), source })
}

/// The one common name in its subject.
pub(crate) fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok().filter(|name| !name.is_empty()).map(str::to_owned),
        _ => None,
    }
}
