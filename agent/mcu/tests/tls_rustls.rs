//! The HTTPS client against a real TLS server, on rustls: what must work, and what must end in an error.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::large_futures, reason = "a host has stack enough")]

mod support;

use core::time::Duration;

use agent_core::platform::{Request, TransportError};
use support::device::{Address, Device, PATIENT, SHORT};
use support::network::{Loopback, listen};
use support::pki::{Authority, Identity};
use support::proxy::{Limits, Proxy};
use support::server::{Server, hear, http};
use support::settled;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;

const HOST: &str = "enroll.example";
const GET: Request<'_> = Request { path: "/v1/trust", body: None };
const POST: Request<'_> = Request { path: "/v1/enroll", body: Some(b"a request") };
/// Room for the longest answer.
const ROOM: usize = 6 * 1024;

struct World {
    root: Authority,
    identity: Identity,
    device: Device,
}

impl World {
    fn new() -> Self {
        let root = Authority::root("root");
        let identity = root.server(HOST);
        Self { root, identity, device: Device::default() }
    }

    fn at(&self, port: u16) -> Address<'_> {
        Address { host: HOST, port, anchor: &self.root.der }
    }

    /// One exchange with a server that says `answer`.
    async fn hear(&self, answer: &[u8], room: usize) -> Result<(u16, Vec<u8>), TransportError> {
        let server = Server::start(&self.identity, 4096).await;
        let (result, _) = settled(async {
            join!(self.device.exchange(self.at(server.port), None, GET, room), server.answer(answer))
        })
        .await;
        result.map(|(reply, body)| (reply.status, body))
    }
}

#[tokio::test]
async fn a_post_and_a_get_are_answered() {
    let world = World::new();
    let server = Server::start(&world.identity, 4096).await;
    let answer = http(200, b"an answer");
    let (result, heard) = settled(async {
        join!(world.device.exchange(world.at(server.port), None, POST, ROOM), server.answer(&answer))
    })
    .await;
    let (reply, body) = result.unwrap();
    assert_eq!((reply.status, &body[..]), (200, &b"an answer"[..]));
    let heard = heard.unwrap();
    let port = server.port;
    assert_eq!(
        heard.head,
        format!(
            "POST /v1/enroll HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/cbor\r\n\
             Content-Length: 9\r\nConnection: close\r\n\r\n"
        )
    );
    assert_eq!(heard.body, b"a request");

    let answer = http(503, b"");
    let (result, heard) = settled(async {
        join!(world.device.exchange(world.at(server.port), None, GET, ROOM), server.answer(&answer))
    })
    .await;
    let (reply, body) = result.unwrap();
    assert_eq!((reply.status, &body[..]), (503, &b""[..]));
    assert!(heard.unwrap().head.starts_with("GET /v1/trust HTTP/1.1\r\n"));
}

#[tokio::test]
async fn long_bodies_pass_both_ways_at_each_fragment_size() {
    let world = World::new();
    let long: Vec<u8> = (0..=u8::MAX).cycle().take(ROOM).collect();
    let request = Request { path: "/v1/enroll", body: Some(&long) };
    let answer = http(200, &long);
    for fragment in [2048, 4096] {
        let server = Server::start(&world.identity, fragment).await;
        let (result, heard) = settled(async {
            join!(world.device.exchange(world.at(server.port), None, request, ROOM), server.answer(&answer))
        })
        .await;
        assert!(result.unwrap().1 == long, "{fragment}");
        assert!(heard.unwrap().body == long, "{fragment}");
    }
}

#[tokio::test]
async fn an_answer_longer_than_the_buffer_is_too_large() {
    let world = World::new();
    let body = vec![7; 100];
    assert_eq!(world.hear(&http(200, &body), 100).await, Ok((200, body.clone())));
    assert_eq!(world.hear(&http(200, &body), 99).await, Err(TransportError::TooLarge));
    // Only announced: the device does not wait for it.
    let lie = b"HTTP/1.1 200 OK\r\nContent-Length: 4294967295\r\n\r\n";
    assert_eq!(world.hear(lie, ROOM).await, Err(TransportError::TooLarge));
    let endless_head = [b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 4000][..]].concat();
    assert_eq!(world.hear(&endless_head, ROOM).await, Err(TransportError::TooLarge));
}

