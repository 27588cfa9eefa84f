//! The microcontroller's MQTT client, by itself, against Mosquitto: what it says, what it obeys, and how it finds out
//! that the broker is gone, is another one, or does not want it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use agent_core::keystore::SoftKey;
use agent_core::platform::{Broker as _, ClientIdentity, Login, Server, Session, Step, TransportError};
use agent_core::x509::{PathError, Validity};
use agent_mcu::mqtt::{Mqtt, PacketBuffers, RECEIVE_BUFFER, SEND_BUFFER};
use agent_mcu::net::{ConnectError, Connector, TimeLimits};
use agent_mcu::tls::{Buffers, READ_BUFFER, WRITE_BUFFER, Workspace};
use firmware_sim::device::{TokioConnector, TokioStream};
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::DecodePrivateKey as _;
use tests::harness::{
    ClientKey, LIMIT, NOT_AUTHORIZED, Order, Probe, Site, certify, certify_by_stranger, now, until,
};

#[test]
fn it_publishes_obeys_and_says_goodbye() {
    let site = Site::new(1);
    let mut operator = site.operator();
    let device = Device::online(&site, Setup::of(&site));

    device.tell(Act::Publish(device.topic("status"), b"online".into(), true));
    assert_eq!(device.event(), Event::Published);
    hears(&mut operator, &device.topic("status"), b"online");
    // A quarter of the buffer is room enough for the topic and what comes with it.
    let long = vec![b'x'; SEND_BUFFER - 250];
    device.tell(Act::Publish(device.topic("telemetry"), long.clone(), false));
    assert_eq!(device.event(), Event::Published);
    hears(&mut operator, &device.topic("telemetry"), &long);

    for command in [b"first".as_slice(), b"", b"\xff\0", b"last"] {
        assert_eq!(operator.publish(&device.topic("command"), command), 0);
        assert_eq!(device.event(), Event::Command(command.into()));
    }
    // What was retained is there for who comes later.
    let mut operator = site.operator();
    hears(&mut operator, &device.topic("status"), b"online");

    device.tell(Act::Leave);
    assert_eq!(device.event(), Event::Ended(Ok(())));
    // Without a word more from the broker in its name.
    site.broker.wait_for_log(&format!("Client {} disconnected", device.id));
    let seen = operator.messages_until_now();
    assert!(!seen.iter().any(|(topic, _)| *topic == device.topic("status")), "a last will after a goodbye");
}

#[test]
fn what_is_too_long_for_its_buffer_is_an_error() {
    let site = Site::new(1);
    let device = Device::online(&site, Setup::of(&site));
    device.tell(Act::Publish(device.topic("telemetry"), vec![b'x'; SEND_BUFFER], false));
    assert_eq!(device.event(), Event::Ended(Err(TransportError::TooLarge)));
}

#[test]
fn lost_without_a_word_it_leaves_its_last_will() {
    let site = Site::new(1);
    let mut operator = site.operator();
    let device = Device::online(&site, Setup::of(&site));
    let topic = device.topic("status");
    drop(device);
    hears(&mut operator, &topic, WILL);
}

#[test]
fn a_retained_command_is_not_obeyed_again() {
    let site = Site::new(1);
    let mut operator = site.operator();
    let topic = format!("devices/{}/command", site.world.devices[0]);
    assert_eq!(operator.publish_retained(&topic, b"old"), 0);
    for _reconnect in 0..2 {
        let device = Device::online(&site, Setup::of(&site));
        assert_eq!(operator.publish(&topic, b"new"), 0);
        assert_eq!(device.event(), Event::Command(b"new".into()));
        device.tell(Act::Leave);
        assert_eq!(device.event(), Event::Ended(Ok(())));
    }
}

#[test]
fn with_nothing_to_say_it_keeps_the_connection_alive() {
    let site = Site::new(1);
    let device = Device::online(&site, Setup { keep_alive: 2, ..Setup::of(&site) });
    // The broker would drop it after three seconds without a packet.
    let pings = || site.broker.log().matches(&format!("Received PINGREQ from {}", device.id)).count();
    until("three pings", || (pings() >= 3).then_some(()));
    device.tell(Act::Publish(device.topic("telemetry"), b"alive".into(), false));
    assert_eq!(device.event(), Event::Published);
}

