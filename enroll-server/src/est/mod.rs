//! Enrollment over Secure Transport (RFC 7030, clarified by RFC 8951), for clients that exist already: its listener's
//! TLS, who its clients are, what they send, and what they get.
//!
//! Reads and writes; what a request leads to is for [`crate::issuance`] to say, by the same steps and the same policy
//! as in the native protocol.

mod basic;
mod body;
mod client;
mod cms;
mod connection;
mod csrattrs;
mod tls;

pub use basic::{BasicError, Credentials};
pub use body::{BodyError, MAX_BODY, Pkcs10, read};
pub(crate) use client::{Client, ClientError};
pub use cms::certs_only;
pub(crate) use connection::Connection;
pub use csrattrs::csr_attributes;
pub(crate) use tls::PossessionVerifier;
pub use tls::server_config;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Base64 as EST's bodies have it (RFC 8951, section 3.1: RFC 4648, section 4), in one line: strongSwan reads no other.
#[must_use]
pub fn to_base64(der: &[u8]) -> String {
    STANDARD.encode(der)
}
