//! Evidence by IDevID.

use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use shared::DeviceId;
use shared::evidence::DebugStatus;
use shared::message::latest::EvidenceKind;

use super::{Challenged, Presented, Spoil, Subject};
use crate::harness::device::{Csr, HandDevice};
use crate::harness::world::World;

/// A device of the world's lot, and an IDevID of the same name by a maker nobody knows.
#[derive(Debug)]
pub struct IdevidSubject {
    genuine: HandDevice,
    stranger: HandDevice,
}

impl IdevidSubject {
    /// A device of the world's lot.
    ///
    /// # Panics
    /// Where the factory's files cannot be used.
    #[must_use]
    pub fn new(world: &World, id: &str) -> Self {
        let genuine = HandDevice::load(world, id);
        let key = KeyPair::generate().expect("a key");
        let signing = SigningKey::from_pkcs8_der(&key.serialize_der()).expect("a P-256 key");
        let stranger = HandDevice::load(world, id).with_idevid(vec![endorse(id, &key)], signing);
        Self { genuine, stranger }
    }
}

impl Subject for IdevidSubject {
    fn device(&self) -> &DeviceId {
        &self.genuine.id
    }

    fn kind(&self) -> EvidenceKind {
        EvidenceKind::IdevidEat
    }

    fn present(&self, challenged: &Challenged, csr: &Csr, spoil: Option<Spoil>) -> Presented {
        let device = if spoil == Some(Spoil::WrongMaker) { &self.stranger } else { &self.genuine };
        let body = device.evidence_with(&challenged.nonce, &csr.point, |claims| match spoil {
            Some(Spoil::OldVersion) => claims.swversion = "0.0.1",
            Some(Spoil::OpenDebug) => claims.dbgstat = DebugStatus::Enabled,
            _ => {}
        });
        Presented { body, endorsements: device.chain.clone() }
    }
}

/// An IDevID for `key` by a maker that is made here and forgotten.
pub(super) fn endorse(id: &str, key: &KeyPair) -> Vec<u8> {
    let mut maker = CertificateParams::default();
    maker.distinguished_name = DistinguishedName::new();
    maker.distinguished_name.push(DnType::CommonName, "Stranger CA");
    maker.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    maker.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let maker_key = KeyPair::generate().expect("a key");
    let mut device = CertificateParams::default();
    device.distinguished_name = DistinguishedName::new();
    let serial = DnValue::PrintableString(id.try_into().expect("printable characters"));
    device.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
    device.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    device.use_authority_key_identifier_extension = true;
    let issuer = Issuer::from_params(&maker, &maker_key);
    device.signed_by(key, &issuer).expect("a certificate").der().to_vec()
}
