//! The leaves of the log: each is added in the change that it tells of, so that there is neither without the other.

use ca::Serial;
use ca::crl::Reason;
use shared::UnixTime;
use transparency::Leaf;

use super::convert::unsigned;
use crate::random;
use crate::store::database::{Connection, Row, params};
use crate::store::{CertificateRow, DeviceRow, Event, IssuerNumber, LeafRow, LogHead, Sha256, StoreError};

/// A certificate was signed and is stored.
pub(super) fn issued(
    c: &Connection,
    serial: Serial,
    issuer: IssuerNumber,
    der: &[u8],
    now: UnixTime,
) -> Result<(), StoreError> {
    #[cfg(test)]
    if super::actor::current().actor == crate::audit::Actor::Operator(PLANT.to_owned()) {
        return Ok(());
    }
    let at = now.as_secs();
    let leaf = match issuer_sha256(c, issuer)? {
        Some(issuer) => Some(encoded(&Leaf::Issued { at, issuer, certificate: der })?),
        None => None,
    };
    add(c, "issued", Some(serial.as_bytes()), None, leaf.as_deref())
}

/// A certificate was signed that must not leave the server.
pub(super) fn discarded(
    c: &Connection,
    serial: Serial,
    issuer: IssuerNumber,
    der: &[u8],
    now: UnixTime,
) -> Result<(), StoreError> {
    // Its DER is kept nowhere else, so that it cannot be made up for later.
    let issuer = issuer_sha256(c, issuer)?.ok_or(StoreError::Damaged { field: "issuer" })?;
    let leaf = encoded(&Leaf::Discarded { at: now.as_secs(), issuer, certificate: der })?;
    add(c, "discarded", Some(serial.as_bytes()), None, Some(&leaf))
}

/// A certificate was revoked.
pub(super) fn revoked(
    c: &Connection,
    serial: &[u8; 16],
    issuer: IssuerNumber,
    reason: Reason,
    now: UnixTime,
) -> Result<(), StoreError> {
    let leaf = match issuer_sha256(c, issuer)? {
        Some(issuer) => {
            Some(encoded(&Leaf::Revoked { at: now.as_secs(), issuer, serial, reason: reason.code() })?)
        }
        None => None,
    };
    add(c, "revoked", Some(serial), None, leaf.as_deref())
}

/// The salt of one row of the audit trail. Without it, whoever reads the log could try out what a row says.
pub(super) fn salt() -> Result<[u8; 16], StoreError> {
    let mut salt = [0; 16];
    random::fill(&mut salt).map_err(|_| StoreError::Failed("the random generator failed".to_owned()))?;
    Ok(salt)
}

/// This row was added to the audit trail.
pub(super) fn event(c: &Connection, row: &Event) -> Result<(), StoreError> {
    add(c, "event", None, Some(row.number), Some(&event_leaf(row)?))
}

fn add(
    c: &Connection,
    kind: &str,
    serial: Option<&[u8; 16]>,
    event: Option<u64>,
    leaf: Option<&[u8]>,
) -> Result<(), StoreError> {
    // Not INSERT ... SELECT: a table that it reads and writes, SQLite copies into a temporary one first.
    let sql = "INSERT INTO log_leaves (position, kind, serial, event, leaf) \
               VALUES ((SELECT coalesce(max(position) + 1, 0) FROM log_leaves), ?, ?, ?, ?)";
    c.prepare_cached(sql)?.execute(params![kind, serial, event, leaf])?;
    Ok(())
}

fn encoded(leaf: &Leaf<'_>) -> Result<Vec<u8>, StoreError> {
    leaf.encode().ok_or(StoreError::Damaged { field: "der" })
}

fn issuer_sha256(c: &Connection, issuer: IssuerNumber) -> Result<Option<Sha256>, StoreError> {
    let mut query = c.prepare_cached("SELECT sha256 FROM issuers WHERE number = ?")?;
    query.find(params![issuer.get()], |row| row.get(0))
}

