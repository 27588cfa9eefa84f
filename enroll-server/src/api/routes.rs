//! Every path of every listener, in one table each: what it is for, who may call it, what answers.
//!
//! The router and the description of the API are made from the table and from nothing else, so that no route can miss its
//! access rule or its description, and a test can walk through all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::{MethodFilter, MethodRouter, on};
use shared::endpoint;

use super::call::{Code, Endpoint, Refusal};
use super::est_about;
use super::traced::{Traced, traced};
use super::{
    Api, admin, broker_hooks, bulk, certificates, devices, enroll, est, events, lists, log, ocsp, openapi,
    public, renewals, rollover, tokens,
};

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
    /// Its stable name in the description of the API.
    pub id: &'static str,
    /// What it is for, as a sentence.
    pub says: &'static str,
    /// How it may refuse, besides what its types say.
    pub(super) may: &'static [Code],
    endpoint: fn(MethodFilter) -> Endpoint,
}

/// All routes of the HTTPS listener.
pub const HTTPS: &[Route] = &[
    Route::post(
        endpoint::CHALLENGE,
        Access::Evidence,
        "challenge",
        "Begins an enrollment, or a renewal with evidence.",
        |to| Endpoint::new(on(to, enroll::challenge), enroll::about_challenge),
    ),
    Route::post(endpoint::ENROLL, Access::Evidence, "enroll", "Enrolls a device by its evidence.", |to| {
        Endpoint::new(on(to, enroll::enroll), enroll::about_enroll)
    }),
    Route::post(
        endpoint::RENEW,
        Access::ClientCertificate,
        "renew",
        "Renews the certificate that the device shows, with a new key.",
        |to| Endpoint::new(on(to, enroll::renew), enroll::about_enroll),
    ),
    Route::get(endpoint::TRUST, Access::Anyone, "get_trust", "The trust bundle in force.", |to| {
        Endpoint::new(on(to, public::trust), public::about_trust)
    }),
    // Anyone is told the bundle that comes next; only a device that shows its certificate is believed.
    Route::post(
        endpoint::TRUST,
        Access::Evidence,
        "report_trust",
        "Tells which trust bundle the device holds, and gives the next.",
        |to| Endpoint::new(on(to, enroll::trust), enroll::about_trust),
    ),
    CRL[0],
    CRL[1],
    CRL[2],
    CRL[3],
    CRL[4],
    LOG[0],
    LOG[1],
    Route::get(openapi::PATH, Access::Operator, "get_description", "This description of the API.", |to| {
        Endpoint::new(on(to, openapi::serve), openapi::about)
    }),
    Route::get(
        "/admin/v1/ca",
        Access::Operator,
        "get_ca_status",
        "The CAs, a rollover under way, and one page of the devices that have not moved.",
        |to| Endpoint::json(to, rollover::status),
    ),
    Route::get(
        "/admin/v1/devices",
        Access::Operator,
        "list_devices",
        "One page of the devices that fit all conditions, by identifier.",
        |to| Endpoint::json(to, devices::list),
    ),
    Route::get("/admin/v1/devices/{device}", Access::Operator, "get_device", "One device.", |to| {
        Endpoint::json(to, admin::device)
    }),
    Route::post(
        "/admin/v1/devices/{device}/approve",
        Access::Operator,
        "approve_device",
        "Approves the held request of a device; where none is held, its next enrollment.",
        |to| Endpoint::json(to, admin::approve),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/revoke",
        Access::Operator,
        "revoke_device",
        "Revokes a device and all its certificates, for good.",
        |to| Endpoint::json(to, admin::revoke),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/deny",
        Access::Operator,
        "deny_device",
        "Denies the held request of a device, and every enrollment until one is approved.",
        |to| Endpoint::json(to, devices::deny),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/suspend",
        Access::Operator,
        "suspend_device",
        "Takes a device out of service for a time; its certificates are on hold.",
        |to| Endpoint::json(to, devices::suspend),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/resume",
        Access::Operator,
        "resume_device",
        "Ends a suspension.",
        |to| Endpoint::json(to, devices::resume),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/retire",
        Access::Operator,
        "retire_device",
        "Ends the life of a device; its identifier stays taken.",
        |to| Endpoint::json(to, devices::retire),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/return",
        Access::Operator,
        "return_device",
        "Sends a device back to its maker, as if it had never been enrolled.",
        |to| Endpoint::json(to, devices::return_to_factory),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/transfer",
        Access::Operator,
        "transfer_device",
        "Gives a device to another owner.",
        |to| Endpoint::json(to, devices::transfer),
    )
    .may(&[Code::IllegalMove]),
    Route::post(
        "/admin/v1/devices/{device}/group",
        Access::Operator,
        "put_device_into_group",
        "Puts a device into a group: its policy is for it from then on.",
        |to| Endpoint::json(to, devices::group),
    ),
    Route::post(
        "/admin/v1/devices/{device}/tags",
        Access::Operator,
        "change_tags",
        "Takes tags from a device and puts tags on it.",
        |to| Endpoint::json(to, devices::tag),
    )
    .may(&[Code::TooManyTags]),
    Route::post(
        "/admin/v1/devices/{device}/renew",
        Access::Operator,
        "renew_device",
        "Wants a renewal of a device now, or wants it no more.",
        |to| Endpoint::json(to, renewals::one),
    )
    .may(&[Code::NothingToRenew]),
    Route::get(
        "/admin/v1/renewals",
        Access::Operator,
        "list_renewals",
        "One page of the renewals that are wanted, by device.",
        |to| Endpoint::json(to, renewals::list),
    ),
    Route::post(
        "/admin/v1/renewals",
        Access::Operator,
        "renew_devices",
        "Wants renewals of many devices, or wants them no more; one page a call.",
        |to| Endpoint::json(to, renewals::many),
    ),
    Route::post(
        "/admin/v1/bulk",
        Access::Operator,
        "act_on_devices",
        "Carries out an action for many devices; one page a call.",
        |to| Endpoint::json(to, bulk::bulk),
    ),
    Route::get(
        "/admin/v1/approvals",
        Access::Operator,
        "list_approvals",
        "One page of the requests that wait for approval, by device.",
        |to| Endpoint::json(to, devices::approvals),
    ),
    Route::get(
        "/admin/v1/events",
        Access::Operator,
        "list_events",
        "One page of the audit trail, by rising number.",
        |to| Endpoint::json(to, events::events),
    ),
    Route::post(
        "/admin/v1/certificates/revoke",
        Access::Operator,
        "revoke_certificate",
        "Revokes a certificate that is no device's, for good: a broker's, a server's, or this server's own at brokers.",
        |to| Endpoint::json(to, certificates::revoke),
    ),
    Route::get(
        "/admin/v1/tokens",
        Access::Operator,
        "list_tokens",
        "One page of the one-time tokens, without their texts, the newest first.",
        |to| Endpoint::json(to, tokens::list),
    ),
    Route::post(
        "/admin/v1/tokens",
        Access::Operator,
        "create_token",
        "Makes a one-time token for an enrollment.",
        |to| Endpoint::json(to, tokens::create),
    ),
    Route::post(
        "/broker/v1/emqx/authenticate",
        Access::Broker,
        "emqx_authenticate",
        "EMQX asks: may this client log in?",
        |to| Endpoint::json(to, broker_hooks::emqx_authenticate),
    ),
    Route::post(
        "/broker/v1/emqx/authorize",
        Access::Broker,
        "emqx_authorize",
        "EMQX asks: may this client publish or subscribe?",
        |to| Endpoint::json(to, broker_hooks::emqx_authorize),
    ),
    Route::post(
        "/broker/v1/rabbitmq/user",
        Access::Broker,
        "rabbitmq_user",
        "RabbitMQ asks: is this a user?",
        |to| Endpoint::new(on(to, broker_hooks::rabbitmq_user), broker_hooks::about_rabbitmq_user),
    ),
    Route::post(
        "/broker/v1/rabbitmq/vhost",
        Access::Broker,
        "rabbitmq_vhost",
        "RabbitMQ asks: may the user enter the virtual host?",
        |to| Endpoint::new(on(to, broker_hooks::rabbitmq_vhost), broker_hooks::about_rabbitmq_vhost),
    ),
    Route::post(
        "/broker/v1/rabbitmq/resource",
        Access::Broker,
        "rabbitmq_resource",
        "RabbitMQ asks: may the user do that to a queue or an exchange?",
        |to| Endpoint::new(on(to, broker_hooks::rabbitmq_resource), broker_hooks::about_rabbitmq_resource),
    ),
    Route::post(
        "/broker/v1/rabbitmq/topic",
        Access::Broker,
        "rabbitmq_topic",
        "RabbitMQ asks: may the user write or read this routing key?",
        |to| Endpoint::new(on(to, broker_hooks::rabbitmq_topic), broker_hooks::about_rabbitmq_topic),
    ),
    Route::get(
        "/broker/v1/certificate",
        Access::Broker,
        "check_certificate",
        "A terminator asks: is this certificate in force?",
        |to| Endpoint::new(on(to, broker_hooks::certificate), broker_hooks::about_certificate),
    ),
];

