//! The responder of one CA: a key of its own, and a short-lived certificate that the CA signed for it.

use core::time::Duration;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use shared::UnixTime;

use super::request::{Asked, Hash};
use crate::certificate::CaCertificate;
use crate::hierarchy::HierarchyError;
use crate::issuer::{Issued, Issuer};
use crate::key::{FileKey, IssuerKey as _};
use crate::lint::lint_template;
use crate::profile::Validity;
use crate::serial::Serial;
use crate::template::{Attribute, Extra, Template, Usage};

/// Life of a responder's certificate. Nobody asks whether it was revoked (id-pkix-ocsp-nocheck), so it is short.
pub const RESPONDER_LIFETIME: Duration = Duration::from_secs(14 * 86_400);

/// Signs OCSP answers for one CA. Its key is made here, lives in memory only, and can sign nothing else that anyone
/// believes.
#[derive(Debug)]
pub struct Responder {
    key: FileKey,
    certificate: Issued,
    key_hash: Vec<u8>,
}

impl Responder {
    /// Makes a key, and has `issuer` certify it for [`RESPONDER_LIFETIME`], or to its own end if that is sooner.
    ///
    /// # Errors
    /// Where the CA cannot sign.
    pub fn new(issuer: &Issuer, now: UnixTime) -> Result<Self, HierarchyError> {
        let key = FileKey::generate()?;
        let ca = issuer.certificate();
        let template = Template {
            serial: Serial::random()?,
            validity: Validity::clamped(now, RESPONDER_LIFETIME, ca.validity()),
            subject: vec![(Attribute::CommonName, "OCSP responder".into())],
            point: *key.public_point(),
            names: vec![],
            usage: Usage::OcspResponder,
            crl_url: None,
            ocsp_url: None,
            extra: Extra::default(),
        };
        let certificate = issuer.issue(lint_template(template, ca, RESPONDER_LIFETIME, now)?, now)?;
        // RFC 6960, section 4.2.1: KeyHash is the SHA-1 of the key, whatever else is hashed how.
        let key_hash = hash(&SHA1_FOR_LEGACY_USE_ONLY, key.public_point());
        Ok(Self { key, certificate, key_hash })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Issued {
        &self.certificate
    }

    /// Whether another one has to be made: half of its life is over, or it has not begun.
    #[must_use]
    pub fn is_due(&self, now: UnixTime) -> bool {
        let Validity { not_before, not_after } = self.certificate.validity();
        now < not_before || now >= not_before.after(not_after.since(not_before) / 2)
    }

    /// The last second at which it can sign.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.certificate.validity().not_after
    }

    pub(super) const fn key(&self) -> &FileKey {
        &self.key
    }

    pub(super) fn key_hash(&self) -> &[u8] {
        &self.key_hash
    }
}

/// Whether the certificate that is asked about names this CA (RFC 6960, section 4.1.1): by the hash of its subject, and
/// of its key without tag and unused bits.
#[must_use]
pub fn names_issuer(asked: &Asked, ca: &CaCertificate) -> bool {
    let algorithm = match asked.hash {
        Some(Hash::Sha1) => &SHA1_FOR_LEGACY_USE_ONLY,
        Some(Hash::Sha256) => &SHA256,
        None => return false,
    };
    hash(algorithm, ca.subject_der()) == asked.issuer_name_hash
        && hash(algorithm, ca.public_point()) == asked.issuer_key_hash
}

fn hash(algorithm: &'static Algorithm, bytes: &[u8]) -> Vec<u8> {
    digest(algorithm, bytes).as_ref().to_vec()
}
