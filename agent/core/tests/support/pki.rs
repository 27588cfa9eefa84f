//! Keys and certificates of the tests: maker, device identities, issuing CA, trust bundles.

use agent_core::keystore::SoftKey;
use agent_core::platform::{PublicPoint, SigningKey as _};
use p256::ecdsa::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo,
};
use sha2::{Digest as _, Sha256};
use shared::UnixTime;
use shared::cose::{self, Content};
use shared::message::latest::TrustBundle;

/// A CA.
pub struct Ca {
    pub der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from(1_u64));
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `point` in the name of `device`.
    pub fn issue(
        &self,
        device: &str,
        point: &PublicPoint,
        serial: u64,
        from: UnixTime,
        to: UnixTime,
    ) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, device);
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), device);
        params.serial_number = Some(SerialNumber::from(serial));
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + core::time::Duration::from_secs(from.as_secs());
        params.not_after = epoch + core::time::Duration::from_secs(to.as_secs());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = SubjectPublicKeyInfo::from_der(&spki(point)).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }
}

/// SubjectPublicKeyInfo of a P-256 point.
pub fn spki(point: &PublicPoint) -> Vec<u8> {
    let mut der = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
    der.extend_from_slice(point);
    der
}

/// A P-256 key out of a small number.
pub fn key(seed: u8) -> SoftKey {
    SoftKey::from(SigningKey::from_slice(&Sha256::digest([seed])).unwrap())
}

/// A signed trust bundle.
pub fn bundle(number: u64, anchors: &[&[u8]], signed_by: &SoftKey, next_signer: &SoftKey) -> Vec<u8> {
    let bundle = TrustBundle {
        number,
        made: UnixTime::from_secs(1_795_000_000),
        anchors: anchors.iter().copied().collect(),
        signer: &next_signer.public_point(),
    };
    let mut payload = [0; 4096];
    let length = bundle.encode(&mut payload).unwrap();
    let mut hash = Sha256::new();
    cose::signed_bytes(Content::TrustBundle, &payload[..length], |part| hash.update(part));
    let signature = signed_by.sign_digest(&hash.finalize().into()).unwrap();
    let mut out = [0; 4096];
    let signed = cose::encode(Content::TrustBundle, &payload[..length], &signature, &mut out).unwrap();
    out[..signed].to_vec()
}