/// All routes of the EST listener (RFC 7030, section 3.2.2); `{label}` stands for a group.
pub const EST: &[Route] = &[
    Route::get("/.well-known/est/cacerts", Access::Anyone, "est_cacerts", "The CA certificates.", |to| {
        Endpoint::new(on(to, est::cacerts), est_about::about_cacerts)
    }),
    Route::get(
        "/.well-known/est/{label}/cacerts",
        Access::Anyone,
        "est_cacerts_of_group",
        "The CA certificates, of a group.",
        |to| Endpoint::new(on(to, est::cacerts), est_about::about_cacerts),
    ),
    Route::get("/.well-known/est/csrattrs", Access::Anyone, "est_csrattrs", "What a CSR is to have.", |to| {
        Endpoint::new(on(to, est::csrattrs), est_about::about_csrattrs)
    }),
    Route::get(
        "/.well-known/est/{label}/csrattrs",
        Access::Anyone,
        "est_csrattrs_of_group",
        "What a CSR is to have, of a group.",
        |to| Endpoint::new(on(to, est::csrattrs), est_about::about_csrattrs),
    ),
    Route::get(
        "/.well-known/est/nonce",
        Access::EstClient,
        "est_nonce",
        "A nonce for evidence in a CSR.",
        |to| Endpoint::new(on(to, est::nonce), est_about::about_nonce),
    ),
    Route::get(
        "/.well-known/est/{label}/nonce",
        Access::EstClient,
        "est_nonce_of_group",
        "A nonce for evidence in a CSR, of a group.",
        |to| Endpoint::new(on(to, est::nonce), est_about::about_nonce),
    ),
    Route::post(
        "/.well-known/est/simpleenroll",
        Access::EstClient,
        "est_simpleenroll",
        "Enrolls a device.",
        |to| Endpoint::new(on(to, est::simpleenroll), est_about::about_enroll),
    ),
    Route::post(
        "/.well-known/est/{label}/simpleenroll",
        Access::EstClient,
        "est_simpleenroll_of_group",
        "Enrolls a device, of a group.",
        |to| Endpoint::new(on(to, est::simpleenroll), est_about::about_enroll),
    ),
    Route::post(
        "/.well-known/est/simplereenroll",
        Access::ClientCertificate,
        "est_simplereenroll",
        "Renews the certificate that the device shows.",
        |to| Endpoint::new(on(to, est::simplereenroll), est_about::about_enroll),
    ),
    Route::post(
        "/.well-known/est/{label}/simplereenroll",
        Access::ClientCertificate,
        "est_simplereenroll_of_group",
        "Renews the certificate that the device shows, of a group.",
        |to| Endpoint::new(on(to, est::simplereenroll), est_about::about_enroll),
    ),
];

