//! What becomes of a list when the disk, or the operator's command, does not do its part.

use std::sync::Arc;

use tokio::time::Instant;

use super::Publisher;
use crate::clock::{Clock, SystemClock};
use crate::failpoint::Hook;
use crate::issuance::tests::new_server;
use crate::startup;

/// Brokers that were not told of a revocation are told before the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_failed_is_run_again_and_one_that_did_its_work_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = new_server(folder.path(), "");
    let (gate, told) = (folder.path().join("gate"), folder.path().join("told"));
    let script = format!("test -e {} && echo told >> {}", gate.display(), told.display());
    config.crl.hook = vec!["/bin/sh".into(), "-c".into(), script];
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let issuance = startup::open(&config, &clock, Hook::default()).await.unwrap().issuance;
    let (store, authorities) = (Arc::clone(issuance.store()), Arc::clone(issuance.in_office()));
    let mut publisher = Publisher::new(store, authorities, clock, config.crl.clone());

    assert!(publisher.publish_if_due().await.unwrap(), "the list is out all the same");
    let times = || std::fs::read_to_string(&told).unwrap_or_default().lines().count();
    assert_eq!(times(), 0);
    std::fs::write(&gate, "").unwrap();
    assert!(!publisher.publish_if_due().await.unwrap());
    assert_eq!(times(), 0, "not without pause");
    for again in [1, 1] {
        publisher.hook_again = publisher.hook_again.map(|_| Instant::now());
        assert!(!publisher.publish_if_due().await.unwrap());
        assert_eq!(times(), again);
    }
}
