//! What a call takes: the device in its path, its query, its body.

use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::Path;
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use shared::DeviceId;
use shared::limits::MAX_REQUEST;

use super::super::openapi::{Operation, Schemas};
use super::super::{Api, rank, read_body_of};
use super::{Code, Input, JSON, Refusal};
use crate::json_object;
use crate::written::Text;

/// The device that the path names.
pub(in crate::api) struct Named(pub(in crate::api) DeviceId);

impl Input for Named {
    async fn read(_: &Api, parts: &mut Parts, _: &mut Option<Body>) -> Result<Self, Refusal> {
        let name = parts.extract::<Path<String>>().await;
        let Path(name) = name.map_err(|error| Refusal::new(Code::BadRequest, error.body_text()))?;
        DeviceId::new(&name).map(Self).map_err(|error| Refusal::new(Code::BadRequest, error.to_string()))
    }

    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        let schema = schemas.of_request::<Text<DeviceId>>();
        operation.path_parameter("device", "Which device.", schema);
        operation.refuses(&[Code::BadRequest, Code::NotFound]);
    }
}

/// The query. Its type denies fields that it does not know: a filter that is misspelt would find everything.
pub(in crate::api) struct Query<Q>(pub(in crate::api) Q);

impl<Q: DeserializeOwned + JsonSchema + Send> Input for Query<Q> {
    async fn read(_: &Api, parts: &mut Parts, _: &mut Option<Body>) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Refusal::new(Code::BadRequest, error.body_text())),
        }
    }

    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        operation.query_parameters(schemas.fields_of::<Q>());
        operation.refuses(&[Code::BadRequest]);
    }
}

/// The body: a JSON object, or nothing where the type can do with an empty one. Its type denies fields that it does not
/// know.
pub(in crate::api) struct Sent<B>(pub(in crate::api) B);

impl<B: DeserializeOwned + JsonSchema + Send> Input for Sent<B> {
    async fn read(api: &Api, parts: &mut Parts, body: &mut Option<Body>) -> Result<Self, Refusal> {
        let body = body.take().unwrap_or_default();
        let body = read_body_of(api, Some(rank(&parts.extensions)), body, MAX_REQUEST).await?;
        json_object::read(&body).map(Self).map_err(|problem| Refusal::new(Code::BadRequest, problem))
    }

    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        // A call without a body takes `{}` too, which is nothing to tell.
        if schemas.has_fields::<B>() {
            operation.takes(JSON, schemas.of_request::<B>(), schemas.wants_fields::<B>());
        }
        operation.refuses(&[Code::BadRequest, Code::TooSlow, Code::TooLarge]);
    }
}
