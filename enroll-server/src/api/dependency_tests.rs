//! Everything that an answer depends on fails in turn: nobody is given what the check that failed could have refused, who is
//! refused for it is told to come again, and then everybody gets what is due.
//!
//! step-ca's CVE-2025-44005 was such an error that was passed over.

mod postgres;
mod questions;
mod random;

use core::time::Duration;

use appraisal::GroupName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ca::crl::Reason;
use shared::message::latest::{Answer, Outcome};
use shared::{DeviceId, Reject, endpoint};

use super::bench::{ApiBench, Call, Reply};
use crate::config::{Config, Postgres};
use crate::issuance::ClientIdentity;
use crate::kit::{Device, Operational};
use crate::store::{Action, CertificateState, Injected, Label, Page, Place, Selection};

const KINDS: &str = "[evidence]\nkinds = [\"idevid-eat\", \"one-time-token\", \"idevid-tls\"]\n\
                     [inventory]\nrequired = false\n[enrollment]\nquota = 100000\n";
const DAY: Duration = Duration::from_secs(86_400);

/// What a request comes to when nothing fails.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A certificate.
    Certificate,
    /// A refusal, for this or, where two hold, for that.
    No(Reject, Reject),
}

/// The database of a server, which can fail.
struct Faults {
    injected: Injected,
    place: Place,
}

/// A server on a database of this kind, after `set_up` of its settings.
async fn on(place: Place, set_up: impl FnOnce(&mut Config)) -> (ApiBench, Faults) {
    let postgres = match &place {
        Place::Postgres { url } => Some(Place::options(url)),
        Place::Sqlite(_) => None,
    };
    let bench = ApiBench::new(KINDS, |config| {
        config.postgres = postgres.clone().map(Postgres::with);
        set_up(config);
    })
    .await;
    let injected = postgres.map_or_else(|| Injected::at(bench.database()), |options| Injected::on(&options));
    (bench, Faults { injected, place })
}

/// A request, and the device whose certificates are counted by its key.
struct Asked {
    call: Call,
    device: DeviceId,
    key: Option<[u8; 32]>,
}

impl Asked {
    fn new(call: Call, device: &DeviceId, csr: &[u8]) -> Self {
        let key = appraisal::csr::check(csr).map(|csr| *csr.spki_sha256()).ok();
        Self { call, device: device.clone(), key }
    }
}

/// Sends what `make` makes, each time with the next thing that is asked of the database failing, until nothing does. Gives how
/// many things failed.
///
/// # Errors
/// What was wrong.
async fn each_fails(
    bench: &ApiBench,
    faults: &Faults,
    due: Due,
    make: impl AsyncFn(u64) -> Asked,
) -> Result<u64, String> {
    for n in 1.. {
        let asked = make(n).await;
        faults.forget(bench);
        faults.injected.arm(n);
        let reply = bench.send(&asked.call).await;
        let failed = faults.injected.disarm();
        let wrong = |what: &str, reply: &Reply| Err(format!("{what} with a fault at {n}: {reply:?}"));
        if failed != Some(true) {
            check(bench, &asked, due, &reply).await.map_err(|what| format!("without a fault: {what}"))?;
            match failed {
                None => return Ok(n - 1),
                // What was prepared was not needed after all.
                Some(_) => continue,
            }
        }
        // What was asked for is not given: the fault was met on the way to it.
        if reply.is_given() {
            return wrong("given", &reply);
        }
        let refused =
            matches!(due, Due::No(one, other) if [Some(one), Some(other)].contains(&reply.reject()));
        if !reply.is_later() && !refused {
            return wrong("no way forward", &reply);
        }
        for _ in 0..2 {
            let again = bench.send(&asked.call).await;
            check(bench, &asked, due, &again)
                .await
                .map_err(|what| format!("after a fault at {n}: {what}"))?;
        }
    }
    unreachable!("it ends with a request that meets no fault")
}

