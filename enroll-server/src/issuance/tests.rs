//! The issuance over a real store, with devices that give real evidence.

use core::time::Duration;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use appraisal::key::PublicKey;
use ca::crl::Reason;
use shared::message::latest::{EnrollRequest, Nonce, RenewRequest};
use shared::{DeviceId, Reject, UnixTime};
use tempfile::TempDir;

use super::{ClientIdentity, Denied, Issuance, Outcome};
use crate::admin::{Admin, AdminError};
use crate::audit::EventKind;
use crate::clock::{Clock as _, SettableClock, SystemClock};
use crate::config::Config;
use crate::failpoint::{Hook, Plant};
use crate::kit::{Device, Maker, Operational, reference_values};
use crate::revocation::Publisher;
use crate::startup::{self, InitOptions};
use crate::store::{Action, CertificateState, DeviceFilter, DeviceState, Page};

/// A server's inside, with one maker.
pub(crate) struct Bench {
    pub(crate) issuance: Arc<Issuance>,
    pub(crate) admin: Admin,
    pub(crate) clock: SettableClock,
    pub(crate) maker: Maker,
    pub(crate) config: Config,
    _folder: TempDir,
}

pub(crate) fn new_server(folder: &Path, policy: &str) -> Config {
    let options = InitOptions {
        directory: folder.join("server"),
        tenant: "Acme".into(),
        hosts: vec!["localhost".into()],
        broker_host: "localhost".into(),
        broker_port: 8883,
        pen: 32473,
    };
    let report = startup::init(&options, &SystemClock).unwrap();
    let config = Config::load(&report.config).unwrap();
    std::fs::write(&config.files.policy, format!("{policy}{}", reference_values())).unwrap();
    // Groups of their own, each with the same policy.
    for group in ["lot-7", "lot-8", "a", "b", "c"] {
        std::fs::write(config.files.policy_groups.join(format!("{group}.toml")), "").unwrap();
    }
    config
}

/// What publishes the lists of a server, by the system's clock.
pub(crate) fn publisher(config: &Config, issuance: &Issuance) -> Publisher {
    let (store, authorities) = (Arc::clone(issuance.store()), Arc::clone(issuance.in_office()));
    Publisher::new(store, authorities, Arc::new(SystemClock), config.crl.clone())
}

impl Bench {
    pub(crate) async fn new(policy: &str) -> Self {
        Self::with(policy, |_| {}).await
    }

    pub(super) async fn with(policy: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::hooked(policy, change, Hook::default()).await
    }

    pub(super) async fn hooked(policy: &str, change: impl FnOnce(&mut Config), hook: Hook) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = new_server(folder.path(), policy);
        change(&mut config);
        let clock = SettableClock::new(SystemClock.now());
        let shared: Arc<dyn crate::clock::Clock> = Arc::new(clock.clone());
        let issuance = startup::open(&config, &shared, hook).await.unwrap().issuance;
        let admin = Admin::new(Arc::clone(issuance.store()), shared);
        let maker = Maker::new("Example Maker");
        admin.add_maker(&maker.pem).await.unwrap();
        Self { issuance: Arc::new(issuance), admin, clock, maker, config, _folder: folder }
    }

    /// A device of the maker, in the inventory.
    pub(crate) async fn device(&self, id: &str) -> Device {
        let device = self.maker.device(id);
        self.admin.import_devices(&device.inventory()).await.unwrap();
        device
    }

    pub(crate) fn nonce(&self, device: &DeviceId) -> Nonce {
        let lifetime = self.config.nonce_lifetime;
        self.issuance.parts.nonces.make(device, self.clock.now(), lifetime).unwrap().0
    }

    pub(crate) async fn enroll(&self, device: &Device) -> Result<Identity, Denied> {
        let key = Operational::new();
        let body = device.enroll(self.nonce(&device.id), &key.csr);
        self.send(&body).await.map(|outcome| Identity::of(&outcome))
    }

    pub(crate) async fn send(&self, body: &[u8]) -> Result<Outcome, Denied> {
        self.issuance.enroll(&EnrollRequest::decode(body).unwrap()).await
    }

    pub(super) async fn renew(&self, identity: &Identity) -> Result<Identity, Denied> {
        let key = Operational::new();
        self.renew_with(identity, &key.csr).await
    }

    pub(super) async fn renew_with(&self, identity: &Identity, csr: &[u8]) -> Result<Identity, Denied> {
        let body = Device::renew(identity.0.device(), csr);
        let request = RenewRequest::decode(&body).unwrap();
        self.issuance.renew(&request, Some(&identity.0)).await.map(|outcome| Identity::of(&outcome))
    }

    pub(super) async fn states(&self, device: &DeviceId) -> Vec<CertificateState> {
        let list = self.admin.certificates(Some(device)).await.unwrap();
        list.iter().map(|certificate| certificate.state).collect()
    }

    pub(super) async fn count(&self, device: &DeviceId, state: CertificateState) -> usize {
        self.states(device).await.iter().filter(|found| **found == state).count()
    }

    pub(super) async fn events(&self, kind: EventKind) -> usize {
        self.admin.events(10_000).await.unwrap().iter().filter(|event| event.kind == kind.name()).count()
    }

    pub(super) fn later(&self, duration: Duration) {
        self.clock.set(self.clock.now().after(duration));
    }
}

