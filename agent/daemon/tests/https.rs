//! The HTTPS transport against a TLS server of the test's own: what it sends, whom it believes, and every limit.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may end anywhere"
)]
#![expect(clippy::disallowed_methods, reason = "waits for other processes in real time")]

mod common;

use core::time::Duration;
use std::time::Instant;

use agent::config::Timeouts;
use agent::heartbeat::Heartbeat;
use agent::keystore::FileKey;
use agent::transport::HttpsTransport;
use agent_core::platform::{ClientIdentity, Reply, Request, Server, Transport as _, TransportError};
use agent_core::x509::{PathError, Validity};
use common::pki::{Ca, Leaf, Usage};
use common::server::{Behaviour, Tls, http, start};
use rcgen::date_time_ymd;
use shared::UnixTime;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    handshake: Duration::from_secs(2),
    exchange: Duration::from_secs(3),
};
const NOW: UnixTime = UnixTime::from_secs(1_795_478_400);

async fn call(
    port: u16,
    anchors: &[&[u8]],
    identity: Option<&Leaf>,
    request: Request<'_>,
    answer: &mut [u8],
) -> Result<Reply, TransportError> {
    let server = Server { host: "localhost", port, anchors, validity: Validity::At(NOW) };
    let key = identity.map(Leaf::file_key);
    let chain = identity.map(Leaf::chain).unwrap_or_default();
    let identity = key.as_ref().map(|key| ClientIdentity::<FileKey> { key, chain: &chain });
    HttpsTransport::new(TIMEOUTS, Heartbeat::silent()).exchange(server, identity, request, answer).await
}

const GET: Request<'static> = Request { path: "/v1/trust", body: None };

/// How a call to a server with this identity comes out.
async fn verdict(trusted: &Ca, identity: &Leaf) -> Result<Reply, TransportError> {
    let server = start(Tls::of(identity), Behaviour::Answer(http(b"answer"))).await;
    call(server.port, &[&trusted.der], None, GET, &mut [0; 100]).await
}

#[tokio::test]
async fn a_request_arrives_as_it_should_and_the_answer_comes_back() {
    let ca = Ca::new("ca");
    let identity = ca.issue("server", Usage::Server, |_| {});
    let mut server = start(Tls::of(&identity), Behaviour::Answer(http(b"answer"))).await;
    let mut answer = [0; 100];
    let request = Request { path: "/v1/enroll", body: Some(b"body") };
    let reply = call(server.port, &[&ca.der], None, request, &mut answer).await.unwrap();
    assert_eq!(reply, Reply { status: 200, length: 6 });
    assert_eq!(&answer[..6], b"answer");
    let (request, client) = server.requests.recv().await.unwrap();
    assert!(request.starts_with("POST /v1/enroll HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: localhost:{}\r\n", server.port)), "{request}");
    assert!(request.contains("content-type: application/cbor\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nbody"), "{request}");
    assert_eq!(client, None);

    call(server.port, &[&ca.der], None, GET, &mut answer).await.unwrap();
    assert!(server.requests.recv().await.unwrap().0.starts_with("GET /v1/trust HTTP/1.1\r\n"));
}

#[tokio::test]
async fn the_client_certificate_is_shown_and_its_key_proved() {
    let (ca, devices) = (Ca::new("ca"), Ca::new("devices"));
    let identity = ca.issue("server", Usage::Server, |_| {});
    let device = devices.issue("SN-1", Usage::Device, |_| {});
    let tls = || Tls { client_ca: Some(&devices), ..Tls::of(&identity) };
    let mut server = start(tls(), Behaviour::Answer(http(b""))).await;
    let reply = call(server.port, &[&ca.der], Some(&device), GET, &mut []).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(server.requests.recv().await.unwrap().1.unwrap(), device.chain[0]);

    let stranger = Ca::new("others").issue("SN-1", Usage::Device, |_| {});
    let refused = call(server.port, &[&ca.der], Some(&stranger), GET, &mut []).await;
    assert_eq!(refused, Err(TransportError::Tls));
    assert_eq!(call(server.port, &[&ca.der], None, GET, &mut []).await, Err(TransportError::Tls));
}

#[tokio::test]
async fn a_server_is_believed_only_with_everything_right() {
    let ca = Ca::new("ca");
    let good = ca.issue("server", Usage::Server, |_| {});
    assert_eq!(verdict(&ca, &good).await, Ok(Reply { status: 200, length: 6 }));

    let other_ca = Ca::new("other");
    let refused = |reason| Err(TransportError::Certificate(reason));
    assert_eq!(verdict(&other_ca, &good).await, refused(PathError::UnknownIssuer));

    let wrong_name = ca.issue("server", Usage::Server, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("otherhost".try_into().unwrap())];
    });
    assert_eq!(verdict(&ca, &wrong_name).await, refused(PathError::NameMismatch));

    let expired = ca.issue("server", Usage::Server, |params| params.not_after = date_time_ymd(2026, 1, 1));
    assert_eq!(verdict(&ca, &expired).await, refused(PathError::Expired));

    let future = ca.issue("server", Usage::Server, |params| params.not_before = date_time_ymd(2027, 1, 1));
    assert_eq!(verdict(&ca, &future).await, refused(PathError::NotYetValid));
}

