//! Hostile servers, against the image: the board refuses each with a reason of its own, keeps running, keeps its one
//! socket, and goes to the honest server as soon as that is back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::time::Duration;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use firmware_sim::board::{Board, flash_image, fuses};
use firmware_sim::device::{DeviceSpec, Overrides};
use firmware_sim::qemu::image::{Build, Image, build};
use firmware_sim::qemu::machine::Machine;
use firmware_sim::qemu::{Count, reference_values};
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose, SanType};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tests::harness::{
    ClientKey, Mosquitto, Order, QEMU_HOST, Site, Wishes, World, certify, certify_by_client,
    certify_by_impostor, certify_by_stranger, certify_changed, now, peer,
};

#[tokio::test]
async fn a_hostile_broker_is_refused_with_its_reason_and_the_honest_one_is_found_again() {
    let bench = Bench::new();
    let board = bench.board("first", &bench.device);
    let mut machine = board.boot();
    machine.awaits("event published telemetry").await;
    machine.off().await;

    for case in brokers(&bench.site.world) {
        // Each on a copy of the enrolled board, as it is after a power cut.
        refused(&board.copy(case.0), &bench.broker, bench.site.broker.port(), case).await;
    }
}

#[tokio::test]
async fn a_hostile_enrollment_server_is_refused_with_its_reason_and_the_honest_one_is_found_again() {
    let bench = Bench::new();
    for case in servers(&bench.site.world) {
        let board = bench.board(case.0, &bench.device);
        refused(&board, &bench.server, bench.site.world.https_port, case).await;
    }
}

/// Boots `board` with a case behind `front`, and with the honest peer on `honest` after the refusal.
async fn refused(board: &BoardFolder<'_>, front: &Front, honest: u16, (name, expected, act): Case) {
    front.plays(act);
    let mut machine = board.boot();
    let said = machine.awaits("event unreachable ").await;
    assert!(expected.iter().any(|expected| said.contains(expected)), "{name}: {said}");
    front.plays(pass_on(honest));
    // On the same start, through the same socket.
    machine.awaits("event published telemetry").await;
    assert_eq!(machine.starts, 1, "{name}: it has started over");
    machine.off().await;
}

#[tokio::test]
async fn a_debug_build_says_so_and_gets_no_certificate() {
    let bench = Bench::with(Build::Debug);
    let board = bench.board("debug", &bench.device);
    let mut machine = board.boot();
    machine.awaits("DEBUG BUILD").await;
    // The measurement is known to be good: what is refused is the debug state that the evidence claims.
    let refused = format!("event refused {}", shared::Reject::DebugOpen.code());
    assert_eq!(machine.awaits("event refused").await, refused);
    machine.off().await;
}

