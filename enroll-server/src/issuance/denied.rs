//! Why a request gets no certificate: one type over all steps, and what the device is told for each.

use appraisal::GroupName;
use appraisal::idevid::EndorsementError;
use appraisal::record::rule;
use ca::{IssueError, LintError};
use shared::Reject;
use shared::codec::DecodeError;
use shared::message::latest::EvidenceKind;

use super::identity::IdentityError;
use crate::admission::Later;
use crate::authorization::Refused;
use crate::credential::{NotOpened, WrappingKeyError};
use crate::nonce::UnknownNonce;
use crate::store::{DeviceState, IssuerNumber, StoreError};
use crate::tpm_credential::CredentialError;

/// Why a request gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// No kind of evidence the device offers is accepted.
    #[error("the device offers no kind of evidence that the policy accepts")]
    NoKind,
    /// The device's group has no policy.
    #[error("the device's group '{0}' has no policy; nothing says what it has to show")]
    NoPolicy(GroupName),
    /// The client says that the device is in a group that it is not in.
    #[error("the request was sent to the group '{label}', and the device is in the group '{group}'")]
    OtherGroup {
        /// The group that the client named.
        label: GroupName,
        /// The group that the device is in, or that its token puts it into.
        group: GroupName,
    },
    /// Evidence of a kind that needs more than a CSR can carry.
    #[error("evidence of kind {} in the CSR; it cannot travel there", .0.name())]
    NotInCsr(EvidenceKind),
    /// Two proofs at once, of which one would be passed over.
    #[error(
        "evidence in the CSR of a client that is authenticated by a token; it needs TLS client authentication"
    )]
    EvidenceWithToken,
    /// The certificate of the TLS client leads to no maker.
    #[error("the client's certificate is no IDevID of a maker this server knows")]
    Client(#[from] EndorsementError),
    /// No credential can be made for the TPM.
    #[error("the TPM cannot be challenged")]
    Credential(#[from] CredentialError),
    /// The nonce is not one of ours for this device.
    #[error(transparent)]
    Nonce(#[from] UnknownNonce),
    /// The token is unknown, used up or revoked.
    #[error("the token is unknown, used up or revoked")]
    UnknownToken,
    /// The appraisal refused.
    #[error(transparent)]
    Appraisal(#[from] appraisal::Refusal),
    /// The store's facts refuse.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A renewal without a client certificate.
    #[error("the request came without a client certificate")]
    NoClientCertificate,
    /// The client certificate is not one of ours.
    #[error("the client certificate is not one of this server's")]
    Identity(#[from] IdentityError),
    /// The request was voided while its certificate was signed: an operator acted on the device.
    #[error("the device became {} while its certificate was being signed; it was thrown away", .0.name())]
    Withdrawn(DeviceState),
    /// The device kept changing under the appraisal.
    #[error("the device's record kept changing; too many requests for one device at once")]
    Contended,
    /// The key that wraps symmetric keys cannot be read.
    #[error(transparent)]
    Wrapping(#[from] WrappingKeyError),
    /// A symmetric key in the store does not open.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// Too many of the device's group come at once.
    #[error(transparent)]
    Later(#[from] Later),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The CA did not sign.
    #[error("the CA did not sign")]
    Ca(#[from] IssueError),
    /// The configuration has no key for the CA that the intent was recorded for.
    #[error("there is no key for the issuing CA {0}, which was to sign; name it under [[previous_ca]]")]
    NoAuthority(IssuerNumber),
    /// The CA that signs here is not the one that is in force: for a moment after the switch of a rollover, or until an operator
    /// has brought the new CA's key here.
    #[error(
        "the CA that is in force by the database was not taken over here yet; /readyz says what is missing"
    )]
    OtherCa,
    /// An older database was put in place, and no operator has decided yet.
    #[error("nothing is signed until an operator has decided: {0}")]
    SigningStopped(String),
    /// The signing task was lost.
    #[error("the signing task ended without a result")]
    SignerGone,
    /// The random generator failed.
    #[error("the random generator failed")]
    Random,
}

impl Denied {
    /// What the device is told. Every error of a dependency denies: none is taken for a yes.
    #[must_use]
    pub const fn reject(&self) -> Reject {
        match self {
            Self::Later(_) => Reject::TooManyRequests,
            Self::NoKind | Self::NotInCsr(_) => Reject::NoAcceptedEvidenceKind,
            Self::EvidenceWithToken => Reject::BadEvidence,
            Self::Client(error) => error.reject(),
            Self::NoPolicy(_) => Reject::GroupWithoutPolicy,
            Self::OtherGroup { .. } => Reject::NotInInventory,
            Self::Credential(CredentialError::Random) => Reject::Unavailable,
            Self::Credential(_) => Reject::BadEvidence,
            Self::Nonce(UnknownNonce) => Reject::UnknownNonce,
            Self::UnknownToken => Reject::BadToken,
            Self::Appraisal(refusal) => refusal.reject,
            Self::Refused(refused) => refused.reject,
            Self::NoClientCertificate | Self::Identity(_) => Reject::NotAuthenticated,
            Self::Withdrawn(DeviceState::Suspended) => Reject::DeviceSuspended,
            Self::Withdrawn(DeviceState::Revoked) => Reject::DeviceRevoked,
            Self::Withdrawn(DeviceState::Retired) => Reject::DeviceRetired,
            // Transferred, returned or denied: asking again tells.
            Self::Withdrawn(DeviceState::Registered | DeviceState::Held | DeviceState::Enrolled) => {
                Reject::UsedNonce
            }
            Self::Store(
                StoreError::Damaged { .. }
                | StoreError::TooNew { .. }
                | StoreError::Moved { .. }
                | StoreError::Unfit { .. },
            )
            | Self::NotOpened(_)
            | Self::SignerGone => Reject::Internal,
            Self::SigningStopped(_) => Reject::SigningStopped,
            Self::Contended
            | Self::Store(
                StoreError::Busy
                | StoreError::Migrating { .. }
                | StoreError::Unreachable(_)
                | StoreError::Full
                | StoreError::Failed(_)
                | StoreError::Closed,
            )
            | Self::Wrapping(_)
            | Self::Ca(_)
            | Self::NoAuthority(_)
            | Self::OtherCa
            | Self::Random => Reject::Unavailable,
        }
    }

    /// Whether what is recorded can never be signed any more. A CA whose life has not begun is that of a server whose clock is
    /// behind.
    pub(super) fn is_for_good(&self) -> bool {
        match self {
            Self::Ca(IssueError::Lint(LintError::CaNotValid { not_before, now, .. })) => now >= not_before,
            Self::Ca(IssueError::Lint(_)) => true,
            _ => false,
        }
    }

    /// The rule that decided: one of the appraisal's, or the one that stands for this refusal.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Appraisal(refusal) => refusal.rule,
            Self::OtherGroup { .. } => rule::GROUP_POLICY,
            Self::Withdrawn(_) | Self::Contended => rule::UNCHANGED,
            _ => rule_of(self.reject()),
        }
    }
}

/// The rule that stands for a refusal that is not the appraisal's.
#[must_use]
pub fn rule_of(reject: Reject) -> &'static str {
    match reject {
        Reject::MalformedMessage
        | Reject::TooLarge
        | Reject::UnsupportedVersion
        | Reject::NoSuchEndpoint
        | Reject::TooSlow
        | Reject::TooManyRequests => rule::MESSAGE,
        Reject::NoAcceptedEvidenceKind => rule::EVIDENCE_KIND,
        Reject::UnknownNonce | Reject::ExpiredNonce | Reject::UsedNonce => rule::NONCE,
        Reject::BadCsr | Reject::NoProofOfPossession => rule::CSR,
        Reject::KeyReused => rule::NEW_KEY,
        Reject::BadEvidence => rule::EVIDENCE_FORM,
        Reject::EvidenceWanted => rule::RENEWAL_EVIDENCE,
        Reject::EvidenceSignature => rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceNonce => rule::EVIDENCE_NONCE,
        Reject::EvidenceKey => rule::EVIDENCE_KEY,
        Reject::EvidenceDevice => rule::EVIDENCE_DEVICE,
        Reject::UnknownMaker | Reject::BadEndorsement => rule::ENDORSEMENT,
        Reject::EndorsementRevoked | Reject::RevocationUnknown => rule::ENDORSEMENT_REVOCATION,
        Reject::ModelNotAllowed => rule::MODEL,
        Reject::FirmwareTooOld => rule::FIRMWARE_VERSION,
        Reject::FirmwareUnknown => rule::MEASUREMENTS,
        Reject::DebugOpen => rule::DEBUG,
        Reject::GroupWithoutPolicy => rule::GROUP_POLICY,
        Reject::NotInInventory => rule::INVENTORY,
        Reject::DeviceRevoked | Reject::DeviceRetired => rule::NOT_REVOKED,
        Reject::DeviceSuspended => rule::NOT_SUSPENDED,
        Reject::EnrollmentDenied => rule::FIRST_ENROLLMENT,
        Reject::IdentityConflict => rule::PINNED_KEY,
        Reject::BadToken => rule::TOKEN,
        Reject::BadCredential => rule::CREDENTIAL,
        Reject::QuotaReached => rule::QUOTA,
        Reject::AlreadyEnrolled => rule::SECOND_ENROLLMENT,
        Reject::NotAuthenticated
        | Reject::CertificateRevoked
        | Reject::CertificateExpired
        | Reject::NotYourDevice => rule::TLS_IDENTITY,
        _ => rule::SERVER,
    }
}

/// What a device is told whose message cannot be read.
#[must_use]
pub const fn reject_of_message(error: &DecodeError) -> Reject {
    match error {
        DecodeError::TooLong { .. } => Reject::TooLarge,
        DecodeError::UnsupportedVersion { .. } => Reject::UnsupportedVersion,
        DecodeError::Truncated { .. }
        | DecodeError::TooDeep { .. }
        | DecodeError::NotDeterministic { .. }
        | DecodeError::TrailingBytes { .. }
        | DecodeError::Missing { .. }
        | DecodeError::Invalid { .. } => Reject::MalformedMessage,
    }
}

/// An error with its sources, in one line.
#[must_use]
pub fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{rule, rule_of};
    use shared::Reject;

    #[test]
    fn every_refusal_names_a_rule_and_only_faults_of_the_server_name_the_server() {
        for reject in Reject::ALL {
            assert_eq!(rule_of(*reject) == rule::SERVER, matches!(reject.code(), 90..), "{reject}");
        }
    }
}
