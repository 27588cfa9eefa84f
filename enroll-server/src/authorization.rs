//! Whether a request that was appraised as good may be recorded, given what the store knows by now.
//!
//! Pure. The appraisal looked at a snapshot of the device; in between, the device may have been revoked, the
//! nonce or the token used, the key seen. So the store calls [`decide`] in the transaction that records the
//! intent, with facts read in that same transaction.

use std::sync::Arc;

use appraisal::{Appraised, Decision as Verdict, GroupName, KnownDevice};
use ca::{Bound, Serial, Validity};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject, UnixTime};

use crate::intent_key::IntentKey;
use crate::store::{Binding, CertificateState, IssuerNumber, NewAppraisal, Sha256, StoredEvidence, Via};

/// A request that was appraised, with all that has to be checked again when it is recorded.
#[derive(Clone, Debug)]
pub struct Authorized {
    appraised: Appraised,
    basis: Basis,
}

/// What came with the request besides its appraisal.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    /// The device as the appraisal saw it.
    pub(crate) known: Option<KnownDevice>,
    pub(crate) binding: Binding,
    /// Set where the nonce is past its time: then only the answer to a request that is known already is given.
    pub(crate) must_be_known: bool,
    /// SHA-256 of the token's text, where a token was appraised.
    pub(crate) token: Option<Sha256>,
    /// The certificate of the TLS connection, for a renewal.
    pub(crate) presented: Option<Serial>,
    pub(crate) evidence: Option<StoredEvidence>,
    /// Number of the trust bundle that the device holds, where it says so: written down if the request is granted,
    /// which proves who asked.
    pub(crate) trust: Option<u64>,
    /// The group whose policy was for it.
    pub(crate) group: GroupName,
    /// What is recorded of the appraisal, if the request is.
    pub(crate) record: Option<Box<NewAppraisal>>,
    /// Serial number and life of the certificate, if this request is a new one.
    pub(crate) serial: Serial,
    pub(crate) validity: Validity,
    /// By which protocol and authentication it came.
    pub(crate) via: Via,
    /// What it is to contain besides.
    pub(crate) profile: Arc<Bound>,
    /// The CA that signs it.
    pub(crate) issuer: IssuerNumber,
    /// By which its intent is known again.
    pub(crate) intents: IntentKey,
    pub(crate) now: UnixTime,
}

impl Authorized {
    /// Binds a request to its appraisal: without one there is none.
    pub(crate) const fn new(appraised: Appraised, basis: Basis) -> Self {
        Self { appraised, basis }
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        self.appraised.device()
    }

    /// What the evidence was found to be.
    #[must_use]
    pub const fn appraised(&self) -> &Appraised {
        &self.appraised
    }

    pub(crate) const fn basis(&self) -> &Basis {
        &self.basis
    }
}

/// What the store knows, read in the transaction.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The device.
    pub known: Option<KnownDevice>,
    /// The record of this very request.
    pub same_request: Option<SameRequest>,
    /// Whether the key stands in the record of another request.
    pub key_known: bool,
    /// Whether the nonce stands in the record of another request.
    pub nonce_used: bool,
    /// Whether the identity key is registered for another device.
    pub idevid_elsewhere: bool,
    /// Whether the token of the request is there, neither used nor revoked; `true` where it has none.
    pub token_is_good: bool,
    /// Whether the token of the request is the one that a request for its key used up, and not revoked; `true` where it has
    /// none.
    pub token_is_its_own: bool,
    /// Whether as many devices of the group as its policy allows have an identity, this one not counted.
    pub group_is_full: bool,
    /// How the credential of the request stands.
    pub credential: CredentialFacts,
    /// Whether the device has, or had, a certificate.
    pub had_identity: bool,
    /// The certificate the request was sent with: whose it is, and how it stands.
    pub presented: Option<(DeviceId, CertificateState)>,
    /// Whether the CA that is to sign is the one that signs by the rollovers. It decides nothing about the device: who only asks
    /// what would become of a request has no CA.
    pub issuer_in_force: bool,
}

/// The record of a request: same device, key and binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameRequest {
    /// Its serial number.
    pub serial: Serial,
    /// How it stands.
    pub state: CertificateState,
    /// Whether it was held on the same proof: the same kind of evidence, which shows the same identity or is the same
    /// token. Of one that is not held nothing is said.
    pub same_proof: bool,
}

/// How a credential stands; that of a request without one is [`NONE`](Self::NONE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CredentialFacts {
    /// It is there, not revoked, not past its end, and not overridden by a key of the device's own.
    pub good: bool,
    /// The device was brought in by it, or one more may be.
    pub quota_left: bool,
    /// The device was brought in by it.
    pub brought_in: bool,
}

impl CredentialFacts {
    /// There is no credential to look at.
    pub const NONE: Self = Self { good: true, quota_left: true, brought_in: true };
}

/// What the store does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Records the intent to issue.
    Record,
    /// Records it as held, until an operator approves it.
    Hold,
    /// Nothing: this very request is recorded under this serial number, and stands so.
    Known(Serial, CertificateState),
    /// Turns the recorded, held request into an intent: an operator approved it, or the policy asks for no approval any more.
    Release(Serial),
    /// Nothing: the device is not as the appraisal saw it; it has to be appraised again.
    Changed,
    /// Nothing.
    Refuse(Refused),
}

/// Why a request is refused on the ground of what the store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// What the device is told.
    pub reject: Reject,
    /// What the operator is told.
    pub reason: &'static str,
}

