//! Questions of brokers and terminators: who is in force, and what may they do. They ask over HTTPS with a token of
//! their own, in the form of EMQX's HTTP authentication and authorization, of RabbitMQ's HTTP backend, or with the
//! certificate of a client.
//!
//! Whoever asks has verified the client's certificate; the names it sends come out of it. A device that is in force and
//! asks for its own is allowed, everything else is denied, and what cannot be answered is an error, which all of them
//! take for a refusal. Decides no rights: that is [`crate::peers::Rights`]'s.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode, Uri};
use axum::middleware::Next;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::DeviceId;
use shared::limits::MAX_CERTIFICATE;

use super::admin::{answer, bad};
use super::public::{TEXT, typed};
use super::{Api, Shared, read_body};
use crate::issuance::{ClientIdentity, chain};
use crate::peers::{Action, BrokerToken, Client, Rights};
use crate::store::{CertificateState, DeviceState, StoreError};

/// Longest question: a topic, a few names, and RabbitMQ's percent signs.
const MAX_QUESTION: usize = 4 * 1024;
/// What RabbitMQ's MQTT plugin calls its exchange, its virtual host and the queues of a client.
const EXCHANGE: &str = "amq.topic";
const VHOST: &str = "/";
const QUEUE: &str = "mqtt-subscription-";

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
    let problem = json!({ "error": "the token of brokers is missing or wrong" });
    let mut refusal = answer(StatusCode::UNAUTHORIZED, &problem);
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

/// EMQX: may this client log in? The body is `{"username", "clientid", "common_name"}`, all out of the certificate.
pub(super) async fn emqx_authenticate(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_json(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let name = emqx_name(&question).filter(|name| field(&question, "common_name") == Some(name));
    emqx(&api, api.is_in_force(name).await)
}

/// EMQX: may this client publish or subscribe? The body is `{"username", "clientid", "action", "topic"}`.
pub(super) async fn emqx_authorize(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_json(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let action = match field(&question, "action") {
        Some("publish") => Some(Action::Publish),
        Some("subscribe") => Some(Action::Subscribe),
        _ => None,
    };
    let asked = (emqx_name(&question), action, field(&question, "topic"));
    let (Some(name), Some(action), Some(topic)) = asked else { return emqx(&api, Ok(false)) };
    let allowed = api.may(name, |client, rights| rights.allow(client, action, topic)).await;
    emqx(&api, allowed)
}

/// The name, where user and client identifier are it.
fn emqx_name(question: &Value) -> Option<&str> {
    field(question, "username").filter(|name| field(question, "clientid") == Some(name))
}

fn field<'q>(question: &'q Value, name: &str) -> Option<&'q str> {
    question.get(name).and_then(Value::as_str)
}

fn emqx(api: &Api, allowed: Result<bool, StoreError>) -> Response<Body> {
    // Nobody is a superuser: such a client is asked about nothing any more.
    told(api, allowed, |result| answer(StatusCode::OK, &json!({ "result": result, "is_superuser": false })))
}