/// A certificate as TLS would present it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Identity(pub(super) ClientIdentity);

impl Identity {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let Outcome::Granted(granted) = outcome else { panic!("held") };
        Self(ClientIdentity::from_der(granted.der()).unwrap())
    }
}

pub(super) fn refused<T: core::fmt::Debug>(outcome: Result<T, Denied>) -> Reject {
    outcome.unwrap_err().reject()
}

pub(super) const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_replays_give_one_certificate() {
    let bench = Arc::new(Bench::new("").await);
    let device = bench.device("SN-1").await;
    let answers = replayed(&bench, &device).await;
    assert!(answers.len() > 500, "{}", answers.len());
    assert_eq!(distinct(&answers), 1, "two certificates for one request");
    assert_eq!(bench.states(&device.id).await, [CertificateState::Issued]);
    assert_eq!(bench.events(EventKind::Issued).await, 1);
}

/// The test above turns red on a server that looks at the nonce outside of the transaction that issues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_that_is_checked_outside_of_the_transaction_is_found() {
    let planted = Hook::default().with_plant(Plant::ChecksNonceApart);
    let bench = Arc::new(Bench::hooked("", |_| {}, planted).await);
    let device = bench.device("SN-1").await;
    assert!(distinct(&replayed(&bench, &device).await) > 1);
}

