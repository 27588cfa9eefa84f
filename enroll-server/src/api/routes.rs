//! Every path of the HTTPS listener, in one table: what it is for, who may call it, what answers.
//!
//! The router is made from the table and from nothing else, so that no route can miss its access rule, and a
//! test can walk through all of them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use shared::endpoint;

use super::{
    Api, admin, broker_hooks, devices, enroll, est, events, lists, log, ocsp, public, renewals, rollover,
};

use super::traced::{Traced, traced};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone: what it gives is public.
    Anyone,
    /// Anyone may ask; the message itself has to carry its proof.
    Evidence,
    /// Only with a client certificate, whose device alone counts.
    ClientCertificate,
    /// Only with a client certificate that leads to a maker or to us, or a one-time token.
    EstClient,
    /// Only with the operator's bearer token.
    Operator,
    /// Only with the token of brokers.
    Broker,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path; `{device}` stands for a device identifier, `{issuer}` and `{list}` for a revocation list, `{*tile}` for
    /// what follows.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    answer: fn() -> MethodRouter<Arc<Api>>,
}

/// All routes of the HTTPS listener.
pub const HTTPS: &[Route] = &[
    Route::post(endpoint::CHALLENGE, Access::Evidence, || post(enroll::challenge)),
    Route::post(endpoint::ENROLL, Access::Evidence, || post(enroll::enroll)),
    Route::post(endpoint::RENEW, Access::ClientCertificate, || post(enroll::renew)),
    Route::get(endpoint::TRUST, Access::Anyone, || get(public::trust)),
    // Anyone is told the bundle that comes next; only a device that shows its certificate is believed.
    Route::post(endpoint::TRUST, Access::Evidence, || post(enroll::trust)),
    CRL[0],
    CRL[1],
    CRL[2],
    CRL[3],
    CRL[4],
    LOG[0],
    LOG[1],
    Route::get("/admin/v1/ca", Access::Operator, || get(rollover::status)),
    Route::get("/admin/v1/devices", Access::Operator, || get(devices::list)),
    Route::get("/admin/v1/devices/{device}", Access::Operator, || get(admin::device)),
    Route::post("/admin/v1/devices/{device}/approve", Access::Operator, || post(admin::approve)),
    Route::post("/admin/v1/devices/{device}/revoke", Access::Operator, || post(admin::revoke)),
    Route::post("/admin/v1/devices/{device}/deny", Access::Operator, || post(devices::deny)),
    Route::post("/admin/v1/devices/{device}/suspend", Access::Operator, || post(devices::suspend)),
    Route::post("/admin/v1/devices/{device}/resume", Access::Operator, || post(devices::resume)),
    Route::post("/admin/v1/devices/{device}/retire", Access::Operator, || post(devices::retire)),
    Route::post("/admin/v1/devices/{device}/return", Access::Operator, || post(devices::return_to_factory)),
    Route::post("/admin/v1/devices/{device}/transfer", Access::Operator, || post(devices::transfer)),
    Route::post("/admin/v1/devices/{device}/group", Access::Operator, || post(devices::group)),
    Route::post("/admin/v1/devices/{device}/tags", Access::Operator, || post(devices::tag)),
    Route::post("/admin/v1/devices/{device}/renew", Access::Operator, || post(renewals::one)),
    Route::get("/admin/v1/renewals", Access::Operator, || get(renewals::list)),
    Route::post("/admin/v1/renewals", Access::Operator, || post(renewals::many)),
    Route::post("/admin/v1/bulk", Access::Operator, || post(devices::bulk)),
    Route::get("/admin/v1/approvals", Access::Operator, || get(devices::approvals)),
    Route::get("/admin/v1/events", Access::Operator, || get(events::events)),
    Route::post("/admin/v1/tokens", Access::Operator, || post(admin::create_token)),
    Route::post("/broker/v1/emqx/authenticate", Access::Broker, || post(broker_hooks::emqx_authenticate)),
    Route::post("/broker/v1/emqx/authorize", Access::Broker, || post(broker_hooks::emqx_authorize)),
    Route::post("/broker/v1/rabbitmq/user", Access::Broker, || post(broker_hooks::rabbitmq_user)),
    Route::post("/broker/v1/rabbitmq/vhost", Access::Broker, || post(broker_hooks::rabbitmq_vhost)),
    Route::post("/broker/v1/rabbitmq/resource", Access::Broker, || post(broker_hooks::rabbitmq_resource)),
    Route::post("/broker/v1/rabbitmq/topic", Access::Broker, || post(broker_hooks::rabbitmq_topic)),
    Route::get("/broker/v1/certificate", Access::Broker, || get(broker_hooks::certificate)),
];

