//! Tells a client when its connection ends because its body was not read (RFC 9112, section 9.3).
//!
//! Whoever is refused before the body is read would else send the next request on a connection that is being closed, and
//! lose it without an answer. Decides nothing about who is refused.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Response};
use hyper::body::{Body, Frame, SizeHint};

/// Whether a body was read to its end.
#[derive(Clone, Debug)]
pub(super) struct ReadToEnd(Arc<AtomicBool>);

impl ReadToEnd {
    /// Tells the client, where the connection ends.
    pub(super) fn tell<B>(&self, response: &mut Response<B>) {
        if !self.0.load(Ordering::Acquire) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// A body that says whether it was read to its end.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    read: ReadToEnd,
}

impl<B: Body> Watched<B> {
    pub(super) fn new(body: B) -> (Self, ReadToEnd) {
        let read = ReadToEnd(Arc::new(AtomicBool::new(body.is_end_stream())));
        (Self { body, read: read.clone() }, read)
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.read.0.store(true, Ordering::Release);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{Response, Watched};
    use axum::http::header::CONNECTION;
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty, Full};

    fn closes(read: &super::ReadToEnd) -> bool {
        let mut response = Response::new(());
        read.tell(&mut response);
        response.headers().contains_key(CONNECTION)
    }

    #[tokio::test]
    async fn only_a_body_that_was_not_read_ends_its_connection() {
        let (body, read) = Watched::new(Full::new(Bytes::from_static(b"body")));
        assert!(closes(&read), "nothing was read yet");
        assert_eq!(body.collect().await.unwrap().to_bytes(), "body");
        assert!(!closes(&read));
        let (body, read) = Watched::new(Full::new(Bytes::from_static(b"body")));
        drop(body);
        assert!(closes(&read));
        assert!(!closes(&Watched::new(Empty::<Bytes>::new()).1));
    }
}
