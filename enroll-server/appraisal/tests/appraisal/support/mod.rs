//! A maker, its devices and the evidence they give.

pub(crate) mod der;

use appraisal::key::PublicKey;
use appraisal::policy::KnownGood;
use appraisal::{
    Appraised, Basis, CheckedCsr, Endorsements, IdevidEat, KnownDevice, MakerCa, Policy, Presented, Proof,
    ReferenceValues, Refusal,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SigningKey as _,
};
use shared::cose::{Content, encode, signed_bytes};
use shared::evidence::{Claims, DebugStatus, Measurement, key_thumbprint};
use shared::{DeviceId, UnixTime};

use der::Node;

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);
pub(crate) const NONCE: [u8; 32] = [9; 32];
pub(crate) const GOOD: [u8; 32] = [0xaa; 32];

/// A CA that endorses.
pub(crate) struct Maker {
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
    pub(crate) der: Vec<u8>,
}

impl Maker {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| ())
    }

    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { key, params, der }
    }

    /// A CA below this one.
    pub(crate) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut maker = Self::with(name, change);
        maker.params.use_authority_key_identifier_extension = true;
        maker.der = maker.params.signed_by(&maker.key, &self.issuer()).unwrap().der().to_vec();
        maker
    }

    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub(crate) fn device(&self, id: &str) -> Device {
        self.device_with(id, &rcgen::PKCS_ECDSA_P256_SHA256, |_| ())
    }

    pub(crate) fn device_with(
        &self,
        id: &str,
        algorithm: &'static rcgen::SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Device {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let serial = DnValue::PrintableString(id.try_into().unwrap());
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // IEEE 802.1AR, section 8.7: 99991231235959Z for a life without end.
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        change(&mut params);
        let der = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Device { id: DeviceId::new("SN-0001").unwrap(), key, chain: vec![der] }.named(id)
    }

    /// Signs a changed certificate again: the first child is what is signed, the last the signature.
    pub(crate) fn sign_again(&self, certificate: &mut Node) {
        let signature = self.key.sign(&certificate.children()[0].write()).unwrap();
        let bits = [vec![0], signature].concat();
        *certificate.children().last_mut().unwrap() = Node { tag: 3, content: der::Content::Bytes(bits) };
    }
}

/// A device with an IDevID.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) key: KeyPair,
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Device {
    fn named(mut self, id: &str) -> Self {
        if let Ok(id) = DeviceId::new(id) {
            self.id = id;
        }
        self
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_spki_der(&self.key.subject_public_key_info()).unwrap()
    }

    /// Evidence for `csr`, changed as wanted before it is signed.
    pub(crate) fn evidence(&self, csr: &CheckedCsr, change: impl FnOnce(&mut Claims<'_>)) -> Vec<u8> {
        self.sign(&self.payload(csr, change))
    }

    /// The claims for `csr`, changed as wanted.
    pub(crate) fn payload(&self, csr: &CheckedCsr, change: impl FnOnce(&mut Claims<'_>)) -> Vec<u8> {
        let mut claims = Claims {
            confirmation: key_thumbprint(csr.point()),
            nonce: NONCE,
            ueid: appraisal::ueid(&self.public_key()),
            oemid: 32473,
            hwmodel: "sensor-a",
            hwversion: "1",
            dbgstat: DebugStatus::DisabledPermanently,
            swname: "firmware",
            swversion: "1.2.0",
            measurements: [Measurement { component: "application", version: "1.2.0", digest: GOOD }]
                .into_iter()
                .collect(),
        };
        change(&mut claims);
        let mut payload = [0; 1024];
        let length = claims.encode(&mut payload).unwrap();
        payload[..length].to_vec()
    }

    pub(crate) fn sign(&self, payload: &[u8]) -> Vec<u8> {
        self.sign_as(Content::Eat, payload)
    }

    pub(crate) fn sign_as(&self, content: Content, payload: &[u8]) -> Vec<u8> {
        let mut signed = vec![];
        signed_bytes(content, payload, |part| signed.extend_from_slice(part));
        let signature = self.sign_fixed(&signed);
        let mut eat = vec![0; 2048];
        let length = encode(content, payload, signature.as_slice().try_into().unwrap(), &mut eat).unwrap();
        eat.truncate(length);
        eat
    }

    /// Signs with ES256: r and s, 32 bytes each.
    pub(crate) fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.key.serialized_der()).unwrap();
        key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

pub(crate) fn csr() -> CheckedCsr {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    appraisal::csr::check(csr.der()).unwrap()
}

/// What a server holds.
pub(crate) struct World {
    pub(crate) maker: Maker,
    pub(crate) device: Device,
    pub(crate) makers: Endorsements,
    pub(crate) policy: Policy,
    pub(crate) reference_values: ReferenceValues,
    pub(crate) known: Option<KnownDevice>,
    pub(crate) csr: CheckedCsr,
}

impl World {
    /// All is well.
    pub(crate) fn new() -> Self {
        let maker = Maker::new("Example Maker CA");
        let device = maker.device("SN-0001");
        let makers = Endorsements::new(vec![MakerCa::new("example", &maker.der).unwrap()]);
        let known_good = KnownGood {
            component: "application".into(),
            version: Some("1.2.0".into()),
            digest: GOOD.to_vec(),
            ..KnownGood::default()
        };
        Self {
            maker,
            device,
            makers,
            policy: Policy::default(),
            reference_values: vec![known_good].into(),
            known: Some(registered()),
            csr: csr(),
        }
    }

    pub(crate) fn basis(&self) -> Basis<'_> {
        Basis { makers: &self.makers, policy: &self.policy, reference_values: &self.reference_values }
    }

    /// Sets the policy from a file.
    pub(crate) fn policy(mut self, text: &str) -> Self {
        self.policy = Policy::parse("policy.toml", text).unwrap();
        self
    }

    pub(crate) fn appraise(&self, change: impl FnOnce(&mut Claims<'_>)) -> Result<Appraised, Refusal> {
        let eat = self.device.evidence(&self.csr, change);
        self.appraise_eat(&eat, &self.device.chain)
    }

    pub(crate) fn appraise_eat(&self, eat: &[u8], chain: &[Vec<u8>]) -> Result<Appraised, Refusal> {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let proof = Proof::IdevidEat(IdevidEat { eat, endorsements: &chain, nonce: &NONCE });
        self.appraise_proof(&proof)
    }

    pub(crate) fn appraise_proof(&self, proof: &Proof<'_>) -> Result<Appraised, Refusal> {
        let presented = Presented { device: &self.device.id, csr: &self.csr, proof };
        appraisal::appraise(&presented, &self.basis(), self.known.as_ref(), NOW)
    }
}

pub(crate) fn registered() -> KnownDevice {
    KnownDevice {
        group: appraisal::GroupName::default(),
        state: appraisal::DeviceState::Registered,
        model: None,
        idevid_spki_sha256: None,
        approval: appraisal::Approval::None,
    }
}
