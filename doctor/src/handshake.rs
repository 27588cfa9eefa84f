//! TLS handshakes that tell what they saw. The first one shows nothing and believes nothing: it records the server's
//! chain and whether a client certificate is asked for. The second one shows the client's certificate, and only to a
//! server with the very chain that was judged good in between.

use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The server's certificates in DER, as sent.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The version that the server signed for.
    pub(crate) version: Option<ProtocolVersion>,
    /// Whether the server signed the handshake with its certificate's key.
    pub(crate) signed: bool,
    /// The CAs that the server names as it asks for a client certificate; `None` where it does not ask.
    pub(crate) asked: Option<Vec<String>>,
}

/// Which server is believed in a handshake.
#[derive(Clone, Debug)]
pub(crate) enum Believe {
    /// Any, because nothing is sent to it.
    Anybody,
    /// One with exactly these certificates.
    Only(Vec<Vec<u8>>),
}

/// How a handshake is made.
#[derive(Debug)]
pub(crate) struct How {
    pub(crate) believe: Believe,
    pub(crate) identity: Option<Arc<CertifiedKey>>,
    /// Nothing older than TLS 1.3, and the groups of a device.
    pub(crate) tls13_only: bool,
    pub(crate) limit: Duration,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing came in time.
    Silent,
    /// An alert, or something that is no TLS, or an end.
    Error(io::Error),
}

/// Makes a handshake; what was seen is told whether or not it succeeds.
pub(crate) async fn shake(
    host: &str,
    tcp: TcpStream,
    how: How,
) -> (Seen, Result<TlsStream<TcpStream>, Broken>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let outcome = connect(host, tcp, how, &seen).await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (seen, outcome)
}

async fn connect(
    host: &str,
    tcp: TcpStream,
    how: How,
    seen: &Arc<Mutex<Seen>>,
) -> Result<TlsStream<TcpStream>, Broken> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| Broken::Error(io::Error::other(error)))?;
    let config = config(&how, seen).map_err(|error| Broken::Error(io::Error::other(error)))?;
    let connected = timeout(how.limit, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await;
    connected.map_err(|_| Broken::Silent)?.map_err(Broken::Error)
}

fn config(how: &How, seen: &Arc<Mutex<Seen>>) -> Result<ClientConfig, Error> {
    let mut provider = aws_lc_rs::default_provider();
    let versions: &[&rustls::SupportedProtocolVersion] = if how.tls13_only {
        provider.kx_groups = vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519];
        &[&rustls::version::TLS13]
    } else {
        rustls::ALL_VERSIONS
    };
    let provider = Arc::new(provider);
    let watcher =
        Watcher { provider: Arc::clone(&provider), believe: how.believe.clone(), seen: Arc::clone(seen) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(watcher))
        .with_client_cert_resolver(Arc::new(Shown {
            identity: how.identity.clone(),
            seen: Arc::clone(seen),
        }));
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Records the server's certificates.
#[derive(Debug)]
struct Watcher {
    provider: Arc<CryptoProvider>,
    believe: Believe,
    seen: Arc<Mutex<Seen>>,
}

impl Watcher {
    fn signed(
        &self,
        version: ProtocolVersion,
        outcome: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.version = Some(version);
        seen.signed = outcome.is_ok();
        outcome
    }
}

impl ServerCertVerifier for Watcher {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<Vec<u8>> =
            core::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        let believed = match &self.believe {
            Believe::Anybody => true,
            Believe::Only(judged) => *judged == chain,
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).chain = chain;
        match believed {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.signed(ProtocolVersion::TLSv1_2, verify_tls12_signature(message, cert, dss, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.signed(ProtocolVersion::TLSv1_3, verify_tls13_signature(message, cert, dss, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Records that a client certificate was asked for, and shows the one there is.
#[derive(Debug)]
struct Shown {
    identity: Option<Arc<CertifiedKey>>,
    seen: Arc<Mutex<Seen>>,
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = authorities.iter().take(50).map(|der| match X509Name::from_der(der) {
            Ok((_, name)) => name.to_string(),
            Err(_) => "a name that cannot be read".to_owned(),
        });
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(names.collect());
        self.identity.clone()
    }

    // Without this rustls would not ask, and the question would not be seen.
    fn has_certs(&self) -> bool {
        true
    }
}
