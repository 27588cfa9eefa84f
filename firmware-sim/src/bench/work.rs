//! The pieces of work that are measured, as their clients do them.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ca::CaCertificate;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use shared::endpoint;
use shared::message::latest::{Answer, Challenge, ChallengeRequest, EvidenceKind, Kinds, Outcome};

use super::BenchError;
use super::floor::Operations;
use super::member::{Member, encoded};
use super::process::ServerProcess;
use super::wire::{Wire, client};
use crate::device::DeviceSpec;

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A first enrollment by the native protocol: a TLS handshake, a challenge, evidence, a certificate.
    Enroll,
    /// A renewal over mutual TLS.
    Renew,
    /// `simpleenroll` of a client that shows its IDevID.
    EstEnroll,
    /// `simplereenroll`.
    EstReenroll,
    /// A question about one certificate that nobody asked about before.
    Ocsp,
    /// A TLS handshake and a challenge.
    Connect,
    /// The same with the ticket of an earlier connection.
    Resume,
}

impl Work {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enroll => "enroll",
            Self::Renew => "renew",
            Self::EstEnroll => "est-simpleenroll",
            Self::EstReenroll => "est-simplereenroll",
            Self::Ocsp => "ocsp",
            Self::Connect => "connect",
            Self::Resume => "resume",
        }
    }

    /// What of cryptography is in it, on the server's side.
    #[must_use]
    pub const fn operations(self) -> Operations {
        let connect =
            Operations { generate: 1, agree: 1, sign: 1, verify: 0, tls: 1, tls_sha384: 0, hash: 1 };
        match self {
            // Verified: the IDevID's certificate, the evidence, the CSR.
            Self::Enroll => Operations { sign: 2, verify: 3, hash: 3, ..connect },
            // Verified: the client's certificate, its handshake, the CSR.
            Self::Renew => Operations { sign: 2, verify: 3, hash: 2, ..connect },
            Self::EstEnroll | Self::EstReenroll => {
                Operations { sign: 2, verify: 3, tls: 0, tls_sha384: 1, hash: 2, ..connect }
            }
            Self::Ocsp => Operations { generate: 0, agree: 0, tls: 0, ..connect },
            Self::Connect => connect,
            Self::Resume => Operations { sign: 0, ..connect },
        }
    }
}

/// What clients know.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) https: core::net::SocketAddr,
    pub(super) http: core::net::SocketAddr,
    pub(super) est: core::net::SocketAddr,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) sample: DeviceSpec,
    pub(super) issuing: CaCertificate,
}

impl Scene {
    pub(super) fn new(server: &ServerProcess, site: &super::site::Site) -> Arc<Self> {
        Arc::new(Self {
            https: server.https,
            http: server.http,
            est: server.est,
            roots: Arc::clone(&site.roots),
            sample: site.sample.clone(),
            issuing: site.issuing.clone(),
        })
    }

    /// Does one piece of work.
    pub(super) async fn once(&self, work: Work, member: &mut Member) -> Result<(), BenchError> {
        match work {
            Work::Enroll => self.enroll(member).await,
            Work::Renew => {
                let identity = member.ldevid().ok_or(BenchError::Proc("a certificate"))?;
                let mut wire = Wire::tls(self.https, &Arc::new(client(&self.roots, Some(identity))?)).await?;
                let body = member.renewal()?;
                let answer = wire.post(endpoint::RENEW, endpoint::MEDIA_TYPE, body).await?;
                issued(endpoint::RENEW, &answer).map(drop)
            }
            Work::EstEnroll => {
                let path = "/.well-known/est/simpleenroll";
                self.est(path, member.idevid(), member.first_csr()).await
            }
            Work::EstReenroll => {
                let identity = member.ldevid().ok_or(BenchError::Proc("a certificate"))?;
                self.est("/.well-known/est/simplereenroll", identity, member.next_csr()).await
            }
            Work::Ocsp => {
                let serial = member.serial().ok_or(BenchError::Proc("a certificate"))?;
                let mut wire = Wire::plain(self.http).await?;
                let body = question(&self.issuing, &serial);
                let answer = wire.post("/ocsp", "application/ocsp-request", body).await?;
                // OCSPResponseStatus successful (RFC 6960, section 4.2.1).
                if answer.windows(3).take(8).any(|window| window == [0x0a, 1, 0]) {
                    return Ok(());
                }
                let (found, expected) = (hex::encode(&answer), "a signed answer");
                Err(BenchError::Answer { path: "/ocsp", found, expected })
            }
            Work::Connect | Work::Resume => {
                let config = member.reconnects(&self.roots)?;
                let mut wire = Wire::tls(self.https, &config).await?;
                if work == Work::Resume && !wire.resumed() {
                    let (found, expected) = ("a full handshake".to_owned(), "a resumption");
                    return Err(BenchError::Answer { path: endpoint::CHALLENGE, found, expected });
                }
                challenge(&mut wire, member).await.map(drop)
            }
        }
    }

