//! Every path of the dashboard, in one table: what it is for, who may call it, what answers.
//!
//! The router is made from the table and from nothing else, so that a test can walk through all of it. What a row says of
//! roles is for that test; that it holds is a matter of types, see `access`.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};

use super::pages::{approvals, audit, device, devices, overview, policies, sign_in, tokens};
use super::{Dashboard, Role};

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path; `{device}` stands for a device identifier, `{token}` for the public name of a token.
    pub path: &'static str,
    /// The least role that may call it; `None`: anyone.
    pub role: Option<Role>,
    answer: fn() -> MethodRouter<Arc<Dashboard>>,
}

/// All routes.
pub const ROUTES: &[Route] = &[
    Route::get("/style.css", None, || get(style)),
    Route::get("/icon.svg", None, || get(icon)),
    Route::get("/sign-in", None, || get(sign_in::show)),
    Route::post("/sign-in", None, || post(sign_in::enter)),
    Route::post("/sign-out", Some(Role::Viewer), || post(sign_in::leave)),
    Route::get("/", Some(Role::Viewer), || get(overview::show)),
    Route::get("/devices", Some(Role::Viewer), || get(devices::show)),
    Route::get("/devices/{device}", Some(Role::Viewer), || get(device::show)),
    Route::post("/devices/{device}/approve", Some(Role::Operator), || post(device::approve)),
    Route::post("/devices/{device}/deny", Some(Role::Operator), || post(device::deny)),
    Route::post("/devices/{device}/suspend", Some(Role::Operator), || post(device::suspend)),
    Route::post("/devices/{device}/resume", Some(Role::Operator), || post(device::resume)),
    Route::post("/devices/{device}/renew", Some(Role::Operator), || post(device::renew)),
    Route::post("/devices/{device}/revoke", Some(Role::Admin), || post(device::revoke)),
    Route::post("/devices/{device}/retire", Some(Role::Admin), || post(device::retire)),
    Route::get("/approvals", Some(Role::Viewer), || get(approvals::show)),
    Route::get("/tokens", Some(Role::Viewer), || get(tokens::show)),
    Route::post("/tokens", Some(Role::Admin), || post(tokens::make)),
    Route::post("/tokens/{token}/withdraw", Some(Role::Admin), || post(tokens::withdraw)),
    Route::get("/policies", Some(Role::Viewer), || get(policies::show)),
    Route::get("/audit", Some(Role::Viewer), || get(audit::show)),
];

impl Route {
    const fn get(
        path: &'static str,
        role: Option<Role>,
        answer: fn() -> MethodRouter<Arc<Dashboard>>,
    ) -> Self {
        Self { method: "GET", path, role, answer }
    }

    const fn post(
        path: &'static str,
        role: Option<Role>,
        answer: fn() -> MethodRouter<Arc<Dashboard>>,
    ) -> Self {
        Self { method: "POST", path, role, answer }
    }
}

/// The router of the table.
pub(super) fn router() -> Router<Arc<Dashboard>> {
    ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.answer)()))
}

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// The address has a hash of the content, so that it may be kept for long.
const KEPT: &str = "public, max-age=31536000, immutable";

fn addressed(path: &str, content: &str) -> String {
    let hash = hex::encode(digest(&SHA256, content.as_bytes()).as_ref());
    let short: String = hash.chars().take(16).collect();
    format!("{path}?v={short}")
}

pub(super) fn style_address() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| addressed("/style.css", STYLE));
    &ADDRESS
}

pub(super) fn icon_address() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| addressed("/icon.svg", ICON));
    &ADDRESS
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, KEPT)], STYLE)
}

async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, KEPT)], ICON)
}
