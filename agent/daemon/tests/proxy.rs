//! The proxy with Mosquitto: programs that know no TLS are the device at the broker, through renewals, outages and floods,
//! and nobody else hears a word of them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may end anywhere"
)]
#![expect(clippy::disallowed_methods, reason = "waits for processes, in real time")]

mod common;

use core::time::Duration;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use common::impostor::{Impostor, credulous_proxy};
use common::pki::{Ca, Usage};
use common::world::{Running, World, serial, text};

/// Longest wait for what is to be seen.
const LIMIT: Duration = Duration::from_secs(60);

/// A login of MQTT 3.1.1 under this client identifier, with a clean session and a keep-alive of 60 s.
fn connect(client: &str) -> Vec<u8> {
    let mut packet = vec![0x10, u8::try_from(12 + client.len()).unwrap()];
    packet.extend_from_slice(b"\0\x04MQTT\x04\x02\0\x3c\0");
    packet.push(u8::try_from(client.len()).unwrap());
    packet.extend_from_slice(client.as_bytes());
    packet
}

const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

/// An enrolled device whose proxy listens on a loopback port.
struct Site {
    world: World,
    running: Option<Running>,
    port: u16,
}

impl Site {
    /// `agent proxy` with these settings beside the address.
    fn new(settings: &[&str]) -> Self {
        let world = World::new();
        world.ends(&["enroll"], 0);
        Self::of(world, settings)
    }

    fn of(world: World, settings: &[&str]) -> Self {
        let arguments = [&["--proxy-listen", "127.0.0.1:0"], settings, &["proxy"]].concat();
        let running = Some(world.start(&arguments, &[]));
        Self { port: listening(&world), world, running }
    }

    fn call(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// What comes back to these bytes until the proxy closes; at most four bytes.
    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.call();
        stream.write_all(bytes).unwrap();
        first_four(&mut stream)
    }

    fn wait_for_log(&self, wanted: &str) {
        self.world.until(wanted, |world| world.read("log").contains(wanted));
    }

    fn publish(&self, topic: &str, message: &str) -> Output {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-V", "mqttv5", "-q", "1", "-t", topic, "-m", message]);
        command.output().expect(NEEDED)
    }
}

const NEEDED: &str = "these tests need mosquitto_pub; install it with: apt-get install mosquitto-clients";

/// The port that a proxy on port 0 says it has.
fn listening(world: &World) -> u16 {
    world.until("listening", |world| world.read("log").contains("proxy-listening"));
    let log = world.read("log");
    let line = log.lines().find(|line| line.contains("proxy-listening")).unwrap();
    let digits = line.split("127.0.0.1:").nth(1).unwrap();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// Four bytes, or what there is before the end. A hang is a failure.
fn first_four(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.take(4).read_to_end(&mut heard) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            panic!("neither an answer nor an end")
        }
        _ => heard,
    }
}

/// A subscriber whose output goes to a file.
struct Subscriber<'w> {
    world: &'w World,
    file: &'static str,
    process: Child,
}

impl<'w> Subscriber<'w> {
    fn start(site: &'w Site, file: &'static str, topic: &str) -> Self {
        let output = fs::File::create(site.world.path(file)).unwrap();
        // Into a file it would write in blocks.
        let process = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &site.port.to_string()])
            .args(["-d", "-t", topic])
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .expect(NEEDED);
        let subscriber = Self { world: &site.world, file, process };
        subscriber.wait_for("Subscribed", 1);
        subscriber
    }

    fn wait_for(&self, text: &str, times: usize) {
        self.world.until(text, |world| world.read(self.file).matches(text).count() >= times);
    }
}

impl Drop for Subscriber<'_> {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn a_program_without_tls_is_the_device_and_has_the_rights_of_the_device() {
    let site = Site::new(&[]);
    let subscriber = Subscriber::start(&site, "heard", "devices/#");
    assert!(site.publish("devices/SN-1/app", "one of ours").status.success());
    let refused = site.publish("devices/SN-2/app", "one of others");
    assert!(text(&refused.stderr).contains("Not authorized"), "{refused:?}");
    subscriber.wait_for("one of ours", 1);
    assert!(!site.world.read("heard").contains("one of others"));
    assert!(site.world.broker.log().contains("u'SN-1'"), "{}", site.world.broker.log());
    drop(subscriber);
    site.wait_for_log("proxy-closed");
    let Site { world, running, .. } = site;
    assert_eq!(running.unwrap().terminate(), 0, "{}", world.read("log"));
}