    async fn enroll(&self, member: &mut Member) -> Result<(), BenchError> {
        let mut wire = Wire::tls(self.https, &Arc::new(client(&self.roots, None)?)).await?;
        let nonce = challenge(&mut wire, member).await?;
        let body = member.enrollment(&nonce, &self.sample)?;
        let answer = wire.post(endpoint::ENROLL, endpoint::MEDIA_TYPE, body).await?;
        member.keep(issued(endpoint::ENROLL, &answer)?);
        Ok(())
    }

    async fn est(
        &self,
        path: &'static str,
        identity: super::member::Identity,
        csr: &[u8],
    ) -> Result<(), BenchError> {
        let mut wire = Wire::tls(self.est, &Arc::new(client(&self.roots, Some(identity))?)).await?;
        let body = STANDARD.encode(csr).into_bytes();
        let answer = wire.post(path, "application/pkcs10", body).await?;
        // Certs-only, in base64; what it holds is tested elsewhere.
        if answer.len() > 256 {
            return Ok(());
        }
        Err(BenchError::Answer { path, found: format!("{} bytes", answer.len()), expected: "a certificate" })
    }
}

/// Asks for a challenge and takes its nonce.
pub(super) async fn challenge(
    wire: &mut Wire,
    member: &Member,
) -> Result<shared::message::latest::Nonce, BenchError> {
    let kinds = Kinds::from_slice(&[EvidenceKind::IdevidEat]).unwrap_or_default();
    let request = ChallengeRequest { device: member.id.clone(), kinds, introduction: None };
    let body = encoded(|out| request.encode(out))?;
    let answer = wire.post(endpoint::CHALLENGE, endpoint::MEDIA_TYPE, body).await?;
    let unread = |_| BenchError::Answer {
        path: endpoint::CHALLENGE,
        found: hex::encode(&answer),
        expected: "a challenge",
    };
    Ok(Challenge::decode(&answer).map_err(unread)?.nonce)
}

/// The chain in an answer.
fn issued(path: &'static str, answer: &[u8]) -> Result<Vec<CertificateDer<'static>>, BenchError> {
    match Answer::decode(answer) {
        Ok(Answer { outcome: Outcome::Issued(issued), .. }) => {
            Ok(issued.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect())
        }
        other => Err(BenchError::Answer { path, found: format!("{other:?}"), expected: "a certificate" }),
    }
}

/// An OCSPRequest (RFC 6960, section 4.1.1) about one certificate, named by SHA-1 as most clients do.
fn question(issuing: &CaCertificate, serial: &[u8]) -> Vec<u8> {
    let hash = |bytes| tlv(4, digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    let id = [
        tlv(0x30, &[6, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 5, 0]),
        hash(issuing.subject_der()),
        hash(issuing.public_point()),
        tlv(2, serial),
    ];
    tlv(0x30, &tlv(0x30, &tlv(0x30, &tlv(0x30, &tlv(0x30, &id.concat())))))
}

/// Contents of less than 128 bytes.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(0x7f);
    [&[tag, length], content].concat()
}
