//! What lists and OCSP answers are made of.

use ca::crl::Reason;
use ca::{DistributionPoint, Serial};
use shared::UnixTime;

use super::convert::{certificate_state, optional_time, secs, serial, time};
use super::issuers;
use super::read::revocation;
use crate::store::database::{Connection, Row, params};
use crate::store::{
    CertificateState, CertificateStatus, IssuerNumber, Listing, Partition, Partitioning, Revocation,
    RevocationChanges, RevocationState, RevocationsSince, StoreError,
};

/// Most changes in one answer, so that a reader is not kept from others for long.
const AT_ONCE: u32 = 10_000;

/// The list that a new certificate names: the last one of its CA, or the next where that one is full or has another
/// address. `None` stands for lists that are not partitioned.
pub(super) fn place(
    c: &Connection,
    issuer: IssuerNumber,
    not_after: UnixTime,
    partitioning: Option<&Partitioning>,
) -> Result<u32, StoreError> {
    let Some(Partitioning { address, size }) = partitioning else { return Ok(0) };
    let url = |partition| address.of(DistributionPoint { issuer: issuer.get(), partition });
    let sql = "SELECT number, certificates, url FROM crl_partitions \
               WHERE issuer = ? ORDER BY number DESC LIMIT 1";
    let mut query = c.prepare_cached(sql)?;
    let last = query.find(params![issuer.get()], |row| {
        let url: String = row.get("url")?;
        Ok((row.get::<_, u32>("number")?, row.get::<_, u32>("certificates")?, url))
    });
    let number = match last? {
        Some((number, certificates, old)) if certificates < *size && old == url(number) => number,
        Some((number, ..)) => number.saturating_add(1),
        None => 1,
    };
    count_in(c, issuer, number, &url(number), not_after)?;
    Ok(number)
}

/// Counts a certificate that ends at `not_after` in a list with this number and address; the list is made where it is new.
pub(super) fn count_in(
    c: &Connection,
    issuer: IssuerNumber,
    number: u32,
    url: &str,
    not_after: UnixTime,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO crl_partitions (issuer, number, url, certificates, ends) VALUES (?, ?, ?, 1, ?) \
               ON CONFLICT (issuer, number) DO UPDATE \
               SET certificates = crl_partitions.certificates + 1, \
               ends = CASE WHEN crl_partitions.ends < excluded.ends THEN excluded.ends ELSE crl_partitions.ends END";
    c.prepare_cached(sql)?.execute(params![issuer.get(), number, url, secs(not_after)])?;
    Ok(())
}

/// Certificates that are revoked, and those of suspended devices (RFC 5280, section 5.3.1: on hold for as long as the
/// device is suspended, then off the list again). Both by indexes of those few: the join begins with the devices. Then what
/// is no device's.
pub(super) const STATE: &str = "SELECT serial, issuer, crl_partition, not_after, state, revoked, reason, \
     NULL AS held_since FROM certificates WHERE state = 'revoked' AND not_after >= ?1 \
     UNION ALL \
     SELECT serial, issuer, crl_partition, not_after, certificates.state, revoked, reason, \
     devices.changed FROM devices CROSS JOIN certificates USING (device) \
     WHERE devices.state = 'suspended' \
     AND certificates.state = 'issued' AND not_after >= ?1 \
     UNION ALL \
     SELECT serial, issuer, CAST(0 AS BIGINT), not_after, 'revoked', revoked, reason, NULL \
     FROM peer_revocations WHERE not_after >= ?1";

/// What changed after a number, in order.
pub(super) const CHANGES: &str = "SELECT number, changes.serial AS serial, \
     coalesce(certificates.issuer, peers.issuer) AS issuer, coalesce(crl_partition, 0) AS crl_partition, \
     coalesce(certificates.not_after, peers.not_after) AS not_after, \
     coalesce(certificates.state, 'revoked') AS state, \
     coalesce(certificates.revoked, peers.revoked) AS revoked, \
     coalesce(certificates.reason, peers.reason) AS reason, \
     (SELECT changed FROM devices WHERE devices.device = certificates.device \
      AND devices.state = 'suspended') AS held_since \
     FROM revocation_changes AS changes \
     LEFT JOIN certificates ON certificates.serial = changes.serial \
     LEFT JOIN peer_revocations AS peers ON peers.serial = changes.serial \
     WHERE number > ? AND (certificates.serial IS NOT NULL OR peers.serial IS NOT NULL) \
     ORDER BY number LIMIT ?";