/// Sends one request of the device a thousand times at once; gives every certificate that came.
async fn replayed(bench: &Arc<Bench>, device: &Device) -> Vec<Identity> {
    let body: Arc<[u8]> = device.enroll(bench.nonce(&device.id), &Operational::new().csr).into();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (bench, body) = (Arc::clone(bench), Arc::clone(&body));
        tasks.spawn(async move { bench.send(&body).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        // The queue of the store is bounded: some are told to come back later, and get nothing.
        match answer.unwrap() {
            Ok(outcome) => answers.push(Identity::of(&outcome)),
            Err(denied) => assert_eq!(denied.reject(), Reject::Unavailable, "{denied}"),
        }
    }
    answers
}

fn distinct(certificates: &[Identity]) -> usize {
    certificates.iter().map(|identity| identity.0.serial()).collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_nonce_with_many_keys_gives_one_certificate() {
    let bench = Arc::new(Bench::new("").await);
    let device = bench.device("SN-1").await;
    let nonce = bench.nonce(&device.id);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let body = device.enroll(nonce, &Operational::new().csr);
        let bench = Arc::clone(&bench);
        tasks.spawn(async move { bench.send(&body).await });
    }
    let mut issued = 0;
    while let Some(answer) = tasks.join_next().await {
        match answer.unwrap() {
            Ok(_) => issued += 1,
            Err(denied) => assert_eq!(denied.reject(), Reject::UsedNonce, "{denied}"),
        }
    }
    assert_eq!(issued, 1);
    assert_eq!(bench.states(&device.id).await, [CertificateState::Issued]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_used_by_many_gives_one_certificate() {
    let bench = Arc::new(Bench::new("[inventory]\nrequired = false\n").await);
    let token = bench.admin.create_token(None, DAY).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let id = DeviceId::new(&format!("T-{number}")).unwrap();
        let nonce = bench.nonce(&id);
        let body = Device::enroll_by_token(&id, &token.text, nonce, &Operational::new().csr);
        let bench = Arc::clone(&bench);
        tasks.spawn(async move { bench.send(&body).await });
    }
    let mut issued = 0;
    while let Some(answer) = tasks.join_next().await {
        match answer.unwrap() {
            Ok(_) => issued += 1,
            Err(denied) => assert_eq!(denied.reject(), Reject::BadToken, "{denied}"),
        }
    }
    assert_eq!(issued, 1);
    assert_eq!(bench.admin.certificates(None).await.unwrap().len(), 1);
    assert_eq!(
        bench.admin.devices(DeviceFilter::default(), Page::first(9)).await.unwrap().devices.len(),
        1,
        "a refused device left no trace"
    );
}

#[tokio::test]
async fn the_same_request_gets_its_answer_again_even_when_its_nonce_or_token_has_ended() {
    let bench = Bench::new("[enrollment]\nsecond = \"refuse\"\n").await;
    let device = bench.device("SN-1").await;
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    let first = bench.send(&body).await.unwrap();
    let unused = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    bench.later(Duration::from_secs(3_600));
    assert_eq!(bench.send(&body).await.unwrap(), first);
    // With "refuse", the stale nonce is not even looked at: the device has a certificate.
    assert_eq!(refused(bench.send(&unused).await), Reject::AlreadyEnrolled);

    let id = DeviceId::new("T-1").unwrap();
    let token = bench.admin.create_token(Some(&id), DAY).await.unwrap();
    let body = Device::enroll_by_token(&id, &token.text, bench.nonce(&id), &Operational::new().csr);
    let first = bench.send(&body).await.unwrap();
    for time in [Duration::from_secs(3_600), DAY] {
        bench.later(time);
        assert_eq!(bench.send(&body).await.unwrap(), first);
    }
}

/// Whoever knows a device's name can ask in it, and would use up what its group may have.
#[tokio::test]
async fn strangers_take_nothing_from_a_groups_rate() {
    let rate = |config: &mut Config| config.admission.group_rate = Some("2/m".parse().unwrap());
    let bench = Bench::with("", rate).await;
    let device = bench.device("SN-1").await;
    let stranger = Maker::new("Nobody").device("SN-1");
    for _ in 0..5 {
        assert_eq!(refused(bench.enroll(&stranger).await), Reject::UnknownMaker);
    }
    for _ in 0..2 {
        bench.enroll(&device).await.unwrap();
    }
    assert_eq!(refused(bench.enroll(&device).await), Reject::TooManyRequests);
}

/// An operator may take longer than a token lives.
#[tokio::test]
async fn what_was_held_while_its_token_was_good_is_released_after_the_tokens_end() {
    let bench = Bench::new("[enrollment]\nfirst = \"hold\"\n").await;
    let id = DeviceId::new("T-1").unwrap();
    let token = bench.admin.create_token(Some(&id), DAY).await.unwrap();
    let body = Device::enroll_by_token(&id, &token.text, bench.nonce(&id), &Operational::new().csr);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    bench.later(DAY * 3);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    bench.admin.approve(&id).await.unwrap();
    assert!(matches!(bench.send(&body).await.unwrap(), Outcome::Granted(_)));
    // Another request does not come in by it.
    let other = Device::enroll_by_token(&id, &token.text, bench.nonce(&id), &Operational::new().csr);
    assert_eq!(refused(bench.send(&other).await), Reject::BadToken);
}

#[tokio::test]
async fn nonces_are_for_one_device_and_for_a_time() {
    let bench = Bench::new("").await;
    let (device, other) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let key = Operational::new();
    let foreign = device.enroll(bench.nonce(&other.id), &key.csr);
    assert_eq!(refused(bench.send(&foreign).await), Reject::UnknownNonce);
    let made_up = device.enroll([1; 32], &key.csr);
    assert_eq!(refused(bench.send(&made_up).await), Reject::UnknownNonce);
    let late = device.enroll(bench.nonce(&device.id), &key.csr);
    bench.later(Duration::from_secs(301));
    assert_eq!(refused(bench.send(&late).await), Reject::ExpiredNonce);
    assert!(bench.states(&device.id).await.is_empty());
    // A refused request uses nothing up: the same key comes through with a good nonce.
    bench.send(&device.enroll(bench.nonce(&device.id), &key.csr)).await.unwrap();
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_device() {
    let bench = Bench::new("").await;
    let (device, other) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let key = Operational::new();
    let first = bench.send(&device.enroll(bench.nonce(&device.id), &key.csr)).await.unwrap();
    let again = device.enroll(bench.nonce(&device.id), &key.csr);
    assert_eq!(refused(bench.send(&again).await), Reject::KeyReused);
    let shared_key = other.enroll(bench.nonce(&other.id), &key.csr);
    assert_eq!(refused(bench.send(&shared_key).await), Reject::KeyReused);
    // The IDevID key of nobody, and not its own old key, either.
    let identity = Identity::of(&first);
    assert_eq!(refused(bench.renew_with(&identity, &key.csr).await), Reject::KeyReused);
}

#[tokio::test]
async fn a_second_enrollment_supersedes_and_the_old_certificate_is_revoked() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    let second = bench.enroll(&device).await.unwrap();
    let old = bench.admin.certificate(first.0.serial()).await.unwrap();
    assert_eq!(old.revoked.unwrap().reason, Reason::Superseded);
    assert_eq!(bench.count(&device.id, CertificateState::Issued).await, 1);
    assert_eq!(refused(bench.renew(&first).await), Reject::CertificateRevoked);
    bench.renew(&second).await.unwrap();
}

#[tokio::test]
async fn a_held_request_waits_for_the_approval_of_this_very_key() {
    let bench = Bench::new("[enrollment]\nsecond = \"hold\"\n").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    let held = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    assert_eq!(bench.send(&held).await.unwrap(), Outcome::Held);
    assert_eq!(bench.send(&held).await.unwrap(), Outcome::Held);
    assert_eq!(bench.admin.device(&device.id).await.unwrap().state, DeviceState::Held);
    assert_eq!(bench.count(&device.id, CertificateState::Held).await, 1);

    bench.admin.approve(&device.id).await.unwrap();
    // What was approved is that request, not whatever comes next.
    let other = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    let mut unapproved = bench.send(&other).await;
    assert_eq!(unapproved.unwrap(), Outcome::Held);
    // It took the place of the approved one, which has to ask anew.
    assert_eq!(refused(bench.send(&held).await), Reject::UsedNonce);

    bench.admin.approve(&device.id).await.unwrap();
    bench.later(2 * DAY);
    unapproved = bench.send(&other).await;
    let released = Identity::of(&unapproved.unwrap());
    assert_eq!(released.0.not_after(), bench.clock.now().after(90 * DAY), "its life begins with its release");
    assert_eq!(refused(bench.renew(&first).await), Reject::CertificateRevoked);
    assert!(!bench.admin.device(&device.id).await.unwrap().approved, "an approval is used up");
}

#[tokio::test]
async fn a_clone_is_refused_noted_once_and_changes_nothing() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    let clone = bench.maker.device("SN-1");
    for _ in 0..3 {
        assert_eq!(refused(bench.enroll(&clone).await), Reject::IdentityConflict);
    }
    assert_eq!(bench.events(EventKind::CloneSuspected).await, 1);
    assert_eq!(bench.states(&device.id).await, [CertificateState::Issued]);
    bench.renew(&identity).await.unwrap();
}

#[tokio::test]
async fn the_first_enrollment_pins_the_identity_key() {
    let bench = Bench::new("[inventory]\nrequired = false\n").await;
    let device = bench.maker.device("SN-1");
    bench.enroll(&device).await.unwrap();
    let row = bench.admin.device(&device.id).await.unwrap();
    assert!(device.inventory().contains(&hex::encode(row.idevid_sha256.unwrap())));
    assert_eq!(row.model.as_deref(), Some("sensor-a"));
    assert_eq!(refused(bench.enroll(&bench.maker.device("SN-1")).await), Reject::IdentityConflict);
}

#[tokio::test]
async fn strangers_changed_firmware_and_unlisted_devices_are_refused() {
    let bench = Bench::new("").await;
    let stranger = Maker::new("Stranger");
    let foreign = stranger.device("SN-1");
    assert_eq!(refused(bench.enroll(&foreign).await), Reject::UnknownMaker);
    // A maker that is added while the server runs counts at once.
    bench.admin.add_maker_as(&stranger.pem, Some("stranger")).await.unwrap();
    assert_eq!(refused(bench.enroll(&foreign).await), Reject::NotInInventory);
    let mut changed = bench.device("SN-2").await;
    changed.digest = [0xbb; 32];
    assert_eq!(refused(bench.enroll(&changed).await), Reject::FirmwareUnknown);
    assert!(bench.admin.certificates(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn at_most_two_certificates_of_a_device_are_in_force() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    let second = bench.renew(&first).await.unwrap();
    assert_eq!(
        bench.count(&device.id, CertificateState::Issued).await,
        2,
        "the new one is still to be tried"
    );
    // The answer was lost and the new key too: it renews with the old one again.
    let third = bench.renew(&first).await.unwrap();
    assert_eq!(bench.count(&device.id, CertificateState::Issued).await, 2);
    assert_eq!(refused(bench.renew(&second).await), Reject::CertificateRevoked);
    bench.renew(&third).await.unwrap();
    assert_eq!(refused(bench.renew(&first).await), Reject::CertificateRevoked);
}

#[tokio::test]
async fn a_renewal_is_idempotent_by_key_and_certificate() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    let key = Operational::new();
    let second = bench.renew_with(&first, &key.csr).await.unwrap();
    assert_eq!(bench.renew_with(&first, &key.csr).await.unwrap(), second);
    assert_eq!(bench.states(&device.id).await.len(), 2);
}

#[tokio::test]
async fn an_ended_certificate_renews_within_the_grace_period_only() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let first = bench.enroll(&device).await.unwrap();
    bench.later(119 * DAY);
    let second = bench.renew(&first).await.unwrap();
    bench.later(121 * DAY);
    assert_eq!(refused(bench.renew(&second).await), Reject::CertificateExpired);
    bench.enroll(&device).await.unwrap();
}

#[tokio::test]
async fn authority_comes_from_the_certificate_never_from_the_body() {
    let bench = Bench::new("").await;
    let (device, other) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let identity = bench.enroll(&device).await.unwrap();
    bench.enroll(&other).await.unwrap();
    let body = Device::renew(&other.id, &Operational::new().csr);
    let request = RenewRequest::decode(&body).unwrap();
    assert_eq!(refused(bench.issuance.renew(&request, Some(&identity.0)).await), Reject::NotYourDevice);
    assert_eq!(refused(bench.issuance.renew(&request, None).await), Reject::NotAuthenticated);
    // A certificate of our CA that the store does not know, as one who stole an old backup might have.
    let unknown = Bench::new("").await;
    unknown.admin.import_devices(&device.inventory()).await.unwrap();
    assert_eq!(refused(unknown.renew(&identity).await), Reject::NotAuthenticated);
}

#[tokio::test]
async fn a_revoked_device_gets_nothing_any_more() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    let identity = Identity::of(&bench.send(&body).await.unwrap());
    assert_eq!(bench.admin.revoke(&device.id, Reason::KeyCompromise).await.unwrap(), 1);
    assert_eq!(refused(bench.send(&body).await), Reject::DeviceRevoked, "not even the old answer");
    assert_eq!(refused(bench.enroll(&device).await), Reject::DeviceRevoked);
    assert!(matches!(
        refused(bench.renew(&identity).await),
        Reject::CertificateRevoked | Reject::DeviceRevoked
    ));
    let (now, issuer) = (UnixTime::from_secs(0), bench.issuance.authorities().active());
    assert_eq!(bench.issuance.store().revoked(issuer, now).await.unwrap().entries.len(), 1);
    assert_eq!(bench.admin.revoke(&device.id, Reason::KeyCompromise).await.unwrap(), 0);
}

