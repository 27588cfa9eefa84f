//! A maker, its devices, and what they send; knows nothing of the server's inside.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, DnValue,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, RevokedCertParams, SerialNumber,
};
use shared::DeviceId;
use shared::cose::{Content, encode, signed_bytes};
use shared::evidence::{Claims, DebugStatus, Measurement, Ueid, key_thumbprint};
use shared::message::latest::{EnrollRequest, EvidenceKind, FreshEvidence, Nonce, RenewRequest};

/// What the firmware of good devices measures.
pub(crate) const GOOD: [u8; 32] = [0xaa; 32];

/// The policy's part that knows [`GOOD`].
pub(crate) fn reference_values() -> String {
    let digest = hex::encode(GOOD);
    format!("\n[[measurement]]\ncomponent = \"application\"\nversion = \"1.2.0\"\ndigest = \"{digest}\"\n")
}

/// A maker's CA.
pub(crate) struct Maker {
    key: KeyPair,
    params: CertificateParams,
    pub(crate) pem: String,
}

impl Maker {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = ca::pem::certificate(params.self_signed(&key).unwrap().der());
        Self { key, params, pem }
    }

    /// Its key in PEM, for another program.
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A revocation list in DER with the IDevID of `device` on it, in force for as long as any clock of a test needs.
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) fn revokes(&self, device: &Device) -> Vec<u8> {
        use x509_parser::prelude::FromDer as _;
        let (_, idevid) = x509_parser::certificate::X509Certificate::from_der(&device.idevid).unwrap();
        let begin = rcgen::date_time_ymd(2020, 1, 1);
        let entry = RevokedCertParams {
            serial_number: SerialNumber::from_slice(idevid.raw_serial()),
            revocation_time: begin,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: begin,
            next_update: rcgen::date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![entry],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(&issuer).unwrap().der().to_vec()
    }

    pub(crate) fn device(&self, id: &str) -> Device {
        self.device_with(id, KeyPair::generate().unwrap())
    }

    /// The identity key of `device` under another name.
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) fn renamed(&self, device: &Device, id: &str) -> Device {
        self.device_with(id, KeyPair::try_from(device.key_der()).unwrap())
    }

    fn device_with(&self, id: &str, key: KeyPair) -> Device {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let serial = DnValue::PrintableString(id.try_into().unwrap());
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let idevid = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Device {
            id: DeviceId::new(id).unwrap(),
            key,
            idevid,
            digest: GOOD,
            version: "1.2.0",
            debug: DebugStatus::DisabledPermanently,
        }
    }
}

/// A device with an IDevID.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    key: KeyPair,
    pub(crate) idevid: Vec<u8>,
    /// What its firmware measures.
    pub(crate) digest: [u8; 32],
    /// The version it says.
    pub(crate) version: &'static str,
    /// The debug state it says.
    pub(crate) debug: DebugStatus,
}

/// An operational key with its CSR.
pub(crate) struct Operational {
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) pair: KeyPair,
    pub(crate) csr: Vec<u8>,
}

impl Operational {
    pub(crate) fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&pair).unwrap().der().to_vec();
        Self { pair, csr }
    }
}

impl Device {
    fn public_key(&self) -> appraisal::key::PublicKey {
        appraisal::key::PublicKey::from_spki_der(&self.key.subject_public_key_info()).unwrap()
    }

    /// Its IDevID key in PKCS#8.
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// Its line in the inventory.
    pub(crate) fn inventory(&self) -> String {
        let key = hex::encode(self.public_key().spki_sha256());
        format!("device,model,idevid_sha256\n{},sensor-a,{key}\n", self.id)
    }

    /// An EAT for `nonce` and the key of `csr`.
    pub(crate) fn evidence(&self, nonce: &Nonce, csr: &[u8]) -> Vec<u8> {
        self.sign(&self.payload(nonce, csr, appraisal::ueid(&self.public_key())))
    }

    /// The claims for `nonce` and the key of `csr`.
    pub(crate) fn payload(&self, nonce: &Nonce, csr: &[u8], ueid: Ueid) -> Vec<u8> {
        let csr = appraisal::csr::check(csr).unwrap();
        let claims = Claims {
            confirmation: key_thumbprint(csr.point()),
            nonce: *nonce,
            ueid,
            oemid: 32473,
            hwmodel: "sensor-a",
            hwversion: "1",
            dbgstat: self.debug,
            swname: "firmware",
            swversion: self.version,
            measurements: [Measurement {
                component: "application",
                version: self.version,
                digest: self.digest,
            }]
            .into_iter()
            .collect(),
        };
        let mut payload = [0; 1024];
        let length = claims.encode(&mut payload).unwrap();
        payload[..length].to_vec()
    }

    pub(crate) fn sign(&self, payload: &[u8]) -> Vec<u8> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.key.serialized_der()).unwrap();
        let mut signed = vec![];
        signed_bytes(Content::Eat, payload, |part| signed.extend_from_slice(part));
        let signature = key.sign(&SystemRandom::new(), &signed).unwrap();
        let mut eat = vec![0; 2048];
        let signature = signature.as_ref().try_into().unwrap();
        let length = encode(Content::Eat, payload, signature, &mut eat).unwrap();
        eat.truncate(length);
        eat
    }

    /// The body of an enrollment.
    pub(crate) fn enroll(&self, nonce: Nonce, csr: &[u8]) -> Vec<u8> {
        let eat = self.evidence(&nonce, csr);
        let evidence = FreshEvidence {
            nonce,
            kind: EvidenceKind::IdevidEat,
            body: &eat,
            endorsements: [self.idevid.as_slice()].into_iter().collect(),
        };
        written(|out| {
            EnrollRequest { device: self.id.clone(), csr, evidence, trust: None }.encode(out).unwrap()
        })
    }

    /// The body of an enrollment by token.
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) fn enroll_by_token(id: &DeviceId, token: &str, nonce: Nonce, csr: &[u8]) -> Vec<u8> {
        let evidence = FreshEvidence {
            nonce,
            kind: EvidenceKind::OneTimeToken,
            body: token.as_bytes(),
            endorsements: Default::default(),
        };
        written(|out| EnrollRequest { device: id.clone(), csr, evidence, trust: None }.encode(out).unwrap())
    }

    /// The body of a renewal with fresh evidence.
    #[allow(dead_code, reason = "not every test target needs it")]
    pub(crate) fn renew_with_evidence(&self, nonce: Nonce, csr: &[u8]) -> Vec<u8> {
        let eat = self.evidence(&nonce, csr);
        let evidence = Some(FreshEvidence {
            nonce,
            kind: EvidenceKind::IdevidEat,
            body: &eat,
            endorsements: [self.idevid.as_slice()].into_iter().collect(),
        });
        written(|out| {
            RenewRequest { device: self.id.clone(), csr, evidence, trust: None }.encode(out).unwrap()
        })
    }

    /// The body of a renewal without evidence.
    pub(crate) fn renew(id: &DeviceId, csr: &[u8]) -> Vec<u8> {
        written(|out| {
            RenewRequest { device: id.clone(), csr, evidence: None, trust: None }.encode(out).unwrap()
        })
    }
}

fn written(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0; shared::limits::MAX_REQUEST];
    let length = write(&mut out);
    out.truncate(length);
    out
}