/// Any enrolled device holds a certificate of the trusted CA: it must not pass for a server, nor make one.
#[tokio::test]
async fn a_device_is_no_server_and_no_authority() {
    let ca = Ca::new("ca");
    let device = ca.issue("SN-1", Usage::Device, |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("localhost".try_into().unwrap())];
    });
    let as_server = verdict(&ca, &device).await;
    assert!(matches!(as_server, Err(TransportError::Certificate(_))), "{as_server:?}");

    let signed_by_device = device.issue_as_if_ca("server", Usage::Server);
    assert_eq!(signed_by_device.chain.len(), 2);
    let below_device = verdict(&ca, &signed_by_device).await;
    assert!(matches!(below_device, Err(TransportError::Certificate(_))), "{below_device:?}");
}

#[tokio::test]
async fn no_older_tls_and_no_other_curve() {
    let ca = Ca::new("ca");
    let identity = ca.issue("server", Usage::Server, |_| {});
    let tls = Tls { version: &rustls::version::TLS12, ..Tls::of(&identity) };
    let server = start(tls, Behaviour::Answer(http(b""))).await;
    assert_eq!(call(server.port, &[&ca.der], None, GET, &mut []).await, Err(TransportError::NotShown));

    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let other_curve = verdict(&ca, &ca.certify(key, "server", Usage::Server, |_| {})).await;
    assert!(
        matches!(other_curve, Err(TransportError::NotShown | TransportError::Certificate(_))),
        "{other_curve:?}"
    );
}

#[tokio::test]
async fn answers_are_bounded_and_must_be_http() {
    let ca = Ca::new("ca");
    let identity = ca.issue("server", Usage::Server, |_| {});
    let endless_head = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 100_000]].concat();
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(100)).into_bytes();
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", "5\r\n12345\r\n".repeat(9));
    for (what, bytes, expected) in [
        ("one byte too many", http(&[7; 33]), TransportError::TooLarge),
        ("too many in chunks", chunked.into_bytes(), TransportError::TooLarge),
        ("an endless head", endless_head, TransportError::Protocol),
        ("too many fields", many_fields, TransportError::Protocol),
        ("no HTTP", b"220 mail.example.com ESMTP\r\n".to_vec(), TransportError::Protocol),
        ("a cut body", http(&[7; 30])[..90].to_vec(), TransportError::Closed),
        ("nothing", Vec::new(), TransportError::Closed),
    ] {
        let server = start(Tls::of(&identity), Behaviour::Answer(bytes)).await;
        let outcome = call(server.port, &[&ca.der], None, GET, &mut [0; 32]).await;
        assert_eq!(outcome, Err(expected), "{what}");
    }
    let server = start(Tls::of(&identity), Behaviour::Answer(http(&[7; 32]))).await;
    let mut exactly = [0; 32];
    let reply = call(server.port, &[&ca.der], None, GET, &mut exactly).await.unwrap();
    assert_eq!((reply.length, exactly), (32, [7; 32]));
}

/// What a server does that has too much to do: nothing of it says anything about the client's certificate.
#[tokio::test]
async fn a_server_that_closes_at_once_turned_the_device_away() {
    let ca = Ca::new("ca");
    let client = ca.issue("SN-1", Usage::Device, |_| {});
    for reads in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            if reads {
                let mut hello = [0; 4096];
                let _some = tokio::io::AsyncReadExt::read(&mut stream, &mut hello).await.unwrap();
            }
            // What was not read makes the kernel send a reset, else an end in order.
            drop(stream);
        };
        let (anchors, mut answer) = ([ca.der.as_slice()], [0; 32]);
        let asked = call(port, &anchors, Some(&client), GET, &mut answer);
        let (outcome, ()) = tokio::join!(asked, server);
        assert_eq!(outcome, Err(TransportError::TurnedAway), "reads: {reads}");
    }
}

/// Nor does what refuses everybody, as a server without a certificate does, or what is no TLS at all.
#[tokio::test]
async fn what_fails_before_a_server_shows_itself_says_nothing_of_the_device() {
    let ca = Ca::new("ca");
    let client = ca.issue("SN-1", Usage::Device, |_| {});
    let alert: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    for said in [alert, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example.com ESMTP\r\n"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 4096];
            let _some = tokio::io::AsyncReadExt::read(&mut stream, &mut hello).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, said).await.unwrap();
            stream
        };
        let (anchors, mut answer) = ([ca.der.as_slice()], [0; 32]);
        let asked = call(port, &anchors, Some(&client), GET, &mut answer);
        let (outcome, _) = tokio::join!(asked, server);
        assert_eq!(outcome, Err(TransportError::NotShown), "{said:?}");
    }
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let ca = Ca::new("ca");
    let identity = ca.issue("server", Usage::Server, |_| {});
    // Accepts TCP connections by its backlog alone, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let half = http(&[7; 32])[..80].to_vec();
    let stalled = start(Tls::of(&identity), Behaviour::Stall(half)).await;
    for port in [silent_port, stalled.port] {
        let begin = Instant::now();
        let outcome = call(port, &[&ca.der], None, GET, &mut [0; 32]).await;
        assert_eq!(outcome, Err(TransportError::TimedOut));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
    drop(silent);
    assert_eq!(
        call(silent_port, &[&ca.der], None, GET, &mut [0; 32]).await,
        Err(TransportError::Unreachable)
    );
}
