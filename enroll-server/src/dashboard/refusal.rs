//! Why a request is not answered with its page, and the page that says so.

use core::time::Duration;

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Role, layout};
use crate::admin::AdminError;
use crate::issuance::chain;
use crate::store::StoreError;

/// Why not.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody is signed in, or not any more.
    NotSignedIn,
    /// The role does not allow it.
    Role {
        /// The one that does.
        needed: Role,
    },
    /// It was not caused by a page of this address.
    OtherSite,
    /// The form is not one that this session was given.
    NotThisSession,
    /// A field is wrong.
    Malformed(String),
    /// Longer than any form or query of ours.
    TooLarge,
    /// Its body does not come.
    TooSlow,
    /// Too many attempts to sign in.
    TooMany(Duration),
    /// There is no such page.
    NoSuchPage,
    /// The operator's hand refuses.
    Admin(AdminError),
    /// The random generator failed.
    Random,
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        Self::Admin(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Admin(error.into())
    }
}

impl From<super::NoRandom> for Refusal {
    fn from(_: super::NoRandom) -> Self {
        Self::Random
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotSignedIn => StatusCode::SEE_OTHER,
            Self::Role { .. } | Self::OtherSite | Self::NotThisSession => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::Random => StatusCode::SERVICE_UNAVAILABLE,
            Self::Admin(error) => match error {
                AdminError::NotFound { .. } => StatusCode::NOT_FOUND,
                AdminError::Random | AdminError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                AdminError::Illegal(_)
                | AdminError::Replaced { .. }
                | AdminError::TooManyTags { .. }
                | AdminError::NothingToRenew { .. } => StatusCode::CONFLICT,
                _ => StatusCode::BAD_REQUEST,
            },
        }
    }

    /// What happened, and what to do.
    fn told(&self) -> (&'static str, String) {
        match self {
            Self::NotSignedIn => ("You are not signed in", "Sign in and try again.".to_owned()),
            Self::Role { needed } => (
                "Your role does not allow that",
                format!("It takes the role {needed}. Nothing was changed. Sign in again with a link of that role."),
            ),
            Self::OtherSite => (
                "That did not come from this site",
                "The request came from another address than that of this page. Nothing was changed. Open the page \
                 anew and try again."
                    .to_owned(),
            ),
            Self::NotThisSession => (
                "That form is out of date",
                "It belongs to another session. Nothing was changed. Open the page anew and try again.".to_owned(),
            ),
            Self::Malformed(what) => ("That cannot be read", format!("{what}. Nothing was changed.")),
            Self::TooLarge => ("That is too long", "It is longer than any form here. Nothing was changed.".to_owned()),
            Self::TooSlow => ("That took too long", "Try again.".to_owned()),
            Self::TooMany(after) => (
                "Too many attempts",
                format!("There were too many from your address. Wait {} seconds.", after.as_secs().max(1)),
            ),
            Self::NoSuchPage => ("There is no such page", "The address is wrong, or it was moved.".to_owned()),
            Self::Random => ("The server cannot do that now", "The random generator failed. Try again.".to_owned()),
            Self::Admin(AdminError::Store(error)) => {
                ("The store does not answer", format!("{}. Try again; if it stays so, see the server's log.", chain(error)))
            }
            Self::Admin(error @ AdminError::NotFound { .. }) => ("There is no such thing", format!("{}.", chain(error))),
            Self::Admin(error @ AdminError::Replaced { .. }) => {
                ("It has changed meanwhile", format!("{}. Nothing was changed by you.", chain(error)))
            }
            Self::Admin(error) => ("That cannot be done", format!("{}.", chain(error))),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        if let Self::NotSignedIn = self {
            return (status, [(LOCATION, HeaderValue::from_static("/sign-in"))]).into_response();
        }
        let (title, text) = self.told();
        tracing::warn!(status = status.as_u16(), %text, "a request to the dashboard was refused");
        let mut response = (status, layout::bare(title, &text)).into_response();
        if let Self::TooMany(after) = self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}
