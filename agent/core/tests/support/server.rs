//! An enrollment server in memory. It verifies as the real one does: the CSR's signature, the evidence's
//! signature, nonce and key, and the client identity of a renewal.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use agent_core::platform::{
    ClientIdentity, PublicPoint, Reply, Request, Server, SigningKey, Transport, TransportError,
};
use agent_core::x509::{Certificate, PathError, Validity};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use shared::cose::{Content, Sign1};
use shared::evidence::{Claims, key_thumbprint};
use shared::message::latest::{
    Answer, BrokerSettings, Challenge, ChallengeRequest, EvidenceKind, FreshEvidence, Issued, Outcome,
    Rejected, RenewRequest, TrustReport,
};
use shared::{Reject, UnixTime, endpoint, limits};
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

use super::pki::{Ca, bundle, key};
use super::world::Time;

/// What goes wrong with one exchange.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nobody listens.
    Unreachable,
    /// The request is carried out, the answer is lost.
    AnswerLost,
    /// The connection ends in the handshake.
    Closed,
    /// Refused.
    Refuse(Reject, Option<u64>),
    /// Held for approval.
    Pending(u64),
    /// An answer that is none.
    Garbage,
    /// A certificate for another key.
    OtherKey,
    /// A certificate for another device.
    OtherDevice,
}

/// Key and nonce of a request.
type RequestId = (Vec<u8>, Vec<u8>);

/// What the server knows.
pub struct Office {
    pub ca: Ca,
    pub maker: Ca,
    pub device: String,
    pub time: Time,
    /// Faults of the exchanges to come, by path; the first is taken off.
    pub faults: VecDeque<(&'static str, Fault)>,
    /// Refuses the device for good.
    pub revoked: bool,
    /// The server is away.
    pub away: bool,
    /// The server's clock, where it is not the right one.
    pub clock: Option<UnixTime>,
    /// Dates of the server's own TLS certificate.
    pub valid: (UnixTime, UnixTime),
    pub lifetime: Duration,
    /// Key and nonce to the certificate: the same request again gets the same answer.
    answers: HashMap<RequestId, (u64, Vec<u8>)>,
    /// Points certified, by serial.
    pub issued: Vec<PublicPoint>,
    nonces: u64,
    pub bundle: Vec<u8>,
    /// Bundles that come before it, by number: what a device that holds the one before is given.
    pub before: Vec<(u64, Vec<u8>)>,
    /// Numbers reported, and whether with an identity.
    pub reports: Vec<(u64, bool)>,
    /// Paths asked for, in order.
    pub log: Vec<&'static str>,
    pub wants_token: Option<String>,
    /// A credential goes with every nonce, as for a TPM.
    pub credential: Option<Vec<u8>>,
    /// An operator wants the device to renew.
    pub renewal_wanted: bool,
    /// The policy wants fresh evidence with renewals.
    pub wants_evidence: bool,
    /// Renewals that came with evidence.
    pub with_evidence: usize,
}

impl Office {
    pub fn new(time: Time, device: &str) -> Self {
        let ca = Ca::new("Issuing CA");
        let bundle = bundle(1, &[&ca.der], &key(250), &key(250));
        Self {
            ca,
            maker: Ca::new("Maker CA"),
            device: device.into(),
            time,
            faults: VecDeque::new(),
            revoked: false,
            away: false,
            clock: None,
            valid: (UnixTime::from_secs(1_790_000_000), UnixTime::from_secs(1_890_000_000)),
            lifetime: Duration::from_secs(90 * 86_400),
            answers: HashMap::new(),
            issued: Vec::new(),
            nonces: 0,
            bundle,
            before: Vec::new(),
            reports: Vec::new(),
            log: Vec::new(),
            wants_token: None,
            credential: None,
            renewal_wanted: false,
            wants_evidence: false,
            with_evidence: 0,
        }
    }

    pub fn now(&self) -> UnixTime {
        self.clock.unwrap_or_else(|| self.time.real())
    }

    fn bundle_after(&self, held: u64) -> Vec<u8> {
        let next = self.before.iter().find(|(number, _)| *number > held);
        next.map_or_else(|| self.bundle.clone(), |(_, bundle)| bundle.clone())
    }

    fn certificate_dates(&self, validity: Validity) -> Result<(), TransportError> {
        let (from, to) = self.valid;
        match validity {
            Validity::At(at) if at < from => Err(TransportError::Certificate(PathError::NotYetValid)),
            Validity::At(at) if at > to => Err(TransportError::Certificate(PathError::Expired)),
            Validity::NotEndedBy(floor) if floor >= to => {
                Err(TransportError::Certificate(PathError::Expired))
            }
            _ => Ok(()),
        }
    }

    fn challenge(&mut self, body: &[u8], out: &mut [u8]) -> Reply {
        let request = ChallengeRequest::decode(body).unwrap();
        assert_eq!(request.device.as_str(), self.device);
        self.nonces += 1;
        let challenge = Challenge {
            server_time: self.now(),
            nonce: nonce(self.nonces),
            valid_until: self.now().after(Duration::from_secs(300)),
            kind: if self.wants_token.is_some() {
                EvidenceKind::OneTimeToken
            } else {
                EvidenceKind::IdevidEat
            },
            credential: self.credential.as_deref(),
            renewal_wanted: self.renewal_wanted,
        };
        Reply { status: 200, length: challenge.encode(out).unwrap() }
    }