#[test]
fn a_unix_socket_is_for_those_that_its_mode_lets_in() {
    let world = World::new();
    world.ends(&["enroll"], 0);
    let path = world.path("mqtt.sock");
    let listen = format!("unix:{}", path.display());
    let running = world.start(&["--proxy-listen", &listen, "--proxy-socket-mode", "0660", "proxy"], &[]);
    world.until("listening", |world| world.read("log").contains("proxy-listening"));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    let topic = ["-t", "devices/SN-1/app", "-m", "x", "-q", "1", "--unix"];
    let output = Command::new("mosquitto_pub").args(topic).arg(&path).output().expect(NEEDED);
    assert!(output.status.success(), "{output:?}");
    world.until("known", |world| {
        world.read("log").contains(&format!("of user {}", rustix::process::geteuid().as_raw()))
    });
    assert!(world.ends(&["--proxy-listen", &listen, "proxy"], 1).1.contains("in use"));
    assert_eq!(running.terminate(), 0);
    assert!(!path.exists());
}

#[test]
fn what_could_reach_the_network_is_refused() {
    let world = World::new();
    for address in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883"] {
        let said = world.ends(&["--proxy-listen", address, "proxy"], 2).1;
        assert!(said.contains("never opened to the network"), "{said}");
        // Nor beside the agent's other work.
        world.ends(&["--proxy-listen", address, "run"], 2);
    }
    assert!(world.ends(&["proxy"], 2).1.contains("proxy.listen is not set"));
}

#[test]
fn a_connection_outlives_a_renewal_and_the_next_one_has_the_new_certificate() {
    let world = World::new();
    let listen = ["--proxy-listen", "127.0.0.1:0", "run"];
    let running = Some(world.start(&listen, &[]));
    let site = Site { port: listening(&world), world, running };
    site.world.until("connected", |world| world.status()["running"]["connected"] == true);
    let before = serial(&site.world.status());
    let subscriber = Subscriber::start(&site, "heard", "devices/SN-1/app");
    site.wait_for_log(&format!("serial={before:?}"));
    site.world.ends(&["renew", "--force"], 0);
    let after = serial(&site.world.status());
    assert_ne!(before, after);
    assert!(site.publish("devices/SN-1/app", "after the renewal").status.success());
    subscriber.wait_for("after the renewal", 1);
    site.wait_for_log(&format!("serial={after:?}"));
    assert_eq!(site.world.read("heard").matches("Subscribed").count(), 1, "the connection lived on");
}

#[test]
fn a_drain_moves_connections_to_the_new_certificate() {
    let site = Site::new(&["--proxy-drain", "1s"]);
    let subscriber = Subscriber::start(&site, "heard", "devices/SN-1/app");
    // By another process, as a timer would.
    site.world.ends(&["renew", "--force"], 0);
    let after = serial(&site.world.status());
    site.wait_for_log("another certificate is in use");
    subscriber.wait_for("Subscribed", 2);
    site.wait_for_log(&format!("serial={after:?}"));
    site.world.ends(&["reset", "--yes"], 0);
    site.wait_for_log("the device's identity was erased");
    assert_eq!(site.answer(&connect("late")), b"");
    site.wait_for_log("the device has no certificate yet");
}

/// What the proxy knows is up to 2 s older than the certificate that a connection is opened with.
#[test]
fn one_that_connects_at_once_after_a_change_is_carried() {
    let site = Site::of(World::new(), &["--proxy-drain", "0s"]);
    site.world.ends(&["enroll"], 0);
    assert_eq!(site.answer(&connect("first")), ACCEPTED, "{}", site.world.read("log"));
    site.world.ends(&["renew", "--force"], 0);
    assert_eq!(site.answer(&connect("second")), ACCEPTED, "{}", site.world.read("log"));
}

