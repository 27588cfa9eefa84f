//! Strict verification of server certificates (RFC 5280, RFC 9525): ECDSA on P-256 with SHA-256 only.
//!
//! [`verify_server`] is the one entry: it finds a path from the server's certificate to a trust anchor and
//! answers with a [`VerifiedServer`], which nothing else can make. [`Certificate`] is a view of one certificate
//! for whoever needs its fields; looking at fields proves nothing.
//!
//! What the device does not support is refused and never skipped: RSA and other curves, name and policy
//! constraints, critical extensions it does not know, wildcard names. There is no revocation check: a device
//! has no list, and a lost server key is answered by a new trust bundle. What a server's certificate must look
//! like:
//!
//! - version 3, ECDSA-SHA256 signature, P-256 key as an uncompressed point, positive serial of at most 20 bytes;
//! - extKeyUsage, not critical, with serverAuth and without anyExtendedKeyUsage; an LDevID has clientAuth only
//!   and so cannot pose as a server;
//! - keyUsage, where it is there, with digitalSignature and without keyCertSign; basicConstraints absent or not
//!   CA;
//! - authorityKeyIdentifier; subjectAltName with the host as dNSName or iPAddress, critical exactly if the
//!   subject is empty; each common name of the subject, if any, repeated in subjectAltName letter for letter;
//! - issuers, the trust anchor included: basicConstraints critical with CA, keyCertSign in keyUsage where it is
//!   there, subjectKeyIdentifier, authorityKeyIdentifier except in a root, dates in order. A root has no
//!   extKeyUsage.

mod alt_name;
mod certificate;
mod dates;
mod distinguished;
mod error;
mod extensions;
mod name;
mod oid;
mod path;
mod reader;
mod role;

use p256::ecdsa::VerifyingKey;
use shared::UnixTime;
use shared::limits::MAX_CHAIN;

use certificate::Outline;
use name::Host;
use path::Search;

pub use alt_name::{AltName, AltNames};
pub use certificate::{Certificate, Summary};
pub use error::PathError;

/// What a certificate's dates are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Time is known: not-before and not-after are checked.
    At(UnixTime),
    /// Only a floor is known, as on a device without a clock before the server told the time: not-after must
    /// be later than the floor; not-before is not checked. To be verified again in full when time is known.
    NotEndedBy(UnixTime),
}

/// How far the search for a path goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most intermediate certificates on the path, self-issued ones not counted (as pathLenConstraint counts
    /// them). No setting allows more than [`shared::limits::MAX_CHAIN`] certificates in all.
    pub intermediates: usize,
    /// Most signatures checked, right or wrong.
    pub signatures: usize,
}

impl Default for Limits {
    /// The limits of [`verify_server`].
    fn default() -> Self {
        Self { intermediates: MAX_CHAIN - 1, signatures: 2 * MAX_CHAIN }
    }
}

/// The proof that a server's certificate leads to a trust anchor and names the host; made by
/// [`verify_server`] only.
///
/// It says nothing yet about the peer: a TLS session is authentic only when the peer has also signed the
/// handshake with this key (CertificateVerify; RFC 8446, section 4.4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedServer {
    key: VerifyingKey,
}

impl VerifiedServer {
    /// The server's public key.
    #[must_use]
    pub const fn public_key(&self) -> &VerifyingKey {
        &self.key
    }
}

/// Verifies the certificates a server sent: `chain` in DER as sent, leaf first, against `anchors` in DER, for
/// `host`, a DNS name or an IP address.
///
/// # Errors
/// The reason of the refusal. Where several paths were tried, that of the one which came furthest.
pub fn verify_server(
    chain: &[&[u8]],
    anchors: &[&[u8]],
    host: &str,
    validity: Validity,
) -> Result<VerifiedServer, PathError> {
    verify_server_within(chain, anchors, host, validity, Limits::default())
}

/// As [`verify_server`], with other limits.
///
/// # Errors
/// As [`verify_server`].
pub fn verify_server_within(
    chain: &[&[u8]],
    anchors: &[&[u8]],
    host: &str,
    validity: Validity,
    limits: Limits,
) -> Result<VerifiedServer, PathError> {
    let host = Host::parse(host)?;
    let Some((server, others)) = chain.split_first() else { return Err(PathError::ChainLength) };
    if chain.len() > MAX_CHAIN {
        return Err(PathError::ChainLength);
    }
    role::check_server(&Certificate::parse(server)?, &host, validity)?;
    // Whether a certificate is needed shows only later, but one that cannot be read at all is refused now.
    others.iter().try_for_each(|other| Outline::parse(other).map(|_| ()))?;
    let key = Search::new(chain, anchors, validity, limits).run()?;
    Ok(VerifiedServer { key })
}
