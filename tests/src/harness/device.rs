//! A device of the lot, driven by hand: every step of an enrollment by itself, so that a test can repeat, mix or
//! spoil them.

use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use shared::DeviceId;
use shared::codec::EncodeError;
use shared::cose::{self, Content};
use shared::endpoint::{CHALLENGE, ENROLL};
use shared::evidence::{Claims, DebugStatus, Measurement, key_thumbprint};
use shared::limits::MAX_REQUEST_LARGE;
use shared::message::latest::{
    Challenge, ChallengeRequest, EnrollRequest, EvidenceKind, FreshEvidence, Nonce, RenewRequest,
};

use firmware_sim::factory::DeviceSettings;

use super::https::{Reply, client_config, https};
use super::world::World;

/// A device with its IDevID.
#[derive(Debug)]
pub struct HandDevice {
    /// Its identifier.
    pub id: DeviceId,
    /// Its IDevID in DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    key: SigningKey,
    settings: DeviceSettings,
}

/// A new operational key and the CSR for it.
#[derive(Debug)]
pub struct Csr {
    /// PKCS#10 in DER.
    pub der: Vec<u8>,
    /// The public key as an uncompressed point.
    pub point: [u8; 65],
    /// The private key: PKCS#8 in DER.
    pub key: Vec<u8>,
}

impl Csr {
    /// Makes a key and a CSR that asks for nothing.
    ///
    /// # Panics
    /// Where there is no randomness.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Self::asking_for(&params)
    }

    /// Makes a key and a CSR with these wishes.
    ///
    /// # Panics
    /// Where the wishes cannot be written.
    #[must_use]
    pub fn asking_for(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        let der = params.serialize_request(&key).expect("a CSR").der().to_vec();
        let point = key.der_bytes().try_into().expect("an uncompressed point");
        Self { der, point, key: key.serialize_der() }
    }
}

impl Default for Csr {
    fn default() -> Self {
        Self::new()
    }
}

impl HandDevice {
    /// A device of the world's lot.
    ///
    /// # Panics
    /// Where the factory's files cannot be used.
    #[must_use]
    pub fn load(world: &World, id: &str) -> Self {
        let file = |name: &str| format!("lot/devices/{id}/{name}");
        let key = SecretKey::from_pkcs8_pem(&world.text(&file("idevid.key"))).expect("an IDevID key");
        Self {
            id: DeviceId::new(id).expect("an identifier"),
            chain: world.certificates(&file("idevid.pem")),
            key: SigningKey::from(key),
            settings: DeviceSettings::read(&world.path(&file("device.toml"))).expect("settings"),
        }
    }

    /// The same device with another IDevID.
    #[must_use]
    pub fn with_idevid(self, chain: Vec<Vec<u8>>, key: SigningKey) -> Self {
        Self { chain, key, ..self }
    }

    /// Asks the server for a nonce.
    ///
    /// # Panics
    /// Where the server refuses.
    #[must_use]
    pub fn challenge(&self, world: &World) -> Nonce {
        let kinds = [EvidenceKind::IdevidEat].into_iter().collect();
        let request = ChallengeRequest { device: self.id.clone(), kinds, introduction: None };
        let reply = post(world, CHALLENGE, &written(|out| request.encode(out)));
        assert_eq!(reply.status, 200, "{reply:?}");
        Challenge::decode(&reply.body).expect("a challenge").nonce
    }

    /// Evidence for this nonce and key, as the device's firmware is.
    ///
    /// # Panics
    /// Where the device's settings do not fit a claim.
    #[must_use]
    pub fn evidence(&self, nonce: &Nonce, point: &[u8; 65]) -> Vec<u8> {
        self.evidence_with(nonce, point, |_| ())
    }

    /// Evidence with changed claims, signed all the same.
    ///
    /// # Panics
    /// Where the claims do not fit.
    #[must_use]
    pub fn evidence_with(
        &self,
        nonce: &Nonce,
        point: &[u8; 65],
        change: impl FnOnce(&mut Claims<'_>),
    ) -> Vec<u8> {
        let firmware = &self.settings.firmware;
        let digests: Vec<[u8; 32]> = firmware
            .measurement
            .iter()
            .map(|m| hex::decode(&m.digest).ok().and_then(|d| d.try_into().ok()).expect("a digest"))
            .collect();
        let measurements = firmware.measurement.iter().zip(&digests);
        let mut claims = Claims {
            confirmation: key_thumbprint(point),
            nonce: *nonce,
            ueid: ueid(&self.key),
            oemid: self.settings.hardware.maker_number,
            hwmodel: &self.settings.hardware.model,
            hwversion: &self.settings.hardware.version,
            dbgstat: DebugStatus::DisabledPermanently,
            swname: &firmware.name,
            swversion: &firmware.version,
            measurements: measurements
                .map(|(m, digest)| Measurement {
                    component: &m.component,
                    version: &m.version,
                    digest: *digest,
                })
                .collect(),
        };
        change(&mut claims);
        sign(&self.key, &claims)
    }

    /// The request for a certificate.
    #[must_use]
    pub fn enroll_request(&self, csr: &[u8], nonce: Nonce, evidence: &[u8]) -> Vec<u8> {
        let endorsements = self.chain.iter().map(Vec::as_slice).collect();
        let evidence = FreshEvidence { nonce, kind: EvidenceKind::IdevidEat, body: evidence, endorsements };
        let request = EnrollRequest { device: self.id.clone(), csr, evidence, trust: None };
        written(|out| request.encode(out))
    }

    /// A whole good request: challenge, evidence, CSR.
    #[must_use]
    pub fn good_request(&self, world: &World, csr: &Csr) -> Vec<u8> {
        let nonce = self.challenge(world);
        self.enroll_request(&csr.der, nonce, &self.evidence(&nonce, &csr.point))
    }

    /// Sends a request to enroll.
    #[must_use]
    pub fn enroll(&self, world: &World, request: &[u8]) -> Reply {
        post(world, ENROLL, request)
    }

    /// The request for the next certificate.
    #[must_use]
    pub fn renew_request(&self, csr: &[u8]) -> Vec<u8> {
        let request = RenewRequest { device: self.id.clone(), csr, evidence: None, trust: None };
        written(|out| request.encode(out))
    }
}

/// Sends CBOR to the world's server, without a client certificate.
#[must_use]
pub fn post(world: &World, path: &str, body: &[u8]) -> Reply {
    https(world.https_port, client_config(&world.root(), None), path, Some(body))
}

/// Signs claims with an IDevID key.
///
/// # Panics
/// Where they are too long.
#[must_use]
pub fn sign(key: &SigningKey, claims: &Claims<'_>) -> Vec<u8> {
    let payload = written(|out| claims.encode(out));
    let mut signed = Vec::new();
    cose::signed_bytes(Content::Eat, &payload, |part| signed.extend_from_slice(part));
    let signature: Signature = key.sign(&signed);
    written(|out| cose::encode(Content::Eat, &payload, &signature.to_bytes().into(), out))
}

/// The UEID that belongs to an IDevID key.
///
/// # Panics
/// Never: the key is on P-256.
#[must_use]
pub fn ueid(key: &SigningKey) -> shared::evidence::Ueid {
    let point = key.verifying_key().to_encoded_point(false);
    appraisal::ueid(&appraisal::key::PublicKey::from_point(point.as_bytes()).expect("a P-256 key"))
}

/// What an encoder writes.
///
/// # Panics
/// Where it is longer than any message.
pub fn written(encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    let mut out = vec![0; 2 * MAX_REQUEST_LARGE];
    let length = encode(&mut out).expect("a message that fits");
    out.truncate(length);
    out
}
