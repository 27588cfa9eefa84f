//! Certificates to test with: a root, an intermediate CA, a server, and what else a test wants.

use agent_core::x509::{self, PathError, Validity};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SigningKey as _, date_time_ymd,
};
use shared::UnixTime;

use super::der::Node;

pub(crate) const HOST: &str = "broker.example.com";

/// A certificate and its key.
pub(crate) struct Entity {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) der: Vec<u8>,
}

impl Entity {
    /// A self-signed certificate.
    pub(crate) fn root(params: CertificateParams) -> Self {
        let key = new_key();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// A certificate with a new key, signed by this one, whatever this one is.
    pub(crate) fn issue(&self, params: CertificateParams) -> Self {
        self.issue_for(params, new_key())
    }

    /// As [`issue`](Self::issue), for a key that is there.
    pub(crate) fn issue_for(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// Signs a changed certificate again, as this entity.
    pub(crate) fn resign(&self, certificate: &mut Node) {
        let fields = certificate.children_mut();
        let signature = self.key.sign(&fields[0].encode()).unwrap();
        let content = [&[0][..], &signature].concat();
        fields[2] = Node::primitive(0x03, &content);
    }
}

/// A root, an intermediate CA below it, and a server's certificate below that.
pub(crate) struct Chain {
    pub(crate) root: Entity,
    pub(crate) intermediate: Entity,
    pub(crate) server: Entity,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let root = Entity::root(ca("Root"));
        let intermediate = root.issue(ca("Intermediate"));
        let server = intermediate.issue(server());
        Self { root, intermediate, server }
    }
}

pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(crate) fn ca(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) fn server() -> CertificateParams {
    let mut params = params(HOST);
    params.subject_alt_names = vec![rcgen::SanType::DnsName(HOST.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// An operational device certificate as the enrollment server issues it.
pub(crate) fn ldevid() -> CertificateParams {
    let mut params = params("SN-0001");
    params.subject_alt_names = vec![rcgen::SanType::URI("urn:dev:os:32473-SN-0001".try_into().unwrap())];
    params.distinguished_name.push(DnType::from_oid(&[2, 5, 4, 5]), "SN-0001");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub(crate) fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

/// Within the dates of [`params`].
pub(crate) fn now() -> Validity {
    Validity::At(UnixTime::from_civil(2026, 11, 24, 0, 0, 0).unwrap())
}

pub(crate) fn verify(sent: &[&Entity], anchors: &[&Entity]) -> Result<(), PathError> {
    let sent: Vec<&[u8]> = sent.iter().map(|entity| entity.der.as_slice()).collect();
    let anchors: Vec<&[u8]> = anchors.iter().map(|entity| entity.der.as_slice()).collect();
    x509::verify_server(&sent, &anchors, HOST, now()).map(|_| ())
}
