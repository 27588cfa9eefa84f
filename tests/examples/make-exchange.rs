//! Makes `shared/vectors/exchange.json` anew: one enrollment and one renewal with fresh keys.
//!
//! A change of this file is wanted only when the protocol or a certificate profile changes.

#![expect(clippy::unwrap_used, reason = "a tool for developers stops at the first error")]

use core::fmt::Write as _;
use core::time::Duration;

use ca::{CaCertificate, Issuer, LdevidProfile, RecordedIntent, Serial, Validity, hierarchy};
use firmware_sim::factory::{MAKER_NUMBER, Maker};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey as _;
use shared::evidence::{Claims, DebugStatus, Measurement, key_thumbprint};
use shared::message::latest::{
    Answer, BrokerSettings, Challenge, ChallengeRequest, EnrollRequest, EvidenceKind, FreshEvidence, Issued,
    Outcome, RenewRequest,
};
use shared::{DeviceId, UnixTime};
use tests::harness::Csr;
use tests::harness::device::{sign, ueid, written};

const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);
const LIFETIME: Duration = Duration::from_secs(90 * 86_400);

fn main() {
    let device = DeviceId::new("SN-0001").unwrap();
    let mut file = File::new();
    file.text("device", device.as_str());

    let maker = Maker::new("Example Maker", NOW).unwrap();
    let idevid = maker.endorse(&device, NOW).unwrap();
    let idevid_key = SigningKey::from(SecretKey::from_pkcs8_pem(&idevid.key_pem).unwrap());
    let idevid_der = der(&idevid.certificate_pem);
    file.bytes("maker_ca", &der(&maker.certificate_pem()));
    file.bytes("idevid", &idevid_der);
    file.bytes("idevid_key", &idevid_key.to_bytes());

    let authority = Authority::new();
    file.bytes("root_ca", authority.root.certificate().der());
    file.bytes("issuing_ca", authority.issuing.certificate().der());
    let server_key = ca::FileKey::generate().unwrap();
    let names = ["localhost", "127.0.0.1"];
    let lifetime = hierarchy::SERVER_LIFETIME;
    let server =
        hierarchy::server_certificate(&names, &server_key, &authority.issuing, lifetime, NOW).unwrap();
    file.text("server_host", "localhost");
    file.bytes("server_certificate", server.der());
    file.bytes("trust_signer", &authority.signer);
    file.bytes("trust_bundle", &authority.bundle);

    let request = ChallengeRequest {
        device: device.clone(),
        kinds: [EvidenceKind::IdevidEat].into_iter().collect(),
        introduction: None,
    };
    file.bytes("challenge_request", &written(|out| request.encode(out)));
    let nonce = core::array::from_fn(|i| u8::try_from(i).unwrap() ^ 0xa5);
    let valid_until = NOW.after(Duration::from_secs(300));
    let challenge = Challenge {
        server_time: NOW,
        nonce,
        valid_until,
        kind: EvidenceKind::IdevidEat,
        credential: None,
        renewal_wanted: false,
    };
    file.bytes("challenge", &written(|out| challenge.encode(out)));

    let first = Csr::new();
    file.bytes("ldevid_key", &scalar(&first));
    file.bytes("csr", &first.der);
    let evidence = evidence(&idevid_key, &nonce, &first.point);
    file.bytes("evidence", &evidence);
    let fresh = FreshEvidence {
        nonce,
        kind: EvidenceKind::IdevidEat,
        body: &evidence,
        endorsements: [idevid_der.as_slice()].into_iter().collect(),
    };
    let enroll = EnrollRequest { device: device.clone(), csr: &first.der, evidence: fresh, trust: None };
    file.bytes("enroll_request", &written(|out| enroll.encode(out)));
    file.bytes("enroll_answer", &authority.issue(&device, first.point, NOW));

    let later = NOW.after(LIFETIME * 3 / 4);
    let second = Csr::new();
    file.bytes("renewed_key", &scalar(&second));
    let renew = RenewRequest { device: device.clone(), csr: &second.der, evidence: None, trust: None };
    file.bytes("renew_request", &written(|out| renew.encode(out)));
    file.bytes("renew_answer", &authority.issue(&device, second.point, later));

    std::fs::write(tests::exchange::PATH, file.finish()).unwrap();
}

