//! What an enrollment costs on SQLite and on PostgreSQL, with one server and with two.
//!
//!     cargo run --release -p enroll-server --example bench_stores -- [DEVICES] [AT_ONCE]
//!
//! Enrolls DEVICES devices (1,000 by default), AT_ONCE (32) of them at a time, each with a challenge, attestation, a CSR
//! and TLS connections of its own, on each store in turn; all commits are durable. Devices, servers and the database
//! share this machine, so the figures are for comparing the stores with each other. Starts a PostgreSQL server of its
//! own (apt-get install postgresql).

#![expect(clippy::print_stdout, reason = "it prints its findings")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails ends it")]
#![allow(dead_code, clippy::indexing_slicing, reason = "devices and clients are those of the tests")]

#[path = "../../tests/kit/client.rs"]
mod client;
#[path = "../../tests/kit/device.rs"]
mod device;

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use client::Tls;
use device::{Device, Maker, Operational, reference_values};
use enroll_server::clock::SystemClock;
use enroll_server::config::{Config, SAMPLE};
use enroll_server::startup::{InitOptions, Server, default_hosts, init};
use postgres_server::PostgresServer;
use shared::endpoint;
use shared::message::latest::{Challenge, ChallengeRequest, EvidenceKind};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let devices: usize = arguments.next().map_or(Ok(1_000), |text| text.parse())?;
    let at_once: usize = arguments.next().map_or(Ok(32), |text| text.parse())?;
    let database = PostgresServer::start()?;
    println!("{devices} enrollments, {at_once} at a time");
    measure("SQLite, one server", None, 1, devices, at_once).await?;
    measure("PostgreSQL, one server", Some(database.database()?), 1, devices, at_once).await?;
    measure("PostgreSQL, two servers", Some(database.database()?), 2, devices, at_once).await
}

async fn measure(
    what: &str,
    url: Option<String>,
    servers: usize,
    devices: usize,
    at_once: usize,
) -> Outcome<()> {
    // Beside the program: the system's folder for temporary files may be in memory, where nothing is synced.
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir_in(program.parent().unwrap_or_else(|| Path::new(".")))?;
    let config = set_up(&folder.path().join("server"), url)?;
    let mut running = Vec::new();
    for _ in 0..servers {
        running.push(Server::start(config.clone(), Arc::new(SystemClock)).await?);
    }
    let maker = Maker::new("Example Maker");
    let admin = running.first().ok_or("no server")?.admin();
    admin.add_maker(&maker.pem).await?;
    let mut waiting = Vec::new();
    for number in 0..devices {
        let device = maker.device(&format!("SN-{number}"));
        admin.import_devices(&device.inventory()).await?;
        waiting.push(device);
    }
    let pem = std::fs::read(&config.files.root_certificate)?;
    let root = ca::pem::read_certificates(&pem)?.remove(0);
    let addresses: Vec<SocketAddr> = running.iter().map(|server| server.bound().https).collect();

    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for number in 0..at_once {
        let tls = Tls::new(*addresses.get(number % servers).ok_or("no server")?, &root);
        let waiting = Arc::clone(&waiting);
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let Some(device) = waiting.lock().await.pop() else { return took };
                let begun = Instant::now();
                enroll(&tls, &device).await;
                took.push(begun.elapsed());
            }
        });
    }
    let mut took = Vec::new();
    while let Some(part) = tasks.join_next().await {
        took.extend(part?);
    }
    let all = begun.elapsed();
    took.sort_unstable();
    let at = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let place = ((took.len() - 1) as f64 * part) as usize;
        took.get(place).copied().unwrap_or(Duration::ZERO).as_secs_f64() * 1_000.0
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = devices as f64 / all.as_secs_f64();
    println!("{what}: {rate:.0} a second; half within {:.0} ms, 99 % within {:.0} ms", at(0.5), at(0.99));
    for server in running {
        server.stop().await;
    }
    Ok(())
}

fn set_up(directory: &Path, url: Option<String>) -> Outcome<Config> {
    let options = InitOptions {
        directory: directory.to_owned(),
        tenant: "Acme".into(),
        hosts: default_hosts(),
        broker_host: "broker.example".into(),
        broker_port: 8883,
        pen: 32473,
    };
    let report = init(&options, &SystemClock)?;
    let mut config = Config::load(&report.config)?;
    if let Some(url) = url {
        let text = SAMPLE.replace("[store]", &format!("[store]\npostgres = \"{url}\""));
        config.postgres = Config::parse(&text, &report.config, directory)?.postgres;
    }
    config.listen.https = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listen.http = None;
    std::fs::write(&config.files.policy, reference_values())?;
    Ok(config)
}

async fn enroll(tls: &Tls, device: &Device) {
    let kinds = EvidenceKind::NATIVE.iter().copied().collect();
    let mut body = vec![0; 256];
    let request = ChallengeRequest { device: device.id.clone(), kinds, introduction: None };
    let length = request.encode(&mut body).unwrap();
    body.truncate(length);
    let reply = tls.post(endpoint::CHALLENGE, &body).await;
    let nonce = Challenge::decode(&reply.body).unwrap().nonce;
    let body = device.enroll(nonce, &Operational::new().csr);
    let reply = tls.post(endpoint::ENROLL, &body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}