/// Whatever the order, once the revocation has returned no certificate is in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_racing_a_renewal_always_wins() {
    let bench = Arc::new(Bench::new("").await);
    let mut renewed = 0;
    for round in 0..300 {
        let device = bench.device(&format!("SN-{round}")).await;
        let identity = bench.enroll(&device).await.unwrap();
        let id = device.id.clone();
        let racing = {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.renew(&identity).await })
        };
        if round % 3 > 0 {
            tokio::time::sleep(Duration::from_micros(u64::try_from(round).unwrap() * 10)).await;
        }
        bench.admin.revoke(&id, Reason::Unspecified).await.unwrap();
        let outcome = racing.await.unwrap();
        renewed += usize::from(outcome.is_ok());
        let states = bench.states(&id).await;
        assert!(!states.contains(&CertificateState::Issued), "{states:?} after {outcome:?}");
        assert!(!states.contains(&CertificateState::Intent), "{states:?}");
    }
    assert!((1..300).contains(&renewed), "the race went one way only: {renewed} of 300 renewed");
}

#[tokio::test]
async fn tokens_for_one_device_expire_and_can_be_revoked() {
    let bench = Bench::new("").await;
    let id = DeviceId::new("T-1").unwrap();
    let send = async |token: &str, id: &DeviceId| {
        bench.send(&Device::enroll_by_token(id, token, bench.nonce(id), &Operational::new().csr)).await
    };
    let token = bench.admin.create_token(Some(&id), DAY).await.unwrap();
    let other = DeviceId::new("T-2").unwrap();
    assert_eq!(refused(send(&token.text, &other).await), Reject::BadToken);
    assert_eq!(refused(send("no such token", &id).await), Reject::BadToken);
    bench.admin.revoke_token(&token.token.id).await.unwrap();
    assert_eq!(refused(send(&token.text, &id).await), Reject::BadToken);
    let token = bench.admin.create_token(Some(&id), DAY).await.unwrap();
    bench.later(2 * DAY);
    assert_eq!(refused(send(&token.text, &id).await), Reject::BadToken);
    let token = bench.admin.create_token(Some(&id), DAY).await.unwrap();
    send(&token.text, &id).await.unwrap();
    assert_eq!(refused(send(&token.text, &id).await), Reject::BadToken);
}

