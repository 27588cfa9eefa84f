//! Intents that somebody wrote into the database, or changed there: nothing is signed by one, an operator is told, and the device
//! gets on.

use core::sync::atomic::Ordering;

use appraisal::csr;
use ca::crl::Reason;
use shared::{DeviceId, Reject};

use super::outage_tests::out_of_reach;
use super::restored_tests::start;
use super::tests::{Bench, Identity, refused};
use super::{Outcome, Recovered};
use crate::audit::{EventKind, Severity};
use crate::config::Config;
use crate::kit::{Device, Operational};
use crate::store::{Action, CertificateState, Place, SqliteOptions, on_both, transfer};

on_both!(
    an_intent_that_was_put_in_by_hand_is_not_signed,
    an_intent_is_signed_as_it_was_recorded_or_not_at_all,
    the_same_request_again_does_not_have_a_changed_intent_signed,
    of_a_held_request_the_key_counts_that_the_request_proves,
    what_is_not_open_any_more_is_not_brought_back_by_its_state,
    an_intent_from_before_nonce_key_was_replaced_is_given_up,
);

/// A server whose database is at `place`.
pub(super) async fn bench(policy: &str, place: &Place) -> Bench {
    Bench::with(policy, |config| put(config, place)).await
}

fn put(config: &mut Config, place: &Place) {
    match place {
        Place::Sqlite(folder) => config.files.store = folder.path().join("s.sqlite"),
        Place::Postgres { url } => {
            let path = config.files.policy.with_file_name("enroll-server.toml");
            let settings = std::fs::read_to_string(&path).unwrap();
            let section = format!("\n[store]\npostgres = {url:?}\n");
            std::fs::write(&path, settings.replacen("\n[store]\n", &section, 1)).unwrap();
            *config = Config::load(&path).unwrap();
        }
    }
}

/// Bytes as SQL writes them.
pub(super) fn blob(place: &Place, bytes: &[u8]) -> String {
    match place {
        Place::Sqlite(_) => format!("X'{}'", hex::encode(bytes)),
        Place::Postgres { .. } => format!("'\\x{}'::bytea", hex::encode(bytes)),
    }
}

/// The point of a key that no device has shown.
fn point() -> [u8; 65] {
    *csr::check(&Operational::new().csr).unwrap().point()
}

/// A request of the device that was recorded, and not signed: the key did not answer.
async fn left_open(bench: &Bench, device: &Device) -> Vec<u8> {
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    let reachable = out_of_reach(&bench.config, &bench.issuance);
    assert_eq!(refused(bench.send(&body).await), Reject::Unavailable);
    reachable.store(true, Ordering::SeqCst);
    body
}

/// What the trail says of intents that are none of this server's, the last first.
async fn told(bench: &Bench, device: &DeviceId) -> Vec<String> {
    let events = bench.admin.events(10_000).await.unwrap();
    let ours = events.into_iter().filter(|event| event.kind == EventKind::IntentNotOurs.name());
    ours.map(|event| {
        assert_eq!(
            (event.severity.as_str(), event.device.as_deref()),
            (Severity::Critical.name(), Some(device.as_str()))
        );
        event.detail
    })
    .collect()
}

async fn recover(bench: &Bench) -> Recovered {
    bench.issuance.recover().await.unwrap()
}

const GIVEN_UP: Recovered = Recovered { finished: 0, voided: 1, left: 0 };
const FINISHED: Recovered = Recovered { finished: 1, voided: 0, left: 0 };