/// What a front does with a connection.
type Act = Arc<dyn Fn(TcpStream) -> io::Result<()> + Send + Sync>;
/// A name, what the device says (one of these), and what is done to it.
type Case = (&'static str, &'static [&'static str], Act);

fn brokers(world: &World) -> Vec<Case> {
    let day = Duration::from_secs(86_400);
    let server = Order::server("localhost");
    let old = Order { not_before: now().before(day * 3), not_after: now().before(day), ..server.clone() };
    let device = certify(world, &Order::client("SN-OTHER"));
    let elsewhere = certify_changed(world, &server, |cert| {
        cert.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    });
    let usage = certify_changed(world, &server, |cert| {
        cert.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let critical = certify_changed(world, &server, |cert| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        cert.custom_extensions.push(extension);
    });
    vec![
        (
            "signed-by-a-device",
            &["the issuer of a certificate is not a CA", "a CA certificate has no subject key identifier"],
            tls(certify_by_client(&device, &server), hang),
        ),
        ("expired", &["a certificate has expired"], tls(certify(world, &old), hang)),
        ("for-another-host", &["certificate is for another host"], tls(elsewhere, hang)),
        ("for-clients", &["a certificate is not meant for TLS servers"], tls(usage, hang)),
        ("unknown-critical", &["a critical extension is not understood"], tls(critical, hang)),
        ("another-ca", &["no path leads to a trust anchor"], tls(certify_by_stranger(&server), hang)),
        (
            "another-ca-of-that-name",
            &["no path leads to a trust anchor", "the signature of a certificate is wrong"],
            tls(certify_by_impostor(world, &server), hang),
        ),
        (
            "cut-handshake",
            &["the server closed the connection before it showed itself"],
            Arc::new(cut_handshake),
        ),
        ("oversized-record", &["the TLS connection failed"], Arc::new(oversized_record)),
        ("endless-handshake", &["the TLS connection failed"], Arc::new(endless_handshake)),
        (
            "endless-packet",
            &["the answer is too long", "the answer cannot be understood"],
            tls(certify(world, &server), endless_packet),
        ),
    ]
}

fn servers(world: &World) -> Vec<Case> {
    let server = Order::server("localhost");
    let device = certify(world, &Order::client("SN-OTHER"));
    vec![
        (
            "signed-by-a-device",
            &["the issuer of a certificate is not a CA", "a CA certificate has no subject key identifier"],
            tls(certify_by_client(&device, &server), hang),
        ),
        (
            "cut-handshake",
            &["the server closed the connection before it showed itself"],
            Arc::new(cut_handshake),
        ),
        ("endless-head", &["the answer is too long", "the answer cannot be understood"], {
            tls(certify(world, &server), |stream| {
                endless(stream, b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n")
            })
        }),
        ("endless-body", &["the answer is too long"], {
            let head =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: 99999999\r\n\r\n";
            tls(certify(world, &server), |stream| endless(stream, head, &[0; 512]))
        }),
    ]
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A TLS server with this identity, which does `then` after the handshake.
fn tls(identity: ClientKey, then: impl Fn(&mut Tls) -> io::Result<()> + Send + Sync + 'static) -> Act {
    let chain = identity.chain.into_iter().map(Into::into).collect();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(identity.key.into())).unwrap();
    // Without the check of its own certificate that the library would make.
    let certificate = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    let config = Arc::new(config);
    Arc::new(move |stream| {
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, stream);
        let mut first = [0; 512];
        let _read = tls.read(&mut first)?;
        then(&mut tls)
    })
}

/// Says nothing until the device goes.
fn hang(stream: &mut Tls) -> io::Result<()> {
    while stream.read(&mut [0; 512])? > 0 {}
    Ok(())
}

/// A packet that claims to be 256 MB long (MQTT 5, section 1.5.5), and goes on.
fn endless_packet(stream: &mut Tls) -> io::Result<()> {
    endless(stream, &[0x20, 0xff, 0xff, 0xff, 0x7f], &[0; 512])
}

fn endless(stream: &mut Tls, head: &[u8], more: &[u8]) -> io::Result<()> {
    stream.write_all(head)?;
    loop {
        stream.write_all(more)?;
        stream.flush()?;
    }
}

fn first_flight(stream: &mut TcpStream) -> io::Result<()> {
    stream.read(&mut [0; 1024]).map(drop)
}

/// Half a ServerHello.
fn cut_handshake(mut stream: TcpStream) -> io::Result<()> {
    first_flight(&mut stream)?;
    stream.write_all(&[22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8])
}

/// A record of 65,535 bytes: RFC 8446, section 5.1, allows 16,384.
fn oversized_record(mut stream: TcpStream) -> io::Result<()> {
    first_flight(&mut stream)?;
    stream.write_all(&[22, 3, 3, 0xff, 0xff])?;
    loop {
        stream.write_all(&[2; 512])?;
    }
}

/// change_cipher_spec, over and over: each by itself is allowed before Finished (RFC 8446, appendix D.4).
fn endless_handshake(mut stream: TcpStream) -> io::Result<()> {
    first_flight(&mut stream)?;
    loop {
        stream.write_all(&[20, 3, 3, 0, 1, 1])?;
    }
}

/// The honest server behind a front.
fn pass_on(port: u16) -> Act {
    Arc::new(move |mut device| {
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        let (mut from_device, mut to_server) = (device.try_clone()?, server.try_clone()?);
        let there = std::thread::spawn(move || {
            let _ended = io::copy(&mut from_device, &mut to_server);
            let _closed = to_server.shutdown(std::net::Shutdown::Write);
        });
        let _ended = io::copy(&mut server, &mut device);
        let _closed = device.shutdown(std::net::Shutdown::Both);
        there.join().map_err(|_| io::Error::other("the other direction panicked"))
    })
}

/// A port that devices are told, and whoever is behind it at the moment.
struct Front {
    port: u16,
    act: Arc<Mutex<Act>>,
}

impl Front {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let act: Arc<Mutex<Act>> = Arc::new(Mutex::new(Arc::new(|_| Ok(()))));
        let current = act.clone();
        // Ends with the test's process.
        let _thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let act = current.lock().unwrap().clone();
                // A connection that the device has given up is what most of these end with.
                let _thread = std::thread::spawn(move || drop(act(stream)));
            }
        });
        Self { port, act }
    }

    fn plays(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }
}

