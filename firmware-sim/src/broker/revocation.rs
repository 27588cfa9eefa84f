//! The CRLs, with the CAs and the broker's own certificate: read, verified, and followed while the files change.
//!
//! While one CA takes the place of another there are several, each with a list. A list that cannot be read or verified, or that is older than the one in force, closes the gate for new
//! connections until a good one is there; sessions that are open go on under the last good one.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::sync::watch;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::config::{BrokerConfig, BrokerError};
use super::tls::Identity;

/// Who may come in at the moment.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// The TLS configuration with the CRL in force; `None` while there is no good one.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Serial numbers of the certificates that the last good CRL revokes, without leading zeros.
    pub(super) revoked: Arc<HashSet<Vec<u8>>>,
    /// Names of the CAs whose certificates are taken.
    pub(super) issuers: Arc<HashSet<Vec<u8>>>,
}

/// Why a CRL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too long to be a list that this broker should hold.
    #[error("{found} bytes are more than the {MAX_CRL} allowed")]
    TooLong {
        /// Its length.
        found: u64,
    },
    /// Not a CRL in DER or PEM.
    #[error("not a CRL in DER or PEM")]
    Form,
    /// The signature is not the issuing CA's.
    #[error("not signed by the issuing CA")]
    Signature,
    /// The CRL number is lower than the one in force: an old list was put in its place.
    #[error("CRL number {found} is lower than {expected}, which is in force")]
    Old {
        /// The number in force.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// TLS refuses it.
    #[error("TLS cannot use it")]
    Tls(#[source] Box<BrokerError>),
}

/// Longest CRL, in bytes: some 200,000 revoked certificates.
const MAX_CRL: u64 = 8 * 1024 * 1024;

/// Reads the files again whenever one of them changes.
#[derive(Debug)]
pub(super) struct Follower {
    config: BrokerConfig,
    /// The highest number in force, by the CA's name.
    numbers: HashMap<Vec<u8>, u64>,
    stamps: Option<Stamps>,
    gate: watch::Sender<Gate>,
}

type Stamp = (u64, u64, i64, i64);
type Stamps = [Stamp; 4];

impl Follower {
    /// Reads the files for the first time.
    pub(super) fn start(config: BrokerConfig) -> Result<(Self, watch::Receiver<Gate>), BrokerError> {
        let closed = Gate { tls: None, revoked: Arc::default(), issuers: Arc::default() };
        let (gate, receiver) = watch::channel(closed);
        let mut follower = Self { config, numbers: HashMap::new(), stamps: None, gate };
        follower.stamps = follower.look();
        follower.reload()?;
        Ok((follower, receiver))
    }

    /// Looks at the files every `interval`, for ever.
    pub(super) async fn follow(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let stamps = self.look();
            if stamps.is_some() && stamps == self.stamps {
                continue;
            }
            // Taken before the files are read: a change in between shows at the next tick.
            self.stamps = stamps;
            if let Err(error) = self.reload() {
                self.stamps = None;
                // A certificate whose key is not there yet closes nothing: what is in force is good still.
                if matches!(error, BrokerError::Crl(_)) {
                    self.close(&error);
                }
            }
        }
    }

    fn look(&self) -> Option<Stamps> {
        let BrokerConfig { certificate, key, issuing_ca, crl, .. } = &self.config;
        Some([stamp(certificate)?, stamp(key)?, stamp(issuing_ca)?, stamp(crl)?])
    }

    fn reload(&mut self) -> Result<(), BrokerError> {
        // Certificate and key are two files: between their two writes they do not fit, and the next tick is soon.
        let identity = Identity::read(&self.config)?;
        let ders = read(&self.config.crl)?;
        let (mut revoked, mut numbers, mut good) = (HashSet::new(), self.numbers.clone(), Vec::new());
        for der in ders {
            // A list of a CA that is not taken any more, or not yet, says nothing here.
            let Some(list) = List::verify(&der, identity.issuing_cas())? else { continue };
            let before = numbers.entry(list.issuer).or_insert(0);
            if list.number < *before {
                return Err(CrlError::Old { expected: *before, found: list.number }.into());
            }
            *before = list.number;
            revoked.extend(list.revoked);
            good.push(der);
        }
        if good.is_empty() {
            return Err(CrlError::Signature.into());
        }
        let tls = identity.with_crls(good).map_err(|error| match error {
            BrokerError::Verifier(_) => CrlError::Tls(Box::new(error)).into(),
            other => other,
        })?;
        tracing::debug!(?numbers, revoked = revoked.len(), "the CRLs are in force");
        self.numbers = numbers;
        let issuers = identity.issuing_cas().iter().filter_map(|ca| subject(ca)).collect();
        self.gate.send_replace(Gate {
            tls: Some(tls),
            revoked: Arc::new(revoked),
            issuers: Arc::new(issuers),
        });
        Ok(())
    }

    fn close(&self, error: &BrokerError) {
        let was_open = self.gate.send_if_modified(|gate| gate.tls.take().is_some());
        if was_open {
            let (path, error) = (self.config.crl.display(), crate::fleet::chain(error));
            tracing::error!(%path, %error, "no usable CRL or certificate: new connections are refused");
        }
    }
}

/// What a verified CRL says.
struct List {
    issuer: Vec<u8>,
    number: u64,
    revoked: HashSet<Vec<u8>>,
}

impl List {
    /// `None`: it is of none of these CAs.
    fn verify(
        der: &CertificateRevocationListDer<'_>,
        issuers: &[CertificateDer<'_>],
    ) -> Result<Option<Self>, CrlError> {
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| CrlError::Form)?;
        if !rest.is_empty() {
            return Err(CrlError::Form);
        }
        let name = list.issuer().as_raw();
        let Some(issuer) = issuers.iter().find(|ca| subject(ca).as_deref() == Some(name)) else {
            return Ok(None);
        };
        let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| CrlError::Form)?;
        list.verify_signature(issuer.public_key()).map_err(|_| CrlError::Signature)?;
        // Numbers rise (RFC 5280, section 5.2.3); ours fit 64 bits.
        let number = list.crl_number().and_then(|n| u64::try_from(n).ok()).ok_or(CrlError::Form)?;
        let revoked =
            list.iter_revoked_certificates().map(|entry| serial(entry.raw_serial()).to_vec()).collect();
        Ok(Some(Self { issuer: name.to_vec(), number, revoked }))
    }
}

/// The subject of a certificate in DER.
fn subject(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().as_raw().to_vec())
}

/// A serial number without leading zeros, so that equal numbers have equal bytes.
pub(super) fn serial(raw: &[u8]) -> &[u8] {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    raw.get(zeros..).unwrap_or_default()
}

fn read(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, CrlError> {
    let io = |source| CrlError::Read { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(io)?.len();
    if found > MAX_CRL {
        return Err(CrlError::TooLong { found });
    }
    let bytes = std::fs::read(path).map_err(io)?;
    if bytes.starts_with(b"-----") {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        lists.ok().filter(|lists| !lists.is_empty()).ok_or(CrlError::Form)
    } else {
        Ok(vec![CertificateRevocationListDer::from(bytes)])
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
