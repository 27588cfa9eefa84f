//! Certificates by the project's profile, and such that break it on purpose.

use agent_core::keystore::SoftKey;
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use shared::UnixTime;

/// The device's time in the tests: 2026-01-01.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// A CA.
pub(crate) struct Authority {
    /// Its certificate in DER.
    pub(crate) der: Vec<u8>,
    /// Its certificate in PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate chain, leaf first, with the leaf's key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<Vec<u8>>,
    /// The leaf in PEM.
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
    params: CertificateParams,
}

impl Authority {
    /// A root.
    pub(crate) fn root(name: &str) -> Self {
        let key = new_key();
        let params = ca_params(name);
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Self { der, pem, issuer: Issuer::new(params, key) }
    }

    /// Signs `params` with a new key.
    pub(crate) fn issue(&self, params: CertificateParams) -> Identity {
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().to_vec()], pem: certificate.pem(), key, params }
    }

    /// A server that is called `host`.
    pub(crate) fn server(&self, host: &str) -> Identity {
        self.issue(server_params(host))
    }

    /// A device.
    pub(crate) fn device(&self, id: &str) -> Identity {
        self.issue(device_params(id))
    }
}

impl Identity {
    /// Misuses this identity as a CA: a chain that goes on with its own.
    pub(crate) fn sign_as_ca(self, params: CertificateParams) -> Self {
        let key = new_key();
        let issuer = Issuer::new(self.params, self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let mut chain = vec![certificate.der().to_vec()];
        chain.extend(self.chain);
        Self { chain, pem: certificate.pem(), key, params }
    }

    /// The leaf in DER.
    pub(crate) fn leaf(&self) -> &[u8] {
        &self.chain[0]
    }

    /// The chain as the platform's traits take it.
    pub(crate) fn chain(&self) -> Vec<&[u8]> {
        self.chain.iter().map(Vec::as_slice).collect()
    }

    /// The key as a device holds it.
    pub(crate) fn device_key(&self) -> SoftKey {
        SoftKey::from(self.signing_key())
    }

    /// The key for signing by hand.
    pub(crate) fn signing_key(&self) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_pkcs8_der(&self.key.serialize_der()).unwrap()
    }
}

/// What a server's certificate says; valid from 2025 to 2045.
pub(crate) fn server_params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    common(params)
}

/// What an LDevID says.
pub(crate) fn device_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, id);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    common(params)
}

fn common(mut params: CertificateParams) -> CertificateParams {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2045, 1, 1);
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}
