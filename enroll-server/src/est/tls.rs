//! TLS of the EST listener: versions 1.2 and 1.3, since clients in the field speak either, and client certificates of
//! any issuer.
//!
//! The handshake proves that a client has the key of the certificate it shows, and nothing else: whose certificate it
//! is, and whether it counts, is looked at for each request ([`super::client`]), where a client can be told in words
//! and where makers and revocations are those of that moment. The listener of the native protocol is another one, and
//! takes none of this.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, version,
};
use shared::limits;
use webpki::aws_lc_rs as algorithms;

use crate::tls::{TlsError, for_http};

/// Most certificates that a client may show: a chain, and a trust anchor that it need not have sent.
const MAX_SHOWN: usize = limits::MAX_CHAIN + 1;

/// The settings of the EST listener, which shows the certificate that `native`, the other listener, shows.
///
/// # Errors
/// Where the versions cannot be spoken.
pub fn server_config(native: &ServerConfig) -> Result<ServerConfig, TlsError> {
    let provider = CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_client_cert_verifier(Arc::new(PossessionVerifier))
        .with_cert_resolver(Arc::clone(&native.cert_resolver));
    for_http(&mut config);
    Ok(config)
}

/// Takes any certificate whose key the client proves to have.
#[derive(Debug)]
pub(crate) struct PossessionVerifier;

/// Keys of IDevIDs: ECDSA on P-256 and P-384, RSA of 2048 bits or more. PKCS#1 v1.5 counts in TLS 1.2 only.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        // The first is that of TLS 1.3 (RFC 8446, section 4.2.3); TLS 1.2 does not tie the curve to the hash.
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P256_SHA384],
        ),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
    ],
};

impl ClientCertVerifier for PossessionVerifier {
    /// None: what a client shows is not limited to issuers that this server could name.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let short = |der: &CertificateDer<'_>| der.len() <= limits::MAX_TPM_CERTIFICATE;
        if intermediates.len() >= MAX_SHOWN || !short(end_entity) || !intermediates.iter().all(short) {
            return Err(CertificateError::BadEncoding.into());
        }
        webpki::EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &ALGORITHMS)
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
