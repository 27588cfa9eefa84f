//! `agent doctor`: goes through what the agent needs, and says what is wrong and what to do.
//!
//! Reads only: takes no lock, repairs nothing, and leaves the session of an agent that runs alone. Servers are judged by
//! the agent's own verifier, so that nothing is called fine that the agent refuses.

mod device;
mod session;

use std::sync::Arc;

use agent_core::platform::ClientIdentity;
use agent_core::x509::{Validity, verify_server};
use doctor::{Access, Diagnosis, Mqtt, Report, Step, Strict, Target, check};
use shared::UnixTime;

use crate::config::Config;
use crate::startup::BUILT;
use crate::tls;
use device::Device;
use session::Session;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Another server than those of the configuration: host and port.
    pub server: Option<(String, u16)>,
    /// Logs in at the broker although somebody is logged in as the device, which ends that session for a moment.
    pub login: bool,
}

/// Looks at everything, at the time `now`.
pub async fn examine(config: &Config, wishes: &Wishes, now: UnixTime) -> Diagnosis {
    let (device, report) = Device::look(config, now).await;
    let mut reports = vec![report];
    let strict = |host: &str| strict(device.anchors.clone(), host.to_owned(), now);
    let access = |host: &str| Access {
        anchors: device.anchors.clone(),
        known: device.identity.iter().flat_map(|own| own.chain.iter().skip(1).cloned()).collect(),
        strict: Some(strict(host)),
        tls13_only: true,
        not_before: Some(BUILT.max(device.floor)),
        limits: limits(config),
        ..Access::default()
    };
    let target = |title: &str, host: &str, port| Target {
        title: title.to_owned(),
        host: host.to_owned(),
        port,
        name: host.to_owned(),
    };
    let identity = device.identity.as_ref().map(|own| {
        let chain: Vec<&[u8]> = own.chain.iter().map(Vec::as_slice).collect();
        tls::certified(ClientIdentity { chain: &chain, key: &own.key })
    });
    if let Some((host, port)) = &wishes.server {
        let access = Access { identity, ..access(host) };
        reports.push(check(&target("server", host, *port), &access, now).await);
        return Diagnosis::new(reports);
    }
    let session = Session::look(config).await;
    if let Some(report) = reports.first_mut() {
        session.tell(report);
    }
    let server = &config.server;
    let enrollment = Access { identity: identity.clone(), ..access(&server.host) };
    reports.push(check(&target("enrollment server", &server.host, server.port), &enrollment, now).await);
    match &device.identity {
        Some(own) => {
            let broker = &own.broker;
            let mqtt = Mqtt {
                client_id: device.id.clone(),
                publish: Some(broker.telemetry_topic.clone()),
                subscribe: Some(broker.command_topic.clone()),
                leave_out: session.leave_out().filter(|_| !wishes.login),
            };
            let access = Access { identity, must_ask: true, mqtt: Some(mqtt), ..access(&broker.host) };
            reports.push(check(&target("broker", &broker.host, broker.port), &access, now).await);
        }
        None => {
            let mut report = Report::new("broker");
            report.close(&Step::CONNECTION);
            report.close(&Step::BROKER);
            report.notes.push("the enrollment server names the broker, with the certificate".to_owned());
            reports.push(report);
        }
    }
    Diagnosis::new(reports)
}

fn strict(anchors: Vec<Vec<u8>>, host: String, now: UnixTime) -> Strict {
    Arc::new(move |chain| {
        let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
        verify_server(chain, &anchors, &host, Validity::At(now))
            .map(|_| ())
            .map_err(|reason| format!("{} ({reason})", reason.name()))
    })
}

fn limits(config: &Config) -> doctor::Limits {
    let usual = doctor::Limits::default();
    doctor::Limits {
        connect: config.network.connect.min(usual.connect),
        answer: config.network.handshake.min(usual.answer),
        ..usual
    }
}
