//! The guard before the router: who comes in, what goes through, and when a session is cut.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use core::time::Duration;

use common::{Client, Pki, refusal};
use firmware_sim::broker::{Broker, BrokerError, Ended, Event};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet};
use rumqttc::{AsyncClient, ConnectionError, EventLoop, PublishOptions};
use shared::DeviceId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// Polls until a packet arrives that `wanted` takes.
async fn until(events: &mut EventLoop, wanted: impl Fn(&Packet) -> bool) -> Result<Packet, ConnectionError> {
    let waiting = async {
        loop {
            if let rumqttc::Event::Incoming(packet) = events.poll().await?
                && wanted(&packet)
            {
                return Ok(packet);
            }
        }
    };
    timeout(5 * SECOND, waiting).await.unwrap_or_else(|_| panic!("the packet did not come"))
}

async fn logged_in(events: &mut EventLoop) {
    until(events, |packet| matches!(packet, Packet::ConnAck(_))).await.unwrap();
}

async fn end(events: &mut EventLoop) -> ConnectionError {
    until(events, |_| false).await.unwrap_err()
}

/// The next end that the broker tells of.
async fn ended(broker: &mut tokio::sync::broadcast::Receiver<Event>) -> (Option<DeviceId>, Ended) {
    let waiting = async {
        loop {
            if let Event::Ended { device, why } = broker.recv().await.unwrap() {
                return (device, why);
            }
        }
    };
    timeout(5 * SECOND, waiting).await.unwrap()
}

fn telemetry(client: &AsyncClient, topic: &str) -> impl Future<Output = Result<(), rumqttc::ClientError>> {
    client.publish(topic.to_owned(), "{}", PublishOptions::new(QoS::AtLeastOnce))
}

#[tokio::test]
async fn a_device_publishes_and_receives_commands_on_its_own_topics() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let admin = broker.admin().await.unwrap();
    let device = pki.client("SN-1", 101);
    let (client, mut events) = pki.mqtt(broker.address().port(), Some(&device), "SN-1", None);
    logged_in(&mut events).await;
    assert_eq!(broker.connected(), 1);

    client.subscribe("devices/SN-1/command", QoS::AtLeastOnce).await.unwrap();
    until(&mut events, |packet| matches!(packet, Packet::SubAck(_))).await.unwrap();
    telemetry(&client, "devices/SN-1/telemetry").await.unwrap();
    until(&mut events, |packet| matches!(packet, Packet::PubAck(_))).await.unwrap();
    let seen = admin.wait(&id("SN-1"), 2 * SECOND, |seen| seen.telemetry == 1).await.unwrap();
    assert_eq!(seen.last_telemetry, "{}");

    admin.command(&id("SN-1"), r#"{"command":"status"}"#).await.unwrap();
    let command = until(&mut events, |packet| matches!(packet, Packet::Publish(_))).await.unwrap();
    let Packet::Publish(command) = command else { panic!("not a publication") };
    assert_eq!(command.payload.as_ref(), br#"{"command":"status"}"#);
}

#[tokio::test]
async fn the_client_identifier_has_to_be_the_name_in_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let device = pki.client("SN-1", 101);
    for foreign in ["SN-2", "sn-1", ""] {
        let (_client, mut events) = pki.mqtt(broker.address().port(), Some(&device), foreign, None);
        let error = end(&mut events).await;
        assert_eq!(refusal(&error), Some(ConnectReturnCode::ClientIdentifierNotValid), "{foreign}: {error}");
    }
    assert_eq!(broker.connected(), 0);
}