pub(super) fn head(c: &Connection) -> Result<LogHead, StoreError> {
    let sql =
        "SELECT size, note, (SELECT coalesce(max(position) + 1, 0) FROM log_leaves) AS leaves FROM log_head";
    let mut query = c.prepare_cached(sql)?;
    query.query_row(params![], |row| {
        Ok(LogHead { size: unsigned(row, "size")?, note: row.get("note")?, leaves: unsigned(row, "leaves")? })
    })
}

/// The contents of leaves, in their order, without a gap.
pub(super) fn waiting(c: &Connection, from: u64, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql = "SELECT position, kind, serial, event, leaf FROM log_leaves WHERE position >= ? ORDER BY position LIMIT ?";
    let mut query = c.prepare_cached(sql)?;
    let rows = query.query_map(params![from, limit], |row| {
        Ok((leaf_row(row)?, row.get::<_, Option<Vec<u8>>>("leaf")?))
    })?;
    let mut leaves = Vec::with_capacity(rows.len());
    for (expected, (row, leaf)) in (from..).zip(rows) {
        if row.position != expected {
            return Err(StoreError::Damaged { field: "position" });
        }
        leaves.push(match leaf {
            Some(leaf) => leaf,
            None => made_again(c, &row)?,
        });
    }
    Ok(leaves)
}

/// The leaf of something from before the log, or of what stands in its tiles, made from the row it names.
fn made_again(c: &Connection, row: &LeafRow) -> Result<Vec<u8>, StoreError> {
    let damaged = StoreError::Damaged { field: "leaf" };
    match (row.kind.as_str(), &row.serial, row.event) {
        ("event", None, Some(event)) => {
            let mut query = c.prepare_cached("SELECT * FROM events WHERE number = ?")?;
            event_leaf(&query.query_row(params![event], super::events::event_row)?)
        }
        (kind, Some(serial), None) => {
            let logged = changed_at(c, row.position)?;
            let sql = "SELECT recorded, revoked, reason, certificates.der AS der, sha256 FROM certificates \
                       JOIN issuers ON issuers.number = certificates.issuer WHERE serial = ?";
            let mut query = c.prepare_cached(sql)?;
            let leaf = query.find(params![serial], |row| {
                let issuer: Sha256 = row.get("sha256")?;
                let der: Option<Vec<u8>> = row.get("der")?;
                if kind == "issued" {
                    let certificate = der.as_deref().unwrap_or_default();
                    let at = match logged {
                        Some(at) => at,
                        None => unsigned(row, "recorded")?,
                    };
                    return encoded(&Leaf::Issued { at, issuer, certificate });
                }
                let reason: String = row.get("reason")?;
                let reason = Reason::from_name(&reason).ok_or(StoreError::Damaged { field: "reason" })?;
                let at = unsigned(row, "revoked")?;
                encoded(&Leaf::Revoked { at, issuer, serial, reason: reason.code() })
            });
            leaf?.ok_or(damaged)
        }
        _ => Err(damaged),
    }
}

/// When the change was made that a certificate was issued by: its leaf is followed by that of its event, which is of the same
/// change. None where that event is older than the log, or is lost.
fn changed_at(c: &Connection, position: u64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT leaf, (SELECT at FROM events WHERE number = log_leaves.event AND salt IS NOT NULL) AS at \
               FROM log_leaves WHERE position > ? AND kind = 'event' ORDER BY position LIMIT 1";
    let mut query = c.prepare_cached(sql)?;
    let found =
        query.find(params![position], |row| Ok((row.get::<_, Option<Vec<u8>>>("leaf")?, row.get("at")?)))?;
    let Some((leaf, at)) = found else { return Ok(None) };
    let at: Option<i64> = at;
    match leaf {
        // Of a row of the audit trail that is lost, or has another's number.
        Some(leaf) => Ok(Leaf::decode(&leaf).ok().map(|leaf| leaf.at())),
        None => Ok(at.and_then(|at| u64::try_from(at).ok())),
    }
}