async fn an_intent_that_was_put_in_by_hand_is_not_signed(place: Place) {
    let bench = bench("", &place).await;
    let device = bench.device("SN-1").await;
    let honest = bench.enroll(&device).await.unwrap();
    for (mac, says) in [
        ("NULL".to_owned(), "it has no MAC"),
        (blob(&place, &[0; 32]), "its MAC is not over what stands there"),
        (blob(&place, b"short"), "its MAC is not over what stands there"),
    ] {
        let planted = csr::check(&Operational::new().csr).unwrap();
        let [serial, point, key] =
            [&[7; 16][..], planted.point(), planted.spki_sha256()].map(|v| blob(&place, v));
        place.sql(&format!(
            "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, recorded, \
             issuer, profile, intent_mac) SELECT {serial}, device, 'intent', {point}, {key}, {key}, not_before, not_after, \
             recorded, issuer, profile, {mac} FROM certificates WHERE state = 'issued'"
        ));
        assert_eq!(recover(&bench).await, GIVEN_UP, "{mac}");
        let told = told(&bench, &device.id).await.remove(0);
        assert!(told.contains(says) && told.contains("07070707"), "{told}");
        assert_eq!(bench.count(&device.id, CertificateState::Issued).await, 1);
        place.sql(&format!("DELETE FROM certificates WHERE serial = {serial}"));
    }
    bench.renew(&honest).await.unwrap();
    bench.enroll(&device).await.unwrap();
}

async fn an_intent_is_signed_as_it_was_recorded_or_not_at_all(place: Place) {
    let bench = bench("", &place).await;
    let (device, other) = (bench.device("SN-1").await, bench.device("SN-2").await);
    bench.enroll(&other).await.unwrap();
    let [point, serial, mac] = [&point()[..], &[7; 16], &[7; 32]].map(|bytes| blob(&place, bytes));
    place.sql(&format!(
        "INSERT INTO profiles (number, sha256, name, text) SELECT 1000, {mac}, 'other', text FROM profiles"
    ));
    let mut seen = 0;
    for change in [
        &format!("point = {point}"),
        &format!("serial = {serial}"),
        "device = 'SN-2'",
        "not_before = not_before - 1",
        "not_after = not_after + 1",
        "issuer = issuer + 1",
        "crl_partition = crl_partition + 1",
        "profile = 1000",
        "profile = 0",
        "intent_mac = NULL",
        &format!("intent_mac = {mac}"),
    ] {
        let body = left_open(&bench, &device).await;
        place.sql(&format!("UPDATE certificates SET {change} WHERE state = 'intent'"));
        assert_eq!(recover(&bench).await, GIVEN_UP, "{change}");
        let about = if change.starts_with("device") { &other } else { &device };
        let events = bench.admin.events(10_000).await.unwrap();
        let events = events.iter().filter(|event| event.kind == EventKind::IntentNotOurs.name());
        seen += 1;
        assert_eq!(events.clone().count(), seen, "{change}");
        assert_eq!(
            events.max_by_key(|event| event.number).unwrap().device.as_deref(),
            Some(about.id.as_str())
        );
        // What was given up under its name is not asked for again; what was moved away from it, was never recorded.
        assert!(bench.send(&body).await.is_err(), "{change}");
        assert_eq!(bench.count(&device.id, CertificateState::Issued).await, 0, "{change}");
        place.sql(&format!("DELETE FROM certificates WHERE serial = {serial}"));
    }
    assert_eq!(bench.count(&other.id, CertificateState::Issued).await, 1);

    let body = left_open(&bench, &device).await;
    assert_eq!(recover(&bench).await, FINISHED);
    assert!(matches!(bench.send(&body).await.unwrap(), Outcome::Granted(_)));
    assert_eq!(bench.count(&device.id, CertificateState::Issued).await, 1);
}

/// No start is needed for an intent to be read again: the device's own repetition takes it up.
async fn the_same_request_again_does_not_have_a_changed_intent_signed(place: Place) {
    let bench = bench("", &place).await;
    let device = bench.device("SN-1").await;
    let change = format!("UPDATE certificates SET point = {} WHERE state = 'intent'", blob(&place, &point()));
    let body = left_open(&bench, &device).await;
    place.sql(&change);
    assert_eq!(refused(bench.send(&body).await), Reject::UsedNonce, "with a new nonce it gets on");
    assert_eq!(told(&bench, &device.id).await.len(), 1);
    assert_eq!(bench.states(&device.id).await, [CertificateState::Voided]);
    let identity = bench.enroll(&device).await.unwrap();

    let csr = Operational::new().csr;
    let reachable = out_of_reach(&bench.config, &bench.issuance);
    assert_eq!(refused(bench.renew_with(&identity, &csr).await), Reject::Unavailable);
    reachable.store(true, Ordering::SeqCst);
    place.sql(&change);
    assert_eq!(
        refused(bench.renew_with(&identity, &csr).await),
        Reject::KeyReused,
        "with a new key it gets on"
    );
    assert_eq!(told(&bench, &device.id).await.len(), 2);
    bench.renew(&identity).await.unwrap();
}

