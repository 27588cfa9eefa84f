//! Challenge, enrollment, renewal.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use shared::message::latest::{ChallengeRequest, EnrollRequest, RenewRequest, TrustReport};
use shared::{DeviceId, endpoint, limits};

use super::answer::cbor;
use super::error::Problem;
use super::openapi::{Operation, Schemas, binary};
use super::{Api, Shared, read_body};
use crate::issuance::{ClientIdentity, Outcome};
use crate::store::Asked;
use crate::telemetry::traces::spans;

/// The client certificate of the connection, if one came.
pub(crate) type Peer = Option<ClientIdentity>;

pub(super) async fn challenge(State(api): Shared, request: Request) -> Response<Body> {
    let mut device = None;
    let made = make_challenge(&api, request, &mut device).await;
    api.finish("challenge", device.as_ref(), made)
}

async fn make_challenge(
    api: &Api,
    request: Request,
    device: &mut Option<DeviceId>,
) -> Result<(Response<Body>, &'static str), Problem> {
    let body = read_body(api, request, limits::MAX_REQUEST).await?;
    let request = ChallengeRequest::decode(&body)?;
    *device = Some(request.device.clone());
    let challenge = api.issuance.challenge(&request).await?;
    let mut bytes = vec![0; limits::MAX_ANSWER];
    let length = challenge.message().encode(&mut bytes)?;
    bytes.truncate(length);
    Ok((cbor(bytes.into()), "issued"))
}

pub(super) async fn enroll(State(api): Shared, request: Request) -> Response<Body> {
    let mut device = None;
    let enrolled = do_enroll(&api, request, &mut device).await;
    api.finish("enroll", device.as_ref(), enrolled)
}

async fn do_enroll(
    api: &Api,
    request: Request,
    device: &mut Option<DeviceId>,
) -> Result<(Response<Body>, &'static str), Problem> {
    let body = read_body(api, request, limits::MAX_REQUEST_LARGE).await?;
    let request = EnrollRequest::decode(&body)?;
    *device = Some(request.device.clone());
    api.enrollment(&request.evidence.nonce, &request.device)?;
    let timer = api.metrics.time("enroll");
    let outcome = api.issuance.enroll(&request).await?;
    timer.done();
    Ok((api.outcome(&request.device, request.trust, &outcome).await?, outcome.name()))
}

pub(super) async fn renew(
    State(api): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let mut device = None;
    let renewed = do_renew(&api, peer, request, &mut device).await;
    api.finish("renew", device.as_ref(), renewed)
}

async fn do_renew(
    api: &Api,
    peer: Peer,
    request: Request,
    device: &mut Option<DeviceId>,
) -> Result<(Response<Body>, &'static str), Problem> {
    let body = read_body(api, request, limits::MAX_REQUEST_LARGE).await?;
    let request = RenewRequest::decode(&body)?;
    *device = Some(request.device.clone());
    // Before the certificate is looked up, so that nobody learns anything about another's.
    if let Some(found) = peer.as_ref().map(ClientIdentity::device)
        && *found != request.device
    {
        let problem = Problem::NotYourDevice { found: found.clone(), asked: request.device.clone() };
        api.issuance.turned_away(Asked::Renew, &request.device, problem.reject(), &problem.to_string());
        return Err(problem);
    }
    if let Some(peer) = &peer {
        api.renewal(peer, request.evidence.as_ref())?;
    }
    let timer = api.metrics.time("renew");
    let outcome = api.issuance.renew(&request, peer.as_ref()).await?;
    timer.done();
    let ended = peer.as_ref().is_some_and(|peer| peer.not_after() < api.issuance.now());
    if ended && matches!(outcome, Outcome::Granted(_)) {
        api.metrics.renewed_in_grace();
    }
    Ok((api.outcome(&request.device, request.trust, &outcome).await?, outcome.name()))
}

/// `POST /v1/trust`: what a device holds, and what it takes next. Anyone is answered, since bundles are public; only a
/// device that shows its LDevID is believed.
pub(super) async fn trust(
    State(api): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let told = tell_trust(&api, peer.as_ref(), request).await;
    api.finish("trust", peer.as_ref().map(ClientIdentity::device), told)
}

async fn tell_trust(
    api: &Api,
    peer: Option<&ClientIdentity>,
    request: Request,
) -> Result<(Response<Body>, &'static str), Problem> {
    let body = read_body(api, request, limits::MAX_REQUEST).await?;
    let TrustReport { held } = TrustReport::decode(&body)?;
    let believed = match peer {
        Some(peer) => api.issuance.reported_trust(peer, held).await?,
        None => false,
    };
    let bundle = api.trust.now().next_for(Some(held)).signed().to_vec();
    Ok((cbor(bundle.into()), if believed { "confirmed" } else { "issued" }))
}

/// A message of the protocol, which docs/protocol.md has.
fn message() -> Operation {
    Operation::default().taking(endpoint::MEDIA_TYPE, binary()).rejecting()
}

pub(super) fn about_challenge(_: &mut Schemas) -> Operation {
    message().answers(
        StatusCode::OK,
        "A challenge: the nonce for the evidence.",
        endpoint::MEDIA_TYPE,
        binary(),
    )
}

/// Of `enroll` and `renew` alike.
pub(super) fn about_enroll(_: &mut Schemas) -> Operation {
    message()
        .answers(StatusCode::OK, "An answer with the certificate.", endpoint::MEDIA_TYPE, binary())
        .answers(
            StatusCode::ACCEPTED,
            "An answer that tells when to ask again: an operator has to approve the device.",
            endpoint::MEDIA_TYPE,
            binary(),
        )
        .with_header(StatusCode::ACCEPTED, "Retry-After", "Seconds.")
}

pub(super) fn about_trust(_: &mut Schemas) -> Operation {
    message().answers(StatusCode::OK, "The signed trust bundle to take next.", endpoint::MEDIA_TYPE, binary())
}

impl Api {
    fn finish(
        &self,
        endpoint: &'static str,
        device: Option<&DeviceId>,
        done: Result<(Response<Body>, &'static str), Problem>,
    ) -> Response<Body> {
        match done {
            Ok((response, outcome)) => {
                spans::about(device, outcome);
                let (device, trace_id) = (device.map(tracing::field::display), spans::trace());
                if endpoint != "challenge" && endpoint != "trust" {
                    tracing::info!(endpoint, device, outcome, trace_id, "served");
                }
                self.metrics.served(endpoint, outcome);
                response
            }
            Err(problem) => self.refuse(endpoint, device, &problem),
        }
    }
}