    fn request(
        &mut self,
        path: &str,
        client: Option<&[u8]>,
        body: &[u8],
        fault: Option<&Fault>,
    ) -> (u16, Vec<u8>) {
        match self.judge(path, client, body, fault) {
            Ok(answer) => (200, answer),
            Err(reject) => (reject.http_status(), self.rejected(reject, None)),
        }
    }

    fn judge(
        &mut self,
        path: &str,
        client: Option<&[u8]>,
        body: &[u8],
        fault: Option<&Fault>,
    ) -> Result<Vec<u8>, Reject> {
        let request = RenewRequest::decode(body).map_err(|_| Reject::MalformedMessage)?;
        assert_eq!(request.device.as_str(), self.device);
        let (rest, csr) = X509CertificationRequest::from_der(request.csr).map_err(|_| Reject::BadCsr)?;
        assert!(rest.is_empty());
        csr.verify_signature().map_err(|_| Reject::NoProofOfPossession)?;
        let point = &csr.certification_request_info.subject_pki.subject_public_key.data;
        let point: PublicPoint = point.as_ref().try_into().map_err(|_| Reject::BadCsr)?;
        if let Some(evidence) = &request.evidence {
            self.appraise(evidence, &point)?;
        }
        if self.revoked {
            return Err(Reject::DeviceRevoked);
        }
        if path == endpoint::RENEW {
            let client = client.ok_or(Reject::NotAuthenticated)?;
            let known = Certificate::parse(client).is_ok_and(|c| self.issued.contains(c.public_point()));
            if !known {
                return Err(Reject::NotAuthenticated);
            }
            if self.wants_evidence && request.evidence.is_none() {
                return Err(Reject::EvidenceWanted);
            }
            self.with_evidence += usize::from(request.evidence.is_some());
        } else if request.evidence.is_none() {
            return Err(Reject::MalformedMessage);
        }
        let nonce = request.evidence.map(|e| e.nonce.to_vec()).unwrap_or_default();
        let known = (point.to_vec(), nonce);
        let again = self.answers.get(&known).cloned();
        if again.is_none() && self.issued.contains(&point) {
            return Err(Reject::KeyReused);
        }
        let (issued_at, leaf) = again.unwrap_or_else(|| {
            let now = self.now();
            let serial = self.issued.len() as u64 + 1;
            let leaf = self.certificate(&point, serial, now, fault);
            self.issued.push(point);
            self.renewal_wanted = false;
            (now.as_secs(), leaf)
        });
        self.answers.insert(known, (issued_at, leaf.clone()));
        Ok(self.issued(&leaf, UnixTime::from_secs(issued_at)))
    }

    fn certificate(&self, point: &PublicPoint, serial: u64, now: UnixTime, fault: Option<&Fault>) -> Vec<u8> {
        let other = key(99).public_point();
        let point = if matches!(fault, Some(Fault::OtherKey)) { &other } else { point };
        let device = if matches!(fault, Some(Fault::OtherDevice)) { "SN-OTHER" } else { &self.device };
        let from = now.before(Duration::from_secs(60));
        self.ca.issue(device, point, serial, from, now.after(self.lifetime))
    }

    fn issued(&self, leaf: &[u8], issued_at: UnixTime) -> Vec<u8> {
        let life = self.lifetime.as_secs();
        let answer = Answer {
            server_time: self.now(),
            outcome: Outcome::Issued(Issued {
                chain: [leaf].into_iter().collect(),
                renew_from: issued_at.after(Duration::from_secs(life * 2 / 3)),
                renew_by: issued_at.after(Duration::from_secs(life * 5 / 6)),
                trust_bundle: &self.bundle,
                broker: BrokerSettings {
                    host: "broker.example",
                    port: 8883,
                    telemetry_topic: "devices/SN-0001/telemetry",
                    status_topic: "devices/SN-0001/status",
                    command_topic: "devices/SN-0001/command",
                    keep_alive: 60,
                },
            }),
        };
        encode(&answer)
    }

    fn rejected(&self, reject: Reject, retry_after: Option<u64>) -> Vec<u8> {
        encode(&Answer {
            server_time: self.now(),
            outcome: Outcome::Rejected(Rejected {
                code: reject.code(),
                message: "Refused by the test.",
                retry_after: retry_after.map(Duration::from_secs),
            }),
        })
    }

