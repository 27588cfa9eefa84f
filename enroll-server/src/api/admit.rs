//! Asks whether a request is let in now, and tells its client when to come again where it is not.
//!
//! Decides nothing: that is [`crate::admission`]'s. What is told here is what is asked, and what TLS has proved of who
//! asks.

use core::time::Duration;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method, Response};
use axum::middleware::Next;
use shared::endpoint;
use shared::message::latest::FreshEvidence;

use super::error::Problem;
use super::est_error::EstProblem;
use super::{Api, Caller, Peer, Shared};
use crate::admission::{Asking, Kind, Later, Place};
use crate::est::{Client, Connection};
use crate::issuance::ClientIdentity;

/// Before every request of the HTTPS listener; it is under way until its answer is there.
pub(super) async fn native(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    let extensions = request.extensions();
    let peer = extensions.get::<Peer>().and_then(Option::as_ref);
    let place = extensions.get::<Place>().copied().unwrap_or(Place::Ordinary);
    let (kind, endpoint) = kind(request.method(), request.uri().path());
    let caller = Caller::of(request.uri().path());
    let left = peer.map(|peer| api.issuance.left(peer));
    let asking = Asking { kind, place, identity: peer.map(ClientIdentity::device), left };
    match api.issuance.gate().request(&asking) {
        Ok(_turn) => next.run(request).await,
        Err(later) => {
            let device = peer.map(ClientIdentity::device).cloned();
            closing(api.turn_away(caller, endpoint, device.as_ref(), Problem::Later(later)))
        }
    }
}

/// Before every request of the EST listener. Who asks is looked at where it matters: in the handlers, and here for a
/// place in the reserve.
pub(super) async fn est(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    let extensions = request.extensions();
    let place = extensions.get::<Place>().copied().unwrap_or(Place::Ordinary);
    let left = match (place, extensions.get::<Arc<Connection>>()) {
        (Place::Reserve, Some(connection)) => api.est_left(connection),
        _ => None,
    };
    match api.issuance.gate().request(&Asking { kind: Kind::Sequel, place, identity: None, left }) {
        Ok(_turn) => next.run(request).await,
        Err(later) => closing(api.est_refuse("unknown", None, &EstProblem::Problem(Problem::Later(later)))),
    }
}

/// What a request of the native protocol is, as far as its path says it.
fn kind(method: &Method, path: &str) -> (Kind, &'static str) {
    match (method, path) {
        (&Method::POST, endpoint::CHALLENGE) => (Kind::Beginning, "challenge"),
        (&Method::POST, endpoint::TRUST) => (Kind::Beginning, "trust"),
        // With a nonce it belongs to the challenge; without one it is refused before it costs anything.
        (&Method::POST, endpoint::ENROLL) => (Kind::Sequel, "enroll"),
        // Its body says whether it has one: see `renewal`.
        (&Method::POST, endpoint::RENEW) => (Kind::Sequel, "renew"),
        _ => (Kind::Sequel, "unknown"),
    }
}

impl Api {
    /// A renewal, whose evidence says whether it belongs to a challenge or begins here.
    pub(super) fn renewal(
        &self,
        peer: &ClientIdentity,
        evidence: Option<&FreshEvidence<'_>>,
    ) -> Result<(), Later> {
        let given = |evidence: &FreshEvidence<'_>| self.issuance.was_given(&evidence.nonce, peer.device());
        if evidence.is_some_and(given) {
            return Ok(());
        }
        self.issuance.gate().begin(true, Some(self.issuance.left(peer)))
    }

    /// An enrollment or re-enrollment over EST begins.
    pub(super) fn est_begins(&self, client: &Client<'_>) -> Result<(), Later> {
        let left = match client {
            Client::Ldevid(identity) => {
                self.issuance.gate().identity(identity.device())?;
                Some(self.issuance.left(identity))
            }
            Client::Idevid(_) | Client::Nobody => None,
        };
        self.issuance.gate().begin(left.is_some(), left)
    }

    fn est_left(&self, connection: &Connection) -> Option<Duration> {
        match Client::of(connection, &self.issuance.authorities(), self.issuance.now()) {
            Ok(Client::Ldevid(identity)) => Some(self.issuance.left(&identity)),
            Ok(Client::Idevid(_) | Client::Nobody) | Err(_) => None,
        }
    }
}

/// The connection's place is for others.
fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