/// Refuses a device that an operator took out of service.
///
/// # Errors
/// Says how it stands.
pub(crate) fn in_service(known: Option<&KnownDevice>) -> Result<(), Refused> {
    use appraisal::DeviceState::{Enrolled, Registered, Retired, Revoked, Suspended};
    let (reject, reason) = match known.map(|known| &known.state) {
        Some(Suspended) => (Reject::DeviceSuspended, "the device is suspended"),
        Some(Revoked) => (Reject::DeviceRevoked, "the device was revoked"),
        Some(Retired) => (Reject::DeviceRetired, "the device is retired"),
        Some(Registered | Enrolled { .. }) | None => return Ok(()),
    };
    Err(Refused { reject, reason })
}

/// Decides. The order matters: a device out of service learns that and nothing else; a repeated request gets its
/// answer before its nonce, key and token are found to be used, because it is the one that used them.
#[must_use]
pub fn decide(request: &Authorized, facts: &Facts) -> Decision {
    let basis = request.basis();
    if let Err(refused) = in_service(facts.known.as_ref()) {
        return Decision::Refuse(refused);
    }
    if let Some(same) = &facts.same_request {
        return again(request, facts, same);
    }
    if basis.must_be_known {
        return refuse(Reject::ExpiredNonce, "the nonce is past its time");
    }
    if facts.key_known {
        return refuse(Reject::KeyReused, "the public key stands in another request");
    }
    if facts.nonce_used {
        return refuse(Reject::UsedNonce, "the nonce was used for another request");
    }
    if facts.idevid_elsewhere {
        return identity_elsewhere();
    }
    if !facts.token_is_good {
        return refuse(Reject::BadToken, "the token is unknown, used up or revoked");
    }
    if !facts.credential.good {
        return bad_credential();
    }
    if !facts.credential.quota_left {
        return refuse(Reject::QuotaReached, "the credential has brought in as many devices as it may");
    }
    // A claim certificate only starts an enrollment: whoever is of the batch could give this name.
    if request.appraised.kind() == Some(EvidenceKind::ClaimCertificate)
        && !request.appraised.is_renewal()
        && facts.had_identity
    {
        return refuse(
            Reject::IdentityConflict,
            "a claim certificate under the name of a device that is there",
        );
    }
    if request.appraised.is_renewal() {
        match &facts.presented {
            Some((owner, CertificateState::Issued)) if owner == request.device() => {}
            Some((owner, _)) if owner != request.device() => {
                return refuse(Reject::NotYourDevice, "the client certificate belongs to another device");
            }
            Some(_) => return refuse(Reject::CertificateRevoked, "the client certificate was revoked"),
            None => return refuse(Reject::NotAuthenticated, "the client certificate is not in the store"),
        }
    }
    if facts.known != basis.known {
        return Decision::Changed;
    }
    if facts.group_is_full {
        return group_is_full();
    }
    match request.appraised.decision() {
        Verdict::Accept => Decision::Record,
        Verdict::Hold => Decision::Hold,
    }
}

fn again(request: &Authorized, facts: &Facts, same: &SameRequest) -> Decision {
    match same.state {
        CertificateState::Held => held_before(request, facts, same),
        CertificateState::Intent | CertificateState::Issued => Decision::Known(same.serial, same.state),
        CertificateState::Revoked => refuse(Reject::CertificateRevoked, "its certificate was revoked since"),
        CertificateState::Voided => match request.basis().binding {
            Binding::Nonce(_) => refuse(Reject::UsedNonce, "the request was given up; a new one may come"),
            // With a new nonce it would be the same request once more.
            Binding::Certificate(_) | Binding::Key => {
                refuse(Reject::KeyReused, "the request was given up; one with a new key may come")
            }
        },
    }
}

/// A nonce is for a device, not for one proof. What used up a token or counts for a credential, and what an operator sees, is
/// the proof that the request was held on: any other one would get in without either.
fn held_before(request: &Authorized, facts: &Facts, same: &SameRequest) -> Decision {
    // A renewal never waits: it has the nonce of an enrollment.
    if request.appraised.is_renewal() || !same.same_proof {
        return refuse(Reject::UsedNonce, "the nonce is that of a request that waits on other evidence");
    }
    if facts.known != request.basis().known {
        return Decision::Changed;
    }
    if request.appraised.decision() == Verdict::Hold {
        return Decision::Known(same.serial, same.state);
    }
    // Its identity was not pinned while it waited: another device may have come in by it.
    if facts.idevid_elsewhere {
        return identity_elsewhere();
    }
    if !facts.token_is_its_own {
        return refuse(Reject::BadToken, "the token is revoked, or another one than was used up");
    }
    if !facts.credential.good {
        return bad_credential();
    }
    if !facts.credential.brought_in {
        return refuse(Reject::BadCredential, "the credential is another one than it was held on");
    }
    if facts.group_is_full {
        return group_is_full();
    }
    Decision::Release(same.serial)
}

const fn identity_elsewhere() -> Decision {
    refuse(Reject::IdentityConflict, "the identity key is registered for another device")
}

const fn bad_credential() -> Decision {
    refuse(Reject::BadCredential, "the credential was revoked, ended or overridden meanwhile")
}

const fn group_is_full() -> Decision {
    refuse(Reject::QuotaReached, "as many devices of its group as the policy allows have an identity")
}

const fn refuse(reject: Reject, reason: &'static str) -> Decision {
    Decision::Refuse(Refused { reject, reason })
}

#[cfg(test)]
mod tests;
