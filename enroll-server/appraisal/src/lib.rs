//! Appraisal (RFC 9334): evidence, endorsements, reference values and policy in; a verdict with its reasons out.
//!
//! Pure: no I/O, no clock, no store. What it is told about the inventory, the nonce and the token comes from
//! the server; what it concludes, the server writes down and acts on. It issues nothing.

#![forbid(unsafe_code)]

pub mod case;
pub mod csr;
pub mod device_name;
pub mod dice;
pub mod idevid;
pub mod key;
pub mod maker;
pub mod maker_crl;
pub mod policy;
pub mod psa;
pub mod record;
pub mod release;
pub mod tpm;

mod claim;
mod claims;
mod credential;
mod der;
mod device;
mod eat;
mod group;
mod idevid_eat;
mod idevid_tls;
mod lifecycle;
mod oid;
mod path;
mod renewal;
mod revocation;
mod serial;
mod signed;
mod symmetric;
mod token;

use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject, UnixTime};

use crate::device::Shown;
use crate::key::SpkiHash;
use crate::policy::Subject;
use crate::record::{Trail, rule};

pub use claim::{Batch, BatchCertificate, BatchError, ClaimEat, find_batch};
pub use claims::{DeviceClaims, Measured};
pub use credential::{
    CredentialGrant, CredentialScope, Standing, batch_identity, group_key_identity, own_key_identity,
};
pub use csr::{CheckedCsr, CsrError};
pub use device::{Approval, Decision, DeviceState, KnownDevice};
pub use dice::Dice;
pub use group::{GroupName, GroupNameError};
pub use idevid_eat::{IdevidEat, ueid};
pub use idevid_tls::IdevidTls;
pub use lifecycle::Lifecycle;
pub use maker::{Endorsements, Maker, MakerCa};
pub use maker_crl::{CrlError, MakerCrl};
pub use policy::{Policy, ReferenceValues};
pub use psa::PsaToken;
pub use record::{Refusal, RuleRecord, Verdict};
pub use renewal::{RenewalPresented, TlsIdentity, appraise_renewal};
pub use symmetric::{DeviceKey, SymmetricCredential, SymmetricEat, derive, named_key};
pub use token::TokenGrant;
pub use tpm::Tpm2;

/// What a device presents for an enrollment.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Who asks; not proved yet.
    pub device: &'a DeviceId,
    /// The request's CSR.
    pub csr: &'a CheckedCsr,
    /// What it proves itself with.
    pub proof: &'a Proof<'a>,
}

