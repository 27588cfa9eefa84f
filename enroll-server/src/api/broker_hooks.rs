//! Questions of brokers and terminators: who is in force, and what may they do. They ask over HTTPS with a token of
//! their own, in the form of EMQX's HTTP authentication and authorization, of RabbitMQ's HTTP backend, or with the
//! certificate of a client.
//!
//! Whoever asks has verified the client's certificate; the names it sends come out of it. A device that is in force and
//! asks for its own is allowed, everything else is denied, and what cannot be answered is an error, which all of them
//! take for a refusal. Decides no rights: that is [`crate::peers::Rights`]'s.

use std::path::PathBuf;
use std::sync::{Arc, Once};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use ca::Serial;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use shared::DeviceId;
use shared::limits::MAX_REQUEST;

use super::call::{Code, JSON, Refusal, Sent};
use super::openapi::{Operation, Schemas};
use super::public::{TEXT, typed};
use super::{Api, Shared, read_body};
use crate::issuance::{ClientIdentity, chain};
use crate::peers::emqx::{Claim, Login, Wish};
use crate::peers::rabbitmq::Form;
use crate::peers::{BrokerToken, Client, MAX_SENT, Rights, certificate_of};
use crate::store::{CertificateState, DeviceState, StoreError};
use crate::written::Text;

/// Only with the token of brokers; without the file nobody has it.
pub(super) async fn authenticated(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes().to_vec());
    let path: PathBuf = api.broker_token.clone();
    let token = tokio::task::spawn_blocking(move || BrokerToken::read(&path)).await;
    let good = match (header, token) {
        (Some(header), Ok(Ok(token))) => token.is_shown_by(&header),
        (_, Ok(Err(error))) => {
            tracing::warn!(error = chain(&error), "brokers cannot ask: there is no token for them");
            false
        }
        _ => false,
    };
    if good {
        return next.run(request).await;
    }
    api.metrics.served("broker", "unauthorized");
    Refusal::new(Code::Unauthorized, "the token of brokers is missing or wrong").into_response()
}

/// What EMQX is told.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EmqxVerdict {
    /// `allow` or `deny`.
    result: Verdict,
    /// Never: such a client is asked about nothing any more.
    is_superuser: bool,
}

/// Whether a client may.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// EMQX: may this client log in?
pub(super) async fn emqx_authenticate(
    api: Arc<Api>,
    Sent(login): Sent<Login>,
) -> Result<EmqxVerdict, Refusal> {
    let allowed = match login.claim() {
        None => Ok(false),
        Some(Claim::Device(identity, der)) => api.is_certificate_in_force(&der, &identity).await,
        Some(Claim::Server(serial)) => api.is_server_in_force(serial).await,
        Some(Claim::Unshown(client)) => {
            // As earlier configurations ask: fleets go on with them over an upgrade.
            WITHOUT_CERTIFICATE.call_once(|| {
                tracing::warn!(
                    "EMQX does not say with which certificate clients come: a replaced or returned one of a device that is in \
                     force is let in; write its configuration anew: enroll-server broker config emqx"
                );
            });
            api.is_client_in_force(&client).await
        }
    };
    emqx(&api, allowed)
}

/// Told once, not at every login.
static WITHOUT_CERTIFICATE: Once = Once::new();

/// EMQX: may this client publish or subscribe?
pub(super) async fn emqx_authorize(api: Arc<Api>, Sent(wish): Sent<Wish>) -> Result<EmqxVerdict, Refusal> {
    let allowed = match wish.client() {
        Some(client) => api.may(&client, |rights| wish.is_right_of(&client, rights)).await,
        None => Ok(false),
    };
    emqx(&api, allowed)
}

fn emqx(api: &Api, allowed: Result<bool, StoreError>) -> Result<EmqxVerdict, Refusal> {
    Ok(EmqxVerdict { result: verdict(api, allowed)?, is_superuser: false })
}

