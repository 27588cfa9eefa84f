//! The LDevID of a mutual-TLS connection, as the issuance needs it.
//!
//! The TLS handshake has verified its chain and the possession of its key, its end excepted. Whether it was
//! revoked is asked of the store, at every use.

use appraisal::TlsIdentity;
use appraisal::key::{PublicKey, SpkiHash};
use ca::Serial;
use shared::{DeviceId, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::Denied;
use crate::store::{CertificateState, Store};

/// A client certificate of our issuing CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    der: Vec<u8>,
    device: DeviceId,
    serial: Serial,
    not_after: UnixTime,
    spki_sha256: SpkiHash,
}

/// Why a client certificate is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not X.509 in DER.
    #[error("it is not an X.509 certificate in DER")]
    Malformed,
    /// The subject has not exactly one serialNumber that is a device identifier.
    #[error("its subject does not name one device")]
    Subject,
    /// A serial number that this server does not give.
    #[error("its serial number is not one of this server's")]
    Serial,
    /// Another key than P-256.
    #[error("its key is not on P-256")]
    Key,
    /// The store does not know it, or knows another certificate under its serial number.
    #[error("the store does not know it")]
    NotInStore,
}

impl ClientIdentity {
    /// Reads the leaf of a client's chain, in DER.
    ///
    /// # Errors
    /// Where it is not of the form that this server issues.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Malformed)?;
        if !rest.is_empty() {
            return Err(IdentityError::Malformed);
        }
        let subject = certificate.subject();
        let mut numbers = subject.iter_by_oid(&x509_parser::oid_registry::OID_X509_SERIALNUMBER);
        let (Some(number), None) = (numbers.next(), numbers.next()) else {
            return Err(IdentityError::Subject);
        };
        let device = number.as_str().ok().and_then(|text| DeviceId::new(text).ok());
        let key = PublicKey::from_spki_der(certificate.public_key().raw).ok_or(IdentityError::Key)?;
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Self {
            der: der.to_vec(),
            device: device.ok_or(IdentityError::Subject)?,
            serial: Serial::from_der_value(certificate.raw_serial()).ok_or(IdentityError::Serial)?,
            not_after: UnixTime::from_secs(not_after),
            spki_sha256: *key.spki_sha256(),
        })
    }

    /// The device in its subject.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Its serial number.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// The last second of its life.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The identity as the store has it: with its revocation, and only where it is the very certificate that
    /// was issued.
    pub(super) async fn as_stored(&self, store: &dyn Store) -> Result<TlsIdentity, Denied> {
        let stored = store.certificate(self.serial).await?.ok_or(IdentityError::NotInStore)?;
        if stored.der.as_deref() != Some(&self.der) {
            return Err(IdentityError::NotInStore.into());
        }
        Ok(TlsIdentity {
            device: self.device.clone(),
            not_after: self.not_after,
            spki_sha256: self.spki_sha256,
            revoked: stored.state != CertificateState::Issued,
        })
    }
}