/// The kinds of proof.
#[derive(Clone, Debug)]
pub enum Proof<'a> {
    /// [`EvidenceKind::IdevidEat`].
    IdevidEat(IdevidEat<'a>),
    /// [`EvidenceKind::PsaToken`].
    PsaToken(PsaToken<'a>),
    /// [`EvidenceKind::Dice`].
    Dice(Dice<'a>),
    /// [`EvidenceKind::OneTimeToken`], as the store has it.
    OneTimeToken(TokenGrant),
    /// [`EvidenceKind::SymmetricKey`].
    SymmetricKey(Box<SymmetricEat<'a>>),
    /// [`EvidenceKind::Tpm2`].
    Tpm2(Tpm2<'a>),
    /// [`EvidenceKind::ClaimCertificate`].
    ClaimCertificate(Box<ClaimEat<'a>>),
    /// [`EvidenceKind::IdevidTls`].
    IdevidTls(IdevidTls<'a>),
}

impl Proof<'_> {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> EvidenceKind {
        match self {
            Self::IdevidEat(_) => EvidenceKind::IdevidEat,
            Self::PsaToken(_) => EvidenceKind::PsaToken,
            Self::Dice(_) => EvidenceKind::Dice,
            Self::OneTimeToken(_) => EvidenceKind::OneTimeToken,
            Self::SymmetricKey(_) => EvidenceKind::SymmetricKey,
            Self::Tpm2(_) => EvidenceKind::Tpm2,
            Self::ClaimCertificate(_) => EvidenceKind::ClaimCertificate,
            Self::IdevidTls(_) => EvidenceKind::IdevidTls,
        }
    }

    /// The group that the token or credential puts its devices into, where it names one. Not verified yet.
    fn group(&self) -> Option<&GroupName> {
        match self {
            Self::IdevidEat(_) | Self::PsaToken(_) | Self::Dice(_) | Self::Tpm2(_) | Self::IdevidTls(_) => {
                None
            }
            Self::OneTimeToken(grant) => grant.group.as_ref(),
            Self::SymmetricKey(evidence) => evidence.credential.as_ref()?.grant.group.as_ref(),
            Self::ClaimCertificate(evidence) => evidence.batch.as_ref()?.grant.group.as_ref(),
        }
    }
}

/// The group whose policy is for a request: the device's own. A device that is in no group, or not known, is
/// judged by the policy of the group that its token or credential puts it into.
#[must_use]
pub fn group_for(known: Option<&KnownDevice>, proof: Option<&Proof<'_>>) -> GroupName {
    match known {
        Some(known) if !known.group.is_default() => known.group.clone(),
        _ => proof.and_then(Proof::group).cloned().unwrap_or_default(),
    }
}

/// What evidence is held against.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The makers that the server knows.
    pub makers: &'a Endorsements,
    /// What the operator demands.
    pub policy: &'a Policy,
    /// What is known to be good, besides what stands in the policy itself.
    pub reference_values: &'a ReferenceValues,
}

/// Appraises an enrollment. `known` is the inventory's entry for `presented.device`, if there is one.
///
/// # Errors
/// Says why the device gets no certificate.
pub fn appraise(
    presented: &Presented<'_>,
    basis: &Basis<'_>,
    known: Option<&KnownDevice>,
    now: UnixTime,
) -> Result<Appraised, Refusal> {
    appraise_on(Trail::default(), presented, basis, known, now)
}

/// As [`appraise`], for evidence inside a CSR that came over a TLS connection: first the client of that connection
/// has to be this device by its IDevID, whatever else the evidence proves.
///
/// # Errors
/// Says why the device gets no certificate.
pub fn appraise_over_tls(
    presented: &Presented<'_>,
    client: &IdevidTls<'_>,
    basis: &Basis<'_>,
    known: Option<&KnownDevice>,
    now: UnixTime,
) -> Result<Appraised, Refusal> {
    let mut trail = Trail::default();
    let client = idevid_tls::verify(presented.device, client, basis.makers, now, &mut trail)?;
    revocation::check(&client.revocation, basis.policy, &mut trail)?;
    appraise_on(trail, presented, basis, known, now)
}

fn appraise_on(
    mut trail: Trail,
    presented: &Presented<'_>,
    basis: &Basis<'_>,
    known: Option<&KnownDevice>,
    now: UnixTime,
) -> Result<Appraised, Refusal> {
    let Presented { device, csr, proof } = *presented;
    let outcome = appraise_proof(device, csr, proof, basis, known, now, &mut trail)?;
    let decision = device::decide(known, csr.spki_sha256(), outcome.shown(), basis.policy, &mut trail)?;
    Ok(outcome.appraised(device, csr, decision, basis.policy, trail))
}

/// A device whose evidence was appraised and found good; made by [`appraise`] and [`appraise_renewal`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraised {
    device: DeviceId,
    csr: CheckedCsr,
    decision: Decision,
    lifetime: Option<Duration>,
    quota: Option<u32>,
    outcome: Outcome,
    rules: Arc<[RuleRecord]>,
}

/// What came out of the proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    renewal: bool,
    kind: Option<EvidenceKind>,
    model: Option<String>,
    idevid: Option<SpkiHash>,
    verified: Option<Verified>,
}

impl Appraised {
    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The CSR that the evidence is bound to; no other may be certified on the strength of this appraisal.
    #[must_use]
    pub const fn csr(&self) -> &CheckedCsr {
        &self.csr
    }

    /// Whether it gets a certificate at once.
    #[must_use]
    pub const fn decision(&self) -> Decision {
        self.decision
    }

    /// How long its certificate may live, by the policy.
    #[must_use]
    pub const fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Most devices of the group that may hold an identity, by the policy; the store counts them.
    #[must_use]
    pub const fn quota(&self) -> Option<u32> {
        self.quota
    }

    /// Whether this is a renewal over mutual TLS.
    #[must_use]
    pub const fn is_renewal(&self) -> bool {
        self.outcome.renewal
    }

    /// The kind of evidence; `None` for a renewal without any.
    #[must_use]
    pub const fn kind(&self) -> Option<EvidenceKind> {
        self.outcome.kind
    }

    /// The maker, where one vouches for the device.
    #[must_use]
    pub fn maker(&self) -> Option<&Maker> {
        self.verified()?.maker.as_ref()
    }

    /// The model, claimed or registered.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.outcome.model.as_deref()
    }

    /// The identity that was presented, where one was; to be registered for the device: see
    /// [`KnownDevice::idevid_spki_sha256`].
    #[must_use]
    pub const fn idevid_spki_sha256(&self) -> Option<&SpkiHash> {
        self.outcome.idevid.as_ref()
    }

    /// The public name of the token that was used, where one was.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.verified()?.token.as_deref()
    }

    /// The public name of the credential that was used: a symmetric key's or a batch's.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.verified()?.credential.as_deref()
    }

    /// The group that the token or credential puts its devices into, where it names one.
    #[must_use]
    pub fn group(&self) -> Option<&GroupName> {
        self.verified()?.group.as_ref()
    }

    /// What the device said about itself, where it did.
    #[must_use]
    pub fn claims(&self) -> Option<&DeviceClaims> {
        self.verified()?.claims.as_ref()
    }

    /// What the evidence was found to say; `None` for a renewal without any.
    #[must_use]
    pub const fn verified(&self) -> Option<&Verified> {
        self.outcome.verified.as_ref()
    }

    /// The rules that were looked at, in order.
    #[must_use]
    pub const fn rules(&self) -> &Arc<[RuleRecord]> {
        &self.rules
    }
}