#[tokio::test]
async fn certificates_say_what_the_profile_says() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let key = Operational::new();
    let outcome = bench.send(&device.enroll(bench.nonce(&device.id), &key.csr)).await.unwrap();
    let Outcome::Granted(granted) = outcome else { panic!("held") };
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(granted.der()).unwrap();
    assert_eq!(certificate.subject().to_string(), "O=Acme, CN=SN-1, serialNumber=SN-1");
    let spki = PublicKey::from_spki_der(certificate.public_key().raw).unwrap();
    assert_eq!(spki.spki_der(), appraisal::csr::check(&key.csr).unwrap().spki_der());
}

#[tokio::test]
async fn a_suspended_device_gets_nothing_until_it_is_resumed_and_its_certificate_is_on_hold() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    let identity = Identity::of(&bench.send(&body).await.unwrap());
    let issuer = bench.issuance.authorities().active();
    let listed = async || bench.issuance.store().revoked(issuer, UnixTime::from_secs(0)).await.unwrap();
    let before = listed().await;
    assert!(before.entries.is_empty());

    bench.later(DAY);
    bench.admin.act_on(&device.id, Action::Suspend).await.unwrap();
    assert_eq!(refused(bench.renew(&identity).await), Reject::DeviceSuspended);
    assert_eq!(refused(bench.enroll(&device).await), Reject::DeviceSuspended);
    assert_eq!(refused(bench.send(&body).await), Reject::DeviceSuspended, "not even the old answer");
    let held = listed().await;
    assert!(held.generation > before.generation, "a new list is published");
    assert_eq!(held.entries.len(), 1);
    let on_hold = crate::store::Revocation { at: bench.clock.now(), reason: Reason::CertificateHold };
    assert_eq!(held.entries[0].revocation, on_hold);
    let shown = bench.admin.certificate(identity.0.serial()).await.unwrap();
    assert_eq!((shown.state, shown.revoked), (CertificateState::Issued, Some(on_hold)));

    bench.admin.act_on(&device.id, Action::Resume).await.unwrap();
    let after = listed().await;
    assert!(after.generation > held.generation && after.entries.is_empty());
    let renewed = bench.renew(&identity).await.unwrap();
    // A suspension ends with a revocation too: then the entry stays, for its own reason.
    bench.admin.act_on(&device.id, Action::Suspend).await.unwrap();
    bench.admin.revoke(&device.id, Reason::KeyCompromise).await.unwrap();
    let reasons: Vec<_> = listed().await.entries.iter().map(|entry| entry.revocation.reason).collect();
    assert_eq!(reasons, [Reason::KeyCompromise, Reason::KeyCompromise]);
    assert!(matches!(bench.admin.act_on(&device.id, Action::Resume).await, Err(AdminError::Illegal(_))));
    assert!(matches!(
        refused(bench.renew(&renewed).await),
        Reject::CertificateRevoked | Reject::DeviceRevoked
    ));
}

