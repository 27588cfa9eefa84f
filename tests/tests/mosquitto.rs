//! Mosquitto as an operator would run it: certificates required, the identity out of the certificate, rights out of
//! the identity, our revocation list. Devices of both kinds work with it, and nobody else does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::time::Duration;
use std::fs;
use std::process::Command;

use rustls::AlertDescription;
use serde_json::Value as Json;
use tests::harness::{
    LIMIT, Login, NOT_AUTHORIZED, Order, Probe, ProbeError, Process, Site, Weakness, binary, certify,
    certify_by_impostor, certify_by_stranger, now, until,
};

#[test]
fn a_linux_agent_publishes_receives_and_renews() {
    let site = Site::new(1);
    let device = site.world.devices[0].clone();
    let agent = Process::start(&mut site.world.agent_command(&device, &["run"]));
    let serial = || site.world.agent_status(&device)["identity"]["serial"].clone();
    lives_and_renews(&site, &device, &agent, serial);
}

#[test]
fn a_device_on_the_bare_metal_path_publishes_receives_and_renews() {
    let site = Site::new(1);
    let device = site.world.devices[0].clone();
    let mut command = Command::new(binary("firmware-sim"));
    command
        .args(["device", "--interval", "1", "--dir"])
        .arg(site.world.path(&format!("lot/devices/{device}")));
    let running = Process::start(&mut command);
    let serial = || {
        site.world.server_json(&["cert", "list", "--device", &device])["certificates"][0]["serial"].clone()
    };
    lives_and_renews(&site, &device, &running, serial);
}

#[test]
fn a_device_reaches_its_own_topics_only() {
    let site = Site::new(2);
    let [mine, other] = [site.world.devices[0].clone(), site.world.devices[1].clone()];
    let _enrolled = site.world.agent(&mine, &["enroll"]).success();
    let mut operator = site.operator();
    let mut probe = site.login(&mine, &site.world.exported_identity(&mine)).unwrap();

    assert_eq!(probe.publish(&format!("devices/{mine}/telemetry"), b"mine"), 0);
    for foreign in
        [format!("devices/{other}/telemetry"), format!("devices/{mine}/command"), "elsewhere".into()]
    {
        assert_eq!(probe.publish(&foreign, b"foreign"), NOT_AUTHORIZED, "{foreign}");
    }
    // What goes to the other device must not come here, whatever was subscribed to.
    for filter in ["#", "devices/+/command", &format!("devices/{other}/command")] {
        let _granted_or_not = probe.subscribe(filter);
    }
    assert_eq!(operator.publish(&format!("devices/{other}/command"), b"secret"), 0);
    assert_eq!(operator.publish(&format!("devices/{mine}/command"), b"for me"), 0);
    let received = probe.message(|topic, payload| {
        assert_eq!(topic, format!("devices/{mine}/command"), "a foreign message came through");
        Some(payload.to_vec())
    });
    assert_eq!(received, b"for me");
    let seen = operator.messages_until_now();
    assert!(seen.iter().all(|(_, payload)| payload != b"foreign"), "{seen:?}");
}

#[test]
fn a_device_cannot_take_over_anothers_session() {
    let site = Site::new(2);
    let [mine, other] = [site.world.devices[0].clone(), site.world.devices[1].clone()];
    let mut first = site.login(&other, &certify(&site.world, &Order::client(&other))).unwrap();
    assert!(first.subscribe(&format!("devices/{other}/command")) <= 1);
    // Logs in under the other's client identifier: the broker goes by the certificate.
    let mut thief = site.login(&other, &certify(&site.world, &Order::client(&mine))).unwrap();
    assert_eq!(thief.publish(&format!("devices/{mine}/telemetry"), b"mine"), 0);
    assert_eq!(thief.publish(&format!("devices/{other}/telemetry"), b"not mine"), NOT_AUTHORIZED);
    assert!(first.messages_until_now().is_empty(), "the session was disturbed");
}

#[test]
fn foreign_expired_and_missing_certificates_are_refused() {
    let site = Site::new(1);
    let device = site.world.devices[0].clone();
    let day = Duration::from_secs(86_400);

    let good = certify(&site.world, &Order::client(&device));
    let _accepted = site.login(&device, &good).unwrap();

    let stranger = certify_by_stranger(&Order::client(&device));
    assert_eq!(site.login(&device, &stranger).unwrap_err(), ProbeError::Alert(AlertDescription::UnknownCA));
    // Another key under our CA's name: the chain can be built, the signature is wrong.
    let impostor = certify_by_impostor(&site.world, &Order::client(&device));
    assert_eq!(
        site.login(&device, &impostor).unwrap_err(),
        ProbeError::Alert(AlertDescription::DecryptError)
    );

    let past =
        Order { not_before: now().before(day * 2), not_after: now().before(day), ..Order::client(&device) };
    let expired = certify(&site.world, &past);
    let refusal = site.login(&device, &expired).unwrap_err();
    assert_eq!(refusal, ProbeError::Alert(AlertDescription::CertificateExpired));

    let future =
        Order { not_before: now().after(day), not_after: now().after(day * 2), ..Order::client(&device) };
    let early = certify(&site.world, &future);
    assert_eq!(site.login(&device, &early).unwrap_err(), ProbeError::Alert(AlertDescription::BadCertificate));
    // A server's certificate is no client's, though the CA is the right one.
    let server = certify(&site.world, &Order::server(&device));
    let refusal = site.login(&device, &server).unwrap_err();
    assert_eq!(refusal, ProbeError::Alert(AlertDescription::UnsupportedCertificate));

    let root = site.world.root();
    let nobody = Login { port: site.broker.port(), root: &root, identity: None, client_id: &device };
    assert_eq!(
        Probe::connect(&nobody).unwrap_err(),
        ProbeError::Alert(AlertDescription::CertificateRequired)
    );
}