#[tokio::test]
async fn a_foreign_topic_ends_the_session_and_reaches_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let admin = broker.admin().await.unwrap();
    let device = pki.client("SN-1", 101);
    let port = broker.address().port();
    let mut ends = broker.events();

    let (client, mut events) = pki.mqtt(port, Some(&device), "SN-1", None);
    logged_in(&mut events).await;
    telemetry(&client, "devices/SN-2/telemetry").await.unwrap();
    end(&mut events).await;
    assert!(matches!(ended(&mut ends).await, (Some(_), Ended::Refused(_))));

    for filter in ["devices/#", "devices/SN-2/command", "#", "$share/all/devices/SN-1/command"] {
        let (client, mut events) = pki.mqtt(port, Some(&device), "SN-1", None);
        logged_in(&mut events).await;
        client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        end(&mut events).await;
        assert!(matches!(ended(&mut ends).await, (Some(_), Ended::Refused(_))), "{filter}");
    }

    let will = LastWill::new("devices/SN-2/status", "gone", QoS::AtLeastOnce, true, None);
    let (_client, mut events) = pki.mqtt(port, Some(&device), "SN-1", Some(will));
    assert_eq!(refusal(&end(&mut events).await), Some(ConnectReturnCode::NotAuthorized));

    // What was sent on goes in order, so that this one comes after anything that got through.
    let (client, mut events) = pki.mqtt(port, Some(&device), "SN-1", None);
    logged_in(&mut events).await;
    telemetry(&client, "devices/SN-1/telemetry").await.unwrap();
    until(&mut events, |packet| matches!(packet, Packet::PubAck(_))).await.unwrap();
    admin.wait(&id("SN-1"), 2 * SECOND, |seen| seen.telemetry == 1).await.unwrap();
    assert_eq!(admin.seen(&id("SN-2")), Default::default());
}

#[tokio::test]
async fn without_a_certificate_of_the_issuing_ca_nobody_comes_in() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let port = broker.address().port();
    let mut ends = broker.events();

    let (_client, mut events) = pki.mqtt(port, None, "SN-1", None);
    end(&mut events).await;
    let (device, why) = ended(&mut ends).await;
    assert_eq!(device, None);
    assert!(matches!(&why, Ended::Handshake(reason) if reason.contains("no certificates")), "{why}");

    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Pki::new(elsewhere.path()).client("SN-1", 101);
    let (_client, mut events) = pki.mqtt(port, Some(&stranger), "SN-1", None);
    end(&mut events).await;
    assert!(matches!(ended(&mut ends).await, (None, Ended::Handshake(_))));
}

#[tokio::test]
async fn a_revoked_device_is_dropped_within_a_second_and_refused_after() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let port = broker.address().port();
    let mut ends = broker.events();
    let (one, two) = (pki.client("SN-1", 101), pki.client("SN-2", 102));
    let (_client, mut first) = pki.mqtt(port, Some(&one), "SN-1", None);
    logged_in(&mut first).await;
    let (client, mut second) = pki.mqtt(port, Some(&two), "SN-2", None);
    logged_in(&mut second).await;

    let begin = Instant::now();
    pki.publish(2, &[101]);
    end(&mut first).await;
    assert!(begin.elapsed() < SECOND, "dropped after {:?}", begin.elapsed());
    assert_eq!(ended(&mut ends).await, (Some(id("SN-1")), Ended::Revoked));

    let (_client, mut again) = pki.mqtt(port, Some(&one), "SN-1", None);
    end(&mut again).await;
    assert!(matches!(ended(&mut ends).await, (None, Ended::Handshake(_))));
    telemetry(&client, "devices/SN-2/telemetry").await.unwrap();
    until(&mut second, |packet| matches!(packet, Packet::PubAck(_))).await.unwrap();
}

