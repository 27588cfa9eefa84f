//! Verification of an EAT signed with the key of a claim certificate, which all devices of a batch share (RFC 9711 in
//! COSE_Sign1), and its binding to this request.
//!
//! Proves that whoever made it is of the batch; which device of it, is only said. So it may only start an enrollment,
//! held for approval or bounded by a quota, and never leads to a device that is there already.

use rustls_pki_types::CertificateDer;
use shared::cose::{Content, Sign1};
use shared::evidence::{Claims, ueid_of_name};
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime, limits};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::credential::{CredentialGrant, batch_identity};
use crate::csr::CheckedCsr;
use crate::device::{KnownDevice, Shown};
use crate::idevid::{EndorsementError, check_leaf};
use crate::key::{PublicKey, hex};
use crate::maker::{Endorsements, Maker, MakerCa, MakerError, time};
use crate::path::{self, PathError, PathRules};
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::revocation::{self, Findings};
use crate::{Verified, eat};

/// Evidence of this kind, as it came.
#[derive(Clone, Debug)]
pub struct ClaimEat<'a> {
    /// The COSE_Sign1.
    pub eat: &'a [u8],
    /// The claim certificate's chain in DER, leaf first, trust anchor left out.
    pub endorsements: &'a [&'a [u8]],
    /// The nonce of the challenge, as for [`IdevidEat`](crate::IdevidEat::nonce).
    pub nonce: &'a Nonce,
    /// The batch that the claim certificate is of, where the server has it: see [`find_batch`].
    pub batch: Option<Batch>,
}

/// A batch of devices that share a claim certificate.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Until when, for how many, into which group.
    pub grant: CredentialGrant,
    /// Whether every enrollment waits for an operator.
    pub hold: bool,
    /// What its claim certificates are known by.
    pub certificate: BatchCertificate,
}

/// What the claim certificates of a batch are known by.
#[derive(Clone, Debug)]
pub enum BatchCertificate {
    /// The CA that issued them.
    Ca(Endorsements),
    /// The one claim certificate itself.
    Leaf(Vec<u8>),
}

/// Why a certificate is of no use for a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A CA's certificate that is none to be trusted.
    #[error("{0}")]
    Ca(MakerError),
    /// A claim certificate that devices cannot use.
    #[error("as a claim certificate: {0}")]
    Leaf(EndorsementError),
    /// No certificate.
    #[error("this is not an X.509 certificate in DER of at most {} bytes", limits::MAX_CERTIFICATE)]
    Malformed,
}

impl BatchCertificate {
    /// Checks a certificate in DER: that of a CA for a batch, or a claim certificate itself.
    ///
    /// # Errors
    /// Says why it is of no use.
    pub fn new(name: &str, der: &[u8]) -> Result<Self, BatchError> {
        match MakerCa::new(name, der) {
            Ok(ca) => Ok(Self::Ca(Endorsements::new(vec![ca]))),
            Err(MakerError::NotACa) => {
                let (_, leaf) = X509Certificate::from_der(der).map_err(|_| BatchError::Malformed)?;
                let _key = check_leaf(&leaf).map_err(BatchError::Leaf)?;
                Ok(Self::Leaf(der.to_vec()))
            }
            Err(error) => Err(BatchError::Ca(error)),
        }
    }
}

/// The batch that the claim certificate in front of `chain` is of: the one it is registered for by itself, else one
/// whose CA its chain leads to. Nothing is believed yet.
#[must_use]
pub fn find_batch(chain: &[&[u8]], mut batches: Vec<Batch>, now: UnixTime) -> Option<Batch> {
    let leaf = chain.first()?;
    let is_leaf = |batch: &Batch| matches!(&batch.certificate, BatchCertificate::Leaf(der) if der == leaf);
    let leads = |batch: &Batch| match &batch.certificate {
        BatchCertificate::Ca(ca) => path::verify(chain, ca, &PathRules::ECDSA, now).is_ok(),
        BatchCertificate::Leaf(_) => false,
    };
    let found = batches.iter().position(is_leaf).or_else(|| batches.iter().position(leads))?;
    Some(batches.swap_remove(found))
}

