//! The operator's calls over HTTPS, in JSON, with the bearer token that `init` made.
//!
//! No call below `/admin/` is carried out without the token, and none says whether what it names is there.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use ca::Serial;
use ca::crl::Reason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::DeviceId;

use super::call::{Code, Maybe, Named, Refusal, Sent};
use super::{Api, PeerAddress, Shared};
use crate::audit::{ADMIN_TOKEN, Caller, Door};
use crate::store::{Action, Device};
use crate::written::Text;

pub(super) async fn authenticated(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    let given =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let shows_one = request.headers().contains_key(AUTHORIZATION);
    let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let good = match (given, &api.admin_token_sha256) {
        (Some(given), Some(wanted)) => {
            verify_slices_are_equal(digest(&SHA256, given).as_ref(), wanted).is_ok()
        }
        _ => false,
    };
    if good {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        // There is one credential so far; whoever adds another says here which one it was.
        let caller = Caller::of_call(ADMIN_TOKEN, peer, request.method().as_str(), target);
        return caller.during(next.run(request)).await;
    }
    tracing::warn!(path = request.uri().path(), "an operator's call without the admin token was refused");
    api.metrics.served("admin", "unauthorized");
    if shows_one {
        api.refusals.guesses().count(Door::AdminApi, peer);
    }
    Refusal::new(Code::Unauthorized, "the admin token is missing or wrong").into_response()
}

pub(super) async fn device(api: Arc<Api>, Named(device): Named) -> Result<Device, Refusal> {
    Ok(api.admin.device(&device).await?)
}

/// The body of a call that takes none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nothing {}

/// A device was approved.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Approved {
    /// Which.
    #[serde(with = "Text::<DeviceId>")]
    approved: DeviceId,
}

/// An approval.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Approve {
    /// The request that was seen in the queue, and no other that came in its place; whatever is held, or the next
    /// enrollment, where none is named.
    serial: Maybe<Text<Serial>>,
}

pub(super) async fn approve(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<Approve>),
) -> Result<Approved, Refusal> {
    api.admin.decide(&device, body.serial.value(), Action::Approve).await?;
    Ok(Approved { approved: device })
}

/// A revocation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Revoke {
    /// Why; `unspecified` where nothing is said.
    reason: Maybe<Text<Reason>>,
}

/// A device was revoked.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Revoked {
    /// Which.
    #[serde(with = "Text::<DeviceId>")]
    revoked: DeviceId,
    /// How many certificates were revoked by it.
    certificates: u64,
}

pub(super) async fn revoke(
    api: Arc<Api>,
    (Named(device), Sent(body)): (Named, Sent<Revoke>),
) -> Result<Revoked, Refusal> {
    let reason = body.reason.value().unwrap_or(Reason::Unspecified);
    let certificates = api.admin.revoke(&device, reason).await?;
    Ok(Revoked { revoked: device, certificates })
}