/// A server and a broker, each behind a front, and an image.
struct Bench {
    server: Front,
    broker: Front,
    image: Image,
    device: DeviceSpec,
    site: Site,
}

impl Bench {
    fn new() -> Self {
        Self::with(Build::Release)
    }

    fn with(kind: Build) -> Self {
        let _there = peer("qemu-system-arm", "qemu-system-arm");
        let image = build(Board::default(), kind).unwrap();
        let (server, broker) = (Front::new(), Front::new());
        let world =
            World::new(Wishes { devices: 1, broker_port: broker.port, host: QEMU_HOST, ..Wishes::default() });
        let policy = world.text("server/policy.toml") + &reference_values(&image);
        fs::write(world.path("server/policy.toml"), policy).unwrap();
        let address = format!("{QEMU_HOST}:{}", server.port).parse().unwrap();
        let overrides = Overrides { server: Some(address), trust_bundle: None };
        let folder = world.path(&format!("lot/devices/{}", world.devices[0]));
        let device = DeviceSpec::load(&folder, &overrides).unwrap();
        let site = Site::in_world(world, Mosquitto::port_to_be(), None);
        server.plays(pass_on(site.world.https_port));
        broker.plays(pass_on(site.broker.port()));
        Self { server, broker, image, device, site }
    }

    /// A board as the factory leaves it.
    fn board(&self, name: &str, device: &DeviceSpec) -> BoardFolder<'_> {
        let folder = self.site.world.path(&format!("board-{name}"));
        fs::create_dir(&folder).unwrap();
        let _made = fuses(&folder).unwrap();
        let flash = flash_image(device, &Board::default().layout()).unwrap();
        fs::write(folder.join("flash.img"), flash.as_slice()).unwrap();
        BoardFolder { folder, image: &self.image.elf }
    }
}

struct BoardFolder<'i> {
    folder: PathBuf,
    image: &'i Path,
}

impl BoardFolder<'_> {
    fn copy(&self, name: &str) -> Self {
        let folder = self.folder.with_file_name(format!("board-{name}"));
        fs::create_dir(&folder).unwrap();
        for file in ["flash.img", "fuses.bin"] {
            let _bytes = fs::copy(self.folder.join(file), folder.join(file)).unwrap();
        }
        Self { folder, image: self.image }
    }

    fn boot(&self) -> Running {
        let machine = Machine::boot(Board::default(), self.image, &self.folder, Count::Nothing).unwrap();
        Running { machine, said: Vec::new(), starts: 0 }
    }
}

/// A machine that runs, and what it has said.
struct Running {
    machine: Machine,
    said: Vec<String>,
    starts: u32,
}

impl Running {
    /// The next line that begins so.
    async fn awaits(&mut self, beginning: &str) -> String {
        let patience = Duration::from_secs(60);
        loop {
            let line = tokio::time::timeout(patience, self.machine.line()).await;
            let Ok(line) = line else { panic!("no '{beginning}' within {patience:?}: {:#?}", self.said) };
            let Some(line) = line.unwrap() else { panic!("the machine has stopped: {:#?}", self.said) };
            self.said.push(line.clone());
            self.starts += u32::from(line.starts_with("simulated lm3s6965evb"));
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    async fn off(self) {
        self.machine.cut_power().await.unwrap();
    }
}
