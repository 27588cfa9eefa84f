//! TLS to the database: the server's chain and name are always verified.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::outgoing::{Anchors, AnchorsError, roots};

/// A connector that believes `anchors`.
pub(super) fn connector(anchors: &Anchors) -> Result<MakeRustlsConnect, AnchorsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(anchors)?)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
