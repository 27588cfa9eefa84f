//! The issuer: signs what was linted for its CA, and nothing else.
//!
//! It gives out no serial numbers; the record of intent has them. It remembers whether its key signed the last time, and
//! nothing else.

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, TryLockError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
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
    /// Whether the key did not sign the last time.
    failed: AtomicBool,
    /// Held while the key is tried: one that hangs is not asked again and again.
    trial: Mutex<()>,
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
        Ok(Self { certificate, key, failed: AtomicBool::new(false), trial: Mutex::new(()) })
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

    /// Whether the key did not sign when it was last asked to.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Has the key sign what is no certificate and no list: for whoever wants to know whether one that failed is back. It may
    /// block as long as the key does.
    ///
    /// # Errors
    /// Where the key does not sign, or a trial before this one has not ended.
    pub fn try_key(&self) -> Result<(), KeyError> {
        let _trial = match self.trial.try_lock() {
            Ok(trial) => trial,
            Err(TryLockError::Poisoned(trial)) => trial.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(KeyError::OnTrial),
        };
        // Nothing in DER that a CA signs begins like this.
        let message = b"enroll-server: trial of a CA's key";
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.certificate.public_point());
        self.noted(
            self.key
                .sign(message)
                .and_then(|signature| public.verify(message, &signature).map_err(|_| KeyError::Signing)),
        )
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
        self.noted(Issued::sign(linted, self.key.as_ref()))
    }

    /// Signs what this crate has written: a revocation list, and nothing that a caller could choose.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Ok(self.noted(self.key.sign(message))?)
    }

    /// What became of a signature, remembered.
    fn noted<T, E>(&self, signed: Result<T, E>) -> Result<T, E> {
        self.failed.store(signed.is_err(), Ordering::Relaxed);
        signed
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

#[cfg(test)]
mod tests {
    use super::{IssueError, Issuer};
    use crate::hierarchy::{ROOT_LIFETIME, root_ca};
    use crate::key::{FileKey, IssuerKey, KeyError};
    use core::sync::atomic::{AtomicUsize, Ordering};
    use shared::UnixTime;
    use std::sync::{Arc, Barrier};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    /// A key that can be pulled: it fails, signs with another key, or waits for whoever is at the other end.
    #[derive(Debug)]
    struct Token {
        key: FileKey,
        other: FileKey,
        state: Arc<AtomicUsize>,
        gate: Arc<Barrier>,
    }

    const GOOD: usize = 0;
    const PULLED: usize = 1;
    const EXCHANGED: usize = 2;
    const SLOW: usize = 3;

    impl IssuerKey for Token {
        fn public_point(&self) -> &[u8; 65] {
            self.key.public_point()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
            match self.state.load(Ordering::SeqCst) {
                PULLED => return Err(KeyError::Unavailable("pulled".into())),
                EXCHANGED => return self.other.sign(message),
                SLOW => {
                    let _both = (self.gate.wait(), self.gate.wait());
                }
                _ => {}
            }
            self.key.sign(message)
        }
    }

    #[test]
    fn a_key_that_did_not_sign_is_remembered_until_it_does() {
        let (certificate, key) = root_ca("Acme", ROOT_LIFETIME, NOW).unwrap();
        let (state, gate) = (Arc::new(AtomicUsize::new(GOOD)), Arc::new(Barrier::new(2)));
        let other = FileKey::generate().unwrap();
        let token = Token { key, other, state: Arc::clone(&state), gate: Arc::clone(&gate) };
        let issuer = Issuer::new(certificate, Box::new(token)).unwrap();
        assert!(!issuer.has_failed(), "nobody has asked it");
        state.store(PULLED, Ordering::SeqCst);
        assert!(matches!(issuer.sign(b"a list"), Err(IssueError::Key(KeyError::Unavailable(_)))));
        assert!(issuer.has_failed());
        assert!(matches!(issuer.try_key(), Err(KeyError::Unavailable(_))));
        state.store(EXCHANGED, Ordering::SeqCst);
        assert!(matches!(issuer.try_key(), Err(KeyError::Signing)), "a signature of another key is none");
        assert!(issuer.has_failed());
        state.store(GOOD, Ordering::SeqCst);
        issuer.try_key().unwrap();
        assert!(!issuer.has_failed());

        // One that hangs is asked once.
        state.store(SLOW, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| issuer.try_key());
            let _under_way = gate.wait();
            assert!(matches!(issuer.try_key(), Err(KeyError::OnTrial)));
            let _go_on = gate.wait();
            first.join().unwrap().unwrap();
        });
    }
}
