//! The MQTT adapter against the real Mosquitto, over mutual TLS.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may end anywhere"
)]
#![expect(clippy::disallowed_methods, reason = "waits for other processes in real time")]

mod common;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use agent::config::Timeouts;
use agent::heartbeat::Heartbeat;
use agent::mqtt::MqttBroker;
use agent_core::platform::{Broker as _, ClientIdentity, Login, Server, Session, Step, TransportError};
use agent_core::x509::{PathError, Validity};
use common::mosquitto::Mosquitto;
use common::pki::{Ca, Leaf, Usage};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, PublishOptions, QoS};
use shared::UnixTime;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    handshake: Duration::from_secs(3),
    exchange: Duration::from_secs(3),
};

/// What a session is to do next.
#[derive(Clone, Copy)]
enum Act {
    Publish {
        topic: &'static str,
        payload: &'static str,
        retain: bool,
    },
    /// Waits until a command came.
    Command,
    /// Waits for ever.
    Wait,
    Leave,
}

/// A session that plays a script and notes what happens.
#[derive(Default)]
struct Script {
    acts: VecDeque<Act>,
    accepted: bool,
    published: usize,
    commands: Vec<Vec<u8>>,
}

impl Script {
    fn of(acts: &[Act]) -> Self {
        Self { acts: acts.iter().copied().collect(), ..Self::default() }
    }
}

impl Session for Script {
    async fn accepted(&mut self) {
        assert!(!self.accepted);
        self.accepted = true;
    }

    fn next(&mut self) -> Step<'_> {
        match self.acts.front().copied().expect("asked after it left") {
            Act::Publish { topic, payload, retain } => {
                Step::Publish { topic, payload: payload.as_bytes(), retain }
            }
            Act::Command | Act::Wait => Step::Wait(Duration::from_millis(200)),
            Act::Leave => Step::Leave,
        }
    }

    fn published(&mut self) {
        assert!(matches!(self.acts.pop_front(), Some(Act::Publish { .. })));
        self.published += 1;
    }

    fn command(&mut self, payload: &[u8]) {
        self.commands.push(payload.to_vec());
        if matches!(self.acts.front(), Some(Act::Command)) {
            self.acts.pop_front();
        }
    }
}

struct World {
    ca: Ca,
    devices: Ca,
    broker: Mosquitto,
}

impl World {
    fn new() -> Self {
        let (ca, devices) = (Ca::new("ca"), Ca::new("devices"));
        let broker = Mosquitto::start(&ca.issue("broker", Usage::Server, |_| {}), &devices);
        Self { ca, devices, broker }
    }

    async fn serve(&self, device: &Leaf, id: &str, script: &mut Script) -> Result<(), TransportError> {
        serve(self.broker.port, &self.ca, device, id, script).await
    }

    /// A client that may see everything; subscribed to everything when this returns.
    async fn observer(&self) -> (AsyncClient, EventLoop) {
        let leaf = self.devices.issue("observer", Usage::Device, |_| {});
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.der.clone().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![leaf.chain[0].clone().into()],
                leaf.key.serialize_der().try_into().unwrap(),
            )
            .unwrap();
        let mut options = MqttOptions::new("observer", ("localhost", self.broker.port));
        let tls = rumqttc::TlsConfiguration::Rustls(Arc::new(config));
        options.set_transport(rumqttc::Transport::tls_with_config(tls));
        let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
        client.subscribe("#", QoS::AtLeastOnce).await.unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
        (client, events)
    }
}

async fn serve(
    port: u16,
    ca: &Ca,
    device: &Leaf,
    id: &str,
    script: &mut Script,
) -> Result<(), TransportError> {
    let (key, chain) = (device.file_key(), device.chain());
    let now = Validity::At(UnixTime::from_secs(1_795_478_400));
    let login = Login {
        server: Server { host: "localhost", port, anchors: &[&ca.der], validity: now },
        identity: ClientIdentity { key: &key, chain: &chain },
        client_id: id,
        command_topic: "devices/SN-1/command",
        will_topic: "devices/SN-1/status",
        will_payload: b"offline",
        keep_alive: Duration::from_secs(60),
    };
    let mut broker = MqttBroker::new(TIMEOUTS, Heartbeat::silent());
    tokio::time::timeout(Duration::from_secs(30), broker.serve(login, script)).await.expect("hangs")
}

