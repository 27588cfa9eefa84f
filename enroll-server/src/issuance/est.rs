//! Requests that came by EST (RFC 7030), taken through the same steps as those of the native protocol.
//!
//! What EST has instead of a challenge: the client is authenticated by its connection or by a token, and the same key
//! is the same request. Evidence may come inside the CSR; then it answers a nonce of this server's as ever. Reads
//! neither HTTP nor TLS: that a client proved possession of its key is for the caller to know.

use appraisal::csr::EvidenceInCsr;
use appraisal::{CheckedCsr, GroupName, IdevidTls};
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, Reject, UnixTime};

use super::application::Application;
use super::evidence::Evidence;
use super::{ClientIdentity, Denied, Issuance, Outcome};
use crate::authorization::{Refused, in_service};
use crate::nonce::UnknownNonce;
use crate::store::{Asked, Via};

/// Who enrolls.
#[derive(Clone, Copy)]
pub enum EstClient<'a> {
    /// The TLS client with this chain in DER, leaf first; it proved possession of the leaf's key. Whether it leads to a
    /// maker is looked at here.
    Idevid(&'a [&'a [u8]]),
    /// Whoever sent the text of this one-time token.
    Token(&'a [u8]),
}

impl core::fmt::Debug for EstClient<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Idevid(_) => "Idevid(..)",
            // The text is a secret.
            Self::Token(_) => "Token(..)",
        })
    }
}

/// A first enrollment.
#[derive(Debug)]
pub struct EstEnroll<'a> {
    /// The device: that of the client's certificate, or the user name that came with the token.
    pub device: &'a DeviceId,
    /// The request's CSR.
    pub csr: CheckedCsr,
    /// The evidence in it, where there is some.
    pub evidence: Option<&'a EvidenceInCsr>,
    /// Who asks.
    pub client: EstClient<'a>,
    /// The group that the path names.
    pub label: Option<&'a GroupName>,
}

/// A re-enrollment.
#[derive(Debug)]
pub struct EstReenroll<'a> {
    /// The TLS client: an LDevID whose signature was verified, and which proved possession of its key.
    pub identity: &'a ClientIdentity,
    /// The request's CSR.
    pub csr: CheckedCsr,
    /// The evidence in it, where there is some.
    pub evidence: Option<&'a EvidenceInCsr>,
    /// The group that the path names.
    pub label: Option<&'a GroupName>,
}

/// Evidence of a CSR with what belongs to it.
struct Carried<'a> {
    evidence: &'a EvidenceInCsr,
    nonce: Nonce,
    endorsements: Vec<&'a [u8]>,
}

impl<'a> Carried<'a> {
    fn new(evidence: &'a EvidenceInCsr) -> Result<Self, Denied> {
        if !EvidenceInCsr::KINDS.contains(&evidence.kind) {
            return Err(Denied::NotInCsr(evidence.kind));
        }
        let nonce = evidence.claimed_nonce().ok_or(UnknownNonce)?;
        Ok(Self { evidence, nonce, endorsements: evidence.endorsements.iter().map(Vec::as_slice).collect() })
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            kind: self.evidence.kind,
            body: &self.evidence.body,
            endorsements: &self.endorsements,
            nonce: Some(&self.nonce),
        }
    }
}

impl Issuance {
    /// Enrolls a device that came by EST.
    ///
    /// # Errors
    /// Says why not.
    pub async fn est_enroll(&self, request: &EstEnroll<'_>) -> Result<Outcome, Denied> {
        let now = self.now();
        let mut carried = request.evidence.map(Carried::new).transpose()?;
        let (evidence, via, client) = match (request.client, &mut carried) {
            (EstClient::Idevid(chain), None) => {
                let body = chain.first().copied().unwrap_or_default();
                let kind = EvidenceKind::IdevidTls;
                (Evidence { kind, body, endorsements: chain, nonce: None }, Via::EstIdevid, None)
            }
            (EstClient::Idevid(chain), Some(carried)) => {
                // The chain of the connection serves for evidence that the same key signed.
                if carried.endorsements.is_empty() && carried.evidence.kind == EvidenceKind::IdevidEat {
                    carried.endorsements = chain.to_vec();
                }
                (carried.evidence(), Via::EstIdevid, Some(IdevidTls { chain }))
            }
            (EstClient::Token(text), None) => {
                let kind = EvidenceKind::OneTimeToken;
                (Evidence { kind, body: text, endorsements: &[], nonce: None }, Via::EstToken, None)
            }
            // Only one of them could decide, and neither may be passed over.
            (EstClient::Token(_), Some(_)) => return Err(Denied::EvidenceWithToken),
        };
        let mut draft = self.draft(Asked::Enroll, request.device, Some(evidence), now);
        let enrolled = async {
            let freshness = self.freshness(evidence.nonce, request.device, now)?;
            let application = Application {
                device: request.device,
                csr: request.csr.clone(),
                evidence: Some(evidence),
                freshness,
                via,
                client,
                trust: None,
                label: request.label,
            };
            self.enroll_as(&application, evidence, &mut draft, now).await
        };
        let enrolled = enrolled.await.and_then(|outcome| still_good(outcome, now));
        self.closed(draft, enrolled)
    }

