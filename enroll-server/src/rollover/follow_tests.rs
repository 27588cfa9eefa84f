//! Another server has rolled the CA over, and this one lacks the new CA's key: that shows, and nothing is signed by a CA that is
//! in force no more.

use std::sync::Arc;

use ca::hierarchy::{ISSUING_LIFETIME, ROOT_LIFETIME, issuing_ca, root_ca, server_certificate};
use ca::{FileKey, Issuer};
use shared::Reject;

use super::crash_tests::options;
use super::{Follower, Order, OrderOptions, SignerOptions, start, take};
use crate::audit::EventKind;
use crate::clock::{Clock, SystemClock};
use crate::failpoint::Hook;
use crate::issuance::Denied;
use crate::issuance::tests::Bench;
use crate::kit::Operational;
use crate::startup;
use crate::store::{EventQuery, IssuerNumber};
use crate::telemetry::OnDisk;

/// What follows the store for the server of `bench`.
async fn follower(bench: &Bench) -> Follower {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = startup::open(&bench.config, &clock, Hook::default()).await.unwrap();
    let (store, in_office) = (Arc::clone(bench.issuance.store()), Arc::clone(bench.issuance.in_office()));
    let (trust, tls) = (opened.trust, opened.tls);
    let config = Arc::new(bench.config.clone());
    Follower::new(config, store, clock, in_office, trust, tls, opened.lineup, opened.generation)
}

/// An operator's own certificate with a key that belongs to another one: the one before stays, and that is told, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_cannot_be_shown_is_told_once_and_the_one_before_stays() {
    let bench = Bench::new("").await;
    let mut follower = follower(&bench).await;
    follower.look().await.unwrap();
    let shown = follower.shown();
    let files = &bench.config.files;
    let on_disk = OnDisk::of(&bench.config, shown.clone());
    let (chain, before) = (std::fs::read(&files.server_certificate).unwrap(), on_disk.look().certificates);
    assert_eq!(before[0].0, "enroll-server");

    let now = SystemClock.now();
    let (root, key) = root_ca("Another", ROOT_LIFETIME, now).unwrap();
    let root = Issuer::new(root, Box::new(key)).unwrap();
    let (issuing, key) = issuing_ca("Another", &root, ISSUING_LIFETIME, now).unwrap();
    let (issuer, own) = (Issuer::new(issuing, Box::new(key)).unwrap(), FileKey::generate().unwrap());
    let day = core::time::Duration::from_secs(86_400);
    let theirs = server_certificate(&["localhost"], &own, &issuer, day, now).unwrap();
    std::fs::write(&files.server_certificate, ca::pem::certificate(theirs.der())).unwrap();
    let failures = async || {
        let query = EventQuery { kinds: vec![EventKind::TlsCertificateFailed], ..EventQuery::last(10) };
        bench.admin.find_events(query).await.unwrap()
    };
    follower.look().await.unwrap_err();
    assert_eq!(failures().await, [], "the key may be on its way");
    for _ in 0..2 {
        follower.look().await.unwrap_err();
    }
    let told = failures().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].detail.contains("enroll-server: is not shown, the one before is: "), "{told:?}");
    assert_eq!((shown.borrow().clone(), on_disk.look().certificates), (chain, before));

    // The key comes after it.
    std::fs::remove_file(&files.server_key).unwrap();
    own.save(&files.server_key).unwrap();
    follower.look().await.unwrap();
    assert_eq!(on_disk.look().certificates[0].2, theirs.validity().not_after);
    std::fs::write(&files.server_certificate, "no certificate").unwrap();
    follower.look().await.unwrap_err();
    assert!(failures().await.len() > 1, "the next failure is another one");
}

/// By whom the certificates of a device were signed.
async fn issuers(bench: &Bench, device: &crate::kit::Device) -> Vec<IssuerNumber> {
    let all = bench.admin.certificates(Some(&device.id)).await.unwrap();
    all.iter().map(|certificate| certificate.issuer).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_new_ca_is_not_ready_and_signs_nothing_by_the_old_one_after_the_switch() {
    let bench = Bench::new("").await;
    let mut follower = follower(&bench).await;
    let standing = follower.standing();
    follower.look().await.unwrap();
    let why = || standing.borrow().clone();
    let old = bench.issuance.authorities().active();

    let store = Arc::clone(bench.admin.store());
    let started = start(&bench.config, store.as_ref(), &options(false), SystemClock.now()).await.unwrap();
    let folder = started.folder.unwrap();
    let aside = folder.with_extension("on-the-other-server");
    std::fs::rename(&folder, &aside).unwrap();
    follower.look().await.unwrap_err();
    assert_eq!(why(), None, "it may be on its way");
    follower.look().await.unwrap_err();
    let told = why().unwrap();
    assert!(told.contains(folder.to_str().unwrap()) && told.contains("copy it"), "{told}");

    // As long as the old CA is in force, it signs.
    let first = bench.device("SN-1").await;
    bench.enroll(&first).await.unwrap();
    assert_eq!(issuers(&bench, &first).await, [old]);
    let second = bench.device("SN-2").await;
    let body = second.enroll(bench.nonce(&second.id), &Operational::new().csr);
    for order in [Order::Switch, Order::Retire] {
        let options = OrderOptions { order, force: true, signer: SignerOptions::default() };
        take(&bench.config, store.as_ref(), &options, SystemClock.now()).await.unwrap();
        let denied = bench.send(&body).await.unwrap_err();
        assert!(matches!(denied, Denied::OtherCa), "{denied:?}");
        assert_eq!(denied.reject(), Reject::Unavailable, "it comes again");
        follower.look().await.unwrap_err();
        assert!(why().is_some());
    }
    assert!(issuers(&bench, &second).await.is_empty());

    std::fs::rename(&aside, &folder).unwrap();
    follower.look().await.unwrap();
    assert_eq!(why(), None);
    bench.send(&body).await.unwrap();
    let new = bench.issuance.authorities().active();
    assert_ne!(new, old);
    assert_eq!(issuers(&bench, &second).await, [new]);
}