fn event_leaf(event: &Event) -> Result<Vec<u8>, StoreError> {
    encoded(&Leaf::Event { at: event.at.as_secs(), number: event.number, commitment: event.commitment() })
}

pub(super) fn advance(c: &Connection, before: u64, size: u64, note: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE log_head SET size = ?1, note = ?2 WHERE size = ?3 AND ?1 >= ?3";
    if c.prepare_cached(sql)?.execute(params![size, note, before])? == 0 {
        return Ok(false);
    }
    // All others can be made again from what they tell of, and have to be where a tile is lost.
    let sql = "UPDATE log_leaves SET leaf = NULL \
               WHERE position >= ? AND position < ? AND leaf IS NOT NULL AND kind <> 'discarded'";
    c.prepare_cached(sql)?.execute(params![before, size])?;
    Ok(true)
}

pub(super) fn rows(c: &Connection, position: u64, limit: u32) -> Result<Vec<LeafRow>, StoreError> {
    let sql =
        "SELECT position, kind, serial, event FROM log_leaves WHERE position >= ? ORDER BY position LIMIT ?";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![position, limit], leaf_row)
}

pub(super) fn of(c: &Connection, serial: Serial) -> Result<Vec<LeafRow>, StoreError> {
    let sql = "SELECT position, kind, serial, event FROM log_leaves WHERE serial = ? ORDER BY position";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![serial.as_bytes()], leaf_row)
}

fn leaf_row(row: &Row<'_>) -> Result<LeafRow, StoreError> {
    let event = row.get::<_, Option<i64>>("event")?;
    Ok(LeafRow {
        position: unsigned(row, "position")?,
        kind: row.get("kind")?,
        serial: row.get("serial")?,
        event: event.map(u64::try_from).transpose().map_err(|_| StoreError::Damaged { field: "event" })?,
    })
}

pub(super) fn certificates(
    c: &Connection,
    after: &[u8],
    limit: u32,
) -> Result<Vec<CertificateRow>, StoreError> {
    let sql = "SELECT serial, device, state, key_sha256, not_before, not_after, certificates.der AS der, revoked, \
               reason, sha256, crl_partition, url FROM certificates \
               LEFT JOIN issuers ON issuers.number = certificates.issuer \
               LEFT JOIN crl_partitions ON crl_partitions.issuer = certificates.issuer \
               AND crl_partitions.number = crl_partition \
               WHERE serial > ? ORDER BY serial LIMIT ?";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![after, limit], |row| {
        Ok(CertificateRow {
            serial: row.get("serial")?,
            device: row.get("device")?,
            state: row.get("state")?,
            key_sha256: row.get("key_sha256")?,
            not_before: row.get("not_before")?,
            not_after: row.get("not_after")?,
            der: row.get("der")?,
            revoked: row.get("revoked")?,
            reason: row.get("reason")?,
            issuer_sha256: row.get("sha256")?,
            crl_partition: row.get("crl_partition")?,
            crl_url: row.get("url")?,
        })
    })
}

pub(super) fn list_addresses(c: &Connection) -> Result<Vec<String>, StoreError> {
    c.prepare_cached("SELECT url FROM crl_partitions")?.query_map(params![], |row| row.get("url"))
}

pub(super) fn devices(c: &Connection, after: &str, limit: u32) -> Result<Vec<DeviceRow>, StoreError> {
    let sql = "SELECT device, state FROM devices WHERE device > ? ORDER BY device LIMIT ?";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![after, limit], |row| {
        Ok(DeviceRow { device: row.get("device")?, state: row.get("state")? })
    })
}

/// From the counts that are kept: with some millions of rows, counting them takes PostgreSQL longer than a statement may.
pub(super) fn count_certificates(c: &Connection) -> Result<u64, StoreError> {
    Ok(super::counts::by_state(c)?.certificates.iter().map(|(_, number)| number).sum())
}

/// Who leaves the leaf of a certificate out: the planted bug that the audit has to find.
#[cfg(test)]
pub(crate) const PLANT: &str = "plant";
