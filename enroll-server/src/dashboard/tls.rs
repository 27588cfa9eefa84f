//! TLS of the dashboard's listener: version 1.3 only, with the certificate of the native listener.
//!
//! A client certificate is asked for only where the settings name one: a browser that has any would else ask its user
//! which to show.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier, version};

use crate::config;
use crate::est::PossessionVerifier;
use crate::tls::{TlsError, for_http};

/// How the listener's settings are made from those of the native one.
pub(crate) fn tls(settings: &config::Dashboard) -> fn(&ServerConfig) -> Result<ServerConfig, TlsError> {
    if settings.administrators.is_empty() { without_clients } else { with_clients }
}

fn without_clients(native: &ServerConfig) -> Result<ServerConfig, TlsError> {
    let builder = builder()?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::clone(&native.cert_resolver));
    for_http(&mut config);
    Ok(config)
}

/// The handshake proves that a client has the key of its certificate; whether that is one of the settings' is looked at
/// for each request.
fn with_clients(native: &ServerConfig) -> Result<ServerConfig, TlsError> {
    let builder = builder()?.with_client_cert_verifier(Arc::new(PossessionVerifier));
    let mut config = builder.with_cert_resolver(Arc::clone(&native.cert_resolver));
    for_http(&mut config);
    Ok(config)
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    };
    Ok(ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&version::TLS13])?)
}