/// Counts what was decided, and tells it as the broker wants it told.
fn told(
    api: &Api,
    allowed: Result<bool, StoreError>,
    tell: impl FnOnce(&'static str) -> Response<Body>,
) -> Response<Body> {
    match allowed {
        Ok(allowed) => {
            let result = if allowed { "allow" } else { "deny" };
            api.metrics.served("broker", result);
            tell(result)
        }
        Err(error) => unavailable(api, &error),
    }
}

/// RabbitMQ: is this a user? Where a client sends a password, it did not come by its certificate.
pub(super) async fn rabbitmq_user(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_form(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let name = question.one("username").filter(|_| !question.has("password"));
    // Newer versions say the client identifier here already.
    let named = name.filter(|name| !question.has("client_id") || question.one("client_id") == Some(name));
    rabbitmq(&api, api.is_in_force(named).await)
}

/// RabbitMQ: may the user enter the virtual host? Asked before another session under the same client identifier ends.
pub(super) async fn rabbitmq_vhost(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_form(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let name = question
        .one("username")
        .filter(|name| question.one("vhost") == Some(VHOST) && question.one("client_id") == Some(name));
    rabbitmq(&api, api.is_in_force(name).await)
}

/// RabbitMQ: may the user do that to a queue or an exchange? To its own queues, and to the exchange of MQTT; topics are
/// asked about by themselves.
pub(super) async fn rabbitmq_resource(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_form(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let allowed = question.one("username").filter(|name| {
        let resource = question.one("name").unwrap_or_default();
        let own = resource.strip_prefix(QUEUE).and_then(|rest| rest.strip_prefix(*name));
        question.one("vhost") == Some(VHOST)
            && match (question.one("resource"), question.one("permission")) {
                (Some("queue"), Some("configure" | "write" | "read")) => matches!(own, Some("qos0" | "qos1")),
                (Some("exchange"), Some("write" | "read")) => resource == EXCHANGE,
                _ => false,
            }
    });
    rabbitmq(&api, api.is_in_force(allowed).await)
}

/// RabbitMQ: may the user write or read this routing key?
pub(super) async fn rabbitmq_topic(State(api): Shared, request: Request) -> Response<Body> {
    let question = match read_form(&api, request).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let action = match question.one("permission") {
        Some("write") => Some(Action::Publish),
        Some("read") => Some(Action::Subscribe),
        _ => None,
    };
    let at_mqtt = question.one("vhost") == Some(VHOST) && question.one("name") == Some(EXCHANGE);
    let asked = (question.one("username"), action, question.one("routing_key"));
    let (Some(name), Some(action), Some(key), true) = (asked.0, asked.1, asked.2, at_mqtt) else {
        return rabbitmq(&api, Ok(false));
    };
    // Levels are parted by dots there: an identifier with a dot would be two of them, and perhaps another's topic.
    let allowed = api
        .may(name, |client, rights| !name.contains('.') && rights.allow_as(client, action, key, &routing_key))
        .await;
    rabbitmq(&api, allowed)
}

/// A topic or filter of MQTT as RabbitMQ's plugin writes it.
fn routing_key(topic: &str) -> String {
    topic.replace('/', ".").replace('+', "*")
}

fn rabbitmq(api: &Api, allowed: Result<bool, StoreError>) -> Response<Body> {
    told(api, allowed, |result| typed(StatusCode::OK, TEXT, result))
}

/// Is this certificate in force? It stands as base64 of its DER in the header `X-Client-Certificate`. The answer has the
/// device's identifier in `X-Device`.
pub(super) async fn certificate(State(api): Shared, request: Request) -> Response<Body> {
    let header = request.headers().get("x-client-certificate").map(HeaderValue::as_bytes).unwrap_or_default();
    let der = Some(header).filter(|header| !header.is_empty() && header.len() <= MAX_CERTIFICATE * 2);
    let der = der.and_then(|header| STANDARD.decode(header).ok());
    let identity = der.as_deref().and_then(|der| ClientIdentity::from_der(der).ok());
    let (Some(der), Some(identity)) = (der, identity) else { return forbidden(&api) };
    match api.is_certificate_in_force(&der, &identity).await {
        Ok(true) => {
            api.metrics.served("broker", "allow");
            let mut response = answer(StatusCode::OK, &json!({ "device": identity.device().as_str() }));
            if let Ok(device) = HeaderValue::from_str(identity.device().as_str()) {
                response.headers_mut().insert("x-device", device);
            }
            response
        }
        Ok(false) => forbidden(&api),
        Err(error) => unavailable(&api, &error),
    }
}

fn forbidden(api: &Api) -> Response<Body> {
    api.metrics.served("broker", "deny");
    answer(StatusCode::FORBIDDEN, &json!({ "error": "no certificate of a device that is in force" }))
}

fn unavailable(api: &Api, error: &StoreError) -> Response<Body> {
    tracing::error!(error = chain(error), "a broker's question cannot be answered");
    api.metrics.served("broker", "failed");
    answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "the store does not answer" }))
}

impl Api {
    /// Whether whoever has this common name is let in.
    async fn is_in_force(&self, name: Option<&str>) -> Result<bool, StoreError> {
        match name.and_then(Client::of_common_name) {
            Some(client) => self.is_client_in_force(&client).await,
            None => Ok(false),
        }
    }

    async fn is_client_in_force(&self, client: &Client) -> Result<bool, StoreError> {
        match client {
            Client::Server => Ok(true),
            Client::Device(device) => self.is_device_in_force(device).await,
        }
    }

    async fn may(
        &self,
        name: &str,
        allow: impl FnOnce(&Client, &Rights) -> bool,
    ) -> Result<bool, StoreError> {
        let Some(client) = Client::of_common_name(name) else { return Ok(false) };
        let rights = Rights::in_force(self.brokers.all(), &self.issuance.policies().current());
        // What is not allowed anyway costs no query.
        Ok(allow(&client, &rights) && self.is_client_in_force(&client).await?)
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

async fn read_json(api: &Api, request: Request) -> Result<Value, Response<Body>> {
    let body = read_body(api, request, MAX_QUESTION).await.map_err(|problem| bad(&problem.to_string()))?;
    match serde_json::from_slice(&body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(bad("the body is a JSON object")),
    }
}

/// The fields of a form, in their order.
#[derive(Debug)]
struct Form(Vec<(String, String)>);

impl Form {
    /// The value of a field that stands there once.
    fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name || is_variable(known, name));
        let first = found.next()?;
        found.next().is_none().then_some(first.1.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name || is_variable(known, name))
    }

    /// `application/x-www-form-urlencoded`; `None` where it is not.
    fn read(body: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(body).ok()?;
        let uri = Uri::builder().path_and_query(format!("/?{text}")).build().ok()?;
        Query::try_from_uri(&uri).ok().map(|Query(fields)| Self(fields))
    }
}

/// RabbitMQ sends what it knows of an MQTT client as `variable_map.NAME` too.
fn is_variable(known: &str, name: &str) -> bool {
    name == "client_id" && known == "variable_map.client_id"
}

async fn read_form(api: &Api, request: Request) -> Result<Form, Response<Body>> {
    let body = read_body(api, request, MAX_QUESTION).await.map_err(|problem| bad(&problem.to_string()))?;
    Form::read(&body).ok_or_else(|| bad("the body is no form"))
}

#[cfg(test)]
mod tests {
    use super::{Form, routing_key};
    use proptest::prelude::*;

    #[test]
    fn a_form_is_read_and_what_stands_there_twice_counts_as_missing() {
        let form =
            Form::read(b"username=SN-1&vhost=%2F&name=a%20b+c&vhost2=&username2=x&twice=1&twice=2").unwrap();
        assert_eq!(form.one("username"), Some("SN-1"));
        assert_eq!(form.one("vhost"), Some("/"));
        assert_eq!(form.one("name"), Some("a b c"));
        assert_eq!((form.one("twice"), form.has("twice")), (None, true));
        assert_eq!((form.one("missing"), form.has("missing")), (None, false));
        let form = Form::read(b"variable_map.client_id=a&variable_map.username=b").unwrap();
        assert_eq!((form.one("client_id"), form.one("username")), (Some("a"), None));
        assert!(Form::read(b"\xff").is_none());
        assert_eq!(routing_key("devices/+/command"), "devices.*.command");
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _read = Form::read(&bytes);
        }
    }
}