/// Counts what was decided.
fn verdict(api: &Api, allowed: Result<bool, StoreError>) -> Result<Verdict, Refusal> {
    let allowed = allowed.map_err(|error| unavailable(api, &error))?;
    let verdict = if allowed { Verdict::Allow } else { Verdict::Deny };
    api.metrics.served("broker", verdict.name());
    Ok(verdict)
}

/// RabbitMQ: is this a user?
pub(super) async fn rabbitmq_user(State(api): Shared, request: Request) -> Response<Body> {
    rabbitmq_asks(&api, request, Form::user).await
}

/// RabbitMQ: may the user enter the virtual host?
pub(super) async fn rabbitmq_vhost(State(api): Shared, request: Request) -> Response<Body> {
    rabbitmq_asks(&api, request, Form::vhost).await
}

/// RabbitMQ: may the user do that to a queue or an exchange?
pub(super) async fn rabbitmq_resource(State(api): Shared, request: Request) -> Response<Body> {
    rabbitmq_asks(&api, request, Form::resource).await
}

/// Allowed is whoever `named` finds in the form, where he is in force.
async fn rabbitmq_asks(
    api: &Api,
    request: Request,
    named: impl for<'f> FnOnce(&'f Form) -> Option<&'f str>,
) -> Response<Body> {
    let question = match read_form(api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal.into_response(),
    };
    rabbitmq(api, api.is_in_force(named(&question)).await)
}

