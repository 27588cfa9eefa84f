//! Clients that break the rules: sizes, depths, deadlines, foreign certificates. Honest devices are served all
//! the while.

use core::time::Duration;

use shared::{Reject, endpoint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::kit::client::{Identity, exchange, http, read_to_end};
use crate::kit::device::{Device, Operational};
use crate::kit::{Site, assert_refused, until};

#[tokio::test]
async fn broken_messages_are_refused_and_change_nothing() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let good = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let mut version = good.clone();
    assert_eq!(&version[1..3], &[0, 1], "key 0, version 1");
    version[2] = 9;
    let deep = [vec![0x81; 8_000], vec![0]].concat();
    let trailing = [good.as_slice(), &[0]].concat();
    let cases: Vec<(&[u8], Reject)> = vec![
        (b"", Reject::MalformedMessage),
        (b"\xff", Reject::MalformedMessage),
        (b"GET / HTTP/1.1\r\n\r\n", Reject::MalformedMessage),
        (&good[..good.len() - 1], Reject::MalformedMessage),
        (&trailing, Reject::MalformedMessage),
        (&deep, Reject::MalformedMessage),
        (&version, Reject::UnsupportedVersion),
        // A map that claims 2^64 - 1 pairs, and a byte string that claims as many bytes.
        (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", Reject::MalformedMessage),
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", Reject::MalformedMessage),
    ];
    for (body, reject) in cases {
        for path in [endpoint::CHALLENGE, endpoint::ENROLL, endpoint::RENEW] {
            assert_refused(&site.tls().post(path, body).await, reject);
        }
    }
    assert!(site.admin().certificates(None).await.unwrap().is_empty());
    assert_eq!(site.tls().post(endpoint::ENROLL, &good).await.status, 200, "the good one still works");
}

#[tokio::test]
async fn every_cut_and_every_changed_byte_is_refused_or_harmless() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let good = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[at] ^= 0x40;
        for body in [&good[..at], &changed] {
            let reply = site.tls().post(endpoint::ENROLL, body).await;
            assert!((400..500).contains(&reply.status), "byte {at}: {reply:?}");
            let _answer = reply.answer();
        }
    }
    assert!(site.admin().certificates(None).await.unwrap().is_empty());
    assert_eq!(site.tls().post(endpoint::ENROLL, &good).await.status, 200);
}

#[tokio::test]
async fn bodies_have_a_cap_however_they_are_sent() {
    let site = Site::new().await;
    let long = vec![0; shared::limits::MAX_REQUEST + 1];
    assert_refused(&site.tls().post(endpoint::CHALLENGE, &long).await, Reject::TooLarge);
    let long = vec![0; shared::limits::MAX_REQUEST_LARGE + 1];
    assert_refused(&site.tls().post(endpoint::ENROLL, &long).await, Reject::TooLarge);
    // Only announced.
    let head =
        "POST /v1/enroll HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9999999999\r\n\r\n";
    let reply = exchange(site.tls().connect().await.unwrap(), head.as_bytes()).await.unwrap();
    assert_refused(&reply, Reject::TooLarge);
    // In chunks, without an announcement.
    let mut chunked =
        b"POST /v1/enroll HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..65 {
        chunked.extend(b"400\r\n");
        chunked.extend([0; 0x400]);
        chunked.extend(b"\r\n");
    }
    let reply = exchange(site.tls().connect().await.unwrap(), &chunked).await.unwrap();
    assert_refused(&reply, Reject::TooLarge);
}

#[tokio::test]
async fn heads_have_a_cap() {
    let site = Site::new().await;
    let many = (0..40).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    let long = format!("X: {}\r\n", "a".repeat(20_000));
    for headers in [many, long] {
        let reply = site.tls().try_request("GET", endpoint::TRUST, &headers, &[]).await.unwrap();
        assert_eq!(reply.status, 431, "{reply:?}");
    }
    let garbage = exchange(site.tls().connect().await.unwrap(), b"\0\0\0\0 \r\n\r\n").await.unwrap();
    assert_eq!(garbage.status, 400);
}

const DEADLINE: Duration = Duration::from_millis(400);
/// Until when a connection has to be closed that is not to be open longer than [`DEADLINE`].
const TOLERANCE: Duration = Duration::from_millis(4_000);

async fn impatient() -> Site {
    Site::with(|config| {
        config.limits.handshake = DEADLINE;
        config.limits.header = DEADLINE;
        config.limits.body = DEADLINE;
    })
    .await
}

