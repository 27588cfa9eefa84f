//! The server's clock is years off, or moves in the middle of an issuance: no certificate leaves the life of its CA, and with
//! the right clock everybody gets on.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use shared::message::latest::RenewRequest;
use shared::{Reject, UnixTime};

use super::outage_tests::out_of_reach;
use super::tests::{Bench, DAY, Identity};
use super::{Denied, Outcome, Recovered, chain};
use crate::clock::{Clock as _, SettableClock};
use crate::failpoint::{Failpoint, Hook};
use crate::kit::{Device, Operational};
use crate::store::CertificateState;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const TEN_YEARS: Duration = Duration::from_secs(3_653 * 86_400);

/// Times that the clock of a server can show which is set right later: as after 1970 without a battery, and ten years off.
fn wrong(now: UnixTime) -> [UnixTime; 3] {
    [UnixTime::from_secs(0), now.before(TEN_YEARS), now.after(TEN_YEARS)]
}

/// Every certificate that was ever signed lies within the life of the CA, and was not given before it could be used.
async fn within_the_ca(bench: &Bench) {
    let ca = bench.issuance.authorities().issuer().certificate().validity();
    for row in bench.admin.certificates(None).await.unwrap() {
        assert!(ca.not_before <= row.not_before && row.not_after <= ca.not_after, "{row:?} leaves {ca:?}");
        assert!(row.not_before < row.not_after, "{row:?}");
    }
}

#[track_caller]
fn later(outcome: Result<impl core::fmt::Debug, Denied>, now: UnixTime) {
    let denied = outcome.unwrap_err();
    assert_eq!(denied.reject(), Reject::Unavailable, "{denied}");
    // It says what is wrong: the times by which it went.
    assert!(chain(&denied).contains(&format!("at {now} it signs nothing")), "{}", chain(&denied));
}

#[tokio::test]
async fn a_clock_that_is_ten_years_off_gives_no_certificate_and_the_right_one_does() {
    let bench = Bench::new("[renewal]\ngrace_days = 365\n").await;
    let right = bench.clock.now().after(DAY);
    bench.clock.set(right);
    let device = bench.device("SN-1").await;
    let mut identity = bench.enroll(&device).await.unwrap();
    for now in wrong(right) {
        bench.clock.set(now);
        later(bench.enroll(&device).await, now);
        // By this clock its end may be long ago: that is not told, as the device would believe it.
        later(bench.renew(&identity).await, now);
        // What it was told then does it no harm.
        let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
        later(bench.send(&body).await, now);
        bench.clock.set(right);
        identity = bench.renew(&identity).await.unwrap();
        identity = bench.renew(&identity).await.unwrap();
        bench.enroll(&bench.device(&format!("NEW-{now}").replace([':', '-', '+'], "")).await).await.unwrap();
    }
    within_the_ca(&bench).await;
    assert_eq!(identity.0.not_after(), right.after(90 * DAY));
    assert!(bench.issuance.store().open_intents().await.unwrap().is_empty());
}

/// A clock that is off and still within the life of the CA cannot be known to be: what it gives ends within that life, is over
/// or not begun by the right clock, and is in nobody's way then.
#[tokio::test]
async fn a_clock_that_is_years_off_within_the_life_of_the_ca_costs_an_enrollment() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let right = bench.clock.now().after(3 * YEAR);
    for now in [right.before(2 * YEAR), right.after(5 * YEAR), right.after(7 * YEAR).before(DAY)] {
        bench.clock.set(now);
        let off = bench.enroll(&device).await.unwrap();
        let off = bench.renew(&off).await.unwrap();
        bench.clock.set(right);
        let good = bench.enroll(&device).await.unwrap();
        assert_eq!(good.0.not_after(), right.after(90 * DAY));
        assert_eq!(bench.renew(&off).await.unwrap_err().reject(), Reject::CertificateRevoked);
        bench.renew(&good).await.unwrap();
    }
    within_the_ca(&bench).await;
}

/// The clock jumps between the intent and the signature, to this time.
async fn jumping() -> (Bench, Arc<AtomicU64>) {
    let (to, clock) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(OnceLock::<SettableClock>::new()));
    let hook = {
        let (to, clock) = (Arc::clone(&to), Arc::clone(&clock));
        Hook::new(move |place| {
            let secs = to.load(Ordering::SeqCst);
            if matches!(place, Failpoint::Recorded(_)) && secs != u64::MAX {
                clock.get().unwrap().set(UnixTime::from_secs(secs));
            }
        })
    };
    let bench = Bench::hooked("", |_| {}, hook).await;
    clock.set(bench.clock.clone()).unwrap();
    (bench, to)
}

