//! HTTP: translates between requests and the issuance, and decides nothing.
//!
//! Bodies are read here, with a cap and a deadline, before anything looks at them.

mod admin;
mod admit;
mod answer;
mod broker_hooks;
mod bulk;
mod call;
mod certificates;
mod devices;
mod enroll;
mod error;
mod est;
mod est_about;
mod est_error;
mod events;
mod gauges;
mod health;
mod lists;
mod log;
mod ocsp;
pub mod openapi;
mod public;
mod renewals;
mod rollover;
pub mod routes;
mod selected;
mod shared_look;
mod tokens;
mod traced;

#[cfg(test)]
mod bench;
#[cfg(test)]
mod dependency_tests;

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use ca::trust_chain::TrustChain;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use shared::DeviceId;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::admission::Rank;
use crate::audit::{Refusals, Repeated};
use crate::brokers::Brokers;
use crate::config::{Limits, Traces};
use crate::in_force::InForce;
use crate::issuance::Issuance;
use crate::ocsp::Ocsp;
use crate::revocation::Revocations;
use crate::rollover::Lineup;
use crate::telemetry::{Gauges, Metrics, OnDisk, SpanCounts};
use crate::transparency_log::{Folder, Status};
use crate::webhook::Webhook;

use call::Refusal;
pub(crate) use enroll::Peer;
use error::Problem;
pub use health::Health;
pub use shared_look::SharedLook;

/// Everything that answers.
#[derive(Debug)]
pub struct Api {
    /// Issues.
    pub issuance: Issuance,
    /// The operator's hand.
    pub admin: Admin,
    /// SHA-256 of the operator's bearer token.
    pub admin_token_sha256: Option<[u8; 32]>,
    /// Where the token of brokers is; without the file they are refused.
    pub broker_token: PathBuf,
    /// The signed trust bundles, the newest of them in force.
    pub trust: Arc<InForce<TrustChain>>,
    /// The CAs in force.
    pub(crate) lineup: Arc<InForce<Lineup>>,
    /// Which broker devices are told.
    pub brokers: Brokers,
    /// When a held device asks again.
    pub approval_retry: Duration,
    /// When a device comes again after a fault of the server.
    pub busy_retry: Duration,
    /// Deadlines. What else is limited, the gate of the issuance decides.
    pub limits: Limits,
    /// The revocation list that is out.
    pub revocations: watch::Receiver<Arc<Revocations>>,
    /// Why the CAs that the store says are in force are not taken over, and what to do; `None` where they are.
    pub rollover: watch::Receiver<Option<String>>,
    /// Answers for single certificates.
    pub ocsp: Ocsp,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Refusals to be written to the audit trail.
    pub refusals: Arc<Refusals>,
    /// Devices that are refused again and again.
    pub repeated: Arc<Repeated>,
    /// Where events are posted to.
    pub webhooks: Vec<Webhook>,
    /// The files of the log of what was issued.
    pub log: Arc<Folder>,
    /// How that log stands.
    pub log_status: watch::Receiver<Status>,
    /// Files that have an end, or grow.
    pub on_disk: OnDisk,
    /// Which requests have spans, and whose; `None`: none.
    pub traces: Option<Traces>,
    /// What became of the spans of traces, where they are sent.
    pub spans: Option<Arc<SpanCounts>>,
    /// Looks at whether it could issue, one for all who ask at once.
    pub health: SharedLook<Health>,
    /// Looks at what the metrics say of now, likewise.
    pub gauges: SharedLook<Gauges>,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) core::net::SocketAddr);

type Shared = State<Arc<Api>>;

/// The router of the HTTPS listener.
pub fn https(api: Arc<Api>) -> Router {
    let admission = axum::middleware::from_fn_with_state(Arc::clone(&api), admit::native);
    finish(routes::router(routes::HTTPS, &api), api).layer(admission)
}

/// The router of the listener without TLS.
pub fn http(api: Arc<Api>) -> Router {
    finish(routes::router(routes::HTTP, &api), api)
}

/// The router of the EST listener.
pub fn est(api: Arc<Api>) -> Router {
    let deadline = axum::middleware::from_fn_with_state(Arc::clone(&api), est::with_deadline);
    let admission = axum::middleware::from_fn_with_state(Arc::clone(&api), admit::est);
    routes::router(routes::EST, &api)
        .fallback(est::nothing_here)
        .method_not_allowed_fallback(est::nothing_here)
        .layer(deadline)
        .layer(admission)
        .with_state(api)
}

fn finish(routes: Router<Arc<Api>>, api: Arc<Api>) -> Router {
    let deadline = axum::middleware::from_fn_with_state(Arc::clone(&api), with_deadline);
    routes.fallback(nothing_here).method_not_allowed_fallback(nothing_here).layer(deadline).with_state(api)
}

async fn nothing_here(State(api): Shared, uri: Uri) -> Response {
    api.turn_away(Caller::of(uri.path()), "unknown", None, Problem::NoSuchEndpoint)
}

async fn with_deadline(State(api): Shared, request: Request, next: axum::middleware::Next) -> Response {
    let caller = Caller::of(request.uri().path());
    match tokio::time::timeout(api.limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => api.turn_away(caller, "unknown", None, Problem::RequestTooSlow),
    }
}

/// In whose words a request is refused that no handler has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// A device's, in CBOR.
    Device,
    /// An operator's or a broker's, in JSON.
    Json,
}

impl Caller {
    fn of(path: &str) -> Self {
        if path.starts_with("/admin/") || path.starts_with("/broker/") { Self::Json } else { Self::Device }
    }
}

impl Api {
    /// As `refuse`, in the caller's words.
    fn turn_away(
        &self,
        caller: Caller,
        endpoint: &'static str,
        device: Option<&DeviceId>,
        problem: Problem,
    ) -> Response {
        match caller {
            Caller::Device => self.refuse(endpoint, device, &problem),
            Caller::Json => {
                problem.log(endpoint, device);
                self.count_refusal(endpoint, device, (problem.reject(), problem.later()));
                Refusal::from(problem).into_response()
            }
        }
    }
}

/// Reads the body of a request, of at most `limit` bytes, within its deadline.
async fn read_body(api: &Api, request: Request, limit: usize) -> Result<Bytes, Problem> {
    let rank = rank(request.extensions());
    read_body_of(api, Some(rank), request.into_body(), limit).await
}

/// What admission found to be proved of who asks.
fn rank(extensions: &Extensions) -> Rank {
    extensions.get().copied().unwrap_or_default()
}

/// As [`read_body`], where it is known what is proved of who sends it. Without a rank the body counts for nothing: for bodies
/// so short that there is room for one of each connection.
async fn read_body_of(api: &Api, rank: Option<Rank>, body: Body, limit: usize) -> Result<Bytes, Problem> {
    // What is announced as too long is not waited for.
    if body.size_hint().lower() > limit as u64 {
        return Err(Problem::BodyTooLarge { limit });
    }
    let announced = body.size_hint().upper().and_then(|upper| usize::try_from(upper).ok());
    let bytes = announced.map_or(limit, |announced| announced.min(limit));
    let _room = rank.map(|rank| api.issuance.gate().body(bytes, rank)).transpose()?;
    let body = Limited::new(body, limit);
    let read = tokio::time::timeout(api.limits.body, body.collect()).await;
    match read.map_err(|_| Problem::BodyTooSlow)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::BodyTooLarge { limit }),
        Err(_) => Err(Problem::BodyBroken),
    }
}