#[tokio::test]
async fn slow_handshakes_heads_and_bodies_end_at_their_deadline() {
    let site = impatient().await;
    // Nothing at all, instead of a handshake.
    let begun = Instant::now();
    let mut silent = TcpStream::connect(site.https()).await.unwrap();
    let read = read_to_end(&mut silent).await;
    assert!(read.is_err() || read.unwrap().is_empty());
    ended_in_time(begun);

    // Half a head, then a byte now and then: each byte is in time, the head is not.
    let begun = Instant::now();
    let mut slow = site.tls().connect().await.unwrap();
    slow.write_all(b"GET /v1/trust HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    while slow.write_all(b"X").await.is_ok() && slow.flush().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < TOLERANCE, "the head had no deadline");
    }

    // The same without TLS, and in silence.
    for head in [&b""[..], b"GET /healthz HTTP/1.1\r\n"] {
        let begun = Instant::now();
        let mut slow = TcpStream::connect(site.http()).await.unwrap();
        slow.write_all(head).await.unwrap();
        let _closed = read_to_end(&mut slow).await;
        ended_in_time(begun);
    }

    // A body that does not come.
    let begun = Instant::now();
    let head = "POST /v1/enroll HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\r\n";
    let reply = exchange(site.tls().connect().await.unwrap(), head.as_bytes()).await.unwrap();
    assert_refused(&reply, Reject::TooSlow);
    ended_in_time(begun);

    // A connection that is kept alive and then forgotten.
    let begun = Instant::now();
    let mut idle = site.tls().connect().await.unwrap();
    idle.write_all(b"GET /v1/trust HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut idle).await.unwrap().starts_with(b"HTTP/1.1 200"));
    ended_in_time(begun);
}

#[track_caller]
fn ended_in_time(begun: Instant) {
    assert!(begun.elapsed() < TOLERANCE, "open for {:?}", begun.elapsed());
    assert!(begun.elapsed() > DEADLINE / 2, "closed at once, so no deadline was tested");
}

#[tokio::test]
async fn a_connection_does_not_live_for_ever() {
    let site = Site::with(|config| config.limits.connection = Duration::from_secs(1)).await;
    let begun = Instant::now();
    let mut stream = site.tls().connect().await.unwrap();
    // Busy all the time, so that no pause ends it.
    loop {
        let asked = stream.write_all(b"GET /v1/trust HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await;
        if asked.is_err() || !read.is_ok_and(|length| length > 0) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "it lives for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(800), "closed at once");
}

#[tokio::test]
async fn beyond_the_cap_connections_are_turned_away_and_honest_devices_come_back() {
    let site = Site::with(|config| (config.admission.connections, config.admission.reserve) = (3, 0)).await;
    let device = site.device("SN-1").await;
    let mut holding = Vec::new();
    for _ in 0..3 {
        holding.push(site.tls().connect().await.unwrap());
    }
    assert!(site.tls().connect().await.is_err(), "a fourth connection was taken");
    assert_eq!(http(site.http(), "/healthz").await.status, 200, "the other listener has its own cap");
    assert!(
        http(site.http(), "/metrics")
            .await
            .text()
            .contains("enroll_connections_turned_away_total{reason=\"connections\"} 1\n")
    );
    drop(holding);
    until("a free place", async || site.tls().connect().await.is_ok()).await;
    until("all places", async || {
        http(site.http(), "/metrics").await.text().contains("enroll_connections_open 1\n")
    })
    .await;
    site.enroll(&device).await;
}

#[tokio::test]
async fn foreign_client_certificates_are_refused_in_the_handshake() {
    let site = Site::new().await;
    let device = site.device("SN-1").await;
    let identity = site.enroll(&device).await;
    let body = Device::renew(&device.id, &Operational::new().csr);
    let refused = async |identity: &Identity| {
        let tls = site.tls().identity(identity);
        tls.try_request("POST", endpoint::RENEW, "", &body).await.unwrap_err().to_string()
    };
    // Of another server of ours, with the same names.
    let other = Site::new().await;
    let twin = other.device("SN-1").await;
    let foreign = other.enroll(&twin).await;
    assert!(refused(&foreign).await.contains("UnknownCA"), "{}", refused(&foreign).await);
    // An IDevID is no LDevID.
    let idevid = Identity { chain: vec![device.idevid.clone()], key: device.key_der() };
    assert!(refused(&idevid).await.contains("alert"), "{}", refused(&idevid).await);
    assert_eq!(site.tls().identity(&identity).post(endpoint::RENEW, &body).await.status, 200);
}
