//! What is written down of a request, and what is not before it is granted.

use shared::message::latest::EnrollRequest;

use super::Outcome;
use super::tests::Bench;
use crate::audit::EventKind;
use crate::kit::{Device, Operational};
use crate::store::Action;

const HOLD: &str = "[enrollment]\nfirst = \"hold\"\n";

impl Bench {
    /// One number of the database, as an operator could read it.
    fn number(&self, sql: &str) -> Option<i64> {
        let raw = rusqlite::Connection::open(&self.config.files.store).unwrap();
        raw.busy_timeout(core::time::Duration::from_secs(5)).unwrap();
        raw.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn body(&self, device: &Device) -> Vec<u8> {
        device.enroll(self.nonce(&device.id), &Operational::new().csr)
    }
}

#[tokio::test]
async fn what_waits_takes_no_place_on_a_revocation_list() {
    let bench = Bench::with(HOLD, |config| {
        config.certificates.crl_url = Some("http://crl.example/{issuer}/{partition}.crl".to_owned());
    })
    .await;
    let device = bench.device("SN-1").await;
    let body = bench.body(&device);
    assert_eq!(bench.send(&body).await.unwrap(), Outcome::Held);
    let placed = "SELECT crl_partition FROM certificates";
    let taken = "SELECT coalesce(sum(certificates), 0) FROM crl_partitions";
    assert_eq!((bench.number(placed), bench.number(taken)), (Some(0), Some(0)));
    bench.admin.act_on(&device.id, Action::Approve).await.unwrap();
    assert!(matches!(bench.send(&body).await.unwrap(), Outcome::Granted(_)));
    assert_eq!((bench.number(placed), bench.number(taken)), (Some(1), Some(1)));
}

#[tokio::test]
async fn an_approval_is_used_up_by_an_enrollment_that_is_granted_and_by_nothing_else() {
    let bench = Bench::new("[enrollment]\nsecond = \"hold\"\n").await;
    let device = bench.device("SN-1").await;
    let identity = bench.enroll(&device).await.unwrap();
    let approved = async || bench.admin.device(&device.id).await.unwrap().approved;
    bench.admin.act_on(&device.id, Action::Approve).await.unwrap();
    bench.renew(&identity).await.unwrap();
    assert!(approved().await, "a renewal has an authority of its own");
    bench.enroll(&device).await.unwrap();
    assert!(!approved().await);
    assert_eq!(bench.send(&bench.body(&device)).await.unwrap(), Outcome::Held);
}

#[tokio::test]
async fn a_request_that_comes_again_says_which_bundle_its_device_holds() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let body = bench.body(&device);
    bench.send(&body).await.unwrap();
    let noted = "SELECT trust_number FROM devices";
    assert_eq!(bench.number(noted), None);
    let ours = bench.number("SELECT max(number) FROM trust_bundles");
    let request = EnrollRequest::decode(&body).unwrap();
    let again = EnrollRequest { trust: ours.and_then(|number| u64::try_from(number).ok()), ..request };
    assert!(again.trust.is_some());
    bench.issuance.enroll(&again).await.unwrap();
    assert_eq!(bench.number(noted), ours);
}

#[tokio::test]
async fn what_is_given_up_is_said_in_the_trail() {
    let bench = Bench::new("").await;
    let device = bench.device("SN-1").await;
    let store = bench.issuance.store();
    bench.enroll(&device).await.unwrap();
    let issued = store.certificates(Some(device.id.clone()), 1).await.unwrap().remove(0).serial;
    store.void(issued, "it is not open".to_owned(), bench.issuance.now()).await.unwrap();
    assert_eq!(bench.events(EventKind::Voided).await, 0, "what was issued is not given up");
    let raw = rusqlite::Connection::open(&bench.config.files.store).unwrap();
    raw.busy_timeout(core::time::Duration::from_secs(5)).unwrap();
    assert_eq!(raw.execute("UPDATE certificates SET state = 'intent', der = NULL", []).unwrap(), 1);
    for _ in 0..2 {
        store.void(issued, "its CA is gone".to_owned(), bench.issuance.now()).await.unwrap();
        assert_eq!(bench.events(EventKind::Voided).await, 1, "once");
    }
    let events = bench.admin.events(100).await.unwrap();
    let event = events.iter().find(|event| event.kind == EventKind::Voided.name()).unwrap();
    assert_eq!(event.detail, format!("serial {issued}: its CA is gone"));
    assert_eq!(event.device.as_deref(), Some("SN-1"));
}