/// All routes of the listener without TLS: nothing there is secret, and nothing changes anything. What comes in the
/// body of a POST is a question (RFC 6960, appendix A).
pub const HTTP: &[Route] = &[
    Route::get("/healthz", Access::Anyone, "get_healthz", "Alive: the process answers.", |to| {
        Endpoint::new(on(to, public::healthz), public::about_healthz)
    }),
    Route::get("/readyz", Access::Anyone, "get_readyz", "Ready: it could issue now.", |to| {
        Endpoint::new(on(to, public::readyz), public::about_readyz)
    }),
    Route::get("/metrics", Access::Anyone, "get_metrics", "Counters for Prometheus.", |to| {
        Endpoint::new(on(to, public::metrics), public::about_metrics)
    }),
    CRL[0],
    CRL[1],
    CRL[2],
    CRL[3],
    CRL[4],
    Route::get(
        "/ocsp/{*request}",
        Access::Anyone,
        "get_ocsp",
        "Answers a question of OCSP in the path.",
        |to| Endpoint::new(on(to, ocsp::get), ocsp::about_get),
    ),
    Route::post("/ocsp", Access::Anyone, "post_ocsp", "Answers a question of OCSP in the body.", |to| {
        Endpoint::new(on(to, ocsp::post), ocsp::about_post)
    }),
    LOG[0],
    LOG[1],
];

const CRL: [Route; 5] = [
    Route::get(
        "/crl/root.crl",
        Access::Anyone,
        "get_root_crl",
        "The root's revocation list, in DER.",
        |to| Endpoint::new(on(to, lists::root), lists::about_root),
    ),
    Route::get(
        "/crl.der",
        Access::Anyone,
        "get_crl_der",
        "The complete list of the CA that issues, in DER.",
        |to| Endpoint::new(on(to, lists::der), lists::about_der),
    ),
    Route::get("/crl/issuing.crl", Access::Anyone, "get_issuing_crl", "The same as /crl.der.", |to| {
        Endpoint::new(on(to, lists::der), lists::about_der)
    }),
    Route::get("/crl.pem", Access::Anyone, "get_crl_pem", "The complete lists of all CAs, in PEM.", |to| {
        Endpoint::new(on(to, lists::pem), lists::about_pem)
    }),
    Route::get(
        "/crl/{issuer}/{list}",
        Access::Anyone,
        "get_crl",
        "One list by its CA and its number.",
        |to| Endpoint::new(on(to, lists::one), lists::about_one),
    ),
];

