//! Enrollment over Secure Transport: translates between its requests and the issuance, and decides nothing.
//!
//! Who the client is, is looked at before anything is read of it, on every path: a revoked LDevID gets nothing here,
//! not even what is public.

use std::sync::Arc;

use appraisal::GroupName;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::Next;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ca::CaCertificate;
use serde_json::json;
use shared::DeviceId;

use super::error::Problem;
use super::est_error::EstProblem;
use super::public::{is_of_type, typed};
use super::{Api, Shared, read_body_of};
use crate::admission::Rank;
use crate::est::{Client, Connection, Credentials, MAX_BODY, Pkcs10, certs_only, csr_attributes, to_base64};
use crate::issuance::{ClientIdentity, EstClient, EstEnroll, EstReenroll, Granted, Outcome};
use crate::store::Asked;
use crate::telemetry::traces::spans;

/// The group in the path, where there is one.
type Label = Option<Path<String>>;
/// The connection of a request.
type Tls = Extension<Arc<Connection>>;
/// An answer, and what it counts as.
type Answer = Result<(Response<Body>, &'static str), EstProblem>;

pub(super) async fn cacerts(State(api): Shared, label: Label, tls: Tls) -> Response<Body> {
    let answer = async {
        let _group = api.group(label)?;
        api.client(&tls).await?;
        // One place says what devices trust: the bundle that those of the native protocol get.
        let trust = api.trust.now();
        let roots = trust.newest().anchors().iter().map(Vec::as_slice);
        // Those in force: one that is retired, as its key is stolen perhaps, vouches for nobody any more.
        let lineup = api.lineup.now();
        let others = lineup.issuing().chain(&lineup.crosses).map(CaCertificate::der);
        let message = certs_only(roots.chain(others));
        Ok((pkcs7(&message.map_err(|_| EstProblem::Answer)?, CA_CERTIFICATES), "issued"))
    };
    api.answered("est-cacerts", None, answer.await)
}

pub(super) async fn csrattrs(State(api): Shared, label: Label, tls: Tls) -> Response<Body> {
    let answer = async {
        let group = api.group(label)?.unwrap_or_default();
        api.client(&tls).await?;
        let in_force = api.issuance.policies().current();
        let policy = in_force.set.for_group(&group).ok_or(EstProblem::NoSuchLabel)?.policy();
        let attributes = csr_attributes(policy).map_err(|_| EstProblem::Answer)?;
        Ok((typed(StatusCode::OK, CSR_ATTRIBUTES, to_base64(&attributes)), "issued"))
    };
    api.answered("est-csrattrs", None, answer.await)
}

/// A nonce for evidence in a CSR (draft-ietf-lamps-attestation-freshness, section "Use with EST").
pub(super) async fn nonce(State(api): Shared, label: Label, tls: Tls) -> Response<Body> {
    let answer = async {
        let _group = api.group(label)?;
        let client = api.client(&tls).await?;
        api.est_begins(&client)?;
        let (nonce, until) = match client {
            Client::Idevid(chain) => api.issuance.est_nonce(&chain).await?,
            Client::Ldevid(identity) => api.issuance.est_renewal_nonce(&identity).await?,
            Client::Nobody => return Err(EstProblem::NoCertificate),
        };
        let expiry = until.as_secs().saturating_sub(api.issuance.now().as_secs());
        let body = json!({ "nonce": URL_SAFE_NO_PAD.encode(nonce), "expiry": expiry });
        let mut response = typed(StatusCode::OK, NONCE, body.to_string());
        no_store(&mut response);
        Ok((response, "issued"))
    };
    api.answered("est-nonce", None, answer.await)
}

pub(super) async fn simpleenroll(
    State(api): Shared,
    label: Label,
    tls: Tls,
    headers: HeaderMap,
    request: Request,
) -> Response<Body> {
    let mut device = None;
    let answer = enroll(&api, label, &tls, &headers, request, &mut device).await;
    api.answered("est-simpleenroll", device.as_ref(), answer)
}

async fn enroll(
    api: &Api,
    label: Label,
    tls: &Connection,
    headers: &HeaderMap,
    request: Request,
    device: &mut Option<DeviceId>,
) -> Answer {
    let label = api.group(label)?;
    let client = api.client(tls).await?;
    let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let credentials = authorization.map(Credentials::read).transpose()?;
    let who = match (&client, &credentials) {
        (Client::Idevid(chain), None) => {
            *device = Some(appraisal::idevid::claimed_device(chain.first().copied().unwrap_or_default())?);
            EstClient::Idevid(chain)
        }
        (Client::Nobody, Some(credentials)) => {
            *device = Some(credentials.device().clone());
            EstClient::Token(credentials.token())
        }
        (Client::Ldevid(identity), _) => {
            *device = Some(identity.device().clone());
            return Err(EstProblem::LdevidEnrolls);
        }
        // Two names, of which one would be passed over.
        (Client::Idevid(_), Some(_)) => return Err(EstProblem::TwoAuthentications),
        (Client::Nobody, None) => return Err(EstProblem::NotAuthenticated),
    };
    let Some(device) = device.as_ref() else { return Err(EstProblem::NotAuthenticated) };
    api.est_begins(&client)?;
    let pkcs10 = api.pkcs10(Rank::Unproven, headers, request).await?;
    api.check_asked(Asked::Enroll, &pkcs10, device, tls)?;
    let timer = api.metrics.time("est-simpleenroll");
    let enroll = EstEnroll {
        device,
        csr: pkcs10.csr,
        evidence: pkcs10.evidence.as_ref(),
        client: who,
        label: label.as_ref(),
    };
    let outcome = api.issuance.est_enroll(&enroll).await?;
    timer.done();
    api.est_outcome(&outcome)
}

pub(super) async fn simplereenroll(
    State(api): Shared,
    label: Label,
    tls: Tls,
    headers: HeaderMap,
    request: Request,
) -> Response<Body> {
    let mut device = None;
    let answer = reenroll(&api, label, &tls, &headers, request, &mut device).await;
    api.answered("est-simplereenroll", device.as_ref(), answer)
}

async fn reenroll(
    api: &Api,
    label: Label,
    tls: &Connection,
    headers: &HeaderMap,
    request: Request,
    device: &mut Option<DeviceId>,
) -> Answer {
    let label = api.group(label)?;
    let client = api.client(tls).await?;
    api.est_begins(&client)?;
    let identity: ClientIdentity = match client {
        Client::Ldevid(identity) => identity,
        Client::Idevid(_) => return Err(EstProblem::IdevidReenrolls),
        Client::Nobody => return Err(EstProblem::NoCertificate),
    };
    *device = Some(identity.device().clone());
    if headers.contains_key(AUTHORIZATION) {
        return Err(EstProblem::TwoAuthentications);
    }
    let rank = Rank::of_ldevid(api.issuance.left(&identity));
    let pkcs10 = api.pkcs10(rank, headers, request).await?;
    api.check_asked(Asked::Renew, &pkcs10, identity.device(), tls)?;
    let timer = api.metrics.time("est-simplereenroll");
    let reenroll = EstReenroll {
        identity: &identity,
        csr: pkcs10.csr,
        evidence: pkcs10.evidence.as_ref(),
        label: label.as_ref(),
    };
    let outcome = api.issuance.est_reenroll(&reenroll).await?;
    timer.done();
    api.est_outcome(&outcome)
}

impl Api {
    /// The group that a path names.
    fn group(&self, label: Label) -> Result<Option<GroupName>, EstProblem> {
        let Some(Path(label)) = label else { return Ok(None) };
        let group: GroupName = label.parse().map_err(|_| EstProblem::NoSuchLabel)?;
        let known = self.issuance.policies().current().knows(&group);
        if known { Ok(Some(group)) } else { Err(EstProblem::NoSuchLabel) }
    }

    /// The client of a connection; an LDevID that is revoked is none.
    async fn client<'c>(&self, tls: &'c Connection) -> Result<Client<'c>, EstProblem> {
        let client = Client::of(tls, &self.issuance.authorities(), self.issuance.now())?;
        if let Client::Ldevid(identity) = &client {
            self.issuance.est_check(identity).await?;
        }
        Ok(client)
    }

    async fn pkcs10(&self, rank: Rank, headers: &HeaderMap, request: Request) -> Result<Pkcs10, EstProblem> {
        if !is_of_type(headers, PKCS10) {
            return Err(EstProblem::MediaType);
        }
        let body = read_body_of(self, Some(rank), request.into_body(), MAX_BODY).await?;
        Ok(crate::est::read(&body)?)
    }

    /// Holds what a CSR asks for besides its key against who asks.
    fn check_asked(
        &self,
        asked: Asked,
        pkcs10: &Pkcs10,
        device: &DeviceId,
        tls: &Connection,
    ) -> Result<(), EstProblem> {
        let problem = if let Some(name) = pkcs10.asked.other_name(device.as_str()) {
            // The text is the client's: cut, and escaped where it is shown.
            let name = name.chars().take(64).collect();
            EstProblem::OtherName { device: device.clone(), name }
        } else if pkcs10.asked.challenge_passwords.iter().any(|password| !tls.is_bound_by(password)) {
            EstProblem::ChannelBinding
        } else {
            return Ok(());
        };
        self.issuance.turned_away(asked, device, problem.reject(), &problem.to_string());
        Err(problem)
    }

    fn est_outcome(&self, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Granted(granted) => Ok((certificate(granted)?, outcome.name())),
            Outcome::Held => {
                // RFC 7030, section 4.2.3.
                let text =
                    "pending: an operator has to approve the device; send the same request again later\n";
                let mut response = typed(StatusCode::ACCEPTED, PLAIN, text);
                let after = HeaderValue::from(self.approval_retry.as_secs().max(1));
                response.headers_mut().insert(RETRY_AFTER, after);
                Ok((response, outcome.name()))
            }
        }
    }

    /// Counts, logs and sends an answer.
    fn answered(&self, endpoint: &'static str, device: Option<&DeviceId>, answer: Answer) -> Response<Body> {
        match answer {
            Ok((response, outcome)) => {
                spans::about(device, outcome);
                if endpoint != "est-cacerts" && endpoint != "est-csrattrs" {
                    let (device, trace_id) = (device.map(tracing::field::display), spans::trace());
                    tracing::info!(endpoint, device, outcome, trace_id, "served");
                }
                self.metrics.served(endpoint, outcome);
                response
            }
            Err(problem) => self.est_refuse(endpoint, device, &problem),
        }
    }

    pub(super) fn est_refuse(
        &self,
        endpoint: &'static str,
        device: Option<&DeviceId>,
        problem: &EstProblem,
    ) -> Response<Body> {
        let reject = problem.reject();
        problem.log(endpoint, device);
        self.count_refusal(endpoint, device, (reject, problem.later()));
        problem.response(self.busy_retry)
    }
}