impl Outcome {
    /// How the device showed which device it is.
    fn shown(&self) -> Shown {
        self.verified.as_ref().map_or(Shown::Ldevid, |verified| verified.shown)
    }

    fn appraised(
        self,
        device: &DeviceId,
        csr: &CheckedCsr,
        decision: Decision,
        policy: &Policy,
        trail: Trail,
    ) -> Appraised {
        Appraised {
            device: device.clone(),
            csr: csr.clone(),
            decision,
            lifetime: policy.certificate_lifetime,
            quota: policy.quota,
            outcome: self,
            rules: trail.into_rules().into(),
        }
    }
}

/// Everything but the decision about first and second enrollments.
fn appraise_proof(
    device: &DeviceId,
    csr: &CheckedCsr,
    proof: &Proof<'_>,
    basis: &Basis<'_>,
    known: Option<&KnownDevice>,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Outcome, Refusal> {
    check_kind(proof.kind(), basis.policy, trail)?;
    let verified = match proof {
        Proof::IdevidEat(evidence) => idevid_eat::verify(device, csr, evidence, basis.makers, now, trail)?,
        Proof::PsaToken(evidence) => {
            let request = psa::Request { device, csr, makers: basis.makers, known, now };
            psa::verify(&request, evidence, trail)?
        }
        Proof::Dice(evidence) => dice::verify(device, csr, evidence, basis.makers, now, trail)?,
        Proof::OneTimeToken(grant) => grant.verify(device, known, now, trail)?,
        Proof::SymmetricKey(evidence) => symmetric::verify(device, csr, evidence, known, now, trail)?,
        Proof::Tpm2(evidence) => tpm::verify(csr, evidence, basis.makers, now, trail)?,
        Proof::ClaimCertificate(evidence) => {
            claim::verify(device, csr, evidence, basis.makers, known, now, trail)?
        }
        Proof::IdevidTls(client) => idevid_tls::verify(device, client, basis.makers, now, trail)?,
    };
    trail.keep(&verified);
    judge_verified(device, &verified, known, basis.policy, basis.reference_values, now, trail)?;
    let registered_model = known.and_then(|k| k.model.as_deref());
    let idevid = verified.shown.identity().copied();
    let claimed = verified.claims.as_ref().and_then(|claims| claims.model.clone());
    Ok(Outcome {
        renewal: false,
        kind: Some(proof.kind()),
        model: claimed
            .or_else(|| verified.model.clone())
            .or_else(|| registered_model.map(Into::into))
            .or_else(|| verified.model_by_policy(basis.policy)),
        idevid,
        verified: Some(verified),
    })
}

fn check_kind(kind: EvidenceKind, policy: &Policy, trail: &mut Trail) -> Result<(), Refusal> {
    let accepted: Vec<_> = policy.kinds.iter().map(|kind| kind.name()).collect();
    trail.require(
        policy.kinds.contains(&kind),
        rule::EVIDENCE_KIND,
        Reject::NoAcceptedEvidenceKind,
        kind.name(),
        accepted.join(" or "),
    )
}

/// What the policy and the inventory say of evidence that is genuine.
fn judge_verified(
    device: &DeviceId,
    verified: &Verified,
    known: Option<&KnownDevice>,
    policy: &Policy,
    reference: &ReferenceValues,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    if verified.maker.is_some() {
        revocation::check(&verified.revocation, policy, trail)?;
    }
    device::check_known(device, known, verified.shown, policy, trail)?;
    let registered_model = known.and_then(|k| k.model.as_deref());
    match &verified.claims {
        Some(claims) => {
            let subject = Subject {
                maker: verified.maker.as_ref(),
                model: registered_model,
                identity: verified.shown.identity(),
                implementation_id: None,
                now,
            };
            claims::check(claims, &subject, policy, reference, trail)
        }
        None => {
            let maker = verified.maker.as_ref();
            claims::check_silent(verified.model.as_deref(), registered_model, maker, policy, trail)?;
            let found = if verified.token.is_some() { "a token" } else { "no claims" };
            trail.note(Verdict::Skipped, rule::MEASUREMENTS, found, "evidence about the firmware");
            Ok(())
        }
    }
}

/// What a kind of evidence comes down to once it is verified: genuine, for this challenge and this CSR. Whether
/// it is good enough is not said yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// How the device showed which device it is.
    shown: Shown,
    /// Who vouches for it, where a maker does.
    maker: Option<Maker>,
    /// What it says about itself, where it does.
    claims: Option<DeviceClaims>,
    /// The model, where something else than the device says it.
    model: Option<String>,
    /// The public name of the token, where one was used.
    token: Option<String>,
    /// The public name of the credential, where one was used.
    credential: Option<String>,
    /// The group that the token or credential puts its devices into.
    #[serde(with = "serial::optional_text")]
    group: Option<GroupName>,
    /// What the maker's revocation lists say of its endorsement.
    #[serde(default)]
    revocation: revocation::Findings,
}

impl Verified {
    /// What the device says about itself, where the evidence leads to the device that the inventory knows, not only
    /// to its name.
    #[must_use]
    pub fn claims_of(&self, known: Option<&KnownDevice>) -> Option<&DeviceClaims> {
        self.claims.as_ref().filter(|_| self.shown.leads_to(known))
    }

    /// Evidence of this identity, endorsed by `maker`, or by whoever registered its key.
    fn endorsed(identity: SpkiHash, maker: impl Into<Option<Maker>>, claims: DeviceClaims) -> Self {
        let shown = Shown::Identity(identity);
        Self {
            shown,
            maker: maker.into(),
            claims: Some(claims),
            model: None,
            token: None,
            credential: None,
            group: None,
            revocation: revocation::Findings::default(),
        }
    }

    /// The model that the policy has for the make of root of trust.
    fn model_by_policy(&self, policy: &Policy) -> Option<String> {
        let id = self.claims.as_ref()?.implementation_id?;
        policy.models_of(&id).next().map(Into::into)
    }

    /// With what was found of the maker's certificates; without it, a policy that wants the makers' lists is not
    /// satisfied.
    fn looked_up(mut self, findings: revocation::Findings) -> Self {
        self.revocation = findings;
        self
    }
}
