//! Evidence by the claim certificate of a batch.

use firmware_sim::factory::Maker;
use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject};

use super::{Challenged, Presented, Spoil, Subject, said};
use crate::harness::device::{Csr, sign};
use crate::harness::wait::now;

/// A batch: its CA, and the claim certificate and key that all its devices have.
#[derive(Clone, Debug)]
pub struct ClaimBatch {
    /// The CA's certificate in PEM, for `batch add`.
    pub ca_pem: String,
    /// The claim certificate in PEM.
    pub certificate_pem: String,
    /// Its key, PKCS#8 in PEM.
    pub key_pem: String,
}

impl ClaimBatch {
    /// A new batch with a CA of its own.
    ///
    /// # Panics
    /// Where there is no randomness.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let ca = Maker::new(name, now()).expect("a CA");
        let id = DeviceId::new("BATCH").expect("an identifier");
        let claim = ca.endorse(&id, now()).expect("a claim certificate");
        Self {
            ca_pem: ca.certificate_pem(),
            certificate_pem: claim.certificate_pem,
            key_pem: claim.key_pem.to_string(),
        }
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        ca::pem::read_certificates(self.certificate_pem.as_bytes()).expect("a certificate")
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_pkcs8_pem(&self.key_pem).expect("a P-256 key")
    }
}

/// A device of a batch, and the claim certificate of a batch that nobody added.
#[derive(Debug)]
pub struct ClaimSubject {
    id: DeviceId,
    genuine: ClaimBatch,
    stranger: ClaimBatch,
    held: bool,
}

impl ClaimSubject {
    /// The device `id` of a batch; `held` says whether an operator has to approve it.
    ///
    /// # Panics
    /// Where `id` is no identifier.
    #[must_use]
    pub fn new(id: &str, batch: &ClaimBatch, held: bool) -> Self {
        let id = DeviceId::new(id).expect("an identifier");
        Self { id, genuine: batch.clone(), stranger: ClaimBatch::new("Stranger"), held }
    }
}

impl Subject for ClaimSubject {
    fn device(&self) -> &DeviceId {
        &self.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::ClaimCertificate
    }

    fn is_held(&self) -> bool {
        self.held
    }

    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented {
        let batch = if spoil == Some(Spoil::WrongMaker) { &self.stranger } else { &self.genuine };
        let claims = said::claims(&self.id, challenged, csr, spoil);
        Presented { body: sign(&batch.key(), &claims), endorsements: batch.chain() }
    }

    /// Before the nonce counts, the device is there.
    fn again(&self) -> (Reject, &'static str) {
        (Reject::IdentityConflict, "second-enrollment")
    }
}
