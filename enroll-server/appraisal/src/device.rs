//! What the inventory knows of a device, and the rules about it.
//!
//! A view that the server fills from its store; nothing here reads or writes one.

use serde::{Deserialize, Serialize};
use shared::{DeviceId, Reject};

use crate::group::GroupName;
use crate::key::{SpkiHash, hex};
use crate::policy::{FirstEnrollment, Policy, SecondEnrollment};
use crate::record::{Refusal, Trail, Verdict, rule};

/// A device as the inventory has it. One that is not in the inventory is no `KnownDevice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownDevice {
    /// The group it was put into; decides which policy is for it.
    #[serde(with = "crate::serial::text")]
    pub group: GroupName,
    /// Where it stands.
    pub state: DeviceState,
    /// The model that was imported, if one was.
    pub model: Option<String>,
    /// SHA-256 of what identifies it beyond its name, imported or noted at its first enrollment: the
    /// SubjectPublicKeyInfo of its IDevID, of its TPM's endorsement key or of its DICE root key; for a PSA token the
    /// hash inside the instance identifier; for a symmetric key a hash over the device and whose key it is.
    #[serde(with = "crate::serial::optional_hash")]
    pub idevid_spki_sha256: Option<SpkiHash>,
    /// What an operator approved.
    pub approval: Approval,
}

/// Where a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// Known, without a valid certificate: never enrolled, or all its certificates ended or were superseded.
    Registered,
    /// Holds a certificate in force.
    Enrolled {
        /// SHA-256 of the SubjectPublicKeyInfo in its newest certificate.
        #[serde(with = "crate::serial::hash")]
        key: SpkiHash,
    },
    /// Out of service for a time, by an operator's word; its certificates are on hold.
    Suspended,
    /// Revoked by an operator.
    Revoked,
    /// At the end of its life, by an operator's word.
    Retired,
}

/// What an operator approved after an enrollment was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Nothing yet.
    None,
    /// An operator denied its enrollment; renewals are not touched by that.
    Denied,
    /// The request with this CSR key (SHA-256 of its SubjectPublicKeyInfo), and no other.
    Key(#[serde(with = "crate::serial::hash")] SpkiHash),
    /// The device's next enrollment, whatever its key.
    Device,
}

/// What becomes of a device whose evidence is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It gets a certificate.
    Accept,
    /// An operator has to approve it first.
    Hold,
}

/// How the device showed which device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shown {
    /// With this identity key.
    Identity(#[serde(with = "crate::serial::hash")] SpkiHash),
    /// With a token; `true` where it was made for this one device.
    Token(bool),
    /// With a symmetric key: what identifies its holder, and whether the key was made for this one device.
    Credential { identity: SpkiHash, names_device: bool },
    /// With the claim certificate of its batch: what stands for a device that came in so, and whether every
    /// enrollment of the batch waits for an operator.
    Batch { identity: SpkiHash, hold: bool },
    /// With the certificate it renews.
    Ldevid,
}

impl Shown {
    /// The identity key, where one was shown.
    pub(crate) const fn identity(&self) -> Option<&SpkiHash> {
        match self {
            Self::Identity(hash)
            | Self::Credential { identity: hash, .. }
            | Self::Batch { identity: hash, .. } => Some(hash),
            Self::Token(_) | Self::Ldevid => None,
        }
    }

    /// Whether this leads to the device that the inventory knows, not only to its name.
    pub(crate) fn leads_to(&self, known: Option<&KnownDevice>) -> bool {
        match self {
            Self::Identity(hash) => known.and_then(|k| k.idevid_spki_sha256) == Some(*hash),
            // A key that the operator made for this device says what the operator wants, as a token does.
            Self::Credential { identity, names_device } => {
                known.and_then(|k| k.idevid_spki_sha256).map_or(*names_device, |pinned| pinned == *identity)
            }
            Self::Token(names_device) => *names_device,
            // Every device of the batch could have made it.
            Self::Batch { .. } | Self::Ldevid => false,
        }
    }
}