#[test]
fn a_broker_that_falls_silent_is_given_up() {
    // While waiting for a command, the keep-alive finds out; while publishing, the limit of an exchange.
    for (publishing, keep_alive) in [(false, 2), (true, 600)] {
        let site = Site::new(1);
        let device = Device::online(&site, Setup { keep_alive, ..Setup::of(&site) });
        site.broker.freeze();
        if publishing {
            device.tell(Act::Publish(device.topic("telemetry"), b"is anybody there".into(), false));
        }
        let Event::Ended(Err(error)) = device.event() else { panic!("{publishing}") };
        assert!(matches!(error, TransportError::TimedOut | TransportError::Closed), "{publishing} {error:?}");
    }
}

#[test]
fn strangers_refuse_each_other() {
    let site = Site::new(1);
    let order = Order::client(&site.world.devices[0]);
    let root = site.world.root();
    let another = certify_by_stranger(&order);
    let refused = |setup: Setup| match Device::start(&site, setup).event() {
        Event::Ended(Err(error)) => error,
        event => panic!("{event:?}"),
    };
    // The broker's refusal of a client certificate comes when the device's side of the handshake is done.
    let error = refused(Setup { identity: another.clone(), ..Setup::of(&site) });
    assert!(matches!(error, TransportError::Tls | TransportError::Closed), "{error:?}");
    // The other way round the device says nothing of itself: not even its certificate.
    let anchor = another.chain.last().unwrap().clone();
    let error = refused(Setup { anchor, ..Setup::of(&site) });
    assert_eq!(error, TransportError::Certificate(PathError::UnknownIssuer));
    let error = refused(Setup { host: "another.example", anchor: root, ..Setup::of(&site) });
    assert_eq!(error, TransportError::Certificate(PathError::NameMismatch));
    assert!(!site.broker.log().contains("New client connected"), "{}", site.broker.log());
}

#[test]
fn what_the_broker_does_not_permit_is_not_taken_for_published() {
    let site = Site::new(2);
    let device = Device::online(&site, Setup::of(&site));
    let foreign = format!("devices/{}/telemetry", site.world.devices[1]);
    device.tell(Act::Publish(foreign, b"not mine".into(), false));
    assert_eq!(device.event(), Event::Ended(Err(TransportError::Refused(NOT_AUTHORIZED))));
}

/// Waits for a message.
fn hears(operator: &mut Probe, topic: &str, payload: &[u8]) {
    operator.message(|found, content| (found == topic && content == payload).then_some(()));
}

const WILL: &[u8] = b"offline";

/// How a device is set up.
struct Setup {
    identity: ClientKey,
    /// Trust anchor in DER.
    anchor: Vec<u8>,
    host: &'static str,
    /// Seconds.
    keep_alive: u64,
}

impl Setup {
    /// As it should be.
    fn of(site: &Site) -> Self {
        let identity = certify(&site.world, &Order::client(&site.world.devices[0]));
        Self { identity, anchor: site.world.root(), host: "localhost", keep_alive: 60 }
    }
}

/// What a device is told to do.
enum Act {
    Publish(String, Vec<u8>, bool),
    Leave,
}

/// What a device tells.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Accepted,
    Published,
    Command(Vec<u8>),
    Ended(Result<(), TransportError>),
}