    fn appraise(&self, evidence: &FreshEvidence<'_>, point: &PublicPoint) -> Result<(), Reject> {
        if !(1..=self.nonces).any(|number| nonce(number) == evidence.nonce) {
            return Err(Reject::UnknownNonce);
        }
        if let Some(token) = &self.wants_token {
            return if evidence.body == token.as_bytes() { Ok(()) } else { Err(Reject::BadToken) };
        }
        let idevid = evidence.endorsements.first().ok_or(Reject::UnknownMaker)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(idevid).map_err(|_| Reject::BadEndorsement)?;
        let (_, maker) = x509_parser::parse_x509_certificate(&self.maker.der).unwrap();
        parsed.verify_signature(Some(maker.public_key())).map_err(|_| Reject::UnknownMaker)?;
        let sign1 = Sign1::decode(evidence.body, Content::Eat, limits::MAX_EVIDENCE)
            .map_err(|_| Reject::BadEvidence)?;
        let mut hash = Sha256::new();
        sign1.signed_bytes(|part| hash.update(part));
        let identity = VerifyingKey::from_sec1_bytes(&parsed.public_key().subject_public_key.data).unwrap();
        let signature = Signature::from_slice(sign1.signature()).unwrap();
        identity.verify_prehash(&hash.finalize(), &signature).map_err(|_| Reject::EvidenceSignature)?;
        let claims = Claims::decode(sign1.unverified_payload()).map_err(|_| Reject::BadEvidence)?;
        let mut ueid = vec![1];
        ueid.extend_from_slice(&Sha256::digest(parsed.public_key().raw));
        match claims {
            claims if claims.nonce != evidence.nonce => Err(Reject::EvidenceNonce),
            claims if claims.confirmation != key_thumbprint(point) => Err(Reject::EvidenceKey),
            claims if claims.ueid.as_slice() != ueid => Err(Reject::EvidenceDevice),
            _ => Ok(()),
        }
    }
}

/// The transport of a device to the office.
#[derive(Clone)]
pub struct OfficeTransport(pub Rc<RefCell<Office>>);

impl<K: SigningKey> Transport<K> for OfficeTransport {
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError> {
        let mut office = self.0.borrow_mut();
        assert_eq!((server.host, server.port), ("enroll.example", 8443));
        let path = [endpoint::CHALLENGE, endpoint::ENROLL, endpoint::RENEW, endpoint::TRUST]
            .into_iter()
            .find(|path| *path == request.path)
            .unwrap();
        office.log.push(path);
        // As long as a handshake takes.
        office.time.pass(Duration::from_millis(200));
        let fault = match office.faults.front() {
            Some((at, _)) if *at == path => office.faults.pop_front().map(|(_, fault)| fault),
            _ => None,
        };
        if office.away || matches!(fault, Some(Fault::Unreachable)) {
            return Err(TransportError::Unreachable);
        }
        if matches!(fault, Some(Fault::Closed)) {
            return Err(TransportError::Closed);
        }
        office.certificate_dates(server.validity)?;
        assert_eq!(server.anchors, [office.ca.der.as_slice()], "the device trusts what its bundle says");
        if let Some(identity) = &identity {
            assert!(possesses(identity), "the client's key fits its certificate");
        }
        let (status, body) = match &fault {
            Some(Fault::Refuse(reject, retry_after)) => {
                (reject.http_status(), office.rejected(*reject, *retry_after))
            }
            Some(Fault::Pending(secs)) => {
                let retry_after = Duration::from_secs(*secs);
                (
                    202,
                    encode(&Answer { server_time: office.now(), outcome: Outcome::Pending { retry_after } }),
                )
            }
            Some(Fault::Garbage) => (200, b"<html>hello</html>".to_vec()),
            fault => match (path, request.body) {
                (endpoint::CHALLENGE, Some(body)) => return Ok(office.challenge(body, answer)),
                (endpoint::TRUST, Some(body)) => {
                    let held = TrustReport::decode(body).unwrap().held;
                    office.reports.push((held, identity.is_some()));
                    (200, office.bundle_after(held))
                }
                (path, Some(body)) => {
                    let client = identity.and_then(|identity| identity.chain.first().copied());
                    office.request(path, client, body, fault.as_ref())
                }
                _ => panic!("an odd request"),
            },
        };
        if matches!(fault, Some(Fault::AnswerLost)) {
            return Err(TransportError::Closed);
        }
        answer.get_mut(..body.len()).ok_or(TransportError::TooLarge)?.copy_from_slice(&body);
        Ok(Reply { status, length: body.len() })
    }
}

/// Whether the key signs for the leaf's public key, as a TLS handshake would find out.
pub fn possesses<K: SigningKey>(identity: &ClientIdentity<'_, K>) -> bool {
    let Ok(leaf) = Certificate::parse(identity.chain.first().copied().unwrap_or_default()) else {
        return false;
    };
    let digest = [0x5a; 32];
    let signature = Signature::from_slice(&identity.key.sign_digest(&digest).unwrap()).unwrap();
    VerifyingKey::from_sec1_bytes(leaf.public_point()).unwrap().verify_prehash(&digest, &signature).is_ok()
}

fn nonce(number: u64) -> [u8; 32] {
    Sha256::digest(number.to_be_bytes()).into()
}

fn encode(answer: &Answer<'_>) -> Vec<u8> {
    let mut out = [0; limits::MAX_ANSWER];
    let length = answer.encode(&mut out).unwrap();
    out[..length].to_vec()
}