#[test]
fn a_revoked_device_is_refused_as_soon_as_the_list_is_read() {
    let site = Site::new(2);
    site.refuses_who_is_revoked();
}

/// The tests above can fail: each mistake in the broker's configuration opens the hole that one of them looks for.
#[test]
fn planted_mistakes_in_the_configuration_are_found() {
    for weakness in Weakness::ALL {
        let site = Site::with(2, Some(weakness));
        let [mine, other] = [site.world.devices[0].clone(), site.world.devices[1].clone()];
        let root = site.world.root();
        let identity = certify(&site.world, &Order::client(&mine));
        match weakness {
            Weakness::NoCertificate => {
                let nobody =
                    Login { port: site.broker.port(), root: &root, identity: None, client_id: &mine };
                assert!(Probe::connect(&nobody).is_ok(), "{weakness:?}");
            }
            Weakness::NoRevocationList => {
                let _enrolled = site.world.agent(&mine, &["enroll"]).success();
                let identity = site.world.exported_identity(&mine);
                let before = fs::read(site.world.path("server/crl.pem")).unwrap();
                let _done = site.world.server(&["device", "revoke", &mine]).success();
                until("a new revocation list", || {
                    (fs::read(site.world.path("server/crl.pem")).unwrap() != before).then_some(())
                });
                site.broker.reload();
                assert!(site.login(&mine, &identity).is_ok(), "{weakness:?}");
            }
            Weakness::FreeClientId => {
                let mut first = site.login(&other, &certify(&site.world, &Order::client(&other))).unwrap();
                let _thief = site.login(&other, &identity).unwrap();
                assert!(first.is_dropped_within(LIMIT), "{weakness:?}");
            }
            Weakness::NoAcl => {
                let mut probe = site.login(&mine, &identity).unwrap();
                assert_eq!(
                    probe.publish(&format!("devices/{other}/telemetry"), b"foreign"),
                    0,
                    "{weakness:?}"
                );
            }
        }
    }
}

/// Birth, telemetry, both commands, a renewal with a new certificate, and the last will.
fn lives_and_renews(site: &Site, device: &str, running: &Process, serial: impl Fn() -> Json) {
    let mut operator = site.operator();
    let topic = |last: &str| format!("devices/{device}/{last}");
    let status = |operator: &mut Probe, wanted: &str| {
        operator.message(|found, payload| {
            let status: Json = serde_json::from_slice(payload).ok()?;
            (found == topic("status") && status["status"] == wanted).then_some(status)
        })
    };
    let birth = status(&mut operator, "online");
    assert_eq!(birth["device"], device, "{birth}");
    assert!(birth["certificate_ends"].as_u64().unwrap() > now().as_secs() + 86_400, "{birth}");
    let telemetry = |operator: &mut Probe| {
        operator.message(|found, payload| {
            (found == topic("telemetry")).then(|| serde_json::from_slice::<Json>(payload).unwrap())
        })
    };
    let first = telemetry(&mut operator);
    let second = telemetry(&mut operator);
    assert_eq!(first["device"], device);
    assert!(second["sequence"].as_u64() > first["sequence"].as_u64(), "{first} {second}");

    assert_eq!(operator.publish(&topic("command"), b"{\"command\":\"status\"}"), 0);
    let _answer = status(&mut operator, "online");
    // Nonsense is no command, and does no harm.
    for nonsense in [b"{\"command\":\"explode\"}".as_slice(), b"renew", b"\xff\xff", &[b'['; 9000]] {
        assert_eq!(operator.publish(&topic("command"), nonsense), 0);
    }

    let before = until("a certificate", || Some(serial()).filter(Json::is_string));
    assert_eq!(operator.publish(&topic("command"), b"{\"command\":\"renew\"}"), 0);
    until("another certificate", || (serial() != before).then_some(()));
    let reborn = status(&mut operator, "online");
    assert!(reborn["certificate_ends"].as_u64() >= birth["certificate_ends"].as_u64(), "{reborn}");
    let third = telemetry(&mut operator);
    assert_eq!(third["device"], device);
    site.broker.wait_for_log(&format!("u'{device}'"));

    // Lost without a word: the broker publishes the last will.
    running.signal(rustix::process::Signal::KILL);
    let will = status(&mut operator, "offline");
    assert_eq!(will["device"], device);
}