#[tokio::test]
async fn a_denied_request_is_refused_for_good_until_an_operator_approves() {
    let bench = Bench::new("[enrollment]\nfirst = \"hold\"\nsecond = \"hold\"\n").await;
    let device = bench.device("SN-1").await;
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    let deny = || Action::Deny("not one of ours".into());
    bench.admin.act_on(&device.id, deny()).await.unwrap();
    let row = bench.admin.device(&device.id).await.unwrap();
    assert_eq!((row.state, row.denied.as_deref()), (DeviceState::Registered, Some("not one of ours")));
    assert_eq!(refused(bench.send(&body).await), Reject::EnrollmentDenied);
    assert_eq!(Reject::EnrollmentDenied.device_action(), shared::reject::DeviceAction::Stop);
    assert_eq!(refused(bench.enroll(&device).await), Reject::EnrollmentDenied);
    assert!(matches!(bench.admin.act_on(&device.id, deny()).await, Err(AdminError::Illegal(_))));

    bench.admin.approve(&device.id).await.unwrap();
    let identity = bench.enroll(&device).await.unwrap();
    // A second enrollment that is denied leaves the first as it is.
    let second = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    assert_eq!(bench.send(&second).await.unwrap(), Outcome::Held);
    bench.admin.act_on(&device.id, deny()).await.unwrap();
    assert_eq!(bench.admin.device(&device.id).await.unwrap().state, DeviceState::Enrolled);
    assert_eq!(refused(bench.enroll(&device).await), Reject::EnrollmentDenied);
    bench.renew(&identity).await.unwrap();
}

