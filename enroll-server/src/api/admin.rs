//! The operator's calls over HTTPS, in JSON, with the bearer token that `init` made.
//!
//! Everything below `/admin/` is refused alike without the token, whether it is there or not.

use core::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::middleware::Next;
use ca::crl::Reason;
use serde_json::{Value, json};
use shared::DeviceId;

use super::public::typed;
use super::{Api, PeerAddress, Shared, read_body};
use crate::admin::AdminError;
use crate::audit::{ADMIN_TOKEN, Caller};
use crate::credential::TokenRequest;
use crate::issuance::chain;

pub(super) async fn authenticated(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    let given =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let good = match (given, &api.admin_token_sha256) {
        (Some(given), Some(wanted)) => {
            verify_slices_are_equal(digest(&SHA256, given).as_ref(), wanted).is_ok()
        }
        _ => false,
    };
    if good {
        let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        // There is one credential so far; whoever adds another says here which one it was.
        let caller = Caller::of_call(ADMIN_TOKEN, peer, request.method().as_str(), target);
        return caller.during(next.run(request)).await;
    }
    tracing::warn!(path = request.uri().path(), "an operator's call without the admin token was refused");
    api.metrics.served("admin", "unauthorized");
    let mut refusal =
        answer(StatusCode::UNAUTHORIZED, &json!({ "error": "the admin token is missing or wrong" }));
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

pub(super) async fn device(State(api): Shared, Path(name): Path<String>) -> Response<Body> {
    match named(&name) {
        Ok(name) => reply(api.admin.device(&name).await),
        Err(refusal) => refusal,
    }
}

pub(super) async fn approve(State(api): Shared, Path(name): Path<String>) -> Response<Body> {
    match named(&name) {
        Ok(name) => reply(api.admin.approve(&name).await.map(|()| json!({ "approved": name.as_str() }))),
        Err(refusal) => refusal,
    }
}

/// Body: `{"reason": NAME}`, or nothing.
pub(super) async fn revoke(State(api): Shared, Path(name): Path<String>, request: Request) -> Response<Body> {
    let (name, body) = match (named(&name), fields(&api, request).await) {
        (Ok(name), Ok(body)) => (name, body),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal,
    };
    let reason = match body.get("reason").map(|reason| reason.as_str().and_then(Reason::from_name)) {
        None => Reason::Unspecified,
        Some(Some(reason)) => reason,
        Some(None) => return bad("reason is none of those that a revocation list knows"),
    };
    let revoked = api.admin.revoke(&name, reason).await;
    reply(revoked.map(|certificates| json!({ "revoked": name.as_str(), "certificates": certificates })))
}

/// Body: `{"device": ID, "group": NAME, "hours": N}`; each may be left out.
pub(super) async fn create_token(State(api): Shared, request: Request) -> Response<Body> {
    let body = match fields(&api, request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let device = match body.get("device").map(|device| device.as_str().map(DeviceId::new)) {
        None => None,
        Some(Some(Ok(device))) => Some(device),
        Some(_) => return bad("device is no device identifier"),
    };
    let hours = match body.get("hours").map(Value::as_u64) {
        None => 24,
        Some(Some(hours @ 1..=8760)) => hours,
        Some(_) => return bad("hours is a whole number from 1 to 8760"),
    };
    let group = match body.get("group").map(|group| group.as_str().map(str::parse)) {
        None => None,
        Some(Some(Ok(group))) => Some(group),
        Some(_) => return bad("group is no name of a group"),
    };
    let request = TokenRequest { device, group, lifetime: Duration::from_secs(hours * 3600), short: false };
    let made = api.admin.create_tokens(&request, 1).await;
    let made = made.and_then(|mut made| made.pop().ok_or(AdminError::Random));
    reply(made.map(|made| {
        let expires = made.token.expires.to_string();
        json!({ "id": made.token.id, "token": made.text.as_str(), "expires": expires })
    }))
}

pub(super) async fn fields(api: &Api, request: Request) -> Result<Value, Response<Body>> {
    let body = read_body(api, request, shared::limits::MAX_REQUEST)
        .await
        .map_err(|problem| bad(&problem.to_string()))?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(&body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(bad("the body is a JSON object, or nothing")),
    }
}

pub(super) fn named(name: &str) -> Result<DeviceId, Response<Body>> {
    DeviceId::new(name).map_err(|error| bad(&error.to_string()))
}

pub(super) fn bad(problem: &str) -> Response<Body> {
    answer(StatusCode::BAD_REQUEST, &json!({ "error": problem }))
}

pub(super) fn reply(done: Result<impl serde::Serialize, AdminError>) -> Response<Body> {
    match done {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(error) => {
            let status = match &error {
                AdminError::NotFound { .. } => StatusCode::NOT_FOUND,
                AdminError::Illegal(_)
                | AdminError::TooManyTags { .. }
                | AdminError::NothingToRenew { .. } => StatusCode::CONFLICT,
                AdminError::NotAMaker { .. }
                | AdminError::NotABatch { .. }
                | AdminError::Crl(_)
                | AdminError::Inventory(_)
                | AdminError::AttestationKeys(_)
                | AdminError::SeveralMakers { .. }
                | AdminError::Reference(_)
                | AdminError::NotFinal => StatusCode::BAD_REQUEST,
                AdminError::Random | AdminError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            answer(status, &json!({ "error": chain(&error) }))
        }
    }
}

pub(super) fn answer(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned());
    typed(status, "application/json", text + "\n")
}
