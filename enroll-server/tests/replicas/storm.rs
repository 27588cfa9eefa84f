//! Many devices at once through a load balancer, while servers are killed and the database is restarted: each device
//! gets exactly one certificate, and the log has every one.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use postgres_server::PostgresServer;
use shared::endpoint;
use shared::message::latest::Challenge;
use tokio::net::{TcpListener, TcpStream};

use crate::kit::client::Tls;
use crate::kit::device::{Device, Operational};
use crate::kit::until;
use crate::pair::{Pair, challenge};

/// Devices of the storm, and how many of them ask at once.
const DEVICES: usize = 120;
const AT_ONCE: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_with_a_killed_server_and_a_restarted_database_leaves_one_certificate_each() {
    let database = Arc::new(PostgresServer::start().unwrap());
    let mut pair = Pair::on(Arc::clone(&database));
    let ids: Vec<String> = (0..DEVICES).map(|number| format!("SN-{number:03}")).collect();
    let devices = pair.devices(&ids);
    let backends = Arc::new(Mutex::new(vec![pair.replica(0).https, pair.replica(1).https]));
    let balancer = balance(Arc::clone(&backends)).await;

    let waiting = Arc::new(tokio::sync::Mutex::new(devices));
    let done = Arc::new(Mutex::new(0));
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (waiting, done, tls) = (Arc::clone(&waiting), Arc::clone(&done), pair.tls_at(balancer));
        storm.spawn(async move {
            loop {
                let Some(device) = waiting.lock().await.pop() else { return };
                enroll(&tls, &device).await;
                *done.lock().unwrap() += 1;
            }
        });
    }
    let reached = async |least: usize| {
        until("a part of the storm", async || *done.lock().unwrap() >= least).await;
    };
    reached(DEVICES / 5).await;
    pair.kill(0);
    reached(2 * DEVICES / 5).await;
    pair.begin(0);
    *backends.lock().unwrap() = vec![pair.replica(0).https, pair.replica(1).https];
    reached(3 * DEVICES / 5).await;
    database.crash().unwrap();
    database.begin_again().unwrap();
    reached(4 * DEVICES / 5).await;
    pair.kill(1);
    while let Some(done) = storm.join_next().await {
        done.unwrap();
    }
    pair.begin(1);

    let count = |what: &str| pair.sql(&format!("SELECT count(*) FROM {what}")).parse::<usize>().unwrap();
    assert_eq!(count("certificates WHERE state = 'issued'"), DEVICES);
    assert_eq!(count("(SELECT DISTINCT device FROM certificates WHERE state = 'issued') AS d"), DEVICES);
    until("no intent that is open", async || count("certificates WHERE state = 'intent'") == 0).await;
    // Every signature has its leaf, in places without a gap, and the log is what the database says.
    let places = pair.sql("SELECT count(*) - max(position) FROM log_leaves");
    assert_eq!(places, "1");
    until("the log's checkpoint", async || {
        pair.sql("SELECT size FROM log_head") == pair.sql("SELECT count(*) FROM log_leaves")
    })
    .await;
    pair.command(1, &["audit", "verify"]);
}

/// A device that does not give up: it sends the same request until it has an answer, and begins anew only when it is
/// told to.
async fn enroll(tls: &Tls, device: &Device) {
    let key = Operational::new();
    for _ in 0..60 {
        let asked = tls.try_request("POST", endpoint::CHALLENGE, "", &challenge(&device.id)).await;
        let Some(reply) = asked.ok().filter(|reply| reply.status == 200) else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        let nonce = Challenge::decode(&reply.body).unwrap().nonce;
        let body = device.enroll(nonce, &key.csr);
        // Longer than a database takes to come back on a machine that has much else to do: with another nonce, the key that
        // stands in this request would be refused.
        for _ in 0..200 {
            match tls.try_request("POST", endpoint::ENROLL, "", &body).await {
                Ok(reply) if reply.status == 200 => return,
                Ok(reply) if reply.status == 503 => {}
                Ok(reply) if reply.status >= 400 => panic!("{:?}", reply.answer()),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    panic!("{} was locked out", device.id);
}

/// A load balancer of TCP: one connection here, the next there, and past those that do not answer.
async fn balance(backends: Arc<Mutex<Vec<SocketAddr>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut turn = 0;
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            turn += 1;
            let mut order = backends.lock().unwrap().clone();
            let first = turn % order.len();
            order.rotate_left(first);
            tokio::spawn(async move {
                for backend in order {
                    if let Ok(mut server) = TcpStream::connect(backend).await {
                        let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await.is_ok();
                        return;
                    }
                }
            });
        }
    });
    address
}
