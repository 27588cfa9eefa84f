//! TLS of the HTTPS listener: version 1.3 only, and who may come as a client.
//!
//! A client certificate may be left out: enrollment needs none. Where one comes, its chain is verified here and
//! its end is not: a device whose LDevID ran out while it lay in a warehouse has to hear "certificate-expired"
//! or be renewed, and a refused handshake tells a small device nothing. Only a renewal gives a client
//! certificate any weight, and it checks end and revocation itself.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime as PkiTime};
use rustls::server::ProducesTickets;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, version,
};

use shared::UnixTime;

use crate::clock::Clock;
use crate::in_force::InForce;
use crate::issuance::ClientIdentity;

/// Longest TLS fragment sent. Small devices hold one record at a time, and need each handshake message in one.
const MAX_FRAGMENT: usize = 4096;

/// Why there are no TLS settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The issuing CA cannot be a trust anchor.
    #[error("the issuing CA's certificate cannot be used to verify clients")]
    Anchor(#[source] webpki::Error),
    /// Certificate and key of the server do not belong together, or cannot be used.
    #[error("the server's certificate and key cannot be used for TLS")]
    Identity(#[from] rustls::Error),
}

/// The settings of the HTTPS listener.
///
/// # Errors
/// Where certificate, key or CA cannot be used.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    issuing_cas: &[CertificateDer<'_>],
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let provider = CryptoProvider {
        // The one that every device has comes first: processors hash SHA-256 in hardware, and seldom SHA-384.
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ],
        // P-256 first: the one group that every device has.
        kx_groups: vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let verifier = Arc::new(LdevidVerifier::new(issuing_cas, clock)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    for_http(&mut config);
    config.ignore_client_order = true;
    config.max_fragment_size = Some(MAX_FRAGMENT);
    config.ticketer = Arc::new(AnonymousTickets(aws_lc_rs::Ticketer::new()?));
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// What both HTTPS listeners have in common: HTTP/1.1, and no resumption, unless more is said.
pub(crate) fn for_http(config: &mut ServerConfig) {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
}

/// How the settings of one listener are made from those of another.
type Make = fn(&ServerConfig) -> Result<ServerConfig, TlsError>;

/// The settings in force on a listener that shows the certificate of the native one. They follow those, and are made
/// when these changed.
#[derive(Debug)]
pub(crate) struct Following {
    native: Arc<InForce<ServerConfig>>,
    make: Make,
    /// The last ones, and what they were made from.
    made: Mutex<Option<(Arc<ServerConfig>, Arc<ServerConfig>)>>,
}

impl Following {
    pub(crate) fn new(native: Arc<InForce<ServerConfig>>, make: Make) -> Self {
        Self { native, make, made: Mutex::new(None) }
    }

    /// What is in force now.
    pub(crate) fn now(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let native = self.native.now();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = made.as_ref().filter(|(from, _)| Arc::ptr_eq(from, &native)) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new((self.make)(&native)?);
        *made = Some((native, Arc::clone(&config)));
        Ok(config)
    }
}

/// Tickets for clients without a certificate, who save the two signatures when they come again: a device that is held
/// for approval asks every minute. A ticket of a client with a certificate would bring its identity back without its
/// key, so there is none; and [`crate::serve`] takes no identity from a resumed connection anyway. The keys live in
/// memory, change every few hours, and with the settings.
#[derive(Debug)]
struct AnonymousTickets(Arc<dyn ProducesTickets>);

/// Longest state of a session without a client certificate: secrets, names and times. The shortest certificate of ours
/// is longer than what is left.
const MAX_ANONYMOUS: usize = 384;

impl ProducesTickets for AnonymousTickets {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() > MAX_ANONYMOUS { None } else { self.0.encrypt(plain) }
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

/// Verifies LDevIDs of the issuing CAs that still sign.
#[derive(Debug)]
struct LdevidVerifier {
    anchors: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    clock: Arc<dyn Clock>,
}

/// ECDSA on P-256 with SHA-256: the only algorithm of this protocol.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::aws_lc_rs::ECDSA_P256_SHA256])],
};

impl LdevidVerifier {
    fn new(issuing_cas: &[CertificateDer<'_>], clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let anchor = |certificate| Ok(webpki::anchor_from_trusted_cert(certificate)?.to_owned());
        let anchors: Result<Vec<_>, _> = issuing_cas.iter().map(anchor).collect();
        let anchors = anchors.map_err(TlsError::Anchor)?;
        // The anchor has the content of the name; the hint is the whole of it.
        let hints = anchors.iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect();
        Ok(Self { anchors, hints, clock })
    }
}

impl ClientCertVerifier for LdevidVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: PkiTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let identity = ClientIdentity::from_der(end_entity)
            .map_err(|error| CertificateError::Other(rustls::OtherError(Arc::new(error))))?;
        verify_ldevid(end_entity, &identity, &self.anchors, self.clock.now()).map_err(certificate_error)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Verifies that one of `issuing_cas` has signed an LDevID. Its end is left open, as is its revocation.
pub(crate) fn verify_ldevid(
    end_entity: &CertificateDer<'_>,
    identity: &ClientIdentity,
    issuing_cas: &[TrustAnchor<'_>],
    now: UnixTime,
) -> Result<(), webpki::Error> {
    // An LDevID that has ended is verified as of its last second.
    let time = now.min(identity.not_after());
    let time = PkiTime::since_unix_epoch(core::time::Duration::from_secs(time.as_secs()));
    // Intermediates are left out: our issuing CAs sign LDevIDs themselves.
    let certificate = webpki::EndEntityCert::try_from(end_entity)?;
    let usage = webpki::KeyUsage::client_auth();
    certificate.verify_for_usage(ALGORITHMS.all, issuing_cas, &[], time, usage, None, None)?;
    Ok(())
}

/// So that the client gets the alert that fits.
fn certificate_error(error: webpki::Error) -> CertificateError {
    match error {
        webpki::Error::BadDer => CertificateError::BadEncoding,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::{AnonymousTickets, MAX_ANONYMOUS};
    use rustls::crypto::aws_lc_rs::Ticketer;
    use rustls::server::ProducesTickets as _;

    #[test]
    fn a_session_that_is_long_enough_for_a_certificate_gets_no_ticket() {
        let tickets = AnonymousTickets(Ticketer::new().unwrap());
        let anonymous = vec![1; MAX_ANONYMOUS];
        let sealed = tickets.encrypt(&anonymous).unwrap();
        assert_eq!(tickets.decrypt(&sealed), Some(anonymous));
        assert_eq!(tickets.encrypt(&[1; MAX_ANONYMOUS + 1]), None);
    }
}