/// All routes of the EST listener (RFC 7030, section 3.2.2); `{label}` stands for a group.
pub const EST: &[Route] = &[
    Route::get("/.well-known/est/cacerts", Access::Anyone, || get(est::cacerts)),
    Route::get("/.well-known/est/{label}/cacerts", Access::Anyone, || get(est::cacerts)),
    Route::get("/.well-known/est/csrattrs", Access::Anyone, || get(est::csrattrs)),
    Route::get("/.well-known/est/{label}/csrattrs", Access::Anyone, || get(est::csrattrs)),
    Route::get("/.well-known/est/nonce", Access::EstClient, || get(est::nonce)),
    Route::get("/.well-known/est/{label}/nonce", Access::EstClient, || get(est::nonce)),
    Route::post("/.well-known/est/simpleenroll", Access::EstClient, || post(est::simpleenroll)),
    Route::post("/.well-known/est/{label}/simpleenroll", Access::EstClient, || post(est::simpleenroll)),
    Route::post("/.well-known/est/simplereenroll", Access::ClientCertificate, || post(est::simplereenroll)),
    Route::post("/.well-known/est/{label}/simplereenroll", Access::ClientCertificate, || {
        post(est::simplereenroll)
    }),
];

/// All routes of the listener without TLS: nothing there is secret, and nothing changes anything. What comes in the
/// body of a POST is a question (RFC 6960, appendix A).
pub const HTTP: &[Route] = &[
    Route::get("/healthz", Access::Anyone, || get(public::healthz)),
    Route::get("/readyz", Access::Anyone, || get(public::readyz)),
    Route::get("/metrics", Access::Anyone, || get(public::metrics)),
    CRL[0],
    CRL[1],
    CRL[2],
    CRL[3],
    CRL[4],
    Route::get("/ocsp/{*request}", Access::Anyone, || get(ocsp::get)),
    Route::post("/ocsp", Access::Anyone, || post(ocsp::post)),
    LOG[0],
    LOG[1],
];

const CRL: [Route; 5] = [
    Route::get("/crl/root.crl", Access::Anyone, || get(lists::root)),
    Route::get("/crl.der", Access::Anyone, || get(lists::der)),
    Route::get("/crl/issuing.crl", Access::Anyone, || get(lists::der)),
    Route::get("/crl.pem", Access::Anyone, || get(lists::pem)),
    Route::get("/crl/{issuer}/{list}", Access::Anyone, || get(lists::one)),
];

const LOG: [Route; 2] = [
    Route::get("/log/checkpoint", Access::Anyone, || get(log::checkpoint)),
    Route::get("/log/tile/{*tile}", Access::Anyone, || get(log::tile)),
];

impl Route {
    const fn get(path: &'static str, access: Access, answer: fn() -> MethodRouter<Arc<Api>>) -> Self {
        Self { method: "GET", path, access, answer }
    }

    const fn post(path: &'static str, access: Access, answer: fn() -> MethodRouter<Arc<Api>>) -> Self {
        Self { method: "POST", path, access, answer }
    }
}

/// The router of a table.
pub(super) fn router(table: &[Route], api: &Arc<Api>) -> Router<Arc<Api>> {
    table.iter().fold(Router::new(), |router, route| {
        let answer = (route.answer)();
        let answer = match &api.traces {
            Some(settings) => answer.layer(from_fn_with_state(Traced::new(route, settings, api), traced)),
            None => answer,
        };
        let answer = match route.access {
            Access::Operator => answer.layer(from_fn_with_state(Arc::clone(api), admin::authenticated)),
            Access::Broker => answer.layer(from_fn_with_state(Arc::clone(api), broker_hooks::authenticated)),
            // The issuance asks for the proof: without it there is no type that could be recorded or signed.
            Access::Anyone | Access::Evidence | Access::ClientCertificate | Access::EstClient => answer,
        };
        router.route(route.path, answer)
    })
}