/// Checks revocation, inventory and the registered identity key.
pub(crate) fn check_known(
    device: &DeviceId,
    known: Option<&KnownDevice>,
    shown: Shown,
    policy: &Policy,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let state = known.map_or("a device that is not in the inventory", |k| match k.state {
        DeviceState::Registered => "a registered device",
        DeviceState::Enrolled { .. } => "an enrolled device",
        DeviceState::Suspended => "a suspended device",
        DeviceState::Revoked => "a revoked device",
        DeviceState::Retired => "a retired device",
    });
    let (revoked, reject) = match known.map(|k| k.state) {
        Some(DeviceState::Revoked) => (true, Reject::DeviceRevoked),
        Some(DeviceState::Retired) => (true, Reject::DeviceRetired),
        _ => (false, Reject::DeviceRevoked),
    };
    trail.require(
        !revoked,
        rule::NOT_REVOKED,
        reject,
        state,
        "a device that is not revoked and not retired",
    )?;
    let suspended = known.is_some_and(|k| k.state == DeviceState::Suspended);
    let wanted = "a device that is not suspended";
    trail.require(!suspended, rule::NOT_SUSPENDED, Reject::DeviceSuspended, state, wanted)?;

    match (known, shown) {
        (Some(_), _) => trail.note(Verdict::Passed, rule::INVENTORY, state, "an entry in the inventory"),
        (None, Shown::Token(true) | Shown::Credential { names_device: true, .. }) => {
            let found = "a token or key made for this device, which counts as an entry";
            trail.note(Verdict::Passed, rule::INVENTORY, found, "an entry in the inventory");
        }
        (None, _) => {
            let found = format!("no entry for {device}");
            let required = policy.inventory_required;
            let wanted =
                if required { "an entry in the inventory" } else { "nothing (inventory.required = false)" };
            trail.require(!required, rule::INVENTORY, Reject::NotInInventory, found, wanted)?;
        }
    }
    check_pinned(known.and_then(|k| k.idevid_spki_sha256.as_ref()), shown, policy, trail)
}

fn check_pinned(
    pinned: Option<&SpkiHash>,
    shown: Shown,
    policy: &Policy,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let Some(pinned) = pinned else {
        trail.note(Verdict::Skipped, rule::PINNED_KEY, "no IDevID key registered", "the registered one");
        return Ok(());
    };
    let wanted = format!("the registered IDevID key {}", hex(pinned));
    match shown {
        Shown::Identity(found) => trail.require(
            found == *pinned,
            rule::PINNED_KEY,
            Reject::IdentityConflict,
            format!("IDevID key {}", hex(&found)),
            wanted,
        ),
        Shown::Credential { identity, .. } => trail.require(
            identity == *pinned,
            rule::PINNED_KEY,
            Reject::IdentityConflict,
            format!("the holder of a symmetric key, {}", hex(&identity)),
            wanted,
        ),
        Shown::Batch { identity, .. } => trail.require(
            identity == *pinned,
            rule::PINNED_KEY,
            Reject::IdentityConflict,
            format!("a device of a batch, {}", hex(&identity)),
            wanted,
        ),
        Shown::Token(_) => trail.require(
            policy.token_replaces_attestation,
            rule::PINNED_KEY,
            Reject::NoAcceptedEvidenceKind,
            format!("a token (token_replaces_attestation = {})", policy.token_replaces_attestation),
            wanted,
        ),
        Shown::Ldevid => {
            trail.note(Verdict::Skipped, rule::PINNED_KEY, "a renewal without evidence", wanted);
            Ok(())
        }
    }
}

fn refuse_batch(trail: &mut Trail) -> Refusal {
    trail.refuse(
        rule::SECOND_ENROLLMENT,
        Reject::IdentityConflict,
        "a claim certificate under the name of a device that is there already",
        "a new device: a batch's certificate does not show which device it is",
    )
}

