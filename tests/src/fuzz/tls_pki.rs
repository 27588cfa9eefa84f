//! The certificates of a server that fuzz targets play: the same in every run, as keys and signatures follow from nothing else.

use std::sync::LazyLock;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use shared::UnixTime;

/// Whom boards call.
pub(super) const HOST: &str = "enroll.example";

/// A board's clock: 2026-01-01.
pub(super) const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// What a server has.
pub(super) struct Pki {
    /// The trust anchor.
    pub(super) root: Vec<u8>,
    /// Certificates by their numbers: the server's, one for another host, one of a CA that nobody knows, the trust anchor. All
    /// but the last are of the server's key.
    pub(super) chain: [Vec<u8>; 4],
    /// The server's key.
    pub(super) key: SigningKey,
}

pub(super) static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let (root, stranger, server) = (Key::new(1), Key::new(2), Key::new(3));
    let ca = |key: &Key, name: &str| ca(name).self_signed(key).expect("a root").der().to_vec();
    let (anchor, key) = (ca(&root, "root"), server.key.clone());
    let leaf = |host: &str, issuer: &Issuer<'_, Key>| {
        named(host).signed_by(&server, issuer).expect("a certificate").der().to_vec()
    };
    let (root, stranger) = (Issuer::new(self::ca("root"), root), Issuer::new(self::ca("root"), stranger));
    let chain = [leaf(HOST, &root), leaf("other.example", &root), leaf(HOST, &stranger), anchor.clone()];
    Pki { root: anchor, chain, key }
});

/// A key that signs the same in the same way (RFC 6979).
struct Key {
    key: SigningKey,
    point: Vec<u8>,
}

impl Key {
    fn new(number: u8) -> Self {
        let key = SigningKey::from_slice(&[number; 32]).expect("a number below the order");
        let point = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Self { key, point }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self.key.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

fn ca(name: &str) -> CertificateParams {
    let mut params = valid(CertificateParams::default(), name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(host: &str) -> CertificateParams {
    let mut params = valid(CertificateParams::new([host.to_owned()]).expect("a name"), host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn valid(mut params: CertificateParams, name: &str) -> CertificateParams {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    params
}
