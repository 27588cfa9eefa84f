//! The CA's key or the store goes away in the middle of an issuance: never a certificate, and nothing is lost.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ca::{FileKey, Issuer, IssuerKey, KeyError};
use shared::message::latest::EnrollRequest;
use shared::{DeviceId, Reject};

use super::tests::new_server;
use super::{Issuance, Outcome, Recovered};
use crate::admin::Admin;
use crate::authorities::Authorities;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failpoint::{Failpoint, Hook};
use crate::kit::{Device, Maker, Operational};
use crate::startup;
use crate::store::{CertificateState, SqlStore, SqliteOptions};

/// A key that can be out of reach.
#[derive(Debug)]
struct Remote {
    key: FileKey,
    reachable: Arc<AtomicBool>,
}

impl IssuerKey for Remote {
    fn public_point(&self) -> &[u8; 65] {
        self.key.public_point()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if self.reachable.load(Ordering::SeqCst) {
            return self.key.sign(message);
        }
        Err(KeyError::Unavailable("the module does not answer".into()))
    }
}

async fn open(config: &Config, hook: Hook) -> (Issuance, Device) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let issuance = startup::open(config, &clock, hook).await.unwrap().issuance;
    let admin = Admin::new(Arc::clone(issuance.store()), clock);
    let maker = Maker::new("Example Maker");
    admin.add_maker(&maker.pem).await.unwrap();
    let device = maker.device("SN-1");
    admin.import_devices(&device.inventory()).await.unwrap();
    (issuance, device)
}

/// Puts the CA's key out of reach, until what is returned says otherwise.
pub(super) fn out_of_reach(config: &Config, issuance: &Issuance) -> Arc<AtomicBool> {
    let reachable = Arc::new(AtomicBool::new(false));
    let key = FileKey::load(&config.files.issuing_key).unwrap();
    let remote = Remote { key, reachable: Arc::clone(&reachable) };
    let authorities = issuance.authorities();
    let certificate = authorities.issuer().certificate().clone();
    let signer = Arc::new(Issuer::new(certificate, Box::new(remote)).unwrap());
    issuance.in_office().replace(Authorities::clone(&authorities).with_active(signer));
    reachable
}

fn request(issuance: &Issuance, device: &Device) -> Vec<u8> {
    let lifetime = core::time::Duration::from_secs(300);
    let (nonce, _) = issuance.parts.nonces.make(&device.id, issuance.now(), lifetime).unwrap();
    device.enroll(nonce, &Operational::new().csr)
}

#[tokio::test]
async fn a_key_out_of_reach_means_later_and_the_intent_stays() {
    let folder = tempfile::tempdir().unwrap();
    let config = new_server(folder.path(), "");
    let (issuance, device) = open(&config, Hook::default()).await;
    let reachable = out_of_reach(&config, &issuance);

    let bodies = [request(&issuance, &device), request(&issuance, &device)];
    for body in &bodies {
        let denied = issuance.enroll(&EnrollRequest::decode(body).unwrap()).await.unwrap_err();
        assert_eq!(denied.reject(), Reject::Unavailable, "{denied}");
    }
    assert_eq!(issuance.recover().await.unwrap(), Recovered { left: 2, ..Recovered::default() });
    reachable.store(true, Ordering::SeqCst);
    let outcome = issuance.enroll(&EnrollRequest::decode(&bodies[0]).unwrap()).await.unwrap();
    assert!(matches!(outcome, Outcome::Granted(_)), "the same request goes through");
    // The other one is given up: to finish it would revoke what the device has.
    assert_eq!(issuance.recover().await.unwrap(), Recovered::default());
    let active = issuance.authorities().active();
    assert_eq!(issuance.store().revoked(active, issuance.now()).await.unwrap().entries.len(), 0);
    let mut states = states(&issuance, &device).await;
    states.sort_unstable();
    assert_eq!(states, [CertificateState::Issued, CertificateState::Voided]);
    let denied = issuance.enroll(&EnrollRequest::decode(&bodies[1]).unwrap()).await.unwrap_err();
    assert_eq!(denied.reject(), Reject::UsedNonce, "with a new nonce it gets on");
}

async fn states(issuance: &Issuance, device: &Device) -> Vec<CertificateState> {
    let certificates = issuance.store().certificates(Some(device.id.clone()), 10).await.unwrap();
    certificates.iter().map(|certificate| certificate.state).collect()
}

