//! The issuer: signs what was linted for its CA, and nothing else.
//!
//! It keeps no state and gives out no serial numbers; the record of intent has them.

use core::cell::RefCell;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use shared::UnixTime;

use crate::certificate::CaCertificate;
use crate::key::{IssuerKey, KeyError};
use crate::lint::{LintError, Linted};
use crate::parse_back::{Mismatch, check_signed};
use crate::profile::Validity;
use crate::serial::Serial;
use crate::to_be_signed::assemble;

/// A CA that can sign: its certificate and its key.
#[derive(Debug)]
pub struct Issuer {
    certificate: CaCertificate,
    key: Box<dyn IssuerKey>,
}

/// A signed certificate that is exactly what was linted; made by [`Issuer::issue`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    der: Vec<u8>,
    serial: Serial,
    validity: Validity,
}

impl Issuer {
    /// Puts a CA's certificate and key together.
    ///
    /// # Errors
    /// [`IssueError::WrongKey`] where they do not belong together.
    pub fn new(certificate: CaCertificate, key: Box<dyn IssuerKey>) -> Result<Self, IssueError> {
        if key.public_point() != certificate.public_point() {
            return Err(IssueError::WrongKey);
        }
        Ok(Self { certificate, key })
    }

    /// The CA's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Whether signing waits for nothing, see [`IssuerKey::is_at_hand`].
    #[must_use]
    pub fn signs_at_once(&self) -> bool {
        self.key.is_at_hand()
    }

    /// Signs a linted certificate, and verifies the signature before anybody sees it. What is signed was compared with its
    /// template when it was linted, byte for byte.
    ///
    /// # Errors
    /// Where it was linted for another CA, the CA ended in between, the key does not sign, or signs something else; nothing
    /// leaves this function then.
    pub fn issue(&self, linted: Linted, now: UnixTime) -> Result<Issued, IssueError> {
        if linted.ca_point != *self.certificate.public_point() {
            return Err(IssueError::OtherCa);
        }
        self.certificate.check_valid_at(now)?;
        Issued::sign(linted, self.key.as_ref())
    }

    /// Signs what this crate has written: a revocation list, and nothing that a caller could choose.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Ok(self.key.sign(message)?)
    }
}

/// Signs a linted certificate with the key in it.
pub(crate) fn self_sign(linted: Linted, key: &dyn IssuerKey) -> Result<Issued, IssueError> {
    if linted.ca_point != *key.public_point() {
        return Err(IssueError::WrongKey);
    }
    Issued::sign(linted, key)
}

impl Issued {
    /// Signs, and verifies the signature under the key that the certificate was linted for.
    fn sign(linted: Linted, key: &dyn IssuerKey) -> Result<Self, IssueError> {
        let Linted { template, tbs, ca_point } = linted;
        let signature = key.sign(&tbs)?;
        let der = assemble(&tbs, &signature);
        check_signed(&der, &tbs, &signature, &ca_point).map_err(IssueError::Differs)?;
        Ok(Self { der, serial: template.serial, validity: template.validity })
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its serial number.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// Its life.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// SHA-256 of [`der`](Self::der).
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &self.der).as_ref());
        fingerprint
    }
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Certificate and key of the CA do not belong together.
    #[error("the CA's certificate and key do not belong together")]
    WrongKey,
    /// The request was linted for another CA.
    #[error("the request was linted for another CA")]
    OtherCa,
    /// A lint that failed after all.
    #[error(transparent)]
    Lint(#[from] LintError),
    /// The key does not sign.
    #[error("the CA's key does not sign")]
    Key(#[from] KeyError),
    /// The library could not write the certificate or the revocation list.
    #[error("it could not be written")]
    Library(#[from] rcgen::Error),
    /// What was signed is not what was to be signed.
    #[error("what was signed is not what was to be signed; it was thrown away")]
    Differs(#[source] Mismatch),
}

/// The key to be certified, for rcgen.
pub(crate) struct Subject<'a>(pub(crate) &'a [u8; 65]);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The CA's key, for rcgen, whose errors have no room for why a key did not sign.
pub(crate) struct Signing<'a> {
    key: &'a dyn IssuerKey,
    failure: RefCell<Option<KeyError>>,
}

impl<'a> Signing<'a> {
    pub(crate) fn new(key: &'a dyn IssuerKey) -> Self {
        Self { key, failure: RefCell::new(None) }
    }

    /// The key's own error, where it was the key that failed.
    pub(crate) fn blame(&self, error: rcgen::Error) -> IssueError {
        self.failure.take().map_or(IssueError::Library(error), IssueError::Key)
    }
}

impl PublicKeyData for Signing<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.public_point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signing<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|error| {
            self.failure.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}