#[test]
fn a_broker_that_goes_is_an_end_with_a_reason_and_comes_back() {
    let mut site = Site::new(&[]);
    let mut before = site.call();
    before.write_all(&connect("before")).unwrap();
    assert_eq!(first_four(&mut before), ACCEPTED);
    site.world.broker.kill();
    assert_eq!(first_four(&mut before), b"");
    site.wait_for_log("the connection failed");
    assert_eq!(site.answer(&connect("meanwhile")), b"");
    site.wait_for_log("the server cannot be reached");
    site.world.broker.restart();
    let begin = Instant::now();
    while site.answer(&connect("after")) != ACCEPTED {
        assert!(begin.elapsed() < LIMIT, "{}", site.world.read("log"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_hundred_programs_against_a_limit_of_ten() {
    let site = Site::new(&["--proxy-connections", "10"]);
    let mut open: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut stream = site.call();
            // One that is over the limit may be closed before it has said anything.
            let _closed = stream.write_all(&connect(&format!("client-{number}")));
            stream
        })
        .collect();
    let answers: Vec<bool> = open.iter_mut().map(|stream| first_four(stream) == ACCEPTED).collect();
    assert_eq!(answers.iter().filter(|accepted| **accepted).count(), 10);
    site.wait_for_log("proxy-full");
    let first = answers.iter().position(|accepted| *accepted).unwrap();
    drop(open.remove(first));
    let begin = Instant::now();
    while site.answer(&connect("the next one")) != ACCEPTED {
        assert!(begin.elapsed() < LIMIT, "a place that became free is not given again");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_broker_that_reads_nothing_stops_the_program_and_ends_in_time() {
    let site = Site::new(&["--proxy-idle", "3s"]);
    let mut stream = site.call();
    stream.write_all(&connect("eager")).unwrap();
    assert_eq!(first_four(&mut stream), ACCEPTED);
    site.world.broker.freeze();
    // A publication that never ends: what lies in the kernel's buffers and in the proxy is bounded.
    stream.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't']).unwrap();
    let chunk = vec![0; 64 * 1024];
    let mut written: usize = 0;
    let error = loop {
        match stream.write(&chunk) {
            Ok(more) => written += more,
            Err(error) => break error,
        }
        assert!(written < 64 * 1024 * 1024, "{written} bytes and no end");
    };
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
    site.wait_for_log("nothing could be handed on");
    site.world.broker.go_on();
}

#[test]
fn what_is_no_mqtt_never_reaches_the_broker() {
    let site = Site::new(&[]);
    let calls = || site.world.broker.log().matches("New connection").count();
    let before = calls();
    assert_eq!(site.answer(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"), b"");
    assert_eq!(site.answer(b"\x16\x03\x01\x02\0"), b"");
    drop(site.call());
    site.wait_for_log("no MQTT client");
    assert_eq!(site.answer(&connect("a real one")), ACCEPTED);
    assert_eq!(calls(), before + 1);
}

#[test]
fn it_waits_for_a_certificate_and_needs_no_restart() {
    let site = Site::of(World::new(), &[]);
    assert_eq!(site.answer(&connect("early")), b"");
    site.wait_for_log("the device has no certificate yet");
    site.world.ends(&["enroll"], 0);
    let begin = Instant::now();
    while site.answer(&connect("late")) != ACCEPTED {
        assert!(begin.elapsed() < LIMIT, "{}", site.world.read("log"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Calls a proxy with a secret while somebody else sits in the broker's place; whether that one heard it.
fn an_impostor_hears(world: &mut World, proxy: impl FnOnce(&World) -> u16) -> bool {
    let secret = connect("the-secret-of-a-program");
    world.broker.kill();
    let impostor =
        Impostor::start(world.broker.port, &Ca::new("others").issue("broker", Usage::Server, |_| {}));
    let mut program = TcpStream::connect(("127.0.0.1", proxy(world))).unwrap();
    program.write_all(&secret).unwrap();
    let begin = Instant::now();
    while impostor.heard.lock().unwrap().0 == 0 {
        assert!(begin.elapsed() < LIMIT, "nobody called the impostor: the test shows nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    let heard = impostor.heard.lock().unwrap();
    heard.1.windows(secret.len()).any(|part| part == secret)
}

#[test]
fn an_impostor_in_the_brokers_place_hears_nothing_and_the_check_can_fail() {
    let mut site = Site::new(&[]);
    let port = site.port;
    assert!(!an_impostor_hears(&mut site.world, |_| port));
    site.wait_for_log("the server's certificate was refused");
    // Planted: a tunnel that believes any certificate is found by the same check.
    let mut world = World::new();
    assert!(an_impostor_hears(&mut world, |world| credulous_proxy(world.broker.port)));
}

#[test]
fn the_log_has_no_word_of_what_was_said() {
    let site = Site::new(&["--log-format", "json"]);
    assert!(site.publish("devices/SN-1/app", "a-secret-payload").status.success());
    site.wait_for_log("proxy-closed");
    let log = site.world.read("log");
    assert!(!log.contains("a-secret-payload") && !log.contains("PRIVATE KEY"), "{log}");
    let closed = log.lines().find(|line| line.contains("proxy-closed")).unwrap();
    let closed: serde_json::Value = serde_json::from_str(closed).unwrap();
    assert!(closed["sent"].as_u64() > Some(20) && closed["received"].as_u64() > Some(4), "{closed}");
    assert!(closed["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}
