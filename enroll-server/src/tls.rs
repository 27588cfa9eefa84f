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
use shared::limits::MAX_RECORD;

use crate::clock::Clock;
use crate::in_force::InForce;
use crate::issuance::ClientIdentity;

/// What a record has besides its content.
const RECORD_HEADER: usize = 5;

/// A board could not take the server's part of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a server's part of the handshake would have {found} bytes, and a board takes {ROOM} in one record: {shown} are the \
     certificates that the server shows, the rest is the names of the CAs whose devices it takes, and what TLS adds; have \
     fewer or shorter cross-certificates, or CAs with shorter names and fewer extensions"
)]
pub struct LongFlight {
    /// Its length.
    pub found: usize,
    /// That of the certificates in it.
    pub shown: usize,
}

/// Content of the longest record.
const ROOM: usize = MAX_RECORD - RECORD_HEADER;

/// Holds all that a server sends under encryption before its client answers against one record: the certificates that it
/// shows, and the subjects of the CAs whose clients it takes, both by their length in DER. For rustls joins these
/// messages and cuts them where a record is full, and a board refuses a message that was cut.
pub(crate) fn check_flight(
    shown: impl IntoIterator<Item = usize>,
    subjects: impl IntoIterator<Item = usize>,
) -> Result<(), LongFlight> {
    // RFC 8446, sections 4.4.2 and 4.2.4: each certificate has its length and its extensions', each name its length.
    let shown: usize = shown.into_iter().map(|der| der + 5).sum();
    let names: usize = subjects.into_iter().map(|der| der + 2).sum();
    let found = AROUND + shown + names;
    if found > ROOM { Err(LongFlight { found, shown }) } else { Ok(()) }
}

/// What is in the flight besides (RFC 8446, section 4). EncryptedExtensions: ALPN, and that the server's name was
/// understood; CertificateRequest with one algorithm; the head of Certificate; CertificateVerify; Finished.
const AROUND: usize = (4 + 2 + 15 + 4) + (4 + 1 + 2 + 8 + 6) + (4 + 1 + 3) + (4 + 4 + 72) + (4 + 32);

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
    let subjects = verifier.hints.iter().map(|name| name.as_ref().len());
    if let Err(error) = check_flight(chain.iter().map(|certificate| certificate.len()), subjects) {
        // Devices with more memory are served all the same.
        tracing::warn!(%error, "boards cannot connect");
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    for_http(&mut config);
    config.ignore_client_order = true;
    config.max_fragment_size = Some(MAX_RECORD);
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
    use std::sync::Arc;

    use ca::hierarchy::{ISSUING_LIFETIME, ROOT_LIFETIME, issuing_ca, root_ca, server_certificate};
    use ca::{FileKey, Issuer};
    use rustls::crypto::aws_lc_rs::Ticketer;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::ProducesTickets as _;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::{
        AnonymousTickets, MAX_ANONYMOUS, ROOM, TLS13_AES_128_GCM_SHA256, aws_lc_rs, check_flight,
        server_config, version,
    };
    use crate::clock::{Clock as _, SystemClock};

    /// Lengths of the encrypted records that a server shows `chain` in, to a client that goes by its name and ALPN and has
    /// the one suite of boards.
    fn records(chain: Vec<CertificateDer<'static>>, key: &FileKey, ca: &CertificateDer<'_>) -> Vec<usize> {
        let key = PrivateKeyDer::try_from(key.pkcs8().to_vec()).unwrap();
        let server = server_config(chain, key, core::slice::from_ref(ca), Arc::new(SystemClock)).unwrap();
        let suites = vec![TLS13_AES_128_GCM_SHA256];
        let provider =
            rustls::crypto::CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() };
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let (mut hello, mut flight) = (Vec::new(), Vec::new());
        client.write_tls(&mut hello).unwrap();
        server.read_tls(&mut hello.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let (mut rest, mut lengths) = (flight.as_slice(), Vec::new());
        while let Some((&[kind, _, _, high, low], behind)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if kind == 23 {
                // The type of the content, and the tag.
                lengths.push(length - 17);
            }
            rest = &behind[length..];
        }
        lengths
    }

    #[test]
    fn a_flight_that_is_let_through_is_one_record_and_a_longer_one_is_cut() {
        let now = SystemClock.now();
        let (root, key) = root_ca("Acme", ROOT_LIFETIME, now).unwrap();
        let root = Issuer::new(root, Box::new(key)).unwrap();
        let (issuing, key) = issuing_ca("Acme", &root, ISSUING_LIFETIME, now).unwrap();
        let issuing = Issuer::new(issuing, Box::new(key)).unwrap();
        let key = FileKey::generate().unwrap();
        let leaf = server_certificate(&["localhost"], &key, &issuing, ISSUING_LIFETIME, now).unwrap();
        let ca = CertificateDer::from(issuing.certificate().der());
        let subject = issuing.certificate().subject_der().len();
        let of = |above: usize| {
            let mut chain = vec![CertificateDer::from(leaf.der().to_vec()), ca.clone().into_owned()];
            chain.push(CertificateDer::from(vec![0x30; above]));
            let checked = check_flight(chain.iter().map(|der| der.len()), [subject]);
            (records(chain, &key, &ca), checked)
        };
        let (short, checked) = of(1_000);
        assert_eq!((short.len(), checked), (1, Ok(())));
        // What fills the record; a signature may be some bytes shorter than the longest.
        let most = 1_000 + ROOM - short[0];
        let longest = (most - 12..=most).rev().find(|above| of(*above).1.is_ok()).unwrap();
        assert_eq!(of(longest).0.len(), 1);
        let (cut, checked) = of(most + 12);
        assert_eq!((cut.len(), cut[0]), (2, ROOM), "{cut:?}");
        assert!(checked.unwrap_err().to_string().contains("a board takes 4091 in one record"));
    }

    #[test]
    fn a_session_that_is_long_enough_for_a_certificate_gets_no_ticket() {
        let tickets = AnonymousTickets(Ticketer::new().unwrap());
        let anonymous = vec![1; MAX_ANONYMOUS];
        let sealed = tickets.encrypt(&anonymous).unwrap();
        assert_eq!(tickets.decrypt(&sealed), Some(anonymous));
        assert_eq!(tickets.encrypt(&[1; MAX_ANONYMOUS + 1]), None);
    }
}
