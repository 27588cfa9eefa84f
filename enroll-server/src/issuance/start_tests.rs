//! What a server knows when its start ends: nobody it answers is taken for good that was revoked before.

use std::sync::Arc;

use ca::crl::Reason;

use super::tests::{Bench, Identity};
use crate::clock::Clock as _;
use crate::startup::{Options, Server};

/// Whether everything that tells of revocations does so when the start has ended: the program's own list, and the files
/// of brokers.
async fn knows(bench: &Bench, revoked: &Identity, options: Options) -> bool {
    let mut config = bench.config.clone();
    config.listen.https = ([127, 0, 0, 1], 0).into();
    config.listen.http = None;
    for path in [&config.crl.der, &config.crl.pem] {
        // Those of the last run would tell of it too.
        let _absent = std::fs::remove_file(path);
    }
    let server = Server::start_with(config.clone(), Arc::new(bench.clock.clone()), options).await.unwrap();
    let (list, serial) = (Arc::clone(&server.revocations().borrow()), revoked.0.serial());
    let in_file = std::fs::read(&config.crl.der).is_ok_and(|der| {
        der.windows(16).any(|part| part == serial.as_bytes()) && der == list.der && !list.pem.is_empty()
    });
    let known = list.contains(serial.as_bytes()) && list.check(bench.clock.now()).is_ok();
    server.stop().await;
    assert_eq!(in_file, known);
    known
}

/// With the planted bug: lists that are loaded when there is time for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_revoked_is_known_before_the_first_answer() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    bench.admin.revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    assert!(knows(&bench, &identity, Options::default()).await);
    assert!(!knows(&bench, &identity, Options { publishes_late: true, ..Options::default() }).await);
}
