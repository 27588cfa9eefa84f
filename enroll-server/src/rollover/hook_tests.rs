//! Hooks that fail, and changes that a server takes over only in part: no broker is left with what it had before.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::crash_tests::{options, server};
use super::{Follower, start};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failpoint::Hook;
use crate::startup::{self, open_admin};
use crate::tls_files::{Files, TlsFile};

/// A server's files, one certificate of `[[tls_files]]`, and what its hook and that of the lists have done.
struct Bench {
    config: Config,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = server(folder.path());
        let path = |name: &str| folder.path().join(name);
        let files =
            Files { certificate: path("broker.crt"), key: path("broker.key"), key_mode: 0o600, owner: None };
        config.tls_files.push(TlsFile {
            name: "broker".into(),
            hosts: vec!["localhost".into()],
            files,
            lifetime: Duration::from_secs(86_400),
            hook: hook(folder.path(), "broker"),
        });
        config.crl.hook = hook(folder.path(), "lists");
        Self { config, folder }
    }

    /// A server that starts.
    async fn follower(&self) -> Follower {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = startup::open(&self.config, &clock, Hook::default()).await.unwrap();
        let (store, in_office) = (opened.issuance.store(), opened.issuance.in_office());
        Follower::new(
            Arc::new(self.config.clone()),
            Arc::clone(store),
            clock,
            Arc::clone(in_office),
            opened.trust,
            opened.tls,
            opened.lineup,
            opened.generation,
        )
    }

    /// One that has come up: what it owed at the start is done.
    async fn settled(&self) -> Follower {
        self.let_hooks_work(true);
        let mut follower = self.follower().await;
        follower.publish().await.unwrap();
        follower.look().await.unwrap();
        follower.owed.pay_now().await;
        follower
    }

    async fn begin_rollover(&self) {
        let admin = open_admin(&self.config, Arc::new(SystemClock)).unwrap();
        start(&self.config, admin.store().as_ref(), &options(true), SystemClock.now()).await.unwrap();
        admin.close().await.unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn let_hooks_work(&self, work: bool) {
        if work {
            std::fs::write(self.path("gate"), "").unwrap();
        } else {
            std::fs::remove_file(self.path("gate")).unwrap();
        }
    }

    /// How often the hooks have done their work: that of the certificate, and that of the lists.
    fn told(&self) -> (usize, usize) {
        let count = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default().lines().count();
        (count("broker"), count("lists"))
    }
}

/// A hook that fails until there is a gate, and writes down that it did its work.
fn hook(folder: &Path, name: &str) -> Vec<String> {
    let (gate, told) = (folder.join("gate"), folder.join(name));
    let script = format!("test -e {} && echo told >> {}", gate.display(), told.display());
    vec!["/bin/sh".into(), "-c".into(), script]
}

#[tokio::test]
async fn a_hook_that_failed_is_run_again_after_a_minute_and_one_that_did_its_work_is_not() {
    let bench = Bench::new();
    let mut follower = bench.settled().await;
    assert_eq!(bench.told(), (1, 0));
    bench.let_hooks_work(false);
    std::fs::remove_file(&bench.config.tls_files[0].files.certificate).unwrap();
    follower.look().await.unwrap();
    follower.owed.pay_now().await;
    assert_eq!(bench.told(), (1, 0));
    bench.let_hooks_work(true);
    follower.look().await.unwrap();
    follower.owed.pay_now().await;
    assert_eq!(bench.told(), (1, 0), "not without pause");
    for _ in 0..2 {
        follower.owed.minute_later();
        follower.owed.pay_now().await;
        assert_eq!(bench.told(), (2, 0));
    }
}

/// The CAs for brokers are written, and something after that fails: the next look finds them as they should be.
#[tokio::test]
async fn brokers_are_told_of_a_step_that_was_taken_over_at_the_second_attempt() {
    let bench = Bench::new();
    let mut follower = bench.settled().await;
    let before = bench.told();
    bench.begin_rollover().await;
    let bundle = &bench.config.files.trust_bundle;
    let aside = bench.path("aside");
    std::fs::rename(bundle, &aside).unwrap();
    std::fs::create_dir(bundle).unwrap();
    assert!(follower.look().await.is_err(), "the bundle's place is taken");
    std::fs::remove_dir(bundle).unwrap();
    std::fs::rename(&aside, bundle).unwrap();
    follower.look().await.unwrap();
    follower.owed.pay_now().await;
    assert_eq!(bench.told(), (before.0 + 1, before.1 + 1));
}

/// A write can fail after its file is another one already, as where the folder is not made durable.
#[tokio::test]
async fn what_could_not_be_written_to_its_end_is_told_when_it_is_found_good() {
    let bench = Bench::new();
    let mut follower = bench.settled().await;
    let before = bench.told();
    let places = [&bench.config.tls_files[0].files.certificate, &bench.config.files.authorities];
    let aside = bench.path("aside");
    for place in places {
        std::fs::rename(place, &aside).unwrap();
        std::fs::create_dir(place).unwrap();
        assert!(follower.publish().await.and(follower.look().await).is_err(), "{}", place.display());
        std::fs::remove_dir(place).unwrap();
        std::fs::rename(&aside, place).unwrap();
        follower.publish().await.unwrap();
        follower.look().await.unwrap();
    }
    follower.owed.pay_now().await;
    assert_eq!(bench.told(), (before.0 + 1, before.1 + 1), "each once, for both");
}

#[tokio::test]
async fn a_server_that_starts_tells_of_a_step_that_was_taken_while_it_was_down() {
    let bench = Bench::new();
    drop(bench.settled().await);
    let before = bench.told();
    bench.begin_rollover().await;
    let (stop, ending) = watch::channel(false);
    let running = tokio::spawn(bench.follower().await.run(ending));
    tokio::time::timeout(Duration::from_secs(30), async {
        while bench.told().0 == before.0 || bench.told().1 == before.1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("both hooks are run");
    stop.send_replace(true);
    running.await.unwrap();
}