/// Decides whether a first or second enrollment goes through, waits or is refused.
pub(crate) fn decide(
    known: Option<&KnownDevice>,
    csr_key: &SpkiHash,
    shown: Shown,
    policy: &Policy,
    trail: &mut Trail,
) -> Result<Decision, Refusal> {
    let approval = known.map_or(Approval::None, |k| k.approval);
    let approved = match approval {
        Approval::None | Approval::Denied => false,
        Approval::Key(key) => key == *csr_key,
        Approval::Device => true,
    };
    let with_approval = |trail: &mut Trail, rule, found: &str| {
        let (verdict, decision) =
            if approved { (Verdict::Passed, Decision::Accept) } else { (Verdict::Held, Decision::Hold) };
        let approval = if approved { "approved" } else { "not approved" };
        trail.note(verdict, rule, format!("{found}, {approval}"), "an operator's approval");
        decision
    };
    let same_device = shown.leads_to(known);
    let (of_batch, batch_is_held) = match shown {
        Shown::Batch { hold, .. } => (true, hold),
        _ => (false, false),
    };
    let has_identity = known.is_some_and(|k| k.idevid_spki_sha256.is_some());
    match known.map(|k| k.state) {
        Some(DeviceState::Enrolled { key }) if key == *csr_key => {
            let found = "the key of the certificate in force: the same request again";
            trail.note(Verdict::Passed, rule::SECOND_ENROLLMENT, found, "no second identity");
            Ok(Decision::Accept)
        }
        state if approval == Approval::Denied => {
            let second = matches!(state, Some(DeviceState::Enrolled { .. }));
            let rule = if second { rule::SECOND_ENROLLMENT } else { rule::FIRST_ENROLLMENT };
            let found = "an enrollment that an operator denied";
            Err(trail.refuse(rule, Reject::EnrollmentDenied, found, "an operator's approval"))
        }
        // A claim certificate starts an enrollment, and never leads to a device that is there, approved or not.
        Some(DeviceState::Enrolled { .. }) if of_batch => Err(refuse_batch(trail)),
        _ if of_batch && has_identity => Err(refuse_batch(trail)),
        // Who merely knows a name must not take over the identity behind it.
        Some(DeviceState::Enrolled { .. }) if !same_device && !approved => Err(trail.refuse(
            rule::SECOND_ENROLLMENT,
            Reject::IdentityConflict,
            "an enrolled device's name with proof that does not lead to that device",
            "its registered IDevID key, a token made for it, or an operator's approval",
        )),
        Some(DeviceState::Enrolled { .. }) => {
            let found = "a device that holds a certificate in force";
            match policy.second_enrollment {
                SecondEnrollment::Supersede => {
                    trail.note(
                        Verdict::Passed,
                        rule::SECOND_ENROLLMENT,
                        found,
                        "anything; the new supersedes the old",
                    );
                    Ok(Decision::Accept)
                }
                SecondEnrollment::Hold => Ok(with_approval(trail, rule::SECOND_ENROLLMENT, found)),
                SecondEnrollment::Refuse => Err(trail.refuse(
                    rule::SECOND_ENROLLMENT,
                    Reject::AlreadyEnrolled,
                    found,
                    "a device without one (enrollment.second = \"refuse\")",
                )),
            }
        }
        Some(
            DeviceState::Registered | DeviceState::Suspended | DeviceState::Revoked | DeviceState::Retired,
        )
        | None => match policy.first_enrollment {
            FirstEnrollment::Accept if batch_is_held => {
                Ok(with_approval(trail, rule::FIRST_ENROLLMENT, "a device of a batch that is held"))
            }
            FirstEnrollment::Accept => {
                let found = "a device without a certificate in force";
                trail.note(
                    Verdict::Passed,
                    rule::FIRST_ENROLLMENT,
                    found,
                    "no approval (enrollment.first = \"accept\")",
                );
                Ok(Decision::Accept)
            }
            FirstEnrollment::Hold => Ok(with_approval(trail, rule::FIRST_ENROLLMENT, "a first enrollment")),
        },
    }
}
