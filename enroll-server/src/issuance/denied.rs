//! Why a request gets no certificate: one type over all steps, and what the device is told for each.

use ca::IssueError;
use shared::Reject;

use super::identity::IdentityError;
use crate::authorization::Refused;
use crate::nonce::UnknownNonce;
use crate::store::{DeviceState, StoreError};

/// Why a request gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// No kind of evidence the device offers is accepted.
    #[error("the device offers no kind of evidence that the policy accepts")]
    NoKind,
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The CA did not sign.
    #[error("the CA did not sign")]
    Ca(#[from] IssueError),
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
            Self::NoKind => Reject::NoAcceptedEvidenceKind,
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
            Self::Store(StoreError::Damaged { .. } | StoreError::TooNew { .. }) | Self::SignerGone => {
                Reject::Internal
            }
            Self::Contended
            | Self::Store(StoreError::Busy | StoreError::Full | StoreError::Failed(_) | StoreError::Closed)
            | Self::Ca(_)
            | Self::Random => Reject::Unavailable,
        }
    }

    /// The rule of the appraisal that decided, where it was one.
    #[must_use]
    pub const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Appraisal(refusal) => Some(refusal.rule),
            _ => None,
        }
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &(dyn core::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
