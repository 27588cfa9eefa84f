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
use shared::message::latest::{FreshEvidence, Nonce};
use shared::{DeviceId, endpoint};

use super::error::Problem;
use super::est_error::EstProblem;
use super::{Api, Caller, Peer, Shared};
use crate::admission::{Asking, Kind, Later, Place};
use crate::est::{Client, Connection};
use crate::issuance::ClientIdentity;

/// Before every request of the HTTPS listener; it is under way until its answer is there.
pub(super) async fn native(State(api): Shared, mut request: Request, next: Next) -> Response<Body> {
    let extensions = request.extensions();
    let peer = extensions.get::<Peer>().and_then(Option::as_ref);
    let place = extensions.get::<Place>().copied().unwrap_or(Place::Ordinary);
    let (kind, endpoint) = kind(request.method(), request.uri().path());
    let caller = Caller::of(request.uri().path());
    let left = peer.map(|peer| api.issuance.left(peer));
    // Operators and brokers show their tokens before anything else is read of them.
    let by_token = caller == Caller::Json;
    let asking = Asking { kind, place, identity: peer.map(ClientIdentity::device), left, by_token };
    let rank = asking.rank();
    match api.issuance.gate().request(&asking) {
        Ok(_turn) => {
            request.extensions_mut().insert(rank);
            next.run(request).await
        }
        Err(later) => {
            let device = peer.map(ClientIdentity::device).cloned();
            closing(api.turn_away(caller, endpoint, device.as_ref(), Problem::Later(later)))
        }
    }
}

/// Before every request of the EST listener. Who asks is looked at where it matters: in the handlers, and here where there is
/// no place but for those who have proved who they are.
pub(super) async fn est(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    let extensions = request.extensions();
    let place = extensions.get::<Place>().copied().unwrap_or(Place::Ordinary);
    let connection = extensions.get::<Arc<Connection>>();
    let asking = |left| Asking { kind: Kind::Sequel, place, identity: None, left, by_token: false };
    let asked = api.issuance.gate().request(&asking(None)).or_else(|later| {
        let left = connection.and_then(|connection| api.est_left(connection)).ok_or(later)?;
        api.issuance.gate().request(&asking(Some(left)))
    });
    match asked {
        Ok(_turn) => next.run(request).await,
        Err(later) => closing(api.est_refuse("unknown", None, &EstProblem::Problem(Problem::Later(later)))),
    }
}

/// What a request of the native protocol is, as far as its path says it.
fn kind(method: &Method, path: &str) -> (Kind, &'static str) {
    match (method, path) {
        (&Method::POST, endpoint::CHALLENGE) => (Kind::Beginning, "challenge"),
        (&Method::POST, endpoint::TRUST) => (Kind::Beginning, "trust"),
        // Its body says whether it belongs to a challenge: see `enrollment`.
        (&Method::POST, endpoint::ENROLL) => (Kind::Sequel, "enroll"),
        // Its body says whether it has one: see `renewal`.
        (&Method::POST, endpoint::RENEW) => (Kind::Sequel, "renew"),
        _ => (Kind::Sequel, "unknown"),
    }
}

impl Api {
    /// An enrollment, which belongs to the challenge whose nonce it brings, or begins here.
    pub(super) fn enrollment(&self, nonce: &Nonce, device: &DeviceId) -> Result<(), Later> {
        let gate = self.issuance.gate();
        if self.issuance.was_given(nonce, device) && gate.sequel(nonce) {
            return Ok(());
        }
        gate.begin(false, None)
    }

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