pub(crate) fn verify(
    device: &DeviceId,
    csr: &CheckedCsr,
    evidence: &ClaimEat<'_>,
    makers: &Endorsements,
    known: Option<&KnownDevice>,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let Some(batch) = &evidence.batch else {
        let wanted = "a claim certificate of a batch that was added (enroll-server batch add)";
        let found = format!("a chain of {} certificates of no batch", evidence.endorsements.len());
        return Err(trail.refuse(rule::ENDORSEMENT, Reject::UnknownMaker, found, wanted));
    };
    let endorsed = endorsed(evidence.endorsements, batch, makers, now, trail)?;
    batch.grant.check(device, known, now, trail)?;

    let form = "an EAT of this protocol in COSE_Sign1";
    let sign1 = Sign1::decode(evidence.eat, Content::Eat, limits::MAX_EVIDENCE)
        .map_err(|error| eat::refuse_form(trail, error, form))?;
    let mut signed = Vec::with_capacity(evidence.eat.len());
    sign1.signed_bytes(|part| signed.extend_from_slice(part));
    trail.require(
        endorsed.key.signed_fixed(&signed, sign1.signature()),
        rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceSignature,
        "a signature",
        format!("one that verifies under the batch's key {}", hex(endorsed.key.spki_sha256())),
    )?;
    // The claims are read only once it is known who signed them.
    let claims =
        Claims::decode(sign1.unverified_payload()).map_err(|error| eat::refuse_form(trail, error, form))?;
    trail.note(Verdict::Passed, rule::EVIDENCE_FORM, form, form);
    eat::check_binding(&claims, evidence.nonce, csr, trail)?;
    eat::check_ueid(&claims, &ueid_of_name(device), device.as_str(), trail)?;
    batch.grant.check_quota(trail)?;
    let identity = batch_identity(&batch.grant.id, device);
    Ok(Verified {
        shown: Shown::Batch { identity, hold: batch.hold },
        maker: endorsed.maker,
        claims: Some((&claims).into()),
        model: None,
        token: None,
        credential: Some(batch.grant.id.clone()),
        group: batch.grant.group.clone(),
        revocation: endorsed.revocation,
    })
}

/// What is known of a claim certificate that is good.
struct Endorsed {
    key: PublicKey,
    maker: Option<Maker>,
    revocation: Findings,
}

fn endorsed(
    chain: &[&[u8]],
    batch: &Batch,
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Endorsed, Refusal> {
    let wanted = format!("a claim certificate of batch {:?}, valid at {now}", batch.grant.id);
    let result = match &batch.certificate {
        BatchCertificate::Ca(ca) => by_path(chain, ca, now),
        BatchCertificate::Leaf(_) => by_itself(chain, makers, now),
    };
    match result {
        Ok(endorsed) => {
            let found = format!("the claim certificate with key {}", hex(endorsed.key.spki_sha256()));
            trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
            Ok(endorsed)
        }
        Err(error) => Err(trail.refuse(rule::ENDORSEMENT, error.reject(), error.to_string(), wanted)),
    }
}

fn by_path(chain: &[&[u8]], anchors: &Endorsements, now: UnixTime) -> Result<Endorsed, EndorsementError> {
    let endorsed = path::verify(chain, anchors, &PathRules::ECDSA, now)?;
    Ok(Endorsed {
        key: check_leaf(endorsed.leaf())?,
        maker: Some(endorsed.ca().maker().clone()),
        revocation: revocation::look_up(endorsed.links(), anchors, now),
    })
}

/// A claim certificate that the operator added itself needs no issuer; if a maker whom the server knows issued it,
/// that maker counts for the policy.
fn by_itself(chain: &[&[u8]], makers: &Endorsements, now: UnixTime) -> Result<Endorsed, EndorsementError> {
    if let Ok(endorsed) = by_path(chain, makers, now) {
        return Ok(endorsed);
    }
    let der = CertificateDer::from(chain.first().copied().unwrap_or_default());
    let (_, leaf) = X509Certificate::from_der(&der).map_err(|_| PathError::Malformed)?;
    let validity = leaf.validity();
    let (from, until) = (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
    if !(from <= now && now <= until) {
        return Err(EndorsementError::LeafDates { from, until });
    }
    Ok(Endorsed { key: check_leaf(&leaf)?, maker: None, revocation: Findings::default() })
}