/// The enrollment server's side.
struct Authority {
    root: Issuer,
    issuing: Issuer,
    signer: [u8; 65],
    bundle: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let (root, key) = hierarchy::root_ca("Example", hierarchy::ROOT_LIFETIME, NOW).unwrap();
        let root = Issuer::new(root, Box::new(key)).unwrap();
        let (issuing, key) =
            hierarchy::issuing_ca("Example", &root, hierarchy::ISSUING_LIFETIME, NOW).unwrap();
        let issuing = Issuer::new(issuing, Box::new(key)).unwrap();
        let signer = ca::bundle::TrustSigner::new(&ca::FileKey::generate().unwrap()).unwrap();
        let anchors: [&CaCertificate; 1] = [root.certificate()];
        let bundle = signer.sign(1, NOW, &anchors, signer.public_point()).unwrap();
        Self { root, issuing, signer: *signer.public_point(), bundle }
    }

    fn issue(&self, device: &DeviceId, point: [u8; 65], now: UnixTime) -> Vec<u8> {
        let validity = Validity::of_ldevid(now, LIFETIME, self.issuing.certificate()).unwrap();
        let intent = Intent { serial: Serial::random().unwrap(), device: device.clone(), point, validity };
        let profile = LdevidProfile::new("Example", MAKER_NUMBER).unwrap();
        let linted = ca::lint(&intent, &profile, self.issuing.certificate(), now).unwrap();
        let issued = self.issuing.issue(linted, now).unwrap();
        let (renew_from, renew_by) = validity.renewal_window();
        let topic = |last: &str| format!("devices/{device}/{last}");
        let answer = Answer {
            server_time: now,
            outcome: Outcome::Issued(Issued {
                chain: [issued.der(), self.issuing.certificate().der()].into_iter().collect(),
                renew_from,
                renew_by,
                trust_bundle: &self.bundle,
                broker: BrokerSettings {
                    host: "broker.example",
                    port: 8883,
                    telemetry_topic: &topic("telemetry"),
                    status_topic: &topic("status"),
                    command_topic: &topic("command"),
                    keep_alive: 30,
                },
            }),
        };
        written(|out| answer.encode(out))
    }
}

/// What a store would have made durable.
struct Intent {
    serial: Serial,
    device: DeviceId,
    point: [u8; 65],
    validity: Validity,
}

impl RecordedIntent for Intent {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn device(&self) -> &DeviceId {
        &self.device
    }

    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn validity(&self) -> Validity {
        self.validity
    }

    fn distribution_point(&self) -> ca::DistributionPoint {
        ca::DistributionPoint { issuer: 1, partition: 0 }
    }
}

fn evidence(key: &SigningKey, nonce: &[u8; 32], csr_key: &[u8; 65]) -> Vec<u8> {
    let claims = Claims {
        confirmation: key_thumbprint(csr_key),
        nonce: *nonce,
        ueid: ueid(key),
        oemid: MAKER_NUMBER,
        hwmodel: "sensor-a",
        hwversion: "1.0",
        dbgstat: DebugStatus::DisabledPermanently,
        swname: "sensor-firmware",
        swversion: "1.2.0",
        measurements: [
            Measurement { component: "bootloader", version: "1.2.0", digest: [0xb0; 32] },
            Measurement { component: "application", version: "1.2.0", digest: [0xa9; 32] },
        ]
        .into_iter()
        .collect(),
    };
    sign(key, &claims)
}

/// The private scalar of a key in PKCS#8.
fn scalar(csr: &Csr) -> Vec<u8> {
    SecretKey::from_pkcs8_der(&csr.key).unwrap().to_bytes().to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    ca::pem::read_certificates(pem.as_bytes()).unwrap().remove(0)
}

/// The file, in the order of the exchange.
struct File(String);

impl File {
    fn new() -> Self {
        let about = "One enrollment and one renewal with real keys and certificates. Private keys are scalars; certificates, CSRs and messages are as on the wire. All keys are for tests only";
        Self(format!("{{\n  \"about\": \"{about}\",\n  \"now\": {}", NOW.as_secs()))
    }

    fn text(&mut self, name: &str, value: &str) {
        write!(self.0, ",\n  \"{name}\": \"{value}\"").unwrap();
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name, &hex::encode(value));
    }

    fn finish(self) -> String {
        self.0 + "\n}\n"
    }
}
