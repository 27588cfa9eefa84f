//! One span a request, where traces are on.
//!
//! A request that is turned away before it comes to its route has none: a storm makes no load of its own here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::middleware::Next;
use tracing::Instrument as _;

use super::Api;
use super::routes::{Access, Route};
use crate::config::Traces;
use crate::telemetry::traces::spans;

/// What is known of a route before anyone asks.
#[derive(Clone, Debug)]
pub(super) struct Traced {
    name: Arc<str>,
    method: &'static str,
    path: &'static str,
    /// Whether the trace that the headers name is believed. To be set where it is known who asks.
    follows: bool,
    /// The planted bug.
    #[cfg(any(test, feature = "plants"))]
    tells_tokens: bool,
}

impl Traced {
    pub(super) fn new(route: &Route, settings: &Traces, api: &Api) -> Self {
        #[cfg(not(any(test, feature = "plants")))]
        let _plain = api;
        Self {
            #[cfg(any(test, feature = "plants"))]
            tells_tokens: api.issuance.has(crate::failpoint::Plant::TracesTokens),
            name: format!("{} {}", route.method, route.path).into(),
            method: route.method,
            path: route.path,
            follows: match route.access {
                // The span is made behind the check of the token.
                Access::Operator => true,
                Access::Broker => false,
                Access::Anyone | Access::Evidence | Access::ClientCertificate | Access::EstClient => {
                    settings.from_devices
                }
            },
        }
    }
}

/// Around what answers.
pub(super) async fn traced(State(traced): State<Traced>, request: Request, next: Next) -> Response<Body> {
    let span = spans::request(&traced.name, traced.method, traced.path);
    if traced.follows {
        spans::follow(&span, request.headers());
    }
    #[cfg(any(test, feature = "plants"))]
    if traced.tells_tokens {
        spans::planted(&span, request.headers());
    }
    let response = next.run(request).instrument(span.clone()).await;
    spans::answered(&span, response.status());
    response
}
