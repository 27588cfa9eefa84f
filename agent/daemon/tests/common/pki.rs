//! A certificate authority for one test.

use agent::keystore::FileKey;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A CA and its certificate.
pub(crate) struct Ca {
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate, its issuers, and its key.
pub(crate) struct Leaf {
    /// DER, leaf first.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) pem: String,
    pub(crate) key: KeyPair,
}

/// For whom a certificate is.
#[derive(Clone, Copy)]
pub(crate) enum Usage {
    Server,
    Device,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2049, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate with everything right, but for what `spoil` changes. A server's is for `localhost`.
    pub(crate) fn issue(&self, name: &str, usage: Usage, spoil: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        self.certify(key, name, usage, spoil)
    }

    pub(crate) fn certify(
        &self,
        key: KeyPair,
        name: &str,
        usage: Usage,
        spoil: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let mut params = leaf_params(name, usage);
        spoil(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { chain: vec![certificate.der().to_vec()], pem: certificate.pem(), key }
    }
}

impl Ca {
    /// An LDevID for the key of a PKCS#10 request, in DER.
    pub(crate) fn certify_request(&self, csr: &[u8], device: &str) -> Vec<u8> {
        let request = rcgen::CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let params = leaf_params(device, Usage::Device);
        // rcgen derives the serial number from the key; that is enough here.
        params.signed_by(&request.public_key, &self.issuer).unwrap().der().to_vec()
    }
}

impl Leaf {
    /// A certificate that this one signs, as if it were a CA.
    pub(crate) fn issue_as_if_ca(&self, name: &str, usage: Usage) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let own_key = KeyPair::from_pem(&self.key.serialize_pem()).unwrap();
        let issuer = Issuer::from_ca_cert_der(&self.chain[0].as_slice().into(), own_key).unwrap();
        let certificate = leaf_params(name, usage).signed_by(&key, &issuer).unwrap();
        let mut chain = vec![certificate.der().to_vec()];
        chain.extend(self.chain.iter().cloned());
        Self { chain, pem: certificate.pem(), key }
    }

    pub(crate) fn file_key(&self) -> FileKey {
        FileKey::from_private_key_pem(&self.key.serialize_pem()).unwrap()
    }

    pub(crate) fn chain(&self) -> Vec<&[u8]> {
        self.chain.iter().map(Vec::as_slice).collect()
    }
}

fn leaf_params(name: &str, usage: Usage) -> CertificateParams {
    let names = match usage {
        Usage::Server => vec!["localhost".to_owned()],
        Usage::Device => vec![],
    };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "test");
    if matches!(usage, Usage::Device) && !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
        let serial_number = rcgen::DnValue::PrintableString(name.try_into().unwrap());
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial_number);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2048, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match usage {
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::Device => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params
}