async fn of_a_held_request_the_key_counts_that_the_request_proves(place: Place) {
    let bench = bench("[enrollment]\nfirst = \"hold\"\n", &place).await;
    let device = bench.device("SN-1").await;
    let key = Operational::new();
    let body = device.enroll(bench.nonce(&device.id), &key.csr);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    place.sql(&format!("UPDATE certificates SET point = {}", blob(&place, &point())));
    bench.admin.approve(&device.id).await.unwrap();
    let Outcome::Granted(granted) = bench.send(&body).await.unwrap() else { panic!("held") };
    let proven = *csr::check(&key.csr).unwrap().point();
    assert!(granted.der().windows(65).any(|part| part == proven));
}

/// The MAC leaves the row with the state.
async fn what_is_not_open_any_more_is_not_brought_back_by_its_state(place: Place) {
    let bench = bench("", &place).await;
    let (issued, newer, retired) =
        (bench.device("SN-1").await, bench.device("SN-2").await, bench.device("SN-3").await);
    let identity = bench.enroll(&issued).await.unwrap();
    bench.admin.revoke(&issued.id, Reason::KeyCompromise).await.unwrap();
    left_open(&bench, &newer).await;
    bench.enroll(&newer).await.unwrap();
    left_open(&bench, &retired).await;
    bench.admin.act_on(&retired.id, Action::Retire).await.unwrap();
    let given_up = bench.device("SN-4").await;
    left_open(&bench, &given_up).await;
    let serial = bench.admin.certificates(Some(&given_up.id)).await.unwrap()[0].serial;
    bench.issuance.store().void(serial, "of no use".into(), bench.issuance.now()).await.unwrap();
    place.sql(
        "UPDATE certificates SET state = 'intent', der = NULL, revoked = NULL, reason = NULL \
         WHERE state = 'revoked' OR state = 'voided'",
    );
    assert_eq!(recover(&bench).await, Recovered { voided: 4, ..Recovered::default() });
    assert_eq!(bench.events(EventKind::IntentNotOurs).await, 4);
    assert!(bench.renew(&identity).await.is_err());
}

async fn an_intent_from_before_nonce_key_was_replaced_is_given_up(place: Place) {
    let mut bench = bench("", &place).await;
    let device = bench.device("SN-1").await;
    let body = left_open(&bench, &device).await;
    bench.issuance.store().close().await.unwrap();
    std::fs::write(&bench.config.files.nonce_key, "0d".repeat(32)).unwrap();
    start(&mut bench).await.unwrap();
    assert_eq!(recover(&bench).await, GIVEN_UP);
    assert!(told(&bench, &device.id).await[0].contains("nonce.key was replaced"));
    assert_eq!(refused(bench.send(&body).await), Reject::UnknownNonce, "with a new nonce it gets on");
    bench.enroll(&device).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_open_is_finished_where_the_database_was_moved_to() {
    let (file, target) = (Place::sqlite(), Place::postgres());
    let mut bench = bench("", &file).await;
    let device = bench.device("SN-1").await;
    let body = left_open(&bench, &device).await;
    bench.issuance.store().close().await.unwrap();
    let (from, to) = (SqliteOptions::new(&bench.config.files.store), target_options(&target));
    let moved = tokio::task::spawn_blocking(move || transfer(&from, to, false, &mut |_| {}));
    moved.await.unwrap().unwrap();
    put(&mut bench.config, &target);
    start(&mut bench).await.unwrap();
    assert_eq!(recover(&bench).await, FINISHED);
    let Ok(Outcome::Granted(granted)) = bench.send(&body).await else { panic!("not granted") };
    bench.renew(&Identity::of(&Outcome::Granted(granted))).await.unwrap();
}

fn target_options(place: &Place) -> crate::store::PostgresOptions {
    let Place::Postgres { url } = place else { panic!("not on PostgreSQL") };
    Place::options(url)
}