const LOG: [Route; 2] = [
    Route::get(
        "/log/checkpoint",
        Access::Anyone,
        "get_checkpoint",
        "The checkpoint of the log of what was issued.",
        |to| Endpoint::new(on(to, log::checkpoint), log::about_checkpoint),
    ),
    Route::get("/log/tile/{*tile}", Access::Anyone, "get_tile", "A tile of that log.", |to| {
        Endpoint::new(on(to, log::tile), log::about_tile)
    }),
];

impl Route {
    const fn get(
        path: &'static str,
        access: Access,
        id: &'static str,
        says: &'static str,
        endpoint: fn(MethodFilter) -> Endpoint,
    ) -> Self {
        Self { method: "GET", path, access, id, says, may: &[], endpoint }
    }

    const fn post(
        path: &'static str,
        access: Access,
        id: &'static str,
        says: &'static str,
        endpoint: fn(MethodFilter) -> Endpoint,
    ) -> Self {
        Self { method: "POST", ..Self::get(path, access, id, says, endpoint) }
    }

    /// It may refuse so, besides what its types say.
    const fn may(self, may: &'static [Code]) -> Self {
        Self { may, ..self }
    }

    /// What answers, and what is said of it.
    pub(super) fn endpoint(&self) -> Endpoint {
        (self.endpoint)(if self.method == "GET" { MethodFilter::GET } else { MethodFilter::POST })
    }
}

/// The router of a table.
pub(super) fn router(table: &[Route], api: &Arc<Api>) -> Router<Arc<Api>> {
    let mut paths: BTreeMap<&str, MethodRouter<Arc<Api>>> = BTreeMap::new();
    for route in table {
        let first = !paths.contains_key(route.path);
        let known = paths.remove(route.path).unwrap_or_default();
        let answers = if first && matches!(route.access, Access::Operator | Access::Broker) {
            // In JSON, and only told whoever may call.
            known.merge(guarded(not_allowed(table, route.path), route.access, api))
        } else {
            known
        };
        let answer = route.endpoint().answer;
        let answer = match &api.traces {
            Some(settings) => answer.layer(from_fn_with_state(Traced::new(route, settings, api), traced)),
            None => answer,
        };
        paths.insert(route.path, answers.merge(guarded(answer, route.access, api)));
    }
    paths.into_iter().fold(Router::new(), |router, (path, answers)| router.route(path, answers))
}

/// What answers, to those who may call it.
fn guarded(answers: MethodRouter<Arc<Api>>, access: Access, api: &Arc<Api>) -> MethodRouter<Arc<Api>> {
    match access {
        Access::Operator => answers.layer(from_fn_with_state(Arc::clone(api), admin::authenticated)),
        Access::Broker => answers.layer(from_fn_with_state(Arc::clone(api), broker_hooks::authenticated)),
        // The issuance asks for the proof: without it there is no type that could be recorded or signed.
        Access::Anyone | Access::Evidence | Access::ClientCertificate | Access::EstClient => answers,
    }
}

/// The answer to other methods than those that the table has for a path.
fn not_allowed(table: &[Route], path: &str) -> MethodRouter<Arc<Api>> {
    let methods = table.iter().filter(|route| route.path == path).flat_map(|route| match route.method {
        // Whoever answers GET answers HEAD.
        "GET" => &["GET", "HEAD"][..],
        _ => &["POST"],
    });
    let methods = methods.copied().collect::<Vec<_>>().join(", ");
    MethodRouter::new().fallback(move || async move { Refusal::not_allowed(&methods).into_response() })
}

#[cfg(test)]
mod tests {
    use super::{EST, HTTP, HTTPS};
    use std::collections::BTreeMap;

    /// The description has one operation for each of them.
    #[test]
    fn a_name_stands_for_one_route() {
        let mut names = BTreeMap::new();
        for route in HTTPS.iter().chain(HTTP).chain(EST) {
            let at = (route.method, route.path);
            assert_eq!(*names.entry(route.id).or_insert(at), at, "{}", route.id);
            assert!(route.says.ends_with(['.', '?']), "{}: {}", route.id, route.says);
        }
    }
}
