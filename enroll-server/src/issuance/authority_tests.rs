//! Several issuing CAs: what was recorded for one is signed by that one, whichever is active meanwhile.

use std::path::Path;
use std::sync::Arc;

use ca::hierarchy::{ISSUING_LIFETIME, issuing_ca};
use ca::{CaCertificate, FileKey, Issuer};
use shared::message::latest::{EnrollRequest, RenewRequest};
use shared::{DeviceId, Reject};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::tests::{Bench, Identity, publisher};
use super::{Issuance, Outcome, Recovered, signing};
use crate::admin::Admin;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, IssuingKey, PreviousCa};
use crate::failpoint::Hook;
use crate::kit::{Device, Operational};
use crate::startup;
use crate::store::{Action, CertificateState, DeviceState, NewRollover, Page, SignedBundle, copy_database};

/// Makes a new issuing CA under the same root, and a configuration in which it is active.
fn rolled_over(config: &Config, keep_previous: bool) -> Config {
    let folder = config.files.store.parent().unwrap();
    let pem = std::fs::read(&config.files.root_certificate).unwrap();
    let root = CaCertificate::from_der(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap();
    let key = FileKey::load(&folder.join("root-ca.key")).unwrap();
    let root = Issuer::new(root, Box::new(key)).unwrap();
    let (certificate, key) = issuing_ca("Acme", &root, ISSUING_LIFETIME, SystemClock.now()).unwrap();
    let mut next = config.clone();
    next.files.issuing_certificate = folder.join("issuing-ca-2.crt");
    next.files.issuing_key = folder.join("issuing-ca-2.key");
    std::fs::write(&next.files.issuing_certificate, ca::pem::certificate(certificate.der())).unwrap();
    key.save(&next.files.issuing_key).unwrap();
    if keep_previous {
        next.previous_cas = vec![PreviousCa {
            certificate: config.files.issuing_certificate.clone(),
            key_file: config.files.issuing_key.clone(),
            key: IssuingKey::File { passphrase_file: None },
        }];
    }
    next
}

async fn open(config: &Config) -> Issuance {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    startup::open(config, &clock, Hook::default()).await.unwrap().issuance
}

/// The issuer's name in a certificate that was granted, and whether that is what the grant says.
fn signed_by(issuance: &Issuance, outcome: &Outcome) -> String {
    let Outcome::Granted(granted) = outcome else { panic!("held") };
    let (_, certificate) = X509Certificate::from_der(granted.der()).unwrap();
    let found = certificate.issuer().to_string();
    let authorities = issuance.authorities();
    assert_eq!(authorities.get(granted.issuer()).unwrap().certificate().subject(), found);
    found
}

fn subject(path: &Path) -> String {
    let pem = std::fs::read(path).unwrap();
    CaCertificate::from_der(&ca::pem::read_certificates(&pem).unwrap()[0]).unwrap().subject().to_owned()
}

async fn enroll(issuance: &Issuance, bench: &Bench, device: &Device) -> Outcome {
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await.unwrap()
}

/// A server with a device that has a certificate.
async fn with_a_device() -> (Bench, Device) {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    enroll(&bench.issuance, &bench, &device).await;
    (bench, device)
}

async fn renew(issuance: &Issuance, device: &DeviceId, identity: &Identity) -> Outcome {
    let body = Device::renew(device, &Operational::new().csr);
    issuance.renew(&RenewRequest::decode(&body).unwrap(), Some(&identity.0)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_ca_takes_over_and_the_old_one_keeps_its_certificates_and_its_list() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let first = enroll(&bench.issuance, &bench, &device).await;
    assert_eq!(signed_by(&bench.issuance, &first), subject(&bench.config.files.issuing_certificate));

    let config = rolled_over(&bench.config, true);
    let issuance = open(&config).await;
    let renewed = renew(&issuance, &device.id, &Identity::of(&first)).await;
    let new_name = subject(&config.files.issuing_certificate);
    assert_eq!(signed_by(&issuance, &renewed), new_name);
    // The one before the renewal is superseded by the next: it goes on the old CA's list, not the new one's.
    let again = renew(&issuance, &device.id, &Identity::of(&renewed)).await;
    assert_eq!(signed_by(&issuance, &again), new_name);
    let authorities = issuance.authorities();
    let numbers: Vec<_> = authorities.all().iter().map(|authority| authority.number().get()).collect();
    assert_eq!((numbers.as_slice(), authorities.active().get()), ([1, 2].as_slice(), 2));
    let store = issuance.store();
    let mut listed = Vec::new();
    for authority in authorities.all() {
        listed.push(store.revoked(authority.number(), SystemClock.now()).await.unwrap().entries.len());
    }
    assert_eq!(listed, [1, 0]);

    let mut publisher = publisher(&config, &issuance);
    assert!(publisher.publish_if_due().await.unwrap());
    assert!(!publisher.publish_if_due().await.unwrap(), "nothing changed");
    let out = publisher.subscribe().borrow().clone();
    assert_eq!((String::from_utf8_lossy(&out.pem).matches("BEGIN X509 CRL").count(), out.len()), (2, 1));
    let pem = std::fs::read_to_string(&config.crl.pem).unwrap();
    assert_eq!(pem.as_bytes(), out.pem, "both lists are in the file that brokers read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_is_finished_by_the_ca_it_was_recorded_for() {
    for keep_previous in [true, false] {
        let bench = Bench::new("").await;
        let device = bench.device("SN-1").await;
        let key = std::fs::read(&bench.config.files.issuing_key).unwrap();
        let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
        // The CA's key goes away between record and signature.
        let authorities = bench.issuance.authorities();
        let certificate = authorities.issuer().certificate().clone();
        let gone = Issuer::new(certificate.clone(), Box::new(Gone(*certificate.public_point()))).unwrap();
        let dead = crate::authorities::Authorities::clone(&authorities).with_active(Arc::new(gone));
        bench.issuance.in_office().replace(dead);
        let denied = bench.send(&body).await.unwrap_err();
        assert_eq!(denied.reject(), Reject::Unavailable, "{denied}");
        assert_eq!(key, std::fs::read(&bench.config.files.issuing_key).unwrap());

        let config = rolled_over(&bench.config, keep_previous);
        let issuance = open(&config).await;
        let recovered = issuance.recover().await.unwrap();
        let certificates = issuance.store().certificates(None, 10).await.unwrap();
        if keep_previous {
            assert_eq!(recovered, Recovered { finished: 1, ..Recovered::default() });
            let answer = issuance.enroll(&EnrollRequest::decode(&body).unwrap()).await.unwrap();
            assert_eq!(signed_by(&issuance, &answer), certificate.subject());
            assert_eq!(certificates[0].state, CertificateState::Issued);
        } else {
            assert_eq!(recovered, Recovered { voided: 1, ..Recovered::default() });
            assert_eq!(certificates[0].state, CertificateState::Voided);
            let next = enroll(&issuance, &bench, &device).await;
            assert_eq!(signed_by(&issuance, &next), subject(&config.files.issuing_certificate));
        }
    }
}

/// A device that asked to enroll anew, and whose request waits for an operator, has its certificate all the same: whoever ends
/// a rollover is told of it.
#[tokio::test]
async fn a_device_that_waits_for_an_approval_counts_in_a_rollover() {
    let (bench, _) = with_a_device().await;
    let (store, now) = (bench.issuance.store(), SystemClock.now());
    let new =
        NewRollover { plan: "{}".into(), issuer: [7; 32], bundle: None, detail: "a new issuing CA".into() };
    let number = store.begin_rollover(new, now).await.unwrap().unwrap();
    for state in ["enrolled", "held", "suspended"] {
        let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
        raw.execute("UPDATE devices SET state = ?", [state]).unwrap();
        let standing = store.standing(number, now).await.unwrap().unwrap();
        assert_eq!((standing.living, standing.unmoved), (1, 1), "{state}");
        let unmoved = store.unmoved(number, Page::first(10), now).await.unwrap();
        assert_eq!(unmoved.devices.len(), 1, "{state}");
    }
}

#[tokio::test]
async fn a_trust_bundle_that_nobody_made_is_not_counted() {
    let (bench, device) = with_a_device().await;
    let (store, now) = (bench.issuance.store(), SystemClock.now());
    let bundle = SignedBundle { number: 3, signed: vec![3] };
    assert!(store.add_trust_bundles(vec![bundle], now).await.unwrap());
    for (said, counted) in [(3, Some(3)), (4, Some(3)), (u64::from(u32::MAX), Some(3)), (3, Some(3))] {
        store.confirm_trust(&device.id, said, None, now).await.unwrap();
        assert_eq!(store.spread(now).await.unwrap().trust, [(counted, 1)], "{said}");
    }
    // A request that waits takes nothing away from what the device has.
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    raw.execute("UPDATE devices SET state = 'held'", []).unwrap();
    assert_eq!(store.spread(now).await.unwrap().trust, [(Some(3), 1)]);
}

/// What the older CA's list says is in no file but the one for brokers, and may be in no log: a suspension is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_takes_in_the_lists_of_all_cas() {
    let (bench, device) = with_a_device().await;
    let config = rolled_over(&bench.config, true);
    let issuance = open(&config).await;
    let mut publisher = publisher(&config, &issuance);
    publisher.publish_if_due().await.unwrap();
    let backup = config.files.store.with_extension("backup");
    copy_database(&config.files.store, &backup).unwrap();
    let admin = Admin::new(Arc::clone(issuance.store()), Arc::new(SystemClock));
    admin.act_on(&device.id, Action::Suspend).await.unwrap();
    assert!(publisher.publish_if_due().await.unwrap(), "the older CA's list alone");
    // As a list of a partition has it, which is in no file.
    let given = issuance.store().next_crl_number().await.unwrap();

    for store in [bench.issuance.store(), issuance.store()] {
        store.close().await.unwrap();
    }
    std::fs::copy(&backup, &config.files.store).unwrap();
    let issuance = open(&config).await;
    let state = issuance.store().device(&device.id).await.unwrap().unwrap().state;
    assert_eq!(state, DeviceState::Suspended);
    assert!(signing::stopped(issuance.store().as_ref()).await.unwrap().is_some(), "an operator decides");
    assert!(issuance.store().next_crl_number().await.unwrap() > given, "no number is given twice");
}

#[tokio::test]
async fn one_ca_is_not_configured_twice() {
    let bench = Bench::new("").await;
    let mut config = bench.config.clone();
    config.previous_cas = vec![PreviousCa {
        certificate: config.files.issuing_certificate.clone(),
        key_file: config.files.issuing_key.clone(),
        key: IssuingKey::File { passphrase_file: None },
    }];
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Err(error) = startup::open(&config, &clock, Hook::default()).await else { panic!("it was taken") };
    assert!(error.to_string().ends_with("is configured twice"), "{error}");
}

/// A key that is out of reach.
#[derive(Debug)]
struct Gone([u8; 65]);

impl ca::IssuerKey for Gone {
    fn public_point(&self) -> &[u8; 65] {
        &self.0
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, ca::KeyError> {
        Err(ca::KeyError::Unavailable("it is gone".into()))
    }
}