/// Whether it is the answer that is due, and the store agrees.
async fn check(bench: &ApiBench, asked: &Asked, due: Due, reply: &Reply) -> Result<(), String> {
    let rows = bench.admin.certificates(Some(&asked.device)).await.unwrap();
    let stored: Vec<&[u8]> = rows
        .iter()
        .filter(|row| Some(row.key_sha256) == asked.key && row.state == CertificateState::Issued)
        .filter_map(|row| row.der.as_deref())
        .collect();
    match (due, stored.as_slice()) {
        (Due::Certificate, [certificate]) if leaf(reply).as_deref() == Some(*certificate) => Ok(()),
        (Due::No(one, other), []) if [Some(one), Some(other)].contains(&reply.reject()) => Ok(()),
        _ => Err(format!(
            "{due:?} is due, {} certificates are stored, and this is told: {reply:?}",
            stored.len()
        )),
    }
}

/// The certificate of an answer, of the native protocol or of EST.
fn leaf(reply: &Reply) -> Option<Vec<u8>> {
    if let Ok(Answer { outcome: Outcome::Issued(issued), .. }) = Answer::decode(&reply.body) {
        return issued.chain.first().map(|leaf| leaf.to_vec());
    }
    use der::{Decode as _, Encode as _};
    let message = cms::content_info::ContentInfo::from_der(&STANDARD.decode(&reply.body).ok()?).ok()?;
    let message: cms::signed_data::SignedData = message.content.decode_as().ok()?;
    message.certificates?.0.get(0)?.to_der().ok()
}

impl Faults {
    /// Has the server forget what it read of the database before: makers, their lists, reference values, and that signing is not
    /// stopped.
    fn forget(&self, bench: &ApiBench) {
        let sql = "UPDATE counters SET value = value + 1 WHERE name IN ('makers', 'reference')";
        if let Place::Postgres { .. } = &self.place {
            let counted = format!("WITH changed AS ({sql} RETURNING 1) SELECT count(*) FROM changed");
            assert_eq!(self.place.sql(&counted).trim(), "2");
        } else {
            let raw = rusqlite::Connection::open(bench.database()).unwrap();
            raw.busy_timeout(Duration::from_secs(5)).unwrap();
            assert_eq!(raw.execute(sql, []).unwrap(), 2);
        }
        bench.clock.set(crate::clock::Clock::now(&bench.clock).after(Duration::from_secs(1)));
    }
}

impl ApiBench {
    /// A request to enroll by an IDevID.
    async fn enrollment(&self, device: &Device) -> Asked {
        let csr = Operational::new().csr;
        let body = device.enroll(self.nonce(&device.id).await, &csr);
        Asked::new(Call::native(endpoint::ENROLL, None, body), &device.id, &csr)
    }

    /// A request to enroll by a token.
    async fn by_token(&self, id: &DeviceId, token: &str) -> Asked {
        let csr = Operational::new().csr;
        let body = Device::enroll_by_token(id, token, self.nonce(id).await, &csr);
        Asked::new(Call::native(endpoint::ENROLL, None, body), id, &csr)
    }

    /// The identity of a device that enrolls now.
    async fn enrolled(&self, device: &Device) -> (ClientIdentity, Vec<u8>) {
        let asked = self.enrollment(device).await;
        let leaf = leaf(&self.send(&asked.call).await).unwrap();
        (ClientIdentity::from_der(&leaf).unwrap(), leaf)
    }

    async fn token(&self, id: &DeviceId) -> String {
        self.admin.create_token(Some(id), DAY).await.unwrap().text.to_string()
    }
}

fn renewal(device: &DeviceId, client: &ClientIdentity) -> Asked {
    let csr = Operational::new().csr;
    let body = Device::renew(device, &csr);
    Asked::new(Call::native(endpoint::RENEW, Some(client), body), device, &csr)
}

fn est_enrollment(device: &Device) -> Asked {
    let csr = nameless();
    Asked::new(Call::est("simpleenroll", &[&device.idevid], &csr), &device.id, &csr)
}

fn est_by_token(id: &DeviceId, token: &str) -> Asked {
    let csr = nameless();
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{token}")));
    Asked::new(Call::est("simpleenroll", &[], &csr).by(basic), id, &csr)
}

fn est_renewal(device: &DeviceId, leaf: &[u8]) -> Asked {
    let csr = nameless();
    Asked::new(Call::est("simplereenroll", &[leaf], &csr), device, &csr)
}

/// A CSR that asks for no name, as over EST it may ask for none but the device's.
fn nameless() -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serialize_request(&Operational::new().pair).unwrap().der().to_vec()
}