/// The certificate alone: the CAs come by cacerts (RFC 7030, section 4.2.3).
fn certificate(granted: &Granted) -> Result<Response<Body>, EstProblem> {
    let message = certs_only([granted.der()]).map_err(|_| EstProblem::Answer)?;
    let mut response = pkcs7(&message, CERTIFICATE);
    no_store(&mut response);
    Ok(response)
}

/// RFC 7030, sections 4.1.3 and 4.2.3.
pub(super) const CA_CERTIFICATES: &str = "application/pkcs7-mime";
pub(super) const CERTIFICATE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// RFC 7030, section 4.5.2.
pub(super) const CSR_ATTRIBUTES: &str = "application/csrattrs";
/// RFC 7030, section 4.2.1.
pub(super) const PKCS10: &str = "application/pkcs10";
/// draft-ietf-lamps-attestation-freshness, section "Use with EST".
pub(super) const NONCE: &str = "application/est-attestation-freshness+json";
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

fn pkcs7(message: &[u8], kind: &'static str) -> Response<Body> {
    let mut response = typed(StatusCode::OK, kind, to_base64(message));
    // RFC 8951, section 3.1, has no use for it; clients that were written before want it.
    response.headers_mut().insert("content-transfer-encoding", HeaderValue::from_static("base64"));
    response
}

fn no_store(response: &mut Response<Body>) {
    let header = axum::http::header::CACHE_CONTROL;
    response.headers_mut().insert(header, HeaderValue::from_static("no-store"));
}

pub(super) async fn nothing_here(State(api): Shared) -> Response<Body> {
    api.est_refuse("unknown", None, &EstProblem::Problem(Problem::NoSuchEndpoint))
}

pub(super) async fn with_deadline(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    match tokio::time::timeout(api.limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => api.est_refuse("unknown", None, &EstProblem::Problem(Problem::RequestTooSlow)),
    }
}
