//! An enrollment server for one test: speaks the native protocol, checks nothing, issues or refuses as told.
//! What a real server checks is tested with the real server.

use std::sync::{Arc, Mutex};

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use shared::UnixTime;
use shared::cose::{self, Content};
use shared::message::latest::{
    Answer, BrokerSettings, Challenge, ChallengeRequest, EvidenceKind, Issued, Outcome, Rejected,
    RenewRequest, TrustBundle,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::pki::{Ca, Usage};

/// What becomes of enrollments and renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Issue,
    Refuse(u16),
    Hold,
}

/// What the server saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) device: String,
    pub(crate) evidence: Option<(EvidenceKind, Vec<u8>)>,
    pub(crate) client: Option<Vec<u8>>,
}

/// A running server.
pub(crate) struct Enrollment {
    pub(crate) port: u16,
    pub(crate) trust_bundle: Vec<u8>,
    pub(crate) verdict: Arc<Mutex<Verdict>>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    ca: Arc<Ca>,
    broker_port: u16,
    trust_bundle: Vec<u8>,
    verdict: Arc<Mutex<Verdict>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Enrollment {
    /// Starts a server with threads of its own; `ca` certifies servers and devices alike.
    pub(crate) fn start(ca: Arc<Ca>, broker_port: u16) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let trust_bundle = trust_bundle(&ca);
        let verdict = Arc::new(Mutex::new(Verdict::Issue));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let acceptor = acceptor(&ca);
        let shared = Arc::new(Shared {
            ca,
            broker_port,
            trust_bundle: trust_bundle.clone(),
            verdict: Arc::clone(&verdict),
            seen: Arc::clone(&seen),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move { connection(tcp, acceptor, shared).await });
            }
        });
        Self { port, trust_bundle, verdict, seen, _runtime: runtime }
    }
}

fn acceptor(ca: &Ca) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.der.clone())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .unwrap();
    let leaf = ca.issue("server", Usage::Server, |_| {});
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![leaf.chain[0].clone().into()],
            PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The first bundle, signed by its own signer.
fn trust_bundle(ca: &Ca) -> Vec<u8> {
    let signer = SigningKey::random(&mut rand_core::OsRng);
    let point: [u8; 65] = signer.verifying_key().to_encoded_point(false).as_bytes().try_into().unwrap();
    let bundle = TrustBundle {
        number: 1,
        made: UnixTime::from_secs(1_790_000_000),
        anchors: [ca.der.as_slice()].into_iter().collect(),
        signer: &point,
    };
    let mut payload = [0; 4096];
    let length = bundle.encode(&mut payload).unwrap();
    let mut signed = Vec::new();
    cose::signed_bytes(Content::TrustBundle, &payload[..length], |part| signed.extend_from_slice(part));
    let signature: Signature = signer.sign(&signed);
    let mut out = [0; 4096];
    let length =
        cose::encode(Content::TrustBundle, &payload[..length], &signature.to_bytes().into(), &mut out)
            .unwrap();
    out[..length].to_vec()
}

async fn connection(tcp: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
    let client = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
    let Some((path, body)) = read_request(&mut stream).await else { return };
    let (status, answer) = shared.answer(&path, &body, client);
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all(&[head.as_bytes(), &answer].concat()).await.unwrap();
    let _closed = stream.shutdown().await;
}

impl Shared {
    fn answer(&self, path: &str, body: &[u8], client: Option<Vec<u8>>) -> (u16, Vec<u8>) {
        let now = agent::clock::now();
        let mut out = [0; 8192];
        match path {
            "/v1/challenge" => {
                let request = ChallengeRequest::decode(body).unwrap();
                let valid_until = now.after(core::time::Duration::from_secs(300));
                let kind = request.kinds[0];
                let challenge = Challenge {
                    server_time: now,
                    nonce: [9; 32],
                    valid_until,
                    kind,
                    credential: None,
                    renewal_wanted: false,
                };
                let length = challenge.encode(&mut out).unwrap();
                (200, out[..length].to_vec())
            }
            "/v1/trust" => (200, self.trust_bundle.clone()),
            "/v1/enroll" | "/v1/renew" => self.certify(path, body, client, now),
            _ => (404, Vec::new()),
        }
    }

    fn certify(&self, path: &str, body: &[u8], client: Option<Vec<u8>>, now: UnixTime) -> (u16, Vec<u8>) {
        let request = RenewRequest::decode(body).unwrap();
        self.seen.lock().unwrap().push(Seen {
            path: path.to_owned(),
            device: request.device.to_string(),
            evidence: request.evidence.as_ref().map(|evidence| (evidence.kind, evidence.body.to_vec())),
            client,
        });
        let chain = self.ca.certify_request(request.csr, request.device.as_str());
        let id = request.device.as_str();
        let (telemetry, status, command) = (
            format!("devices/{id}/telemetry"),
            format!("devices/{id}/status"),
            format!("devices/{id}/command"),
        );
        let day = core::time::Duration::from_secs(86_400);
        let (http, outcome) = match *self.verdict.lock().unwrap() {
            Verdict::Issue => (
                200,
                Outcome::Issued(Issued {
                    chain: [chain.as_slice()].into_iter().collect(),
                    renew_from: now.after(60 * day),
                    renew_by: now.after(75 * day),
                    trust_bundle: &self.trust_bundle,
                    broker: BrokerSettings {
                        host: "localhost",
                        port: self.broker_port,
                        telemetry_topic: &telemetry,
                        status_topic: &status,
                        command_topic: &command,
                        keep_alive: 60,
                    },
                }),
            ),
            Verdict::Refuse(code) => {
                let retry_after = None;
                let http = shared::Reject::from_code(code).unwrap().http_status();
                (http, Outcome::Rejected(Rejected { code, message: "Not today.", retry_after }))
            }
            Verdict::Hold => (202, Outcome::Pending { retry_after: core::time::Duration::from_secs(60) }),
        };
        let mut out = [0; 8192];
        let length = Answer { server_time: now, outcome }.encode(&mut out).unwrap();
        (http, out[..length].to_vec())
    }
}

/// Path and body.
async fn read_request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            return Some((path, bytes[end + 4..].to_vec()));
        }
    }
}