fn id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_on_the_way_to_a_certificate_it_means_later_and_then_there_is_one() {
    certificates(Place::sqlite()).await;
}

async fn certificates(place: Place) {
    let (bench, faults) = on(place, |_| {}).await;
    let device = bench.device("SN-1").await;
    let failed =
        each_fails(&bench, &faults, Due::Certificate, async |_| bench.enrollment(&device).await).await;
    assert!(failed.unwrap() > 50);

    let by_token = async |n| {
        let id = id(&format!("T-{n}"));
        bench.by_token(&id, &bench.token(&id).await).await
    };
    assert!(each_fails(&bench, &faults, Due::Certificate, by_token).await.unwrap() > 50);

    let renewed = async |_| renewal(&device.id, &bench.enrolled(&device).await.0);
    assert!(each_fails(&bench, &faults, Due::Certificate, renewed).await.unwrap() > 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_on_the_way_to_a_certificate_over_est_it_means_later_and_then_there_is_one() {
    let (bench, faults) = on(Place::sqlite(), |_| {}).await;
    let device = bench.device("SN-1").await;
    let enrolled = async |_| est_enrollment(&device);
    assert!(each_fails(&bench, &faults, Due::Certificate, enrolled).await.unwrap() > 50);

    let by_token = async |n| {
        let id = id(&format!("T-{n}"));
        est_by_token(&id, &bench.token(&id).await)
    };
    assert!(each_fails(&bench, &faults, Due::Certificate, by_token).await.unwrap() > 50);

    let renewed = async |_| est_renewal(&device.id, &bench.enrolled(&device).await.1);
    assert!(each_fails(&bench, &faults, Due::Certificate, renewed).await.unwrap() > 50);
}

/// Each of these is refused by one of the checks: that the check cannot be carried out lets nobody through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nobody_who_is_to_be_refused_gets_a_certificate() {
    Box::pin(refusals(Place::sqlite())).await;
}

async fn refusals(place: Place) {
    let (bench, faults) = on(place, |_| {}).await;
    let no = |reject| Due::No(reject, reject);

    // A token that was used, and one that was revoked.
    let (owner, revoked) = (id("T-1"), bench.admin.create_token(Some(&id("T-2")), DAY).await.unwrap());
    let used = bench.token(&owner).await;
    assert!(bench.send(&bench.by_token(&owner, &used).await.call).await.is_given());
    bench.admin.revoke_token(&revoked.token.id).await.unwrap();
    for (device, token) in [(&owner, used.as_str()), (&id("T-2"), revoked.text.as_str())] {
        let native = async |_| bench.by_token(device, token).await;
        each_fails(&bench, &faults, no(Reject::BadToken), native).await.unwrap();
        let est = async |_| est_by_token(device, token);
        each_fails(&bench, &faults, no(Reject::BadToken), est).await.unwrap();
    }

    // A nonce that another request used up.
    let device = bench.device("SN-1").await;
    let nonce = bench.nonce(&device.id).await;
    let with_nonce = |csr: &[u8]| {
        let call = Call::native(endpoint::ENROLL, None, device.enroll(nonce, csr));
        Asked::new(call, &device.id, csr)
    };
    assert!(bench.send(&with_nonce(&Operational::new().csr).call).await.is_given());
    let again = async |_| with_nonce(&Operational::new().csr);
    each_fails(&bench, &faults, no(Reject::UsedNonce), again).await.unwrap();

    // Another device under the name.
    let clone = bench.maker.device("SN-1");
    let cloned = async |_| bench.enrollment(&clone).await;
    each_fails(&bench, &faults, no(Reject::IdentityConflict), cloned).await.unwrap();

    // Another's certificate, and one that was replaced.
    let other = bench.device("SN-2").await;
    let (identity, leaf) = bench.enrolled(&device).await;
    let foreign = async |_| renewal(&other.id, &identity);
    each_fails(&bench, &faults, no(Reject::NotYourDevice), foreign).await.unwrap();
    let _second = bench.enrolled(&device).await;
    let replaced = async |_| renewal(&device.id, &identity);
    each_fails(&bench, &faults, no(Reject::CertificateRevoked), replaced).await.unwrap();
    let replaced = async |_| est_renewal(&device.id, &leaf);
    each_fails(&bench, &faults, no(Reject::CertificateRevoked), replaced).await.unwrap();

    // What operators say.
    let because = [
        (Action::Suspend, Reject::DeviceSuspended),
        (Action::Revoke(Reason::KeyCompromise), Reject::DeviceRevoked),
        (Action::Retire, Reject::DeviceRetired),
    ];
    for (number, (action, reject)) in because.into_iter().enumerate() {
        let device = bench.device(&format!("OUT-{number}")).await;
        let (identity, leaf) = bench.enrolled(&device).await;
        bench.admin.act_on(&device.id, action).await.unwrap();
        let enrolled = async |_| bench.enrollment(&device).await;
        each_fails(&bench, &faults, no(reject), enrolled).await.unwrap();
        let over_est = async |_| est_enrollment(&device);
        each_fails(&bench, &faults, no(reject), over_est).await.unwrap();
        let due = Due::No(reject, Reject::CertificateRevoked);
        let renewed = async |_| renewal(&device.id, &identity);
        each_fails(&bench, &faults, due, renewed).await.unwrap();
        let over_est = async |_| est_renewal(&device.id, &leaf);
        each_fails(&bench, &faults, due, over_est).await.unwrap();
    }
    let stop = "an older database".to_owned();
    crate::issuance::signing::stop(bench.api.issuance.store().as_ref(), stop, bench.api.issuance.now())
        .await
        .unwrap();
    let enrolled = async |_| bench.enrollment(&other).await;
    each_fails(&bench, &faults, no(Reject::SigningStopped), enrolled).await.unwrap();
}

/// What a maker revoked is read anew when there is a newer list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_a_device_that_its_maker_revoked_gets_no_certificate() {
    let (bench, faults) = on(Place::sqlite(), |_| {}).await;
    let device = bench.device("SN-1").await;
    let list = bench.maker.revokes(&device);
    bench.admin.import_maker_crl("Example Maker", &list, &[]).await.unwrap();
    let due = Due::No(Reject::EndorsementRevoked, Reject::EndorsementRevoked);
    let enrolled = async |_| bench.enrollment(&device).await;
    each_fails(&bench, &faults, due, enrolled).await.unwrap();
    let over_est = async |_| est_enrollment(&device);
    each_fails(&bench, &faults, due, over_est).await.unwrap();
}