    /// Re-enrolls a device that came by EST. Authority comes from the LDevID alone.
    ///
    /// # Errors
    /// Says why not.
    pub async fn est_reenroll(&self, request: &EstReenroll<'_>) -> Result<Outcome, Denied> {
        let now = self.now();
        let device = request.identity.device();
        let carried = request.evidence.map(Carried::new).transpose()?;
        let evidence = carried.as_ref().map(Carried::evidence);
        let mut draft = self.draft(Asked::Renew, device, evidence, now);
        let renewed = async {
            let nonce = evidence.and_then(|evidence| evidence.nonce);
            let application = Application {
                device,
                csr: request.csr.clone(),
                evidence,
                freshness: self.freshness(nonce, device, now)?,
                via: Via::EstLdevid,
                client: None,
                trust: None,
                label: request.label,
            };
            self.renew_as(&application, request.identity, &mut draft, now).await
        };
        let renewed = renewed.await.and_then(|outcome| still_good(outcome, now));
        self.closed(draft, renewed)
    }

    /// A nonce for evidence in a CSR (draft-ietf-lamps-attestation-freshness), with the time it ends, for the client
    /// with this IDevID chain, which proved possession of the leaf's key.
    ///
    /// # Errors
    /// Where no known maker vouches for the client, or its device is out of service.
    pub async fn est_nonce(&self, chain: &[&[u8]]) -> Result<(Nonce, UnixTime), Denied> {
        let now = self.now();
        let device = appraisal::idevid::claimed_device(chain.first().copied().unwrap_or_default())?;
        let snapshot = self.parts.store.snapshot(&device, now).await?;
        let makers = self.makers.get(self.parts.store.as_ref(), snapshot.makers).await?;
        let client = appraisal::idevid::verify_client(chain, &makers, now)?;
        in_service(snapshot.known.as_ref())?;
        self.nonce_for(client.device(), now)
    }

    /// As [`est_nonce`](Self::est_nonce), for the client with this LDevID.
    ///
    /// # Errors
    /// Where the LDevID is not one of ours in force.
    pub async fn est_renewal_nonce(&self, identity: &ClientIdentity) -> Result<(Nonce, UnixTime), Denied> {
        self.est_check(identity).await?;
        let now = self.now();
        let snapshot = self.parts.store.snapshot(identity.device(), now).await?;
        in_service(snapshot.known.as_ref())?;
        self.nonce_for(identity.device(), now)
    }

    /// Refuses a client whose LDevID was revoked, or is none of ours: on every path of EST, what it asks for being
    /// public or not.
    ///
    /// # Errors
    /// Where it is so.
    pub async fn est_check(&self, identity: &ClientIdentity) -> Result<(), Denied> {
        if identity.as_stored(self.parts.store.as_ref()).await?.revoked {
            let reason = "the client certificate was revoked";
            return Err(Denied::Refused(Refused { reject: Reject::CertificateRevoked, reason }));
        }
        Ok(())
    }
}

/// A key is one request for ever, so its certificate may have ended since.
fn still_good(outcome: Outcome, now: UnixTime) -> Result<Outcome, Denied> {
    match &outcome {
        Outcome::Granted(granted) if granted.validity().not_after < now => {
            let reason = "the certificate for this key has ended; a new one needs a new key";
            Err(Denied::Refused(Refused { reject: Reject::KeyReused, reason }))
        }
        Outcome::Granted(_) | Outcome::Held => Ok(outcome),
    }
}
