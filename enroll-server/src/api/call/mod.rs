//! Calls in JSON: what a handler takes and gives are its types, and the description of the API is made of the same types.
//!
//! A handler is a function from an [`Input`] to an answer or a [`Refusal`]. Reading, refusing and writing are done here, so
//! that no handler has its own way of it. Decides nothing about devices.

mod code;
mod fields;
mod input;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::JsonSchema;
use serde::Serialize;

use super::openapi::{Operation, Schemas};
use super::public::typed;
use super::{Api, Shared};

pub(super) use code::{Code, Refusal, Told};
pub(super) use fields::{Bounded, Commas, MAX_EXACT, Maybe, PAGE, PageSize, Plain};
pub(super) use input::{Named, Query, Sent};

/// Media type of these calls.
pub(super) const JSON: &str = "application/json";

/// What answers at a route, and what a description of the API says of it: nothing answers that has none.
pub(super) struct Endpoint {
    pub(super) answer: MethodRouter<Arc<Api>>,
    pub(super) about: fn(&mut Schemas) -> Operation,
}

impl Endpoint {
    /// A handler that reads and writes by itself, and what it does.
    pub(super) fn new(answer: MethodRouter<Arc<Api>>, about: fn(&mut Schemas) -> Operation) -> Self {
        Self { answer, about }
    }

    /// A call in JSON. What it takes and gives is described by its types.
    pub(super) fn json<I, A, F, Fut>(method: MethodFilter, call: F) -> Self
    where
        I: Input,
        A: Serialize + JsonSchema,
        F: Fn(Arc<Api>, I) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Refusal>> + Send,
    {
        let answer = on(method, move |State(api): Shared, request: Request| {
            let call = call.clone();
            async move {
                match carry_out(api, request, call).await {
                    Ok(response) => response,
                    Err(refusal) => refusal.into_response(),
                }
            }
        });
        Self { answer, about: about::<I, A> }
    }
}

async fn carry_out<I, A, F, Fut>(api: Arc<Api>, request: Request, call: F) -> Result<Response, Refusal>
where
    I: Input,
    A: Serialize,
    F: Fn(Arc<Api>, I) -> Fut,
    Fut: Future<Output = Result<A, Refusal>>,
{
    let (mut parts, body) = request.into_parts();
    let input = I::read(&api, &mut parts, &mut Some(body)).await?;
    let answer = call(api, input).await?;
    let text = serde_json::to_string(&answer).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Refusal::new(Code::Internal, "the answer cannot be written")
    })?;
    Ok(typed(StatusCode::OK, JSON, text + "\n"))
}

fn about<I: Input, A: JsonSchema>(schemas: &mut Schemas) -> Operation {
    let schema = schemas.of_answer::<A>();
    let mut operation = Operation::default().answers(StatusCode::OK, "What was asked for.", JSON, schema);
    I::describe(schemas, &mut operation);
    operation
}

/// What a call takes out of its request.
pub(super) trait Input: Sized + Send {
    /// Reads it. Whoever reads the body takes it.
    fn read(
        api: &Api,
        parts: &mut Parts,
        body: &mut Option<axum::body::Body>,
    ) -> impl Future<Output = Result<Self, Refusal>> + Send;

    /// Says what is read.
    fn describe(schemas: &mut Schemas, operation: &mut Operation);
}

impl Input for () {
    async fn read(_: &Api, _: &mut Parts, _: &mut Option<axum::body::Body>) -> Result<Self, Refusal> {
        Ok(())
    }

    fn describe(_: &mut Schemas, _: &mut Operation) {}
}

impl<A: Input, B: Input> Input for (A, B) {
    async fn read(
        api: &Api,
        parts: &mut Parts,
        body: &mut Option<axum::body::Body>,
    ) -> Result<Self, Refusal> {
        Ok((A::read(api, parts, body).await?, B::read(api, parts, body).await?))
    }

    fn describe(schemas: &mut Schemas, operation: &mut Operation) {
        A::describe(schemas, operation);
        B::describe(schemas, operation);
    }
}