/// The client in a thread of its own; stops with this.
struct Device {
    id: String,
    acts: Sender<Act>,
    /// Dropped, it takes the device with it, whatever that was at.
    power: Option<tokio::sync::oneshot::Sender<()>>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    fn start(site: &Site, setup: Setup) -> Self {
        let id = site.world.devices[0].clone();
        let (acts, orders) = channel();
        let (reports, events) = channel();
        let (power, off) = tokio::sync::oneshot::channel::<()>();
        let (name, port) = (id.clone(), site.broker.port());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut script = Script { acts: orders, reports: reports.clone(), act: None };
            let result = runtime.block_on(async {
                tokio::select! {
                    result = serve(&name, port, &setup, &mut script) => Some(result),
                    _off = off => None,
                }
            });
            // Nobody listens where the test is over.
            let _told = result.map(|result| reports.send(Event::Ended(result)).is_ok());
        });
        Self { id, acts, power: Some(power), events, thread: Some(thread) }
    }

    /// A device that the broker has accepted.
    fn online(site: &Site, setup: Setup) -> Self {
        let device = Self::start(site, setup);
        assert_eq!(device.event(), Event::Accepted);
        device
    }

    fn topic(&self, last: &str) -> String {
        format!("devices/{}/{last}", self.id)
    }

    fn tell(&self, act: Act) {
        self.acts.send(act).unwrap();
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(LIMIT).unwrap()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.power = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the device's thread panicked");
        }
    }
}

/// How long the session waits before it looks again what it is told.
const TICK: Duration = Duration::from_millis(20);

async fn serve(id: &str, port: u16, setup: &Setup, script: &mut Script) -> Result<(), TransportError> {
    let key = SoftKey::from(SigningKey::from_pkcs8_der(&setup.identity.key).unwrap());
    let chain: Vec<&[u8]> = setup.identity.chain.iter().map(Vec::as_slice).collect();
    let (mut read, mut write, mut parked) = (vec![0; READ_BUFFER], vec![0; WRITE_BUFFER], vec![0; 512]);
    let workspace = Workspace::new(Buffers { read: &mut read, write: &mut write, parked: &mut parked });
    let (mut receive, mut send) = (vec![0; RECEIVE_BUFFER], vec![0; SEND_BUFFER]);
    let packets = PacketBuffers { receive: &mut receive, send: &mut send };
    let limits = TimeLimits { exchange: embassy_time::Duration::from_secs(5), ..TimeLimits::default() };
    let [command_topic, will_topic] = ["command", "status"].map(|last| format!("devices/{id}/{last}"));
    let anchors = [setup.anchor.as_slice()];
    let login = Login {
        server: Server { host: setup.host, port, anchors: &anchors, validity: Validity::At(now()) },
        identity: ClientIdentity { key: &key, chain: &chain },
        client_id: id,
        command_topic: &command_topic,
        will_topic: &will_topic,
        will_payload: WILL,
        keep_alive: Duration::from_secs(setup.keep_alive),
    };
    Mqtt::new(Here, OsRng, &workspace, packets, limits).serve(login, script).await
}

/// This machine, whatever the broker is called.
struct Here;

impl Connector for Here {
    type Stream<'c> = TokioStream;

    async fn connect(&mut self, _host: &str, port: u16) -> Result<TokioStream, ConnectError> {
        TokioConnector.connect("127.0.0.1", port).await
    }
}

/// A session that does what the test says and tells what it sees.
struct Script {
    acts: Receiver<Act>,
    reports: Sender<Event>,
    act: Option<(String, Vec<u8>, bool)>,
}

impl Script {
    fn report(&self, event: Event) {
        // Nobody listens where the test is over.
        let _told = self.reports.send(event).is_ok();
    }
}

impl Session for Script {
    async fn accepted(&mut self) {
        self.report(Event::Accepted);
    }

    fn next(&mut self) -> Step<'_> {
        match self.acts.try_recv() {
            Ok(Act::Publish(topic, payload, retain)) => {
                let (topic, payload, retain) = self.act.insert((topic, payload, retain));
                Step::Publish { topic, payload, retain: *retain }
            }
            Ok(Act::Leave) => Step::Leave,
            // With nobody to tell it anything, it is about to be dropped.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Step::Wait(TICK),
        }
    }

    fn published(&mut self) {
        self.report(Event::Published);
    }

    fn command(&mut self, payload: &[u8]) {
        self.report(Event::Command(payload.into()));
    }
}