/// Of several requests of a device that came to no end, the last one counts, whatever the clock did in between.
#[tokio::test]
async fn of_what_a_crash_left_open_the_newest_of_a_device_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let config = new_server(folder.path(), "");
    let (issuance, device) = open(&config, Hook::default()).await;
    let reachable = out_of_reach(&config, &issuance);
    let bodies = [request(&issuance, &device), request(&issuance, &device), request(&issuance, &device)];
    for body in &bodies {
        issuance.enroll(&EnrollRequest::decode(body).unwrap()).await.unwrap_err();
    }
    // The clock was set back before each.
    let raw = rusqlite::Connection::open(&config.files.store).unwrap();
    raw.busy_timeout(core::time::Duration::from_secs(5)).unwrap();
    assert_eq!(raw.execute("UPDATE certificates SET recorded = recorded - 100 * rowid", []).unwrap(), 3);
    drop(raw);
    reachable.store(true, Ordering::SeqCst);
    let recovered = issuance.recover().await.unwrap();
    assert_eq!(recovered, Recovered { finished: 1, voided: 2, left: 0 });
    let outcome = issuance.enroll(&EnrollRequest::decode(&bodies[2]).unwrap()).await.unwrap();
    assert!(matches!(outcome, Outcome::Granted(_)), "the last one");
    let states = states(&issuance, &device).await;
    assert_eq!(states.iter().filter(|state| **state == CertificateState::Issued).count(), 1);
    assert_eq!(states.iter().filter(|state| **state == CertificateState::Voided).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_away_at_any_step_means_later_and_nothing_is_lost() {
    for step in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let config = new_server(folder.path(), "");
        let store: Arc<Mutex<Option<Arc<dyn crate::store::Store>>>> = Arc::default();
        let hook = {
            let store = Arc::clone(&store);
            Hook::new(move |place| {
                let at = match place {
                    Failpoint::Appraised => 0,
                    Failpoint::Recorded(_) => 1,
                    Failpoint::Signed(_) => 2,
                    Failpoint::Completed(_) => 3,
                    // No log is kept here.
                    Failpoint::LogTiles(_) | Failpoint::LogSigned(_) | Failpoint::LogPublished(_) => return,
                };
                if at == step
                    && let Some(store) = store.lock().unwrap().take()
                {
                    tokio::task::block_in_place(|| {
                        tokio::runtime::Handle::current().block_on(store.close()).unwrap();
                    });
                }
            })
        };
        let (issuance, device) = open(&config, hook).await;
        let body = request(&issuance, &device);
        *store.lock().unwrap() = Some(Arc::clone(issuance.store()));
        let denied = issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await.unwrap_err();
        assert_eq!(denied.reject(), Reject::Unavailable, "step {step}: {denied}");

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let again = startup::open(&config, &clock, Hook::default()).await.unwrap().issuance;
        again.recover().await.unwrap();
        let outcome = again.enroll(&EnrollRequest::decode(&body).unwrap()).await.unwrap();
        assert!(matches!(outcome, Outcome::Granted(_)), "step {step}");
        let id = Some(DeviceId::new("SN-1").unwrap());
        assert_eq!(again.store().certificates(id, 10).await.unwrap().len(), 1, "step {step}");
    }
}

/// Another replica finds an older database, and says so in it.
#[tokio::test]
async fn a_server_that_runs_stops_signing_when_another_one_says_so() {
    let bench = super::tests::Bench::new("").await;
    let device = bench.device("SN-1").await;
    bench.enroll(&device).await.unwrap();
    let store = Arc::clone(bench.issuance.store());
    super::signing::stop(store.as_ref(), "an older database".into(), bench.issuance.now()).await.unwrap();
    bench.clock.set(bench.issuance.now().after(core::time::Duration::from_secs(1)));
    assert_eq!(bench.enroll(&device).await.unwrap_err().reject(), Reject::SigningStopped);
    super::signing::go_on(store.as_ref()).await.unwrap();
    bench.enroll(&device).await.unwrap();
}

/// One who can write the database, but not sign, gets nothing: what stands there is compared with what the
/// device presents, and an intent without evidence never comes from the network.
#[tokio::test]
async fn a_certificate_that_was_exchanged_in_the_database_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let config = new_server(folder.path(), "");
    let (issuance, device) = open(&config, Hook::default()).await;
    let body = request(&issuance, &device);
    let outcome = issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await.unwrap();
    let Outcome::Granted(granted) = outcome else { panic!("held") };
    let identity = super::ClientIdentity::from_der(granted.der()).unwrap();
    issuance.store().close().await.unwrap();
    let raw = rusqlite::Connection::open(&config.files.store).unwrap();
    raw.execute("UPDATE certificates SET der = x'3000'", []).unwrap();
    drop(raw);
    let store = SqlStore::sqlite(&SqliteOptions::new(&config.files.store)).unwrap();
    let denied = identity.as_stored(&store).await.unwrap_err();
    assert_eq!(denied.reject(), Reject::NotAuthenticated);
}
