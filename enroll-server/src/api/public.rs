//! What anyone may read: trust bundle, revocation list, health, metrics.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;
use shared::{Reject, endpoint};

use super::answer::cbor;
use super::openapi::{Operation, Schemas, binary};
use super::{Health, Shared};

pub(super) async fn trust(State(api): Shared) -> Response<Body> {
    api.metrics.served("trust", "issued");
    cbor(api.trust.now().newest().signed().to_vec().into())
}

/// Alive: the process answers. Says nothing of whether it can issue.
pub(super) async fn healthz() -> Response<Body> {
    typed(StatusCode::OK, TEXT, "alive\n".to_owned())
}

/// Ready: it could issue now. One line a check.
pub(super) async fn readyz(State(api): Shared) -> Response<Body> {
    let health = api.health().await;
    let Health { signing, checks } = &*health;
    let mut text = String::new();
    if let Err(why) = signing {
        text.push_str(&format!("signing: {why}\n"));
    }
    for (name, check) in checks {
        let found = check.as_ref().map_or_else(String::as_str, |()| "ok");
        text.push_str(&format!("{name}: {found}\n"));
    }
    let ready = signing.is_ok() && checks.iter().all(|(_, check)| check.is_ok());
    typed(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, TEXT, text)
}

/// Prometheus text format.
pub(super) async fn metrics(State(api): Shared) -> Response<Body> {
    typed(StatusCode::OK, PROMETHEUS, api.metrics.render(&*api.gauges().await))
}

pub(super) fn about_trust(_: &mut Schemas) -> Operation {
    Operation::default()
        .answers(StatusCode::OK, "The signed trust bundle in force.", endpoint::MEDIA_TYPE, binary())
        .rejecting_as(&[Reject::TooSlow, Reject::TooManyRequests])
}

fn text(description: &str) -> Operation {
    Operation::default().answers(StatusCode::OK, description, TEXT, json!({ "type": "string" }))
}

pub(super) fn about_healthz(_: &mut Schemas) -> Operation {
    text("The process answers.")
}

pub(super) fn about_readyz(_: &mut Schemas) -> Operation {
    let why = "It could not issue now; one line for each thing that was looked at.";
    text("It could issue now.").answers(
        StatusCode::SERVICE_UNAVAILABLE,
        why,
        TEXT,
        json!({ "type": "string" }),
    )
}

pub(super) fn about_metrics(_: &mut Schemas) -> Operation {
    Operation::default().answers(
        StatusCode::OK,
        "Prometheus text format.",
        PROMETHEUS,
        json!({ "type": "string" }),
    )
}

/// Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4";

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Whether a request's body says that it is of this media type. Parameters say nothing here (RFC 9110, section 8.3.1).
pub(super) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let said = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let said = said.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    said.eq_ignore_ascii_case(wanted.as_bytes())
}

pub(super) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
