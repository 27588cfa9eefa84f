//! A rollover against the store and the files by itself: its steps, what stands in their way, and a process that is
//! killed at every write.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ca::hierarchy::ISSUING_LIFETIME;

use super::{
    NewCa, NewRootListError, NotYet, Order, OrderError, OrderOptions, SignerOptions, StartError,
    StartOptions, Step,
};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failpoint::Hook;
use crate::startup::{self, InitOptions, init, open_admin};
use crate::store::{EventQuery, Store};

pub(super) fn server(folder: &Path) -> Config {
    let options = InitOptions {
        directory: folder.join("server"),
        tenant: "Acme".into(),
        hosts: vec!["localhost".into()],
        broker_host: "localhost".into(),
        broker_port: 8883,
        pen: 32473,
    };
    Config::load(&init(&options, &SystemClock).unwrap().config).unwrap()
}

pub(super) fn options(new_root: bool) -> StartOptions {
    let new = NewCa::Made {
        new_root,
        root_key: None,
        encrypt: false,
        passphrase_file: None,
        lifetime: ISSUING_LIFETIME,
    };
    StartOptions { new, no_cross: false, signer: SignerOptions::default() }
}

async fn order(config: &Config, store: &dyn Store, order: Order) -> Result<u64, OrderError> {
    let options = OrderOptions { order, force: false, signer: SignerOptions::default() };
    super::take(config, store, &options, SystemClock.now()).await
}

/// A server that starts on these files: its active CA, the newest bundle, and the CAs that still sign.
async fn look(config: &Config) -> (String, u64, usize) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = startup::open(config, &clock, Hook::default()).await.unwrap();
    let authorities = opened.issuance.authorities();
    let found = (
        authorities.issuer().certificate().subject().to_owned(),
        opened.trust.now().newest().number(),
        authorities.signers().count(),
    );
    opened.issuance.store().close().await.unwrap();
    found
}

/// Root holds the root's key, perhaps, and the server cannot read what is root's.
#[tokio::test]
async fn what_root_makes_in_a_rollover_belongs_to_the_servers_user() {
    let folder = tempfile::tempdir().unwrap();
    let config = server(folder.path());
    let home = config.files.root_certificate.parent().unwrap().to_owned();
    let (store, now) = (open_admin(&config, Arc::new(SystemClock)).unwrap(), SystemClock.now());
    let owner = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&home, Some(1234), Some(4321)).unwrap();
        (1234, 4321)
    } else {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    };
    super::start(&config, store.store().as_ref(), &options(true), now).await.unwrap();
    let mut seen = 0;
    let mut folders = vec![home.join("ca.d")];
    while let Some(path) = folders.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), owner, "{}", path.display());
        seen += 1;
        if metadata.is_dir() {
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 4, "{seen}");
}

#[tokio::test]
async fn the_steps_follow_each_other_and_a_server_that_starts_goes_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = server(folder.path());
    let (old, one, signers) = look(&config).await;
    assert_eq!((one, signers), (1, 1));
    let admin = open_admin(&config, Arc::new(SystemClock)).unwrap();
    let store = admin.store().as_ref();
    assert!(matches!(order(&config, store, Order::Switch).await, Err(OrderError::None)));

    let started = super::start(&config, store, &options(true), SystemClock.now()).await.unwrap();
    assert_eq!((started.number, started.bundle, started.plan.crosses.len()), (1, Some(2), 1));
    assert_eq!(look(&config).await, (old.clone(), 2, 2), "the old CA signs, the new one has its list");
    let again = super::start(&config, store, &options(true), SystemClock.now()).await.unwrap_err();
    assert!(matches!(again, StartError::UnderWay { number: 1, step: "prepared" }), "{again}");
    let early = order(&config, store, Order::Retire).await.unwrap_err();
    assert!(matches!(early, OrderError::NotYet(NotYet::OutOfOrder { step: Step::Prepared, .. })), "{early}");

    // Nobody lives here, so that nobody is in the way.
    order(&config, store, Order::Switch).await.unwrap();
    let new = started.plan.issuing.subject().to_owned();
    assert_eq!(look(&config).await, (new.clone(), 2, 2));
    let back = order(&config, store, Order::Abort).await.unwrap_err();
    assert!(matches!(back, OrderError::NotYet(NotYet::OutOfOrder { step: Step::Switched, .. })), "{back}");
    order(&config, store, Order::Retire).await.unwrap();
    assert_eq!(look(&config).await, (new.clone(), 3, 1), "the old CA is gone, with its root");

    // The next one: under the same root, whose key is where it was made.
    let lost = super::start(&config, store, &options(false), SystemClock.now()).await.unwrap_err();
    assert!(matches!(lost, StartError::Mismatch { .. }), "the first root's key is no help: {lost}");
    let mut next = options(false);
    if let NewCa::Made { root_key, .. } = &mut next.new {
        *root_key = started.folder.map(|folder| folder.join("root-ca.key"));
    }
    let second = super::start(&config, store, &next, SystemClock.now()).await.unwrap();
    assert_eq!((second.number, second.bundle), (2, None));
    order(&config, store, Order::Abort).await.unwrap();
    assert_eq!(look(&config).await, (new, 3, 1));
    let kinds: Vec<String> =
        store.events(EventQuery::last(20)).await.unwrap().into_iter().map(|event| event.kind).collect();
    for kind in ["ca-rollover-started", "ca-rollover-switched", "ca-rollover-retired", "ca-rollover-aborted"]
    {
        assert!(kinds.iter().any(|found| found == kind), "{kind} in {kinds:?}");
    }
    admin.close().await.unwrap();
}

