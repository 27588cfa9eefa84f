//! TLS 1.3 connections to the enrollment server and to the broker: one way to open one, for both.
//!
//! The server's certificate is judged by [`agent_core::x509::verify_server`] and nothing else; the system's
//! trust store is never asked. No resumption: each connection proves everything anew.

mod dial;
mod signer;
mod verifier;

use std::io;
use std::sync::Arc;

use agent_core::platform::{ClientIdentity, Server, SigningKey, TransportError};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Timeouts;
pub(crate) use signer::certified;
use verifier::StrictVerifier;

/// An authenticated connection: the server's certificate was verified and the server holds its key.
pub(crate) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Opens a connection to `server`, with `identity` as the client certificate where there is one.
///
/// # Errors
/// Says how far it came; a refused certificate with the reason.
pub(crate) async fn connect<K>(
    server: Server<'_>,
    identity: Option<ClientIdentity<'_, K>>,
    timeouts: &Timeouts,
) -> Result<TlsStream, TransportError>
where
    K: SigningKey + Clone + Send + Sync + 'static,
{
    let name = ServerName::try_from(server.host.to_owned()).map_err(|_| TransportError::Unreachable)?;
    let verifier = Arc::new(StrictVerifier::new(&server));
    let config = client_config(Arc::clone(&verifier), identity)?;

    let tcp = dial::dial(server.host, server.port, timeouts.connect).await.map_err(|error| {
        tracing::debug!(host = server.host, port = server.port, %error, "no TCP connection");
        match error.kind() {
            io::ErrorKind::TimedOut => TransportError::TimedOut,
            _ => TransportError::Unreachable,
        }
    })?;
    // Small messages, each waiting for its answer: the delay of RFC 896 would only slow them down.
    tcp.set_nodelay(true).map_err(|_| TransportError::Closed)?;

    let handshake = timeout(timeouts.handshake, TlsConnector::from(config).connect(name, tcp));
    let stream = match handshake.await.map_err(|_| TransportError::TimedOut)? {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(host = server.host, %error, "no TLS connection");
            let error = from_io(&error).of_handshake(verifier.is_authenticated());
            return Err(verifier.refusal().map_or(error, TransportError::Certificate));
        }
    };
    // rustls calls the verifier in every full handshake; a connection without the proof is never used.
    if verifier.is_authenticated() { Ok(stream) } else { Err(TransportError::NotShown) }
}

/// Sorts an I/O error of a TLS connection: an alert or a broken protocol is [`TransportError::Tls`].
pub(crate) fn from_io(error: &io::Error) -> TransportError {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    match error.kind() {
        _ if is_tls => TransportError::Tls,
        io::ErrorKind::TimedOut => TransportError::TimedOut,
        _ => TransportError::Closed,
    }
}

fn client_config<K>(
    verifier: Arc<StrictVerifier>,
    identity: Option<ClientIdentity<'_, K>>,
) -> Result<Arc<rustls::ClientConfig>, TransportError>
where
    K: SigningKey + Clone + Send + Sync + 'static,
{
    let provider = CryptoProvider {
        // P-256 first, so that a server of this project needs no second ClientHello.
        kx_groups: vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519],
        cipher_suites: aws_lc_rs::ALL_CIPHER_SUITES
            .iter()
            .filter(|suite| suite.tls13().is_some())
            .copied()
            .collect(),
        ..aws_lc_rs::default_provider()
    };
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| TransportError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(signer::resolver(identity))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
