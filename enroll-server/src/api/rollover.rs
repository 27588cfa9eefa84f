//! The CAs and their rollover over the admin API.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shared::DeviceId;

use super::Shared;
use super::admin::{answer, bad};
use crate::issuance::chain;
use crate::rollover;
use crate::store::Page;

/// Most devices of one page.
const MAX_PAGE: u32 = 1_000;
/// Devices of a page where nothing is said.
const PAGE: u32 = 100;

/// The page of devices that have not moved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /admin/v1/ca`: what `ca status --json` prints.
pub(super) async fn status(
    State(api): Shared,
    asked: Result<Query<Wanted>, QueryRejection>,
) -> Response<Body> {
    let wanted = match asked {
        Ok(Query(wanted)) => wanted,
        Err(error) => return bad(&error.to_string()),
    };
    let after = match wanted.after.as_deref().map(DeviceId::new).transpose() {
        Ok(after) => after,
        Err(error) => return bad(&error.to_string()),
    };
    let page = Page { after, limit: wanted.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE) };
    match rollover::status(api.issuance.store().as_ref(), page, api.issuance.now()).await {
        Ok(status) => answer(StatusCode::OK, &status),
        Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": chain(&error) })),
    }
}