#[tokio::test]
async fn a_clock_that_jumps_between_intent_and_certificate_changes_nothing_of_it() {
    let (bench, to) = jumping().await;
    let right = bench.clock.now().after(DAY);
    bench.clock.set(right);
    for (number, now) in wrong(right).into_iter().enumerate() {
        let device = bench.device(&format!("SN-{number}")).await;
        let key = Operational::new();
        let body = device.enroll(bench.nonce(&device.id), &key.csr);
        to.store(now.as_secs(), Ordering::SeqCst);
        let first = Identity::of(&bench.send(&body).await.unwrap());
        assert_eq!((bench.clock.now(), first.0.not_after()), (now, right.after(90 * DAY)));
        bench.clock.set(right);
        let renewal = Operational::new();
        let second = bench.renew_with(&first, &renewal.csr).await.unwrap();
        assert_eq!((bench.clock.now(), second.0.not_after()), (now, right.after(90 * DAY)));
        to.store(u64::MAX, Ordering::SeqCst);
        bench.clock.set(right);
        assert_eq!(bench.renew_with(&first, &renewal.csr).await.unwrap(), second);
        assert_eq!(bench.states(&device.id).await.len(), 2);
    }
    within_the_ca(&bench).await;
}

/// What was left open is taken up where the clock is right again, and not given up where it never was.
#[tokio::test]
async fn a_start_before_the_life_of_the_ca_gives_nothing_up() {
    let bench = Bench::new("").await;
    let right = bench.clock.now();
    let device = bench.device("SN-1").await;
    let reachable = out_of_reach(&bench.config, &bench.issuance);
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    assert_eq!(bench.send(&body).await.unwrap_err().reject(), Reject::Unavailable);
    reachable.store(true, Ordering::SeqCst);
    for now in [UnixTime::from_secs(0), right.before(TEN_YEARS)] {
        bench.clock.set(now);
        let recovered = bench.issuance.recover().await.unwrap();
        assert_eq!(recovered, Recovered { left: 1, ..Recovered::default() });
        later(bench.send(&body).await, now);
    }
    bench.clock.set(right);
    let outcome = bench.send(&body).await.unwrap();
    assert!(matches!(outcome, Outcome::Granted(_)), "the same request goes through");
    assert_eq!(bench.states(&device.id).await, [CertificateState::Issued]);
}

/// An intent of a clock that was years ahead: its certificate could not be used for years. The device is not told to wait for
/// that.
#[tokio::test]
async fn what_was_recorded_by_a_clock_that_was_ahead_is_given_up_and_a_new_request_gets_on() {
    let bench = Bench::new("").await;
    let right = bench.clock.now();
    let (device, renewing) = (bench.device("SN-1").await, bench.device("SN-2").await);
    let reachable = out_of_reach(&bench.config, &bench.issuance);
    bench.clock.set(right.after(5 * YEAR));
    let body = device.enroll(bench.nonce(&device.id), &Operational::new().csr);
    assert_eq!(bench.send(&body).await.unwrap_err().reject(), Reject::Unavailable);
    bench.clock.set(right);
    reachable.store(true, Ordering::SeqCst);
    assert_eq!(bench.send(&body).await.unwrap_err().reject(), Reject::Unavailable);
    let told = bench.send(&body).await.unwrap_err().reject();
    assert_eq!(told, Reject::UsedNonce, "with a new nonce it gets on");
    let identity = bench.enroll(&device).await.unwrap();
    assert_eq!(identity.0.not_after(), right.after(90 * DAY));

    // A renewal likewise.
    let first = bench.enroll(&renewing).await.unwrap();
    let body = Device::renew(&renewing.id, &Operational::new().csr);
    let send = async || bench.issuance.renew(&RenewRequest::decode(&body).unwrap(), Some(&first.0)).await;
    reachable.store(false, Ordering::SeqCst);
    bench.clock.set(right.after(60 * DAY));
    assert_eq!(send().await.unwrap_err().reject(), Reject::Unavailable);
    bench.clock.set(right);
    reachable.store(true, Ordering::SeqCst);
    assert_eq!(send().await.unwrap_err().reject(), Reject::Unavailable);
    assert_eq!(send().await.unwrap_err().reject(), Reject::KeyReused, "with a new key it gets on");
    bench.renew(&first).await.unwrap();
    within_the_ca(&bench).await;
}