#[tokio::test]
async fn a_bad_crl_closes_the_door_until_a_good_one_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    pki.publish(7, &[]);
    let broker = Broker::start(pki.broker()).await.unwrap();
    let device = pki.client("SN-1", 101);
    let mut ends = broker.events();
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign_crl = {
        let _other = Pki::new(elsewhere.path());
        std::fs::read(elsewhere.path().join("crl.der")).unwrap()
    };
    for bad in [b"nonsense".to_vec(), foreign_crl] {
        pki.publish_bytes(&bad);
        assert!(closed_within(&pki, &broker, &device, &mut ends).await);
    }
    // An older list of the right CA would bring revoked certificates back.
    pki.publish(6, &[]);
    tokio::time::sleep(300 * Duration::from_millis(1)).await;
    assert!(closed_within(&pki, &broker, &device, &mut ends).await);
    pki.publish(8, &[]);
    let mut tries = 0;
    loop {
        let (_client, mut events) = pki.mqtt(broker.address().port(), Some(&device), "SN-1", None);
        if until(&mut events, |packet| matches!(packet, Packet::ConnAck(_))).await.is_ok() {
            break;
        }
        tries += 1;
        assert!(tries < 20, "the good CRL was not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether logins are refused for want of a CRL within two seconds.
async fn closed_within(
    pki: &Pki,
    broker: &Broker,
    device: &Client,
    ends: &mut tokio::sync::broadcast::Receiver<Event>,
) -> bool {
    for _ in 0..20 {
        let (_client, mut events) = pki.mqtt(broker.address().port(), Some(device), "SN-1", None);
        let outcome = until(&mut events, |packet| matches!(packet, Packet::ConnAck(_))).await;
        drop(events);
        let (_, why) = ended(ends).await;
        if outcome.is_err() && why == Ended::NoCrl {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn the_latest_login_of_a_device_takes_the_place_of_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let admin = broker.admin().await.unwrap();
    let mut ends = broker.events();
    let device = pki.client("SN-1", 101);
    let will = || Some(LastWill::new("devices/SN-1/status", "offline", QoS::AtLeastOnce, true, None));
    let (_client, mut first) = pki.mqtt(broker.address().port(), Some(&device), "SN-1", will());
    logged_in(&mut first).await;
    let (client, mut second) = pki.mqtt(broker.address().port(), Some(&device), "SN-1", will());
    logged_in(&mut second).await;
    assert_eq!(ended(&mut ends).await, (Some(id("SN-1")), Ended::TakenOver));
    client
        .publish("devices/SN-1/status", "online", PublishOptions::new(QoS::AtLeastOnce).retain(true))
        .await
        .unwrap();
    until(&mut second, |packet| matches!(packet, Packet::PubAck(_))).await.unwrap();
    let seen = admin.wait(&id("SN-1"), 2 * SECOND, |seen| seen.statuses > 0).await.unwrap();
    assert_eq!((seen.statuses, seen.last_status.as_str()), (1, "online"));

    // A connection that breaks off publishes the last will.
    drop((client, second));
    admin.wait(&id("SN-1"), 2 * SECOND, |seen| seen.last_status == "offline").await.unwrap();
}

#[tokio::test]
async fn silence_and_noise_end_soon_and_the_cap_holds() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let mut config = pki.broker();
    config.limits.connections = 2;
    let broker = Broker::start(config).await.unwrap();
    let mut ends = broker.events();
    let device = pki.client("SN-1", 101);
    let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(pki.tls(Some(&device))));
    let connect = async || {
        let stream = tokio::net::TcpStream::connect(broker.address()).await.unwrap();
        tls.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    };

    let mut silent = connect().await;
    let begin = Instant::now();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert!(begin.elapsed() < 2 * SECOND);
    assert_eq!(ended(&mut ends).await.1, Ended::TooSlow);

    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0xc0, 0x00]] {
        let mut stream = connect().await;
        stream.write_all(noise).await.unwrap();
        let mut answer = Vec::new();
        let _cut_or_closed = stream.read_to_end(&mut answer).await;
        // The first is a packet that does not end, the others are none.
        assert!(matches!(ended(&mut ends).await.1, Ended::Refused(_) | Ended::TooSlow), "{noise:?}");
    }

    // Two that hold their places without a handshake, and a third that is turned away at once.
    let _one = tokio::net::TcpStream::connect(broker.address()).await.unwrap();
    let _two = tokio::net::TcpStream::connect(broker.address()).await.unwrap();
    let mut three = tokio::net::TcpStream::connect(broker.address()).await.unwrap();
    assert_eq!(timeout(SECOND, three.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0);
    assert_eq!(ended(&mut ends).await.1, Ended::Full);
}

#[tokio::test]
async fn the_router_takes_nobody_past_the_guard() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let broker = Broker::start(pki.broker()).await.unwrap();
    let door = broker.operator_door();
    for password in [None, Some("guess")] {
        let mut options = rumqttc::MqttOptions::new("thief", ("127.0.0.1", door.address.port()));
        if let Some(password) = password {
            options.set_credentials(door.user, password);
        }
        let (_client, mut events) = AsyncClient::builder(options).capacity(10).build();
        end(&mut events).await;
    }
    let mut options = rumqttc::MqttOptions::new("operator", ("127.0.0.1", door.address.port()));
    options.set_credentials(door.user, door.password.as_str().to_owned());
    let (_client, mut events) = AsyncClient::builder(options).capacity(10).build();
    logged_in(&mut events).await;
}

#[tokio::test]
async fn what_is_missing_at_the_start_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path());
    let mut config = pki.broker();
    config.issuing_ca = dir.path().join("nothing.pem");
    let error = Broker::start(config).await.unwrap_err();
    assert!(error.to_string().ends_with("nothing.pem"), "{error}");
    pki.publish_bytes(b"nonsense");
    assert!(matches!(Broker::start(pki.broker()).await, Err(BrokerError::Crl(_))));
}
