//! A receiver of webhooks that does what its script says: takes, refuses, hangs, or goes away in mid-exchange.

use core::future::pending;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// What the receiver does with a request that it has read.
#[allow(dead_code, reason = "not every test target needs it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status and a `Retry-After`.
    Later(u16, &'static str),
    /// Answers with this status and more of a body than anybody reads.
    Long(u16),
    /// Answers with this status, and closes the connection in the middle of the body.
    BreakOff(u16),
    /// Answers with this status, and never ends the body.
    Dawdle(u16),
    /// Closes the connection: the answer is lost.
    Drop,
    /// Never answers.
    Hang,
}

/// A request.
#[allow(dead_code, reason = "not every test target needs it")]
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Value,
    pub(crate) at: Instant,
    /// What the receiver did with it.
    pub(crate) behaviour: Behaviour,
}

impl Received {
    /// Number of the event in it.
    pub(crate) fn number(&self) -> u64 {
        self.body["data"]["number"].as_u64().unwrap()
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    /// Whether the sender was told that it was taken.
    pub(crate) fn taken(&self) -> bool {
        let (Behaviour::Status(status)
        | Behaviour::Later(status, _)
        | Behaviour::Long(status)
        | Behaviour::BreakOff(status)
        | Behaviour::Dawdle(status)) = self.behaviour
        else {
            return false;
        };
        (200..300).contains(&status)
    }
}

type Script = Arc<dyn Fn(usize, &Value) -> Behaviour + Send + Sync>;

/// A receiver that runs.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
}

impl Receiver {
    /// Runs `script` with the number of the request, from 0, and its body.
    pub(crate) async fn start(script: impl Fn(usize, &Value) -> Behaviour + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(script)));
        let (seen, says) = (Arc::clone(&received), Arc::clone(&script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, says) = (Arc::clone(&seen), Arc::clone(&says));
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request| answer(request, &seen, &says));
                    let server = hyper::server::conn::http1::Builder::new();
                    // Connections that break off are what this receiver is for.
                    let _broken = server.serve_connection(TokioIo::new(stream), service).await.is_err();
                });
            }
        });
        Self { url, received, script }
    }

    /// Does something else from now on.
    pub(crate) fn change(&self, script: impl Fn(usize, &Value) -> Behaviour + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// What came until now.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Numbers of the events that were taken, each once, in the order in which they first were.
    pub(crate) fn taken(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        for number in self.received().iter().filter(|received| received.taken()).map(Received::number) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }
}

/// A body in one piece, and what comes behind it.
struct Said {
    piece: Option<Bytes>,
    then: Then,
}

enum Then {
    /// Its end.
    End,
    /// The connection breaks off, once the piece is out.
    Break { flushed: bool },
    /// Nothing, for ever.
    Nothing,
}

impl Body for Said {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(piece) = self.piece.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &mut self.then {
            Then::End => Poll::Ready(None),
            Then::Break { flushed: true } => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            // hyper writes out what it has when a body keeps it waiting.
            Then::Break { flushed } => {
                *flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Then::Nothing => Poll::Pending,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Received>>,
    says: &Mutex<Script>,
) -> io::Result<Response<Said>> {
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let signature = header("webhook-signature");
    assert_eq!(header("content-type"), "application/json");
    let raw = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes().to_vec();
    let body: Value = serde_json::from_slice(&raw).unwrap();
    let script = Arc::clone(&says.lock().unwrap());
    let place = seen.lock().unwrap().len();
    let behaviour = script(place, &body);
    let at = Instant::now();
    seen.lock().unwrap().push(Received { id, timestamp, signature, raw, body, at, behaviour });
    let few = Bytes::from_static(b"said the receiver");
    let (status, piece, then) = match behaviour {
        Behaviour::Status(status) | Behaviour::Later(status, _) => (status, few, Then::End),
        Behaviour::Long(status) => (status, Bytes::from(vec![b'x'; 20_000]), Then::End),
        Behaviour::BreakOff(status) => (status, few, Then::Break { flushed: false }),
        Behaviour::Dawdle(status) => (status, few, Then::Nothing),
        // An error of the service closes the connection without an answer.
        Behaviour::Drop => return Err(io::ErrorKind::ConnectionAborted.into()),
        Behaviour::Hang => pending().await,
    };
    let mut response = Response::new(Said { piece: Some(piece), then });
    *response.status_mut() = status.try_into().unwrap();
    if let Behaviour::Later(_, after) = behaviour {
        response.headers_mut().insert("retry-after", after.try_into().unwrap());
    }
    Ok(response)
}