#[tokio::test]
async fn what_was_made_elsewhere_is_checked_before_anything_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let config = server(folder.path());
    let admin = open_admin(&config, Arc::new(SystemClock)).unwrap();
    let store = admin.store().as_ref();
    // Another server's CAs stand in for those of an offline ceremony.
    let other = tempfile::tempdir().unwrap();
    let theirs = server(other.path()).files;
    let home = theirs.root_certificate.parent().unwrap().to_owned();
    let key = |name: &str| format!("key_file = {:?}\n", home.join(name).to_str().unwrap());
    let imported = |root: bool, key: String, crosses| StartOptions {
        new: NewCa::Imported {
            root: root.then(|| theirs.root_certificate.clone()),
            issuing: theirs.issuing_certificate.clone(),
            key,
            crosses,
            root_list: root.then(|| theirs.root_crl.clone()),
        },
        no_cross: false,
        signer: SignerOptions::default(),
    };
    let begin = async |options: &StartOptions| super::start(&config, store, options, SystemClock.now()).await;
    let told = begin(&imported(false, key("issuing-ca.key"), vec![])).await.unwrap_err().to_string();
    assert!(told.contains("is not signed by"), "{told}");
    let told = begin(&imported(true, key("issuing-ca.key"), vec![])).await.unwrap_err();
    assert!(matches!(told, StartError::NoCross), "{told}");
    let told = begin(&imported(true, key("issuing-ca.key"), vec![theirs.root_certificate.clone()]))
        .await
        .unwrap_err();
    assert!(told.to_string().contains("is not signed by"), "{told}");
    let mut without = imported(true, key("root-ca.key"), vec![]);
    without.no_cross = true;
    assert!(matches!(begin(&without).await.unwrap_err(), StartError::Issuer(_)), "another key");
    let mut without = imported(true, "key = 1".to_owned(), vec![]);
    without.no_cross = true;
    assert!(matches!(begin(&without).await.unwrap_err(), StartError::Key { .. }));
    assert!(store.rollovers().await.unwrap().is_empty());
    assert_eq!(store.trust_bundles().await.unwrap().len(), 1, "only what the file held is out");

    let mut without = imported(true, key("issuing-ca.key"), vec![]);
    without.no_cross = true;
    let mut listless = without.clone();
    if let NewCa::Imported { root_list, .. } = &mut listless.new {
        *root_list = None;
    }
    let told = begin(&listless).await.unwrap_err();
    assert!(matches!(told, StartError::RootList(NewRootListError::Missing { .. })), "{told}");
    assert!(store.rollovers().await.unwrap().is_empty());
    let started = begin(&without).await.unwrap();
    assert_eq!((started.folder, started.bundle), (None, Some(2)));
    let list = started.root_list.unwrap();
    assert_eq!(std::fs::read(&list).unwrap(), std::fs::read(&theirs.root_crl).unwrap());
    // Servers stay with the old CA to the end: nothing else carries those who trust only its root.
    order(&config, store, Order::Switch).await.unwrap();
    let lineup = super::Lineup::of(&config, &store.rollovers().await.unwrap()).unwrap();
    let (issuer, above) = lineup.for_servers();
    assert_eq!((issuer.der(), above.len()), (started.plan.old_issuing.der(), 0));
    order(&config, store, Order::Retire).await.unwrap();
    let lineup = super::Lineup::of(&config, &store.rollovers().await.unwrap()).unwrap();
    assert_eq!(lineup.for_servers().0.der(), started.plan.issuing.der());
    admin.close().await.unwrap();
}

/// Kills a process that begins a rollover at its first, second, ... n-th write, until it gets through; after each, the
/// folder is as before or as after, and a server starts on it.
#[test]
fn a_crash_at_any_write_leaves_the_state_before_or_after() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut before, mut after) = (0, 0);
    for at in 1..100 {
        let folder = tempfile::tempdir().unwrap();
        let config = server(folder.path());
        let killed = !child(folder.path(), at);
        let (issuer, bundle, signers) = runtime.block_on(look(&config));
        assert!(issuer.contains("Issuing CA"), "{issuer}");
        match (bundle, signers) {
            (1, 1) => before += 1,
            (2, 2) => after += 1,
            other => panic!("neither before nor after, at write {at}: {other:?}"),
        }
        // It can be begun again, or goes on.
        runtime.block_on(async {
            let admin = open_admin(&config, Arc::new(SystemClock)).unwrap();
            let store = admin.store().as_ref();
            if bundle == 1 {
                super::start(&config, store, &options(true), SystemClock.now()).await.unwrap();
            }
            order(&config, store, Order::Switch).await.unwrap();
            admin.close().await.unwrap();
        });
        if !killed {
            assert!(before > 5 && after >= 1, "{before} before, {after} after");
            return;
        }
    }
    panic!("the process never got through");
}

/// Begins a rollover in a process of its own, which is killed at its n-th write; whether it got through.
fn child(folder: &Path, at: u32) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rollover::crash_tests::as_child", "--ignored", "--nocapture"])
        .env("ROLLOVER_CHILD", folder)
        .env(crate::files::KILL_AT, at.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    status.success()
}

#[tokio::test]
#[ignore = "the child of the test above"]
async fn as_child() {
    let Some(folder) = std::env::var_os("ROLLOVER_CHILD") else { return };
    let config = Config::load(&Path::new(&folder).join("server/enroll-server.toml")).unwrap();
    let admin = open_admin(&config, Arc::new(SystemClock)).unwrap();
    super::start(&config, admin.store().as_ref(), &options(true), SystemClock.now()).await.unwrap();
    admin.close().await.unwrap();
}
