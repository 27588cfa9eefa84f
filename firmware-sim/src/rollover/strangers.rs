//! What server and broker show, and whether they take a client certificate of the old CA.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use ca::{CaCertificate, FileKey};
use enroll_server::config::Config;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SerialNumber};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::RolloverError;

/// A client certificate by an issuing CA, with a serial number of the server's form.
pub(crate) struct Stranger(ClientConfig);

impl Stranger {
    /// Signed now, with the CA's certificate and key in these files.
    pub(crate) fn of(certificate: &Path, key: &Path) -> Result<Self, RolloverError> {
        let failed = |error: &dyn core::error::Error| RolloverError::Certificate(crate::fleet::chain(error));
        let what = || "the issuing CA's certificate cannot be read".to_owned();
        let pem = std::fs::read(certificate).map_err(|source| RolloverError::Io { what: what(), source })?;
        let ders = ca::pem::read_certificates(&pem).map_err(|_| RolloverError::Certificate(what()))?;
        let ca = ders
            .into_iter()
            .next()
            .map(CertificateDer::from)
            .ok_or_else(|| RolloverError::Certificate(what()))?;
        let key = FileKey::load(key).map_err(|error| failed(&error))?;
        let key = KeyPair::try_from(key.pkcs8()).map_err(|error| failed(&error))?;
        let issuer = rcgen::Issuer::from_ca_cert_der(&ca, key).map_err(|error| failed(&error))?;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|error| failed(&error))?;
        let mut params = CertificateParams::default();
        for (kind, text) in
            [(DnType::CommonName, "SN-OLD"), (DnType::CustomDnType(vec![2, 5, 4, 5]), "SN-OLD")]
        {
            params.distinguished_name.push(kind, text);
        }
        params.serial_number = Some(SerialNumber::from([0x41; 16].to_vec()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &issuer).map_err(|error| failed(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| failed(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_client_auth_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .map_err(|error| failed(&error))?;
        Ok(Self(config))
    }

    /// How many of those who listen on these ports of the loopback interface take it.
    pub(crate) async fn taken(&self, ports: &[u16]) -> usize {
        let mut taken = 0;
        for port in ports {
            taken += usize::from(self.is_taken(*port).await);
        }
        taken
    }

    async fn is_taken(&self, port: u16) -> bool {
        let Ok(tcp) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
        let Ok(name) = ServerName::try_from("localhost") else { return false };
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        let Ok(mut tls) = connector.connect(name, tcp).await else { return false };
        // In TLS 1.3 a refusal of the client comes after its own handshake has ended.
        if tls.write_all(b"GET /v1/trust HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_err() {
            return false;
        }
        let mut first = [0; 1];
        match tokio::time::timeout(Duration::from_secs(2), tls.read(&mut first)).await {
            // An alert; or an orderly end, which the broker gives to what is no MQTT.
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::UnexpectedEof,
            Ok(Ok(_)) | Err(_) => true,
        }
    }
}

/// Whether the files of server and broker hold certificates of `ca`.
pub(crate) fn servers_moved(config: &Config, ca: &CaCertificate) -> bool {
    let broker = config.tls_files.iter().map(|file| &file.files.certificate);
    broker.chain([&config.files.server_certificate]).all(|path| {
        let ders = std::fs::read(path).ok().and_then(|pem| ca::pem::read_certificates(&pem).ok());
        ders.and_then(|ders| ders.into_iter().next()).is_some_and(|leaf| ca.has_signed(&leaf))
    })
}

/// It is about the client here; who the server is does not matter.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
