//! Two servers, real processes, on one PostgreSQL database, behind a TCP load balancer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::string_slice, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../kit/mod.rs"]
#[allow(dead_code, reason = "not every test target needs all of it")]
mod kit;
mod pair;
mod storm;

use kit::client::http;
use kit::device::Operational;
use kit::{assert_refused, identity, issued, until};
use pair::Pair;
use shared::{Reject, endpoint};

/// A nonce of one server is taken by the other, once: what it was used for is known to both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_of_one_is_used_at_the_other_once() {
    let pair = Pair::start();
    let device = pair.device("SN-1");
    let nonce = pair.nonce(0, &device.id).await;
    let key = Operational::new();
    let reply = pair.tls(1).post(endpoint::ENROLL, &device.enroll(nonce, &key.csr)).await;
    identity(&reply, &key);
    for server in [0, 1] {
        let other = Operational::new();
        let again = pair.tls(server).post(endpoint::ENROLL, &device.enroll(nonce, &other.csr)).await;
        assert_refused(&again, Reject::UsedNonce);
    }
    assert_eq!(pair.sql("SELECT count(*) FROM certificates"), "1");
}

/// The same request at both at once gives one certificate, the same to both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_at_both_gives_one_certificate() {
    let pair = Pair::start();
    for number in 0..8 {
        let device = pair.device(&format!("SN-{number}"));
        let nonce = pair.nonce(number % 2, &device.id).await;
        let body = device.enroll(nonce, &Operational::new().csr);
        let (one, other) = (pair.tls(0), pair.tls(1));
        let (one, other) =
            tokio::join!(one.post(endpoint::ENROLL, &body), other.post(endpoint::ENROLL, &body));
        let certificates =
            [&one, &other].map(|reply| issued(&reply.answer()).chain.iter().next().unwrap().to_vec());
        assert_eq!(certificates[0], certificates[1]);
    }
    assert_eq!(pair.sql("SELECT count(*) || ' ' || count(DISTINCT serial) FROM certificates"), "8 8");
}

/// One replay of one nonce at both servers, with other keys, as often as it takes: one certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_that_both_get_at_once_counts_once() {
    let pair = Pair::start();
    let device = pair.device("SN-1");
    let nonce = pair.nonce(0, &device.id).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..24 {
        let tls = pair.tls(number % 2);
        let body = device.enroll(nonce, &Operational::new().csr);
        tasks.spawn(async move { tls.post(endpoint::ENROLL, &body).await.status });
    }
    let mut statuses = Vec::new();
    while let Some(status) = tasks.join_next().await {
        statuses.push(status.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(pair.sql("SELECT count(*) FROM certificates"), "1");
}

/// What an operator does at one server holds at the other: a revocation is on its list and refused there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_at_one_holds_at_the_other() {
    let pair = Pair::start();
    let device = pair.device("SN-1");
    let held = pair.enroll(0, &device).await;
    let before = http(pair.http(1), "/crl.der").await.body;
    pair.command(0, &["device", "revoke", "SN-1"]);
    until("the list of the other server", async || http(pair.http(1), "/crl.der").await.body != before).await;
    let renewal = kit::device::Device::renew(&device.id, &Operational::new().csr);
    let refused = pair.tls(1).identity(&held).post(endpoint::RENEW, &renewal).await;
    assert_refused(&refused, Reject::CertificateRevoked);
    // Each list has a number of its own, over both servers.
    let numbers = pair.sql("SELECT value FROM counters WHERE name = 'crl'").parse::<u64>().unwrap();
    assert!(numbers >= 4, "{numbers}");
}

/// A database that is empty, and one of an older version: both come up at once, and what the first start does is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_both_start() {
    let old = concat!(
        "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (19); ",
        include_str!("../../src/store/migrations/postgres/0019_initial.sql")
    );
    for sql in ["SELECT 1", old] {
        for _ in 0..3 {
            let pair = Pair::at_once(sql);
            for server in [0, 1] {
                until("a server to be well", async || http(pair.http(server), "/readyz").await.status == 200)
                    .await;
            }
            assert_eq!(pair.sql("SELECT count(*) FROM schema_version"), "1");
            assert_eq!(pair.sql("SELECT count(*) FROM issuers"), "1");
        }
    }
}
