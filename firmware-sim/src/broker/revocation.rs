//! The CRL: read, verified, and followed while the file changes.
//!
//! A list that cannot be read or verified, or that is older than the one in force, closes the gate for new
//! connections until a good one is there; sessions that are open go on under the last good one.

use core::time::Duration;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::sync::watch;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::tls::Identity;

/// Who may come in at the moment.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// The TLS configuration with the CRL in force; `None` while there is no good one.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Serial numbers of the certificates that the last good CRL revokes, without leading zeros.
    pub(super) revoked: Arc<HashSet<Vec<u8>>>,
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
    Tls(#[source] Box<super::BrokerError>),
}

/// Longest CRL, in bytes: some 200,000 revoked certificates.
const MAX_CRL: u64 = 8 * 1024 * 1024;

/// Reads the file again whenever it changes.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    identity: Identity,
    number: u64,
    stamp: Option<Stamp>,
    gate: watch::Sender<Gate>,
}

type Stamp = (u64, u64, i64, i64);

impl Follower {
    /// Reads the CRL for the first time.
    pub(super) fn start(
        path: PathBuf,
        identity: Identity,
    ) -> Result<(Self, watch::Receiver<Gate>), CrlError> {
        let closed = Gate { tls: None, revoked: Arc::default() };
        let (gate, receiver) = watch::channel(closed);
        let mut follower = Self { path, identity, number: 0, stamp: None, gate };
        follower.stamp = stamp(&follower.path);
        follower.reload()?;
        Ok((follower, receiver))
    }

    /// Looks at the file every `interval`, for ever.
    pub(super) async fn follow(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let stamp = stamp(&self.path);
            if stamp.is_some() && stamp == self.stamp {
                continue;
            }
            // Taken before the file is read: a change in between shows at the next tick.
            self.stamp = stamp;
            if let Err(error) = self.reload() {
                self.stamp = None;
                self.close(&error);
            }
        }
    }

    fn reload(&mut self) -> Result<(), CrlError> {
        let der = read(&self.path)?;
        let list = List::verify(&der, self.identity.issuing_ca())?;
        if list.number < self.number {
            return Err(CrlError::Old { expected: self.number, found: list.number });
        }
        let tls = self.identity.with_crl(der).map_err(|error| CrlError::Tls(Box::new(error)))?;
        self.number = list.number;
        tracing::debug!(number = list.number, revoked = list.revoked.len(), "the CRL is in force");
        self.gate.send_replace(Gate { tls: Some(tls), revoked: Arc::new(list.revoked) });
        Ok(())
    }

    fn close(&self, error: &CrlError) {
        let was_open = self.gate.send_if_modified(|gate| gate.tls.take().is_some());
        if was_open {
            let path = self.path.display();
            tracing::error!(%path, %error, "no usable CRL: new connections are refused");
        }
    }
}

/// What a verified CRL says.
struct List {
    number: u64,
    revoked: HashSet<Vec<u8>>,
}

impl List {
    fn verify(der: &CertificateRevocationListDer<'_>, issuer: &CertificateDer<'_>) -> Result<Self, CrlError> {
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| CrlError::Form)?;
        let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| CrlError::Form)?;
        if !rest.is_empty() {
            return Err(CrlError::Form);
        }
        list.verify_signature(issuer.public_key()).map_err(|_| CrlError::Signature)?;
        if list.issuer() != issuer.subject() {
            return Err(CrlError::Signature);
        }
        // Numbers rise (RFC 5280, section 5.2.3); ours fit 64 bits.
        let number = list.crl_number().and_then(|n| u64::try_from(n).ok()).ok_or(CrlError::Form)?;
        let revoked =
            list.iter_revoked_certificates().map(|entry| serial(entry.raw_serial()).to_vec()).collect();
        Ok(Self { number, revoked })
    }
}

/// A serial number without leading zeros, so that equal numbers have equal bytes.
pub(super) fn serial(raw: &[u8]) -> &[u8] {
    let zeros = raw.iter().take_while(|byte| **byte == 0).count();
    raw.get(zeros..).unwrap_or_default()
}

fn read(path: &Path) -> Result<CertificateRevocationListDer<'static>, CrlError> {
    let io = |source| CrlError::Read { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(io)?.len();
    if found > MAX_CRL {
        return Err(CrlError::TooLong { found });
    }
    let bytes = std::fs::read(path).map_err(io)?;
    if bytes.starts_with(b"-----") {
        CertificateRevocationListDer::from_pem_slice(&bytes).map_err(|_| CrlError::Form)
    } else {
        Ok(CertificateRevocationListDer::from(bytes))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
