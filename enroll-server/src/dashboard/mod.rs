//! The dashboard: web pages for operators, made on the server, that work without JavaScript.
//!
//! It shows and does what the command line shows and does, by the same functions, and decides nothing of its own but who
//! may use it. What changes something takes proofs that only the checks here make: of a role (`access`), and of a form
//! that this session was given and this address was sent from (`form`).

mod access;
mod chart;
mod client;
mod fields;
mod form;
mod headers;
mod layout;
mod origin;
mod pages;
mod parts;
mod refusal;
mod role;
pub mod routes;
mod secret;
mod session;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};

use crate::admission::SignIns;
use crate::api::Api;
use crate::clock::Clock;
use crate::config;
use access::Access;

pub(crate) use client::Client;
pub use role::Role;
pub use secret::{NoRandom, Secret};
pub(crate) use tls::tls;

use refusal::Refusal;

/// Where the pages are.
#[derive(Debug)]
pub struct Dashboard {
    settings: config::Dashboard,
    access: Access,
    clock: Arc<dyn Clock>,
    sign_ins: SignIns,
    begun: tokio::time::Instant,
    deadline: core::time::Duration,
}

type Shared = State<Arc<Dashboard>>;

/// How often one address may try to sign in: a person never comes to it.
const SIGN_INS: &str = "20/m";

impl Dashboard {
    /// The pages over what `api` serves.
    #[must_use]
    pub fn new(settings: config::Dashboard, api: Arc<Api>, clock: Arc<dyn Clock>) -> Self {
        let rate = SIGN_INS.parse().unwrap_or(crate::store::Rate::per_minute(core::num::NonZeroU32::MIN));
        let deadline = api.limits.request;
        Self {
            settings,
            access: Access::new(api),
            clock,
            sign_ins: SignIns::new(rate),
            begun: tokio::time::Instant::now(),
            deadline,
        }
    }

    /// The router of its listener.
    pub fn router(self) -> Router {
        let dashboard = Arc::new(self);
        routes::router()
            .fallback(nothing_here)
            .method_not_allowed_fallback(nothing_here)
            .layer(from_fn_with_state(Arc::clone(&dashboard), with_deadline))
            .layer(from_fn(headers::add))
            .with_state(dashboard)
    }
}

async fn nothing_here() -> Response {
    Refusal::NoSuchPage.into_response()
}

async fn with_deadline(State(dashboard): Shared, request: Request, next: Next) -> Response {
    match tokio::time::timeout(dashboard.deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::TooSlow.into_response(),
    }
}
