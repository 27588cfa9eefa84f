//! The client against servers that are well, slow, long-winded, broken, or impostors.

use core::time::Duration;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::{Anchors, AnchorsError, MAX_REPLY, Outgoing, SendError, Target, TargetError};

const LIMIT: Duration = Duration::from_millis(500);

/// Answers one request on a port of its own; gives the port and what was asked.
async fn serve(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> (u16, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, asked) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match tls {
            None => reply(stream, &answer, tell).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    reply(stream, &answer, tell).await;
                }
            }
        }
    });
    (port, asked)
}

async fn reply<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
    answer: &[u8],
    tell: oneshot::Sender<String>,
) {
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request broke off");
        asked.extend_from_slice(&part[..read]);
    }
    let _nobody_asks = tell.send(String::from_utf8(asked).unwrap()).is_err();
    // The client may have seen enough and gone.
    let _gone = stream.write_all(answer).await.is_err();
    let mut rest = Vec::new();
    let _gone = stream.read_to_end(&mut rest).await.is_err();
}

fn client(anchors: &Anchors) -> Outgoing {
    Outgoing::new(anchors, LIMIT).unwrap()
}

const BODY: &[u8] = b"{\"a\":1}";

async fn post(client: &Outgoing, url: &str) -> Result<super::Reply, SendError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    client.post(&Target::parse(url).unwrap(), &headers, Bytes::from_static(BODY)).await
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_request_and_its_answer_over_plain_http_to_this_machine() {
    let (port, asked) = serve(OK.to_vec(), None).await;
    let reply = post(&client(&Anchors::System), &format!("http://127.0.0.1:{port}/hook?x=1")).await.unwrap();
    assert_eq!((reply.status, reply.body.as_ref()), (StatusCode::OK, b"{}".as_slice()));
    let asked = asked.await.unwrap().to_lowercase();
    assert!(asked.starts_with("post /hook?x=1 http/1.1\r\n"), "{asked}");
    for line in ["content-type: application/json", "content-length: 7", &format!("host: 127.0.0.1:{port}")] {
        assert!(asked.contains(line), "{line} in {asked}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (port, _) = serve(away.to_vec(), None).await;
    let reply = post(&client(&Anchors::System), &format!("http://localhost:{port}")).await.unwrap();
    assert_eq!(reply.status, StatusCode::FOUND);
}

#[tokio::test]
async fn what_is_slow_long_broken_or_absent_is_an_error_within_the_limit() {
    let client = client(&Anchors::System);
    let (silent, _) = serve(Vec::new(), None).await;
    let slow = post(&client, &format!("http://127.0.0.1:{silent}/")).await;
    assert!(matches!(slow, Err(SendError::TooSlow { limit: LIMIT })), "{slow:?}");

    let mut long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MAX_REPLY + 1).into_bytes();
    long.resize(long.len() + MAX_REPLY + 1, b'x');
    let (port, _) = serve(long, None).await;
    let found = post(&client, &format!("http://127.0.0.1:{port}/")).await;
    assert!(matches!(found, Err(SendError::TooLong { .. })), "{found:?}");

    let (port, _) = serve(b"220 mail.example ESMTP\r\n\r\n".to_vec(), None).await;
    let found = post(&client, &format!("http://127.0.0.1:{port}/")).await;
    assert!(matches!(found, Err(SendError::Http(_))), "{found:?}");

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let found = post(&client, &format!("http://127.0.0.1:{closed}/")).await;
    assert!(matches!(found, Err(SendError::Unreachable { .. })), "{found:?}");
}

#[tokio::test]
async fn a_delivery_needs_no_more_of_an_answer_than_its_head() {
    let client = client(&Anchors::System);
    let head = format!("HTTP/1.1 202 Accepted\r\nContent-Length: {}\r\n\r\n", MAX_REPLY + 1).into_bytes();
    let whole = [head.clone(), vec![b'x'; MAX_REPLY + 1]].concat();
    // The server keeps the connection: what is missing is late.
    for (case, answer, read) in [
        ("longer than is read", whole.as_slice(), MAX_REPLY),
        ("late in its body", &whole[..head.len() + 5], 5),
        ("late behind its head", &head, 0),
    ] {
        let (port, _) = serve(answer.to_vec(), None).await;
        let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
        let reply = client.deliver(&target, &HeaderMap::new(), Bytes::from_static(BODY)).await.unwrap();
        assert_eq!((reply.status, reply.body.len()), (StatusCode::ACCEPTED, read), "{case}");
        assert_eq!(reply.headers.len(), 1, "{case}");

        let (port, _) = serve(answer.to_vec(), None).await;
        post(&client, &format!("http://127.0.0.1:{port}/")).await.unwrap_err();
    }
    let (port, _) = serve(b"HTTP/1.1 202 Acc".to_vec(), None).await;
    let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let half = client.deliver(&target, &HeaderMap::new(), Bytes::from_static(BODY)).await;
    assert!(matches!(half, Err(SendError::TooSlow { .. })), "half a head is none: {half:?}");
}

/// A server for `name` with a certificate of its own; the certificate as PEM, in a file.
fn https(name: &str, folder: &std::path::Path) -> (TlsAcceptor, Anchors) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let path = folder.join("anchors.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), Anchors::File(path))
}

#[tokio::test]
async fn https_wants_a_certificate_of_the_anchors_for_this_very_name() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, anchors) = https("localhost", folder.path());
    let (port, _) = serve(OK.to_vec(), Some(tls.clone())).await;
    let reply = post(&client(&anchors), &format!("https://localhost:{port}/hook")).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK);

    for (anchors, host) in [(Anchors::System, "localhost"), (anchors, "127.0.0.1")] {
        let (port, _) = serve(OK.to_vec(), Some(tls.clone())).await;
        let found = post(&client(&anchors), &format!("https://{host}:{port}/")).await;
        assert!(matches!(found, Err(SendError::Unreachable { .. })), "{anchors:?} {host}: {found:?}");
    }
}

#[test]
fn addresses_are_https_or_local_and_hold_no_secrets() {
    for good in
        ["https://hooks.example/a?b=c", "https://10.0.0.1:8443", "http://[::1]:80/x", "http://localhost"]
    {
        Target::parse(good).unwrap();
    }
    assert_eq!(Target::parse("http://localhost").unwrap().to_string(), "http://localhost/");
    for (bad, error) in [
        ("hooks.example/a", TargetError::Form),
        ("/a", TargetError::Form),
        ("", TargetError::Form),
        ("https://", TargetError::Form),
        ("https://a:0/", TargetError::Form),
        ("https://a b/", TargetError::Form),
        ("ftp://hooks.example/", TargetError::Scheme),
        ("http://hooks.example/", TargetError::Plain),
        ("http://127.0.0.1.example/", TargetError::Plain),
        ("https://user:secret@hooks.example/", TargetError::Credentials),
    ] {
        assert_eq!(Target::parse(bad), Err(error), "{bad}");
    }
}

#[test]
fn anchors_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let made = || Outgoing::new(&Anchors::File(path.clone()), LIMIT);
    assert!(matches!(made(), Err(AnchorsError::Unreadable { .. })));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(matches!(made(), Err(AnchorsError::Empty { .. })));
}
