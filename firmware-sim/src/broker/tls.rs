//! TLS 1.3 with client certificates, for the guard.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use shared::limits;

use super::config::{BrokerConfig, BrokerError, Timekeeper};

/// What the broker's TLS is made of; the CRLs are added to it.
#[derive(Debug)]
pub(super) struct Identity {
    provider: Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    issuing_cas: Vec<CertificateDer<'static>>,
    time: Arc<Time>,
}

/// The broker's time, as TLS asks for it.
#[derive(Debug)]
struct Time(Arc<dyn Timekeeper>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().as_secs())))
    }
}

impl Identity {
    pub(super) fn read(config: &BrokerConfig) -> Result<Self, BrokerError> {
        let chain = certificates(&config.certificate)?;
        let issuing_cas = certificates(&config.issuing_ca)?;
        let pem = read(&config.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| BrokerError::Pem { path: config.key.clone(), expected: "a private key" })?;
        let time = Arc::new(Time(Arc::clone(&config.time)));
        Ok(Self { provider: Arc::new(provider()), chain, key, issuing_cas, time })
    }

    /// The CAs that issue the devices' certificates.
    pub(super) fn issuing_cas(&self) -> &[CertificateDer<'static>] {
        &self.issuing_cas
    }

    /// A TLS configuration that holds client certificates against these CRLs. A certificate of a CA without one, or
    /// with one that is past its next update, is refused.
    pub(super) fn with_crls(
        &self,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Arc<ServerConfig>, BrokerError> {
        let mut roots = RootCertStore::empty();
        for ca in &self.issuing_cas {
            roots.add(ca.clone())?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .with_crls(crls)
                .enforce_revocation_expiration()
                .build()?;
        let time = Arc::<Time>::clone(&self.time);
        let mut config = ServerConfig::builder_with_details(Arc::clone(&self.provider), time)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        // A resumed session would not show its certificate again, and so pass by a newer CRL.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Boards hold one record in RAM and join no messages that are cut. All that is sent under encryption before the
        // client answers is cut as one where it is longer than this: the chain has to leave room for the rest.
        config.max_fragment_size = Some(limits::MAX_RECORD);
        Ok(Arc::new(config))
    }
}

/// P-256 first: embedded-tls knows no other group and no HelloRetryRequest.
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerError> {
    let pem = read(path)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(BrokerError::Pem { path: path.to_owned(), expected: "certificates" }),
    }
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, BrokerError> {
    std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|source| BrokerError::Read { path: path.to_owned(), source })
}