/// RabbitMQ: may the user write or read this routing key?
pub(super) async fn rabbitmq_topic(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_form(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(wish) = question.topic() else { return rabbitmq(&api, Ok(false)) };
    let Some(client) = Client::of_common_name(wish.user) else { return rabbitmq(&api, Ok(false)) };
    rabbitmq(&api, api.may(&client, |rights| wish.is_right_of(&client, rights)).await)
}

fn rabbitmq(api: &Api, allowed: Result<bool, StoreError>) -> Response<Body> {
    match verdict(api, allowed) {
        Ok(verdict) => typed(StatusCode::OK, TEXT, verdict.name()),
        Err(refusal) => refusal.into_response(),
    }
}

/// Is this certificate in force? It stands as base64 of its DER in the header `X-Client-Certificate`. The answer has the
/// device's identifier in `X-Device`.
pub(super) async fn certificate(State(api): Shared, request: Request) -> Response<Body> {
    let header = request.headers().get("x-client-certificate").map(HeaderValue::as_bytes).unwrap_or_default();
    let der = certificate_of(header);
    let identity = der.as_deref().and_then(|der| ClientIdentity::from_der(der).ok());
    let (Some(der), Some(identity)) = (der, identity) else { return forbidden(&api) };
    match api.is_certificate_in_force(&der, &identity).await {
        Ok(true) => {
            api.metrics.served("broker", "allow");
            let body = json!({ "device": identity.device().as_str() }).to_string() + "\n";
            let mut response = typed(StatusCode::OK, JSON, body);
            if let Ok(device) = HeaderValue::from_str(identity.device().as_str()) {
                response.headers_mut().insert("x-device", device);
            }
            response
        }
        Ok(false) => forbidden(&api),
        Err(error) => unavailable(&api, &error).into_response(),
    }
}

/// What a terminator asks and is told.
pub(super) fn about_certificate(schemas: &mut Schemas) -> Operation {
    let header = json!({
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^[A-Za-z0-9+/]+={0,2}$",
        "maxLength": MAX_SENT,
    });
    let device = schemas.of_answer::<Text<DeviceId>>();
    let body = json!({ "type": "object", "required": ["device"], "properties": { "device": device } });
    Operation::default()
        .with_request_header("X-Client-Certificate", "The client's certificate: base64 of its DER.", header)
        .answers(StatusCode::OK, "It is in force.", JSON, body)
        .with_header(StatusCode::OK, "X-Device", "The device's identifier.")
        .refusing(&[Code::NotInForce])
}

fn forbidden(api: &Api) -> Response<Body> {
    api.metrics.served("broker", "deny");
    Refusal::new(Code::NotInForce, "no certificate of a device that is in force").into_response()
}

fn unavailable(api: &Api, error: &StoreError) -> Refusal {
    tracing::error!(error = chain(error), "a broker's question cannot be answered");
    api.metrics.served("broker", "failed");
    Refusal::new(Code::Unavailable, "the store does not answer")
}

impl Api {
    /// Whether whoever has this common name is let in.
    async fn is_in_force(&self, name: Option<&str>) -> Result<bool, StoreError> {
        match name.and_then(Client::of_common_name) {
            Some(client) => self.is_client_in_force(&client).await,
            None => Ok(false),
        }
    }

    /// Whether a certificate under the server's own name is not revoked, as the only thing that is known of it, and no device's.
    async fn is_server_in_force(&self, serial: Serial) -> Result<bool, StoreError> {
        Ok(self.issuance.store().statuses(vec![serial]).await? == [None])
    }

    async fn is_client_in_force(&self, client: &Client) -> Result<bool, StoreError> {
        match client {
            Client::Server => Ok(true),
            Client::Device(device) => self.is_device_in_force(device).await,
        }
    }

    async fn may(&self, client: &Client, allow: impl FnOnce(&Rights) -> bool) -> Result<bool, StoreError> {
        let rights = Rights::in_force(self.brokers.all(), &self.issuance.policies().current());
        // What is not allowed anyway costs no query.
        Ok(allow(&rights) && self.is_client_in_force(client).await?)
    }

    /// A device that waits for an approval keeps the certificate that it has.
    async fn is_device_in_force(&self, device: &DeviceId) -> Result<bool, StoreError> {
        let found = self.issuance.store().device(device).await?;
        Ok(found.is_some_and(|found| matches!(found.state, DeviceState::Enrolled | DeviceState::Held)))
    }

    /// Whether it is the very certificate that was issued, neither over nor revoked nor on hold.
    async fn is_certificate_in_force(
        &self,
        der: &[u8],
        identity: &ClientIdentity,
    ) -> Result<bool, StoreError> {
        let stored = self.issuance.store().certificate(identity.serial()).await?;
        let good = stored.is_some_and(|stored| {
            stored.der.as_deref() == Some(der)
                && stored.state == CertificateState::Issued
                && stored.revoked.is_none()
                && stored.not_after >= self.issuance.now()
        });
        Ok(good && self.is_device_in_force(identity.device()).await?)
    }
}

async fn read_form(api: &Api, request: Request) -> Result<Form, Refusal> {
    let body = read_body(api, request, MAX_REQUEST).await?;
    Form::read(&body).ok_or_else(|| Refusal::new(Code::BadRequest, "the body is no form"))
}

/// What RabbitMQ asks, where these are the fields that are looked at, and what it is told.
fn about_rabbitmq(fields: &[&str]) -> Operation {
    let properties: serde_json::Map<_, _> =
        fields.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    let form = json!({ "type": "object", "minProperties": 1, "properties": properties });
    let verdict = json!({ "type": "string", "enum": [Verdict::Allow.name(), Verdict::Deny.name()] });
    Operation::default()
        .taking("application/x-www-form-urlencoded", form)
        .answers(
            StatusCode::OK,
            "Whether it may; what is missing or stands there twice is denied.",
            TEXT,
            verdict,
        )
        .refusing(&[Code::BadRequest, Code::TooLarge])
}

pub(super) fn about_rabbitmq_user(_: &mut Schemas) -> Operation {
    about_rabbitmq(&["username", "password", "client_id"])
}

pub(super) fn about_rabbitmq_vhost(_: &mut Schemas) -> Operation {
    about_rabbitmq(&["username", "vhost", "client_id"])
}

pub(super) fn about_rabbitmq_resource(_: &mut Schemas) -> Operation {
    about_rabbitmq(&["username", "vhost", "resource", "name", "permission"])
}

pub(super) fn about_rabbitmq_topic(_: &mut Schemas) -> Operation {
    about_rabbitmq(&["username", "vhost", "resource", "name", "permission", "routing_key"])
}
