//! What is kept of leaves that were logged: on both databases, enough to make each of them again.

use core::time::Duration;

use ca::Serial;
use ca::crl::Reason;
use shared::UnixTime;

use super::{events, issuers, log};
use crate::audit::EventKind;
use crate::store::database::{Connection, params};
use crate::store::{IssuerNumber, LogStore as _, NewEvent, Place, StoreError, on_both};

/// When the certificate was recorded, and when it was signed.
const RECORDED: UnixTime = UnixTime::from_secs(1_800_000_000);
const SIGNED: UnixTime = UnixTime::from_secs(1_800_000_009);

on_both!(leaves_that_were_logged_are_made_again);

async fn leaves_that_were_logged_are_made_again(place: Place) {
    let store = place.open();
    assert_eq!(store.count_certificates().await.unwrap(), 0);
    store.write(leaves_of_every_kind).await.unwrap();
    let leaves = store.waiting_leaves(0, 100).await.unwrap();
    assert_eq!(leaves.len(), 5);
    assert!(store.advance_log(0, 5, "a checkpoint".to_owned()).await.unwrap());
    assert_eq!(store.waiting_leaves(0, 100).await.unwrap(), leaves);
    assert_eq!(store.waiting_leaves(1, 1).await.unwrap(), leaves[1..2]);
    let kept = store.read(|c| {
        let sql = "SELECT count(*) FROM log_leaves WHERE leaf IS NOT NULL";
        c.prepare_cached(sql)?.query_row(params![], |row| row.get::<_, i64>(0))
    });
    assert_eq!(kept.await.unwrap(), 1, "only the one that was given up");
    assert_eq!(store.count_certificates().await.unwrap(), 1);
}

fn leaves_of_every_kind(c: &Connection) -> Result<(), StoreError> {
    let (serial, other) = (Serial::from_bytes([1; 16]).unwrap(), Serial::from_bytes([2; 16]).unwrap());
    let (issuer, der, later) = (IssuerNumber::first(), [0x30, 0], SIGNED.after(Duration::from_secs(60)));
    issuers::add(c, &[7; 32], &[0x30], RECORDED)?;
    let sql = "INSERT INTO devices (device, state, changed, added) VALUES ('SN-1', 'enrolled', 1, 1)";
    c.execute(sql, params![])?;
    let sql = "INSERT INTO certificates (serial, device, state, point, key_sha256, nonce, not_before, not_after, recorded, \
               issuer, der) VALUES (?1, 'SN-1', 'issued', ?2, ?3, ?3, 1, 2, ?4, 1, ?5)";
    c.execute(sql, params![serial.as_bytes(), [4_u8; 65], [5_u8; 32], RECORDED.as_secs(), der])?;
    log::issued(c, serial, issuer, &der, SIGNED)?;
    events::add(c, &NewEvent::new(SIGNED, EventKind::Issued, "a certificate"))?;
    let sql = "UPDATE certificates SET state = 'revoked', revoked = ?1, reason = 'key-compromise'";
    c.execute(sql, params![later.as_secs()])?;
    log::revoked(c, serial.as_bytes(), issuer, Reason::KeyCompromise, later)?;
    log::discarded(c, other, issuer, &der, later)?;
    events::add(c, &NewEvent::new(later, EventKind::Revoked, "it"))
}