/// A group with room for one device, which is taken.
async fn full_group(place: Place) -> (ApiBench, Faults, Device) {
    let (bench, faults) = on(place, |config| {
        let policy = config.files.policy_groups.join("lot-7.toml");
        std::fs::write(policy, "[enrollment]\nquota = 1\n").unwrap();
    })
    .await;
    let (first, second) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let group: GroupName = "lot-7".parse().unwrap();
    for device in [&first, &second] {
        let one = Selection::One(device.id.clone());
        bench.admin.label(one, Label::Group(group.clone()), Page::first(1)).await.unwrap();
    }
    let _first = bench.enrolled(&first).await;
    (bench, faults, second)
}

const FULL: Due = Due::No(Reject::QuotaReached, Reject::QuotaReached);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_a_full_group_takes_no_more_devices() {
    Box::pin(places(Place::sqlite())).await;
}

async fn places(place: Place) {
    let (bench, faults, device) = full_group(place).await;
    each_fails(&bench, &faults, FULL, async |_| bench.enrollment(&device).await).await.unwrap();
    each_fails(&bench, &faults, FULL, async |_| est_enrollment(&device)).await.unwrap();
}

/// The planted bug: that the places of the group cannot be counted is taken for room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_a_check_that_is_passed_over_is_found() {
    Box::pin(passed_over(Place::sqlite())).await;
}

async fn passed_over(place: Place) {
    let (bench, faults, device) = full_group(place).await;
    faults.injected.forgive();
    let found = each_fails(&bench, &faults, FULL, async |_| bench.enrollment(&device).await).await;
    assert!(found.unwrap_err().starts_with("given with a fault at "));
    // A device that there is room for is given its certificate too early by the same bug.
    let other = bench.device("SN-3").await;
    let found = each_fails(&bench, &faults, Due::Certificate, async |_| bench.enrollment(&other).await).await;
    assert!(found.unwrap_err().starts_with("given with a fault at "));
}
