//! Everything that a connection was given comes back, however its client goes. The long form, over the real server with
//! thousands of clients, is `tests/tests/flood.rs`.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use rustls::ClientConfig;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::{Site, Tls, serve};
use crate::admission::{AdmissionLimits, Gate, Load};
use crate::clock::SystemClock;
use crate::config::Limits;
use crate::in_force::InForce;
use crate::telemetry::Metrics;
use crate::tls::server_config;

const PLACES: usize = 40;

struct Running {
    gate: Gate,
    address: SocketAddr,
    client: Arc<ClientConfig>,
    _stop: watch::Sender<bool>,
}

/// A server that answers `here`.
async fn running(gate: fn(AdmissionLimits) -> Gate) -> Running {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let ca = cert.der().clone();
    let config =
        server_config(vec![ca.clone()], key, core::slice::from_ref(&ca), Arc::new(SystemClock)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let limits = AdmissionLimits { connections: PLACES, reserve: 0, ..AdmissionLimits::default() };
    let gate = gate(limits);
    let site = Site {
        router: Router::new().route("/", get(|| async { "here" })),
        tls: Some(Tls::Native(Arc::new(InForce::new(config)))),
        limits: Limits {
            handshake: Duration::from_secs(2),
            header: Duration::from_secs(2),
            ..Limits::default()
        },
        gate: gate.clone(),
        metrics: Arc::new(Metrics::default()),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, site, stopped));
    Running { gate, address, client: Arc::new(client), _stop: stop }
}

impl Running {
    /// An honest client; whether it was served.
    async fn asks(&self) -> bool {
        let answer = async {
            let stream = TcpStream::connect(self.address).await?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            let mut stream = TlsConnector::from(Arc::clone(&self.client)).connect(name, stream).await?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        answer.await.is_ok_and(|answer| answer.ends_with("here"))
    }

    /// As many as there are places, of three kinds: half-open and then gone, garbage, and slow until the deadline.
    async fn hostile(&self) {
        let mut open = Vec::new();
        for number in 0..PLACES {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            match number % 3 {
                0 => drop(stream),
                1 => {
                    stream.write_all(&[0xa5; 100]).await.unwrap();
                    open.push(stream);
                }
                _ => {
                    // The head of a ClientHello that does not come.
                    stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
                    open.push(stream);
                }
            }
        }
        for mut stream in open {
            let mut rest = Vec::new();
            let _closed = stream.read_to_end(&mut rest).await;
        }
    }

    /// Whether nothing is left that was given out.
    async fn is_free(&self) -> bool {
        let free = async {
            while self.gate.load() != Load::default() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3), free).await.is_ok()
    }
}

#[tokio::test]
async fn whoever_goes_leaves_its_place_to_others() {
    let server = running(Gate::new).await;
    for _ in 0..3 {
        server.hostile().await;
        assert!(server.is_free().await, "{:?}", server.gate.load());
        assert!(server.asks().await);
    }
}

#[tokio::test]
async fn a_place_that_is_not_given_back_is_found() {
    let server = running(Gate::that_keeps_permits).await;
    assert!(server.asks().await);
    server.hostile().await;
    assert!(!server.is_free().await);
    assert_eq!(server.gate.load().connections, PLACES);
    assert!(!server.asks().await, "there is no place left for anybody");
}

/// Who is refused before its body is read learns that the connection ends, and does not lose the next request on it.
#[tokio::test]
async fn a_client_whose_body_is_not_read_is_told_that_its_connection_ends() {
    let server = running(Gate::new).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(&server.client)).connect(name, stream).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}
