//! Refusals over EST: a status, and a text for whoever looks at the client (RFC 7030, section 4.2.3; RFC 8951).
//!
//! What is wrong with the form of a request is said exactly. Of what was decided about a device it says as much as the
//! native protocol's code does, and what to do; the operator's reason stays in the log and in the records.

use core::time::Duration;

use appraisal::idevid::EndorsementError;
use axum::body::Body;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use shared::{DeviceId, Reject};

use super::error::{Problem, log_refusal, retry_after};
use super::est::PLAIN;
use super::public::typed;
use crate::admission::Later;
use crate::est::{BasicError, BodyError, ClientError};
use crate::issuance::{Denied, chain, rule_of};

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum EstProblem {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Basic(#[from] BasicError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the client's certificate is no IDevID")]
    Idevid(#[from] EndorsementError),
    #[error("the path names a group that has no policy")]
    NoSuchLabel,
    #[error("the body is of another media type than application/pkcs10")]
    MediaType,
    #[error("the client is not authenticated: neither by a TLS client certificate nor by HTTP Basic")]
    NotAuthenticated,
    #[error("the client showed no certificate in TLS")]
    NoCertificate,
    #[error("the client is authenticated by a certificate and by HTTP Basic at once; one of them is wanted")]
    TwoAuthentications,
    #[error("an LDevID is renewed by simplereenroll; simpleenroll takes an IDevID or a one-time token")]
    LdevidEnrolls,
    #[error("simplereenroll takes the LDevID that is to be renewed; an IDevID enrolls by simpleenroll")]
    IdevidReenrolls,
    #[error("the CSR's subject names {name:?}, and the client is {device}")]
    OtherName { device: DeviceId, name: String },
    #[error(
        "the CSR's challengePassword is not the channel binding of this connection (tls-exporter, RFC 9266)"
    )]
    ChannelBinding,
    #[error("the answer cannot be written")]
    Answer,
}

impl From<Later> for EstProblem {
    fn from(later: Later) -> Self {
        Self::Problem(later.into())
    }
}

impl From<Denied> for EstProblem {
    fn from(denied: Denied) -> Self {
        Self::Problem(denied.into())
    }
}

impl EstProblem {
    /// What it counts as.
    pub(super) const fn reject(&self) -> Reject {
        match self {
            Self::Problem(problem) => problem.reject(),
            Self::Body(error) => error.reject(),
            Self::Idevid(error) => error.reject(),
            Self::NoSuchLabel => Reject::NoSuchEndpoint,
            Self::MediaType | Self::TwoAuthentications => Reject::MalformedMessage,
            Self::Basic(_) | Self::Client(_) | Self::NotAuthenticated | Self::NoCertificate => {
                Reject::NotAuthenticated
            }
            Self::LdevidEnrolls | Self::IdevidReenrolls | Self::OtherName { .. } => Reject::NotYourDevice,
            Self::ChannelBinding => Reject::BadCsr,
            Self::Answer => Reject::Internal,
        }
    }

    /// As [`Problem::later`].
    pub(super) const fn later(&self) -> Option<Later> {
        match self {
            Self::Problem(problem) => problem.later(),
            _ => None,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // Whoever has no other authentication is asked for it (RFC 7030, section 3.2.3).
            _ if self.reject() == Reject::BadToken => StatusCode::UNAUTHORIZED,
            _ => {
                StatusCode::from_u16(self.reject().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    pub(super) fn log(&self, endpoint: &'static str, device: Option<&DeviceId>) {
        if let Self::Problem(problem) = self {
            return problem.log(endpoint, device);
        }
        let reject = self.reject();
        log_refusal((endpoint, device), reject, rule_of(reject), chain(self));
    }

    pub(super) fn response(&self, busy: Duration) -> Response<Body> {
        let (reject, status) = (self.reject(), self.status());
        let text = format!("{}: {}\n", reject.name(), self.text());
        let mut response = typed(status, PLAIN, text);
        if status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"EST\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, basic);
        }
        let told = self.later().map(|later| later.after);
        let retry_after = told.or_else(|| retry_after(reject, busy).filter(|_| reject.http_status() >= 429));
        if let Some(after) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }

    /// What the client is told behind the name of the refusal.
    fn text(&self) -> String {
        match self {
            Self::Problem(Problem::Denied(denied)) => denied_text(denied).to_owned(),
            Self::Idevid(_) => "the client's certificate names no device, or cannot be read".to_owned(),
            Self::Answer => "the server has a defect".to_owned(),
            _ => chain(self),
        }
    }
}

/// What a client is told of a decision.
fn denied_text(denied: &Denied) -> &'static str {
    if matches!(denied, Denied::OtherGroup { .. }) {
        return "the device is not in the group that the path names";
    }
    match denied.reject() {
        Reject::NoAcceptedEvidenceKind => {
            "the policy of the device's group does not take this authentication or evidence; csrattrs says what a \
             CSR can carry, and evidence.kinds in the policy what is taken"
        }
        Reject::UnknownNonce | Reject::ExpiredNonce | Reject::EvidenceNonce => {
            "the evidence in the CSR answers no nonce of this server for this device; get one from the path 'nonce'"
        }
        Reject::UsedNonce => {
            "the nonce was used, or the request was given up; begin again with a new key and nonce"
        }
        Reject::KeyReused => "this key was used before; make a new key for each certificate",
        Reject::BadEvidence | Reject::EvidenceSignature | Reject::EvidenceKey | Reject::EvidenceDevice => {
            "the evidence in the CSR is missing or unreadable, or not of this device and this CSR's key"
        }
        Reject::EvidenceWanted => {
            "the policy wants fresh evidence in the CSR of a renewal, for a nonce from the path 'nonce'"
        }
        Reject::UnknownMaker => "no maker that this server knows has issued the client's certificate",
        Reject::BadEndorsement => "the chain of the client's certificate does not hold",
        Reject::NotInInventory => "the server does not know the device",
        Reject::BadToken => "the token is unknown, used up, expired, revoked, or for another device",
        Reject::CertificateRevoked => "the certificate was revoked; enroll again by simpleenroll",
        Reject::CertificateExpired => {
            "the client's certificate ended too long ago; enroll again by simpleenroll"
        }
        Reject::NotAuthenticated => "the client's certificate is not one of this server's",
        Reject::AlreadyEnrolled => {
            "the device has a certificate in force, and the policy allows no second one"
        }
        Reject::DeviceRevoked
        | Reject::DeviceRetired
        | Reject::DeviceSuspended
        | Reject::EnrollmentDenied => "an operator took the device out of service",
        Reject::TooManyRequests => "too many ask at once; come again at the time told",
        Reject::Unavailable
        | Reject::SigningStopped
        | Reject::GroupWithoutPolicy
        | Reject::RevocationUnknown => "the server cannot decide or sign now; come again",
        Reject::Internal => "the server has a defect",
        _ => "the policy of the device's group refuses the device",
    }
}