#[tokio::test]
async fn an_answer_that_leaves_doubt_about_its_length_is_refused() {
    let world = World::new();
    for answer in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"\0\0\0\0 not at all what is expected here",
    ] {
        assert_eq!(
            world.hear(answer, ROOM).await,
            Err(TransportError::Protocol),
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
}

#[tokio::test]
async fn the_server_is_named_by_sni_unless_it_is_an_address() {
    let root = Authority::root("root");
    let device = Device::default();
    for (host, expected) in [(HOST, Some(HOST)), ("127.0.0.1", None), ("::1", None)] {
        let server = Server::start(&root.server(host), 4096).await;
        let to = Address { host, port: server.port, anchor: &root.der };
        let (result, seen) = settled(async {
            join!(device.exchange(to, None, GET, ROOM), async {
                let mut tls = server.accept().await.unwrap();
                let heard = hear(&mut tls).await.unwrap();
                tls.write_all(&http(200, b"x")).await.unwrap();
                tls.flush().await.unwrap();
                (tls.get_ref().1.server_name().map(str::to_owned), heard.head)
            })
        })
        .await;
        result.unwrap();
        assert_eq!(seen.0.as_deref(), expected, "{host}");
        let brackets = if host == "::1" { "[::1]" } else { host };
        assert!(seen.1.contains(&format!("\r\nHost: {brackets}:{}\r\n", server.port)), "{}", seen.1);
    }
}

#[tokio::test]
async fn a_server_that_asks_sees_the_certificate_of_this_device() {
    let world = World::new();
    let identity = world.root.device("device-1");
    let server = Server::mutual(&world.identity, &world.root).await;
    let (result, seen) = settled(async {
        join!(world.device.exchange(world.at(server.port), Some(&identity), POST, ROOM), async {
            let mut tls = server.accept().await.unwrap();
            hear(&mut tls).await.unwrap();
            tls.write_all(&http(200, b"x")).await.unwrap();
            tls.flush().await.unwrap();
            tls.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec())
        })
    })
    .await;
    assert_eq!(result.unwrap().1, b"x");
    assert_eq!(seen.as_deref(), Some(identity.leaf()));
}

