//! The way to the collector: the server's own HTTP client, lent to the exporter.
//!
//! The address and the secret headers are the settings' alone. What the exporter brings of either, it may have from
//! environment variables, is left aside.

use core::pin::Pin;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use crate::outgoing::{Outgoing, SendError, Target};

/// Posts spans.
#[derive(Debug)]
pub(super) struct Collector {
    target: Target,
    headers: HeaderMap,
    client: Outgoing,
    runtime: Handle,
}

type Answer<'f> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>;

impl Collector {
    /// To `target` with `headers`, on `runtime`: the exporter has a thread of its own without one.
    pub(super) fn new(target: Target, mut headers: HeaderMap, client: Outgoing, runtime: Handle) -> Self {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Self { target, headers, client, runtime }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'s, 'f>(&'s self, request: Request<Bytes>) -> Answer<'f>
    where
        's: 'f,
        Self: 'f,
    {
        let (client, target, headers) = (self.client.clone(), self.target.clone(), self.headers.clone());
        let body = request.into_body();
        let sent = self.runtime.spawn(async move { client.post(&target, &headers, body).await });
        Box::pin(async move {
            let reply = sent.await.map_err(|_| SendError::Body)??;
            // The header that says when to come again is one that counts.
            let mut response = Response::builder().status(reply.status).body(reply.body)?;
            *response.headers_mut() = reply.headers;
            Ok(response)
        })
    }
}
