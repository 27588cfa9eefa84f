//! Evidence by symmetric key.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use shared::cose::{encode_mac0, mac_bytes};
use shared::keytext::{KeyText, Scope};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject};

use super::{Challenged, Expected, Presented, Spoil, Subject, of_signed_evidence, said};
use crate::harness::device::{Csr, written};

/// Whose key the server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOf {
    /// The device's own.
    Device,
    /// Its group's; the device's is derived from it.
    Group,
}

/// A device with a key that the server can verify with, and a key that the server never made.
#[derive(Debug)]
pub struct SymmetricSubject {
    id: DeviceId,
    key: KeyText,
    stranger: KeyText,
    of: KeyOf,
}

impl SymmetricSubject {
    /// The device `id` with the key in `text`.
    ///
    /// # Panics
    /// Where it is no key of a device.
    #[must_use]
    pub fn new(id: &str, text: &str, of: KeyOf) -> Self {
        let key = KeyText::parse(text).expect("a key");
        assert_eq!(key.scope(), Scope::Device, "the key of a group is for no device");
        let stranger = KeyText::new(Scope::Device, [0x5a; 8], *key.key());
        Self { id: DeviceId::new(id).expect("an identifier"), key, stranger, of }
    }
}

impl Subject for SymmetricSubject {
    fn device(&self) -> &DeviceId {
        &self.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::SymmetricKey
    }

    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented {
        let key = if spoil == Some(Spoil::WrongMaker) { &self.stranger } else { &self.key };
        let claims = said::claims(&self.id, challenged, csr, spoil);
        let payload = written(|out| claims.encode(out));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.key()).expect("a key of any length");
        mac_bytes(key.kid(), &payload, |part| mac.update(part));
        let tag = mac.finalize().into_bytes().into();
        Presented {
            body: written(|out| encode_mac0(key.kid(), &payload, &tag, out)),
            endorsements: Vec::new(),
        }
    }

    fn expected(&self, spoil: Spoil) -> Expected {
        let no_such_key = Expected::Refused(Reject::BadCredential, "credential");
        match (spoil, self.of) {
            // A key is for one device by its name, or by how it was derived.
            (Spoil::OtherDevice, KeyOf::Device) | (Spoil::WrongMaker, _) => no_such_key,
            (Spoil::OtherDevice, KeyOf::Group) => {
                Expected::Refused(Reject::EvidenceSignature, "evidence-signature")
            }
            _ => of_signed_evidence(spoil),
        }
    }
}
