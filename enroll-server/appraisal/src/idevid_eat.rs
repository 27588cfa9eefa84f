//! Verification of an EAT signed with an IDevID key (RFC 9711 in COSE_Sign1), and its binding to this request.
//!
//! Whether what it claims is good enough is for [`crate::claims`] to say.

use shared::cose::{Content, Sign1};
use shared::evidence::{Claims, Ueid};
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime, limits};

use crate::Verified;
use crate::csr::CheckedCsr;
use crate::eat;
use crate::idevid::{self, EndorsedIdevid};
use crate::key::{PublicKey, hex};
use crate::maker::Endorsements;
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::revocation;

/// Evidence of this kind, as it came.
#[derive(Clone, Copy, Debug)]
pub struct IdevidEat<'a> {
    /// The COSE_Sign1.
    pub eat: &'a [u8],
    /// The IDevID's chain in DER, leaf first, trust anchor left out.
    pub endorsements: &'a [&'a [u8]],
    /// The nonce of the challenge; the server has seen to it that it made this nonce for this device, and that
    /// it is in time and not used up.
    pub nonce: &'a Nonce,
}

/// The UEID that belongs to an IDevID key: type RAND (RFC 9711, section 4.2.1) over its hash.
#[must_use]
pub fn ueid(key: &PublicKey) -> Ueid {
    let mut ueid = [1; 33];
    for (to, from) in ueid.iter_mut().skip(1).zip(key.spki_sha256()) {
        *to = *from;
    }
    ueid
}

pub(crate) fn verify(
    device: &DeviceId,
    csr: &CheckedCsr,
    evidence: &IdevidEat<'_>,
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let idevid = endorsed(evidence.endorsements, makers, now, trail)?;

    let form = "an EAT of this protocol in COSE_Sign1";
    let sign1 = Sign1::decode(evidence.eat, Content::Eat, limits::MAX_EVIDENCE)
        .map_err(|error| eat::refuse_form(trail, error, form))?;
    let mut signed = Vec::with_capacity(evidence.eat.len());
    sign1.signed_bytes(|part| signed.extend_from_slice(part));
    trail.require(
        idevid.key().signed_fixed(&signed, sign1.signature()),
        rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceSignature,
        "a signature",
        format!("one that verifies under the IDevID key {}", hex(idevid.key().spki_sha256())),
    )?;
    // The claims are read only once it is known who signed them.
    let claims =
        Claims::decode(sign1.unverified_payload()).map_err(|error| eat::refuse_form(trail, error, form))?;
    trail.note(Verdict::Passed, rule::EVIDENCE_FORM, form, form);

    eat::check_binding(&claims, evidence.nonce, csr, trail)?;
    eat::check_ueid(&claims, &ueid(idevid.key()), "the IDevID key", trail)?;
    trail.require(
        idevid.device() == device,
        rule::EVIDENCE_DEVICE,
        Reject::EvidenceDevice,
        format!("the IDevID of {}", idevid.device()),
        format!("that of {device}, who asks"),
    )?;
    let verified = Verified::endorsed(*idevid.key().spki_sha256(), idevid.maker().clone(), (&claims).into());
    Ok(verified.looked_up(revocation::look_up(idevid.links(), makers, now)))
}

fn endorsed(
    chain: &[&[u8]],
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<EndorsedIdevid, Refusal> {
    let wanted = "an IDevID that leads to a maker this server knows";
    match idevid::verify(chain, makers, now) {
        Ok(idevid) => {
            let module = idevid.hardware_module().map(|module| format!(" ({module})")).unwrap_or_default();
            let found = format!("IDevID of {}{module} by maker {:?}", idevid.device(), idevid.maker().name);
            trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
            Ok(idevid)
        }
        Err(error) => {
            let source = core::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            Err(trail.refuse(rule::ENDORSEMENT, error.reject(), format!("{error}{source}"), wanted))
        }
    }
}
