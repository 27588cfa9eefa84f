//! rustls' question "is this server's certificate good?", answered by the core's strict verifier.

use std::sync::{Mutex, PoisonError};

use agent_core::platform::Server;
use agent_core::x509::{PathError, Validity, VerifiedServer, verify_server};
use p256::ecdsa::signature::Verifier as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Judges the certificates of one server in one handshake, and remembers the verdict.
#[derive(Debug)]
pub(super) struct StrictVerifier {
    host: String,
    anchors: Vec<Vec<u8>>,
    validity: Validity,
    progress: Mutex<Progress>,
}

/// How far the server has come in proving who it is. Each state is reached from the one before only.
#[derive(Debug)]
enum Progress {
    Nothing,
    Refused(PathError),
    Certificate(VerifiedServer),
    Authenticated,
}

impl StrictVerifier {
    pub(super) fn new(server: &Server<'_>) -> Self {
        Self {
            host: server.host.to_owned(),
            anchors: server.anchors.iter().map(|anchor| anchor.to_vec()).collect(),
            validity: server.validity,
            progress: Mutex::new(Progress::Nothing),
        }
    }

    /// Why the certificate was refused, if it was.
    pub(super) fn refusal(&self) -> Option<PathError> {
        match *self.progress() {
            Progress::Refused(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the certificate was good and the server proved to hold its key.
    pub(super) fn is_authenticated(&self) -> bool {
        matches!(*self.progress(), Progress::Authenticated)
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for StrictVerifier {
    // The name and the time are the ones this verifier was made for: rustls' own clock may be wrong where the
    // core knows only a floor.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<&[u8]> =
            core::iter::once(end_entity).chain(intermediates).map(CertificateDer::as_ref).collect();
        let anchors: Vec<&[u8]> = self.anchors.iter().map(Vec::as_slice).collect();
        match verify_server(&chain, &anchors, &self.host, self.validity) {
            Ok(server) => {
                *self.progress() = Progress::Certificate(server);
                Ok(ServerCertVerified::assertion())
            }
            Err(reason) => {
                *self.progress() = Progress::Refused(reason);
                let reason = OtherError(std::sync::Arc::new(reason));
                Err(Error::InvalidCertificate(CertificateError::Other(reason)))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig))
    }

    /// Verifies under the very key that `verify_server` vouched for, not one parsed a second time.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
        let mut progress = self.progress();
        let Progress::Certificate(server) = &*progress else { return Err(bad()) };
        if dss.scheme != SignatureScheme::ECDSA_NISTP256_SHA256 {
            return Err(bad());
        }
        let signature = p256::ecdsa::Signature::from_der(dss.signature()).map_err(|_| bad())?;
        server.public_key().verify(message, &signature).map_err(|_| bad())?;
        *progress = Progress::Authenticated;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