#[tokio::test]
async fn a_renewal_leaves_a_held_request_in_the_queue() {
    let bench = Bench::new("[enrollment]\nsecond = \"hold\"\n").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    let held = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    assert_eq!(bench.send(&held).await.unwrap(), Outcome::Held);
    bench.renew(&identity).await.unwrap();
    assert_eq!(bench.admin.device(&device.id).await.unwrap().state, DeviceState::Held);
}

#[tokio::test]
async fn a_device_with_another_owner_enrolls_anew_with_its_old_identity_key() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    let token = bench.admin.create_token(Some(&device.id), DAY).await.unwrap();
    let lot: appraisal::GroupName = "lot-7".parse().unwrap();
    let done = bench.admin.act_on(&device.id, Action::Transfer(lot.clone())).await.unwrap();
    assert_eq!((done.certificates, done.state), (1, Some(DeviceState::Registered)));
    let row = bench.admin.device(&device.id).await.unwrap();
    assert_eq!(row.group, lot);
    let old = bench.admin.certificate(identity.0.serial()).await.unwrap();
    assert_eq!(old.revoked.unwrap().reason, Reason::AffiliationChanged);
    // What the device is told at its next contact leads it to enroll again.
    let refusal = refused(bench.renew(&identity).await);
    assert_eq!(refusal, Reject::CertificateRevoked);
    assert_eq!(refusal.device_action(), shared::reject::DeviceAction::EnrollAgain);
    let tokens = bench.admin.tokens(Page::first(100)).await.unwrap().tokens;
    assert!(tokens.iter().find(|found| found.id == token.token.id).unwrap().revoked);
    assert_eq!(refused(bench.enroll(&bench.maker.device("SN-1")).await), Reject::IdentityConflict);
    let anew = bench.enroll(&device).await.unwrap();
    bench.admin.act_on(&device.id, Action::Return).await.unwrap();
    let row = bench.admin.device(&device.id).await.unwrap();
    assert!(row.group.is_default() && row.idevid_sha256.is_some());
    assert_eq!(refused(bench.renew(&anew).await), Reject::CertificateRevoked);
    bench.enroll(&device).await.unwrap();
}

