//! A database that is locked or full, and a server that starts again.

use core::time::Duration;

use ca::crl::Reason;
use shared::{Reject, endpoint};

use crate::kit::device::Operational;
use crate::kit::{Site, assert_refused, issued};

#[tokio::test]
async fn a_locked_database_means_later_and_nothing_is_lost() {
    let site = Site::with(|config| config.busy_retry = Duration::from_secs(11)).await;
    let device = site.device("SN-1").await;
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let holder = rusqlite::Connection::open(&site.config.files.store).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reply = site.tls().post(endpoint::ENROLL, &body).await;
    assert_refused(&reply, Reject::Unavailable);
    assert_eq!(reply.header("retry-after"), Some("11"));
    // What needs no store goes on.
    let _nonce = site.nonce(&device.id).await;
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(site.tls().post(endpoint::ENROLL, &body).await.status, 200, "the same request goes through");
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_database_means_later_and_nothing_is_lost() {
    let mut site = Site::with(|config| config.limits.store_mib = Some(1)).await;
    let early = site.device("EARLY").await;
    let mut waiting = Vec::new();
    for number in 0..20 {
        waiting.push(site.device(&format!("LATE-{number}")).await);
    }
    let early_body = early.enroll(site.nonce(&early.id).await, &Operational::new().csr);
    let early_reply = site.tls().post(endpoint::ENROLL, &early_body).await;
    let mut number = 0;
    loop {
        let lines: String = (number..number + 200).map(|n| format!("FILLER-{n},sensor-a,\n")).collect();
        let csv = format!("device,model,idevid_sha256\n{lines}");
        if site.admin().import_devices(&csv).await.is_err() {
            break;
        }
        number += 200;
        assert!(number < 1_000_000, "never full");
    }
    // Smaller and smaller, until not even one row fits.
    let mut single = 0;
    while site.admin().import_devices(&format!("device,model,idevid_sha256\nX-{single},,\n")).await.is_ok() {
        single += 1;
        assert!(single < 10_000, "never full");
    }
    // The tables of an enrollment have room on their last pages still: a few fit.
    let mut fitted = 0;
    let (late, late_body) = loop {
        let late = waiting.pop().expect("some enrollment does not fit");
        let body = late.enroll(site.nonce(&late.id).await, &Operational::new().csr);
        let reply = site.tls().post(endpoint::ENROLL, &body).await;
        if reply.status != 200 {
            assert_refused(&reply, Reject::Unavailable);
            break (late, body);
        }
        fitted += 1;
    };
    assert!(site.admin().certificates(Some(&late.id)).await.unwrap().iter().all(|c| c.der.is_none()));
    // What was issued is still answered: that only reads.
    let again = site.tls().post(endpoint::ENROLL, &early_body).await;
    assert_eq!(issued(&again.answer()).chain, issued(&early_reply.answer()).chain);

    site.config.limits.store_mib = None;
    site.start().await;
    assert_eq!(site.tls().post(endpoint::ENROLL, &late_body).await.status, 200);
    assert_eq!(site.admin().certificates(None).await.unwrap().len(), fitted + 2);
}

#[tokio::test]
async fn after_a_new_start_everything_is_as_before_and_revoked_stays_revoked() {
    let mut site = Site::new().await;
    let (device, revoked) = (site.device("SN-1").await, site.device("SN-2").await);
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let first = site.tls().post(endpoint::ENROLL, &body).await;
    site.enroll(&revoked).await;
    site.stop().await;
    // While the server is down.
    let admin = site.other_admin();
    admin.revoke(&revoked.id, Reason::KeyCompromise).await.unwrap();
    admin.close().await.unwrap();
    site.start().await;
    assert_eq!(site.server().revocations().borrow().len(), 1, "the very first list has it");
    assert_refused(&site.try_enroll(&revoked).await.0, Reject::DeviceRevoked);
    let again = site.tls().post(endpoint::ENROLL, &body).await;
    assert_eq!(issued(&again.answer()).chain, issued(&first.answer()).chain);
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way() {
    let mut site = Site::new().await;
    let device = site.device("SN-1").await;
    let body = device.enroll(site.nonce(&device.id).await, &Operational::new().csr);
    let tls = site.tls();
    // The store is held for a moment, so that the request is under way when the server is asked to stop.
    let holder = rusqlite::Connection::open(&site.config.files.store).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let request = tokio::spawn(async move { tls.post(endpoint::ENROLL, &body).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let release = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.execute_batch("ROLLBACK").unwrap();
    });
    site.stop().await;
    assert_eq!(request.await.unwrap().status, 200);
    release.await.unwrap();
}

#[tokio::test]
async fn refusals_are_counted_into_the_audit_trail_in_one_row() {
    let mut site = Site::new().await;
    for _ in 0..20 {
        assert_refused(&site.tls().post(endpoint::ENROLL, b"x").await, Reject::MalformedMessage);
    }
    site.stop().await;
    let admin = site.other_admin();
    let events = admin.events(100).await.unwrap();
    let refused: Vec<_> = events.iter().filter(|event| event.kind == "refused").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].detail, "malformed-message: 20");
}