/// Everything that is revoked and did not end before `ended_before`, of all CAs.
pub(super) fn state(c: &Connection, ended_before: UnixTime) -> Result<RevocationState, StoreError> {
    // First, so that what changes during the reading is read again and not missed.
    let upto = last_change(c)?;
    let mut query = c.prepare_cached(STATE)?;
    let entries = query.query_map(params![secs(ended_before)], listing)?;
    Ok(RevocationState { upto, entries, partitions: partitions(c, ended_before)? })
}

/// What changed after the change `after`.
pub(super) fn changes(
    c: &Connection,
    after: u64,
    ended_before: UnixTime,
) -> Result<RevocationsSince, StoreError> {
    let after_row = i64::try_from(after).unwrap_or(i64::MAX);
    let mut query = c.prepare_cached("SELECT min(number) FROM revocation_changes")?;
    let oldest: Option<i64> = query.query_row(params![], |row| row.get(0))?;
    if last_change(c)? < after {
        return Ok(RevocationsSince::DatabaseOlder);
    }
    if oldest.is_some_and(|oldest| oldest > after_row.saturating_add(1)) {
        return Ok(RevocationsSince::Forgotten);
    }
    let mut query = c.prepare_cached(CHANGES)?;
    let rows = query.query_map(params![after_row, AT_ONCE], |row| {
        let number: i64 = row.get("number")?;
        Ok((u64::try_from(number).unwrap_or(after), listing(row)?))
    })?;
    let (mut upto, mut changes) = (after, Vec::new());
    for row in rows {
        let (number, listing) = row;
        upto = number;
        changes.push(listing);
    }
    let partitions = partitions(c, ended_before)?;
    Ok(RevocationsSince::Known(RevocationChanges { upto, changes, partitions }))
}

/// How a certificate stands that was issued to a device, or is no device's and revoked; `None` for every other serial number.
pub(super) fn status(c: &Connection, serial: Serial) -> Result<Option<CertificateStatus>, StoreError> {
    let sql = "SELECT serial, issuer, crl_partition, not_after, state, revoked, reason, \
               (SELECT changed FROM devices WHERE devices.device = certificates.device \
                AND devices.state = 'suspended') AS held_since \
               FROM certificates WHERE serial = ? AND state IN ('issued', 'revoked')";
    let mut query = c.prepare_cached(sql)?;
    let found = match query.find(params![serial.as_bytes()], listing)? {
        None => peer(c, serial)?,
        found => found,
    };
    Ok(found.map(|found| CertificateStatus { issuer: found.issuer, revocation: found.revocation }))
}

fn peer(c: &Connection, serial: Serial) -> Result<Option<Listing>, StoreError> {
    let sql = "SELECT serial, issuer, 0 AS crl_partition, not_after, 'revoked' AS state, revoked, reason, \
               NULL AS held_since FROM peer_revocations WHERE serial = ?";
    c.prepare_cached(sql)?.find(params![serial.as_bytes()], listing)
}

fn last_change(c: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'revocation_changes'";
    let last: i64 = c.prepare_cached(sql)?.query_row(params![], |row| row.get(0))?;
    u64::try_from(last).map_err(|_| StoreError::Damaged { field: "seq" })
}

fn partitions(c: &Connection, ended_before: UnixTime) -> Result<Vec<Partition>, StoreError> {
    let sql = "SELECT issuer, number, url, ends FROM crl_partitions WHERE ends >= ? ORDER BY issuer, number";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![secs(ended_before)], |row| {
        let (issuer, ends) = (issuers::number(row, "issuer")?, time(row, "ends")?);
        Ok(Partition { issuer, number: row.get("number")?, url: row.get("url")?, ends })
    })
}

fn listing(row: &Row<'_>) -> Result<Listing, StoreError> {
    let revocation = match certificate_state(row)? {
        CertificateState::Revoked => revocation(row)?,
        CertificateState::Issued => {
            optional_time(row, "held_since")?.map(|at| Revocation { at, reason: Reason::CertificateHold })
        }
        CertificateState::Held | CertificateState::Intent | CertificateState::Voided => None,
    };
    Ok(Listing {
        serial: serial(row)?,
        issuer: issuers::number(row, "issuer")?,
        partition: row.get("crl_partition")?,
        not_after: time(row, "not_after")?,
        revocation,
    })
}