#[tokio::test]
async fn a_refused_or_missing_client_certificate_is_an_error_and_no_hang() {
    let world = World::new();
    let strangers = Authority::root("another CA");
    let (stranger, wrong_use) = (strangers.device("device-1"), world.root.server("device-1"));
    for identity in [Some(&stranger), Some(&wrong_use), None] {
        let server = Server::mutual(&world.identity, &world.root).await;
        let (result, accepted) = settled(async {
            join!(world.device.exchange(world.at(server.port), identity, POST, ROOM), async {
                server.accept().await.map(drop)
            })
        })
        .await;
        accepted.unwrap_err();
        // The server's alert comes after the device's side of the handshake is done, or is overtaken by a reset.
        let error = result.unwrap_err();
        assert!(matches!(error, TransportError::Tls | TransportError::Closed), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_where_none_is_asked_for_stays_at_home() {
    let world = World::new();
    let identity = world.root.device("device-1");
    let server = Server::start(&world.identity, 4096).await;
    let (result, seen) = settled(async {
        join!(world.device.exchange(world.at(server.port), Some(&identity), GET, ROOM), async {
            let mut tls = server.accept().await.unwrap();
            hear(&mut tls).await.unwrap();
            tls.write_all(&http(200, b"x")).await.unwrap();
            tls.flush().await.unwrap();
            tls.get_ref().1.peer_certificates().is_some()
        })
    })
    .await;
    result.unwrap();
    assert!(!seen);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let world = World::new();
    let (listener, port) = listen().await;
    drop(listener);
    let result = settled(world.device.exchange(world.at(port), None, GET, ROOM)).await;
    assert_eq!(result.unwrap_err(), TransportError::Unreachable);
}

#[tokio::test]
async fn one_byte_at_a_time_is_as_good_as_many() {
    let mut world = World::new();
    world.device.network = Loopback { step: 1, ..Loopback::default() };
    let identity = world.root.device("device-1");
    let server = Server::mutual(&world.identity, &world.root).await;
    let answer = http(200, &[9; 700]);
    let (result, heard) = settled(async {
        join!(
            world.device.exchange(world.at(server.port), Some(&identity), POST, ROOM),
            server.answer(&answer)
        )
    })
    .await;
    assert_eq!(result.unwrap().1, [9; 700]);
    assert_eq!(heard.unwrap().body, b"a request");
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_the_handshakes_limit() {
    let mut world = World::new();
    world.device.limits.handshake = SHORT;
    let (listener, port) = listen().await;
    let (result, _silent) = settled(async {
        join!(world.device.exchange(world.at(port), None, GET, ROOM), async {
            listener.accept().await.unwrap()
        })
    })
    .await;
    assert_eq!(result.unwrap_err(), TransportError::TimedOut);
}

#[tokio::test]
async fn a_handshake_in_drops_ends_at_its_limit_whatever_each_drop_takes() {
    let mut world = World::new();
    world.device.limits.handshake = SHORT;
    let (listener, port) = listen().await;
    let (result, ()) = settled(async {
        join!(world.device.exchange(world.at(port), None, GET, ROOM), async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            // A ServerHello that would take a minute.
            for byte in [22, 3, 3, 4, 0].into_iter().cycle() {
                if tcp.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        })
    })
    .await;
    assert_eq!(result.unwrap_err(), TransportError::TimedOut);
}

#[tokio::test]
async fn a_slow_head_and_a_slow_body_cost_the_limit_of_the_exchange() {
    let mut world = World::new();
    world.device.limits.exchange = SHORT;
    let answer = http(200, &[5; 50]);
    for said in [0, 20, answer.len() - 50, answer.len() - 1] {
        let server = Server::start(&world.identity, 4096).await;
        let (result, ()) = settled(async {
            join!(world.device.exchange(world.at(server.port), None, GET, ROOM), async {
                let mut tls = server.accept().await.unwrap();
                tls.write_all(&answer[..said]).await.unwrap();
                tls.flush().await.unwrap();
                // Holds the connection until the device gives it up.
                let mut rest = Vec::new();
                let _cut = tls.read_to_end(&mut rest).await;
            })
        })
        .await;
        assert_eq!(result.unwrap_err(), TransportError::TimedOut, "after {said} bytes");
    }
}

#[tokio::test]
async fn a_record_that_stops_half_way_costs_the_limit_of_a_record() {
    let world = World::new();
    let server = Server::start(&world.identity, 4096).await;
    let proxy = Proxy::new(server.port).await;
    let answer = http(200, &[5; 3000]);
    let to = world.at(proxy.port);
    // How many bytes the handshake and the whole take.
    let (result, _, ()) = settled(async {
        join!(world.device.exchange(to, None, GET, ROOM), server.answer(&answer), proxy.pass(Limits::NONE))
    })
    .await;
    result.unwrap();
    let whole = proxy.passed.0.get();

    let mut device = Device { limits: PATIENT, ..Device::default() };
    device.limits.record = SHORT;
    let (listener, port) = listen().await;
    let to = world.at(port);
    let (result, _, ()) = settled(async {
        join!(device.exchange(to, None, GET, ROOM), server.answer(&answer), async {
            let (mut device, _) = listener.accept().await.unwrap();
            let mut peer = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
            let (mut sent, mut buffer, mut up) = (0, [0; 2048], [0; 2048]);
            // The answer's record is the last: it stops in its middle, and the connection stays open.
            while sent < whole - 1000 {
                tokio::select! {
                    count = peer.read(&mut buffer) => {
                        let count = count.unwrap().min(whole - 1000 - sent);
                        device.write_all(&buffer[..count]).await.unwrap();
                        sent += count;
                    }
                    count = device.read(&mut up) => peer.write_all(&up[..count.unwrap()]).await.unwrap(),
                }
            }
            while device.read(&mut up).await.is_ok_and(|count| count > 0) {}
        })
    })
    .await;
    assert_eq!(result.unwrap_err(), TransportError::TimedOut);
}

#[tokio::test]
async fn a_connection_cut_after_any_byte_is_an_error_or_a_whole_answer() {
    let world = World::new();
    let identity = world.root.device("device-1");
    let server = Server::mutual(&world.identity, &world.root).await;
    let proxy = Proxy::new(server.port).await;
    let answer = http(200, b"the whole answer");
    let attempt = async |limits| {
        let (result, _, ()) = settled(async {
            join!(
                world.device.exchange(world.at(proxy.port), Some(&identity), POST, ROOM),
                server.answer(&answer),
                proxy.pass(limits)
            )
        })
        .await;
        result
    };
    attempt(Limits::NONE).await.unwrap();
    // Signatures differ in length from handshake to handshake: in DER, 70 to 72 bytes, and seldom a few less. So the
    // byte that completes the answer is not always the same.
    const SLACK: usize = 6;
    let (down, up) = (proxy.passed.0.get() + SLACK, proxy.passed.1.get() + SLACK);
    let (mut answered, mut shown) = (None, None);
    for bytes in 0..down {
        match attempt(Limits { to_device: bytes, ..Limits::NONE }).await {
            Ok((_, body)) => {
                assert_eq!(body, b"the whole answer", "cut after {bytes} bytes");
                answered = answered.or(Some(bytes));
            }
            Err(error) => {
                // Before the server has shown itself, and after that.
                match error {
                    TransportError::Closed => shown = shown.or(Some(bytes)),
                    TransportError::TurnedAway => {
                        let late = shown.is_some_and(|first| bytes >= first + SLACK);
                        assert!(!late, "turned away after {bytes} bytes, where {shown:?} were enough");
                    }
                    other => panic!("{other:?}: cut after {bytes} bytes of {down}"),
                }
                let whole = answered.is_some_and(|enough| bytes >= enough + SLACK);
                assert!(!whole, "cut after {bytes} bytes, where {answered:?} were enough");
            }
        }
    }
    assert!(shown.is_some(), "the server never showed itself");
    assert!(answered.is_some(), "the last byte is not needed any more");
    for bytes in 0..up {
        if let Err(error) = attempt(Limits { from_device: bytes, ..Limits::NONE }).await {
            let cut = [TransportError::TurnedAway, TransportError::Closed, TransportError::Tls];
            assert!(cut.contains(&error), "{bytes}: {error:?}");
        }
    }
}
