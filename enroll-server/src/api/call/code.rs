//! The one table of refusals in JSON: stable code, HTTP status, what it means, what to do.
//!
//! Codes never change their meaning. What the native protocol and EST say to devices is theirs: see `shared::Reject`.

use core::time::Duration;

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use shared::Reject;

use super::super::error::Problem;
use super::super::public::typed;
use super::JSON;
use crate::admin::AdminError;
use crate::issuance::chain;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:ident, $client:literal;)+) => {
        /// Why a call is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::api) enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// All codes.
            pub(in crate::api) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name.
            pub(in crate::api) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The status of the answer that carries it.
            pub(in crate::api) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it means, as a sentence.
            pub(in crate::api) const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What whoever called does, as a sentence.
            pub(in crate::api) const fn client_action(self) -> &'static str {
                match self { $(Self::$name => $client,)+ }
            }
        }
    };
}

codes! {
    /// The path, the query or the body is not what the call takes.
    BadRequest = "bad-request", BAD_REQUEST, "Mend the request; the text says what is wrong.";
    /// The token is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED, "Send the token in the header Authorization, behind `Bearer `.";
    /// The certificate is none of a device that is in force.
    NotInForce = "not-in-force", FORBIDDEN, "Refuse the client.";
    /// There is no such device.
    NotFound = "not-found", NOT_FOUND, "Look for the device by list_devices.";
    /// Nothing is at this path.
    NoSuchEndpoint = "no-such-endpoint", NOT_FOUND, "Compare the path with the description of the API.";
    /// The path has no such method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Use a method that the header Allow names.";
    /// The request took longer than allowed.
    TooSlow = "too-slow", REQUEST_TIMEOUT, "Send it again; if it recurs, the network or the database is slow.";
    /// The state of the device does not allow it.
    IllegalMove = "illegal-move", CONFLICT, "Look at the device: get_device; the text says what its state allows.";
    /// The request that was decided on does not wait any more.
    RequestReplaced = "request-replaced", CONFLICT, "Look at the queue again: list_approvals.";
    /// The device would have too many tags.
    TooManyTags = "too-many-tags", CONFLICT, "Take tags away first.";
    /// The device has no certificate in force that could be renewed.
    NothingToRenew = "nothing-to-renew", CONFLICT, "Nothing; the device enrolls.";
    /// The body is longer than allowed.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE, "Shorten the body.";
    /// Too many requests for now.
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS, "Come again after the time in the header Retry-After.";
    /// A defect in the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "See the server's log and report it.";
    /// The database does not answer, or the random generator failed.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "See the server's log, and send the request again.";
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl JsonSchema for Code {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.iter().map(|code| code.name()).collect();
        json_schema!({ "type": "string", "description": "Why, a stable name.", "enum": names })
    }
}

/// What is told whoever is refused.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(in crate::api) struct Told {
    /// Why, for a person; its words may change.
    error: String,
    /// Why, for a program.
    code: Code,
}

/// A refusal of a call.
#[derive(Debug)]
pub(in crate::api) struct Refusal {
    told: Told,
    retry_after: Option<Duration>,
    allow: Option<HeaderValue>,
}

impl Refusal {
    pub(in crate::api) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { told: Told { error: text.into(), code }, retry_after: None, allow: None }
    }

    /// There are these methods, with commas between.
    pub(in crate::api) fn not_allowed(methods: &str) -> Self {
        let refusal = Self::new(Code::MethodNotAllowed, format!("this path has {methods}"));
        Self { allow: HeaderValue::from_str(methods).ok(), ..refusal }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = serde_json::to_string(&self.told).unwrap_or_default();
        let mut response = typed(self.told.code.status(), JSON, text + "\n");
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, methods);
        }
        if self.told.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        let code = match &error {
            AdminError::NotFound { .. } => Code::NotFound,
            AdminError::Illegal(_) => Code::IllegalMove,
            AdminError::Replaced { .. } => Code::RequestReplaced,
            AdminError::TooManyTags { .. } => Code::TooManyTags,
            AdminError::NothingToRenew { .. } => Code::NothingToRenew,
            AdminError::NotAMaker { .. }
            | AdminError::NotABatch { .. }
            | AdminError::NotAPeer { .. }
            | AdminError::Crl(_)
            | AdminError::Inventory(_)
            | AdminError::AttestationKeys(_)
            | AdminError::SeveralMakers { .. }
            | AdminError::Reference(_)
            | AdminError::NotFinal => Code::BadRequest,
            AdminError::Random | AdminError::Store(_) => Code::Unavailable,
        };
        if code == Code::Unavailable {
            tracing::error!(error = chain(&error), "an operator's call cannot be answered");
        }
        Self::new(code, chain(&error))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let code = match problem.reject() {
            Reject::NoSuchEndpoint => Code::NoSuchEndpoint,
            Reject::TooLarge => Code::TooLarge,
            Reject::TooSlow => Code::TooSlow,
            Reject::TooManyRequests => Code::TooManyRequests,
            Reject::MalformedMessage => Code::BadRequest,
            Reject::Unavailable => Code::Unavailable,
            _ => Code::Internal,
        };
        let retry_after = problem.later().map(|later| later.after);
        Self { retry_after, ..Self::new(code, chain(&problem)) }
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_unique_and_say_what_they_mean_and_what_to_do() {
        for (place, code) in Code::ALL.iter().enumerate() {
            assert!(code.meaning().ends_with('.') && code.client_action().ends_with('.'), "{code:?}");
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(Code::ALL.iter().skip(place + 1).all(|other| other.name() != code.name()), "{code:?}");
        }
    }
}
