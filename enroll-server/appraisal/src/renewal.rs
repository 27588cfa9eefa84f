//! Appraisal of a renewal: authority comes from the TLS identity, and a new key is wanted.

use serde::{Deserialize, Serialize};
use shared::{DeviceId, Reject, UnixTime};

use crate::csr::CheckedCsr;
use crate::device::{Decision, KnownDevice, Shown, check_known};
use crate::key::{SpkiHash, hex};
use crate::policy::Policy;
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::{Appraised, Basis, Outcome, Proof};

/// The LDevID of a mutual-TLS connection. TLS has verified its chain and the possession of its key, its end
/// excepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsIdentity {
    /// The device in its subject.
    #[serde(with = "crate::serial::text")]
    pub device: DeviceId,
    /// The last second of its life.
    #[serde(with = "crate::serial::time")]
    pub not_after: UnixTime,
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[serde(with = "crate::serial::hash")]
    pub spki_sha256: SpkiHash,
    /// Whether it was revoked; a certificate that the store does not know counts as revoked.
    pub revoked: bool,
}

/// What a device presents for a renewal.
#[derive(Clone, Copy, Debug)]
pub struct RenewalPresented<'a> {
    /// Who asks, as the request says.
    pub device: &'a DeviceId,
    /// The request's CSR.
    pub csr: &'a CheckedCsr,
    /// Who asks, as TLS says.
    pub identity: &'a TlsIdentity,
    /// Fresh evidence, where there is some.
    pub proof: Option<&'a Proof<'a>>,
}

/// Appraises a renewal.
///
/// # Errors
/// Says why the device gets no new certificate.
pub fn appraise_renewal(
    presented: &RenewalPresented<'_>,
    basis: &Basis<'_>,
    known: Option<&KnownDevice>,
    now: UnixTime,
) -> Result<Appraised, Refusal> {
    let RenewalPresented { device, csr, identity, proof } = *presented;
    let mut trail = Trail::default();
    check_identity(device, identity, basis.policy.grace, now, &mut trail)?;
    trail.require(
        *csr.spki_sha256() != identity.spki_sha256,
        rule::NEW_KEY,
        Reject::KeyReused,
        format!("a CSR for key {}", hex(csr.spki_sha256())),
        "another key than that of the current certificate",
    )?;
    let mut outcome = match proof {
        Some(proof) => crate::appraise_proof(device, csr, proof, basis, known, now, &mut trail)?,
        None => {
            check_without_evidence(basis.policy, &mut trail)?;
            check_known(device, known, Shown::Ldevid, basis.policy, &mut trail)?;
            Outcome { model: known.and_then(|k| k.model.clone()), ..Outcome::default() }
        }
    };
    outcome.renewal = true;
    trail.note(Verdict::Passed, rule::SECOND_ENROLLMENT, "a renewal", "no approval");
    Ok(outcome.appraised(device, csr, Decision::Accept, basis.policy, trail))
}

pub(crate) fn check_without_evidence(policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let wanted = if policy.renewal_evidence { "fresh evidence (renewal.evidence = true)" } else { "none" };
    let found = "a renewal without evidence";
    trail.require(!policy.renewal_evidence, rule::RENEWAL_EVIDENCE, Reject::EvidenceWanted, found, wanted)
}

pub(crate) fn check_identity(
    device: &DeviceId,
    identity: &TlsIdentity,
    grace: core::time::Duration,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    trail.require(
        identity.device == *device,
        rule::TLS_IDENTITY,
        Reject::NotYourDevice,
        format!("the TLS identity of {}", identity.device),
        format!("that of {device}, whom the request names"),
    )?;
    trail.require(
        !identity.revoked,
        rule::TLS_IDENTITY,
        Reject::CertificateRevoked,
        if identity.revoked { "a revoked certificate" } else { "a certificate that is not revoked" },
        "one that is not revoked",
    )?;
    // The rule says whether grace was needed, so that the record of a renewal shows it.
    let (rule, ends) =
        if now <= identity.not_after { (rule::TLS_IDENTITY, "ends") } else { (rule::RENEWAL_GRACE, "ended") };
    trail.require(
        now <= identity.not_after.after(grace),
        rule,
        Reject::CertificateExpired,
        format!("a certificate that {ends} {}, at {now}", identity.not_after),
        format!("one that ended {} days ago at most (renewal.grace_days)", grace.as_secs() / 86_400),
    )
}