async fn message(events: &mut EventLoop) -> Publish {
    let next = async {
        loop {
            if let Event::Incoming(Packet::Publish(message)) = events.poll().await.unwrap() {
                return message;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), next).await.expect("no message came")
}

const ONLINE: Act = Act::Publish { topic: "devices/SN-1/status", payload: "online", retain: true };
const TELEMETRY: Act = Act::Publish { topic: "devices/SN-1/telemetry", payload: "1", retain: false };
const OFFLINE: Act = Act::Publish { topic: "devices/SN-1/status", payload: "offline in order", retain: true };

#[tokio::test]
async fn publishes_takes_commands_and_leaves_without_a_will() {
    let world = World::new();
    let device = world.devices.issue("SN-1", Usage::Device, |_| {});
    let (client, mut events) = world.observer().await;
    // A retained command is from another time, and is not obeyed.
    let retained = PublishOptions::at_least_once().retained();
    client.publish("devices/SN-1/command", "retained", retained).await.unwrap();
    assert_eq!(message(&mut events).await.payload, "retained");

    let mut script = Script::of(&[ONLINE, TELEMETRY, Act::Command, OFFLINE, Act::Leave]);
    let watch = async {
        assert_eq!(message(&mut events).await.payload, "online");
        let telemetry = message(&mut events).await;
        assert_eq!(
            (&telemetry.topic[..], &telemetry.payload[..]),
            (&b"devices/SN-1/telemetry"[..], &b"1"[..])
        );
        client.publish("devices/SN-1/command", "now", PublishOptions::at_least_once()).await.unwrap();
        assert_eq!(message(&mut events).await.payload, "now");
        assert_eq!(message(&mut events).await.payload, "offline in order");
        // An orderly end: the last will stays unsaid, so the next message is the observer's own.
        client.publish("end", "", PublishOptions::at_least_once()).await.unwrap();
        assert_eq!(&message(&mut events).await.topic[..], b"end");
    };
    let (outcome, ()) = tokio::join!(world.serve(&device, "SN-1", &mut script), watch);
    assert_eq!(outcome, Ok(()));
    assert!(script.accepted);
    assert_eq!(script.published, 3);
    assert_eq!(script.commands, [b"now"]);
}

#[tokio::test]
async fn a_lost_device_is_reported_by_its_will() {
    let world = World::new();
    let device = world.devices.issue("SN-1", Usage::Device, |_| {});
    let (_client, mut events) = world.observer().await;
    let mut script = Script::of(&[ONLINE, Act::Wait]);
    {
        let mut serve = Box::pin(world.serve(&device, "SN-1", &mut script));
        tokio::select! {
            outcome = &mut serve => panic!("ended: {outcome:?}"),
            online = message(&mut events) => assert_eq!(online.payload, "online"),
        }
        // Dropped in the middle, as by a power cut.
    }
    let will = message(&mut events).await;
    assert_eq!((&will.topic[..], &will.payload[..]), (&b"devices/SN-1/status"[..], &b"offline"[..]));
    // Retained: whoever subscribes later hears of it too.
    let (_later, mut later_events) = world.observer().await;
    let kept = message(&mut later_events).await;
    assert!(kept.retain && kept.payload == "offline");
}

#[tokio::test]
async fn other_identities_are_refused_before_anything_is_accepted() {
    let world = World::new();
    let mut script = Script::of(&[Act::Leave]);
    let stranger = Ca::new("others").issue("SN-1", Usage::Device, |_| {});
    assert_eq!(world.serve(&stranger, "SN-1", &mut script).await, Err(TransportError::Tls));
    // Without a name in the certificate there is no user.
    let nameless = world.devices.issue("", Usage::Device, |_| {});
    let refused = world.serve(&nameless, "SN-1", &mut script).await;
    assert!(matches!(refused, Err(TransportError::Refused(0x80..))), "{refused:?}");
    assert!(!script.accepted);
}

#[tokio::test]
async fn a_refused_publication_ends_the_connection_with_its_reason() {
    let world = World::new();
    let device = world.devices.issue("SN-1", Usage::Device, |_| {});
    let foreign = Act::Publish { topic: "devices/SN-2/telemetry", payload: "", retain: false };
    let mut script = Script::of(&[foreign, Act::Leave]);
    assert_eq!(world.serve(&device, "SN-1", &mut script).await, Err(TransportError::Refused(0x87)));
    assert!(script.accepted);
    assert_eq!(script.published, 0);
}

#[tokio::test]
async fn a_false_broker_gets_nothing() {
    let world = World::new();
    let device = world.devices.issue("SN-1", Usage::Device, |_| {});
    let mut script = Script::of(&[Act::Leave]);
    let other_ca = Ca::new("other");
    let outcome = serve(world.broker.port, &other_ca, &device, "SN-1", &mut script).await;
    assert_eq!(outcome, Err(TransportError::Certificate(PathError::UnknownIssuer)));
    assert!(!script.accepted);
}

#[tokio::test]
async fn a_dead_broker_is_noticed_and_a_silent_one_given_up() {
    let mut world = World::new();
    let device = world.devices.issue("SN-1", Usage::Device, |_| {});
    let (port, ca) = (world.broker.port, &world.ca);
    let mut script = Script::of(&[ONLINE, Act::Wait]);
    let kill = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.broker.kill();
    };
    let (outcome, ()) = tokio::join!(serve(port, ca, &device, "SN-1", &mut script), kill);
    assert!(matches!(outcome, Err(TransportError::Closed | TransportError::Tls)), "{outcome:?}");
    assert_eq!(script.published, 1);
    assert_eq!(serve(port, ca, &device, "SN-1", &mut script).await, Err(TransportError::Unreachable));

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let outcome = serve(silent_port, ca, &device, "SN-1", &mut script).await;
    assert_eq!(outcome, Err(TransportError::TimedOut));
}
