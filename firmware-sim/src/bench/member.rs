//! A device of the load: everything that it can have ready before the server is asked.

use std::sync::Arc;

use agent_core::evidence::IdevidAttester;
use agent_core::keystore::SoftKey;
use agent_core::platform::Attester as _;
use enroll_server::clock::{Clock as _, SystemClock};
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use shared::message::latest::{EnrollRequest, EvidenceKind, FreshEvidence, Nonce, RenewRequest};
use shared::{DeviceId, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::BenchError;
use super::wire::client;
use crate::device::{DeviceSpec, firmware};
use crate::factory::{FactoryError, Maker};

/// A device of the load.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub id: DeviceId,
    /// SHA-256 of its IDevID's key, in hexadecimal digits, as the inventory has it.
    pub spki_sha256: String,
    idevid: CertificateDer<'static>,
    idevid_key: SoftKey,
    idevid_pkcs8: PrivatePkcs8KeyDer<'static>,
    first: Asked,
    next: Asked,
    issued: Option<Vec<CertificateDer<'static>>>,
    /// TLS settings that hold the tickets of earlier connections.
    reconnects: Option<Arc<ClientConfig>>,
}

/// A key and the request for its certificate.
#[derive(Debug)]
struct Asked {
    key: PrivatePkcs8KeyDer<'static>,
    point: [u8; 65],
    csr: Vec<u8>,
}

/// A certificate chain and its key, as TLS wants them.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Member {
    /// Makes keys, the IDevID and the requests of the device `name`.
    ///
    /// # Errors
    /// Where one of them could not be made.
    pub(super) fn make(maker: &Maker, name: &str) -> Result<Self, BenchError> {
        let id = DeviceId::new(name).map_err(FactoryError::from)?;
        let idevid = maker.endorse(&id, SystemClock.now())?;
        let unreadable = |_| BenchError::Cryptography;
        let key = p256::SecretKey::from_pkcs8_pem(&idevid.key_pem).map_err(|_| BenchError::Cryptography)?;
        Ok(Self {
            first: Asked::make(&id)?,
            next: Asked::make(&id)?,
            id,
            idevid: CertificateDer::from_pem_slice(idevid.certificate_pem.as_bytes()).map_err(unreadable)?,
            idevid_key: SoftKey::from(p256::ecdsa::SigningKey::from(key)),
            idevid_pkcs8: PrivatePkcs8KeyDer::from_pem_slice(idevid.key_pem.as_bytes())
                .map_err(unreadable)?,
            spki_sha256: idevid.spki_sha256,
            issued: None,
            reconnects: None,
        })
    }

    /// Signs evidence for `nonce`, and writes the enrollment around it.
    pub(super) fn enrollment(&self, nonce: &Nonce, sample: &DeviceSpec) -> Result<Vec<u8>, BenchError> {
        let chain = [self.idevid.as_ref()];
        let attester = IdevidAttester::new(self.idevid_key.clone(), &chain, firmware(sample)?);
        let mut attester = attester.map_err(|_| BenchError::Cryptography)?;
        let mut evidence = vec![0; limits::MAX_EVIDENCE];
        let length = attester.attest(nonce, &self.first.point, &mut evidence);
        let length = length.map_err(|_| BenchError::Cryptography)?;
        let fresh = FreshEvidence {
            nonce: *nonce,
            kind: EvidenceKind::IdevidEat,
            body: evidence.get(..length).unwrap_or_default(),
            endorsements: attester.endorsements(),
        };
        let request = EnrollRequest {
            device: self.id.clone(),
            csr: &self.first.csr,
            evidence: fresh,
            trust: Some(TRUST),
        };
        encoded(|out| request.encode(out))
    }

    /// The renewal with the next key.
    pub(super) fn renewal(&self) -> Result<Vec<u8>, BenchError> {
        let device = self.id.clone();
        let request = RenewRequest { device, csr: &self.next.csr, evidence: None, trust: Some(TRUST) };
        encoded(|out| request.encode(out))
    }

    /// The first request for a certificate, PKCS#10 in DER.
    pub(super) fn first_csr(&self) -> &[u8] {
        &self.first.csr
    }

    /// The request for the certificate after that.
    pub(super) fn next_csr(&self) -> &[u8] {
        &self.next.csr
    }

    /// The identity from the factory.
    pub(super) fn idevid(&self) -> Identity {
        (vec![self.idevid.clone()], self.idevid_pkcs8.clone_key().into())
    }

    /// The certificate that was issued first, if it was, with its key.
    pub(super) fn ldevid(&self) -> Option<Identity> {
        let chain = self.issued.clone()?;
        Some((chain, self.first.key.clone_key().into()))
    }

    /// The serial number of that certificate, as DER has it.
    pub(super) fn serial(&self) -> Option<Vec<u8>> {
        let leaf = self.issued.as_ref()?.first()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        Some(certificate.raw_serial().to_vec())
    }

    /// TLS settings that hold the tickets of earlier connections; made at the first call.
    pub(super) fn reconnects(&mut self, roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, BenchError> {
        if let Some(config) = &self.reconnects {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(client(roots, None)?);
        self.reconnects = Some(Arc::clone(&config));
        Ok(config)
    }

    /// Keeps the certificate that was issued first, leaf first.
    pub(super) fn keep(&mut self, chain: Vec<CertificateDer<'static>>) {
        self.issued = Some(chain);
    }
}

impl Asked {
    fn make(id: &DeviceId) -> Result<Self, BenchError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, id.as_str());
        let csr = params.serialize_request(&key)?.der().to_vec();
        let point = key.der_bytes().try_into().map_err(|_| BenchError::Cryptography)?;
        Ok(Self { key: key.serialize_der().into(), point, csr })
    }
}

/// Number of the trust bundle that all devices hold: the first.
const TRUST: u64 = 1;

/// A message of the native protocol.
pub(super) fn encoded<E>(encode: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<Vec<u8>, BenchError> {
    let mut bytes = vec![0; limits::MAX_REQUEST];
    let length = encode(&mut bytes).map_err(|_| BenchError::Cryptography)?;
    bytes.truncate(length);
    Ok(bytes)
}