#[tokio::test]
async fn a_retired_device_is_over_and_its_name_stays_taken() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    bench.admin.act_on(&device.id, Action::Retire).await.unwrap();
    let old = bench.admin.certificate(identity.0.serial()).await.unwrap();
    assert_eq!(old.revoked.unwrap().reason, Reason::CessationOfOperation);
    assert_eq!(refused(bench.enroll(&device).await), Reject::DeviceRetired);
    let report = bench.admin.import_devices(&bench.maker.device("SN-1").inventory()).await.unwrap();
    assert_eq!((report.added, report.conflicting.len()), (0, 1));
    for action in [Action::Approve, Action::Resume, Action::Return, Action::Revoke(Reason::Unspecified)] {
        let refusal = bench.admin.act_on(&device.id, action).await.unwrap_err().to_string();
        assert!(refusal.ends_with("what an operator can do: retire"), "{refusal}");
    }
}

/// Whatever the order, a certificate that a suspended device was given is on hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_racing_an_enrollment_always_wins() {
    let bench = Arc::new(Bench::new("").await);
    let mut issued = 0;
    for round in 0..100 {
        let device = bench.device(&format!("SN-{round}")).await;
        let id = device.id.clone();
        let racing = {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.enroll(&device).await })
        };
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
        bench.admin.act_on(&id, Action::Suspend).await.unwrap();
        let outcome = racing.await.unwrap();
        issued += usize::from(outcome.is_ok());
        if let Err(denied) = &outcome {
            assert_eq!(denied.reject(), Reject::DeviceSuspended, "{denied}");
        }
        assert_eq!(bench.admin.device(&id).await.unwrap().state, DeviceState::Suspended);
        for certificate in bench.admin.certificates(Some(&id)).await.unwrap() {
            match certificate.state {
                CertificateState::Issued => assert!(outcome.is_ok() && certificate.revoked.is_some()),
                state => assert_eq!(state, CertificateState::Voided),
            }
        }
    }
    assert!((1..100).contains(&issued), "the race went one way only: {issued} of 100 issued");
}
