//! Registered attestation keys.

use shared::{DeviceId, UnixTime};

use super::convert::{device as device_column, secs, sha256, time};
use super::{events, grants};
use crate::audit::EventKind;
use crate::store::database::{Connection, Row, params};
use crate::store::{AttestationKey, KeysAdded, NewAttestationKey, NewEvent, Sha256, StoreError};

const SELECT: &str = "SELECT k.*, m.name AS maker_name FROM attestation_keys k \
                      LEFT JOIN makers m ON m.sha256 = k.maker";

pub(super) fn find(c: &Connection, instance: &Sha256) -> Result<Option<AttestationKey>, StoreError> {
    let mut query = c.prepare_cached(&format!("{SELECT} WHERE k.instance = ?"))?;
    query.find(params![instance], key)
}

pub(super) fn all(c: &Connection) -> Result<Vec<AttestationKey>, StoreError> {
    let mut query = c.prepare_cached(&format!("{SELECT} ORDER BY k.device"))?;
    query.query_map(params![], key)
}

/// Adds what is new and changes nothing that is there.
pub(super) fn add(
    c: &Connection,
    keys: &[NewAttestationKey],
    now: UnixTime,
) -> Result<KeysAdded, StoreError> {
    let mut report = KeysAdded::default();
    let (mut added, mut rows) = (None, Vec::new());
    for key in keys {
        match add_one(c, key, now)? {
            Added::New(row) => {
                report.added += 1;
                added = Some(&key.device);
                rows.push(hex::encode(row));
            }
            Added::Unchanged => report.unchanged += 1,
            Added::Conflict => report.conflicting.push(key.device.to_string()),
        }
    }
    // An event about one device can be found by it.
    let device = added.filter(|_| report.added == 1);
    let (unchanged, conflicting) = (report.unchanged, report.conflicting.len());
    if rows.is_empty() {
        say(c, &format!("0 added, {unchanged} unchanged, {conflicting} conflicting"), device, now)?;
    }
    for (place, rows) in rows.chunks(ROWS).enumerate() {
        // What was not added is said once.
        let (unchanged, conflicting) = if place == 0 { (unchanged, conflicting) } else { (0, 0) };
        let (added, rows) = (rows.len(), rows.join(" "));
        let detail = format!("{added} added, {unchanged} unchanged, {conflicting} conflicting; rows {rows}");
        say(c, &detail, device, now)?;
    }
    Ok(report)
}

/// Most rows that one event names, so that it is not too long for a webhook.
const ROWS: usize = 32;

fn say(c: &Connection, detail: &str, device: Option<&DeviceId>, now: UnixTime) -> Result<(), StoreError> {
    let event = NewEvent::new(now, EventKind::AttestationKeysAdded, detail);
    events::add(c, &NewEvent { device: device.cloned(), ..event })
}

enum Added {
    /// With the hash by which an audit knows the row.
    New(Sha256),
    Unchanged,
    Conflict,
}

fn add_one(c: &Connection, key: &NewAttestationKey, now: UnixTime) -> Result<Added, StoreError> {
    let sql = "INSERT INTO attestation_keys (instance, device, spki, maker, model, added) \
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING *";
    let device = key.device.as_str();
    let values = params![key.instance, device, key.spki, key.maker, key.model, secs(now)];
    if let Some(row) = c.prepare_cached(sql)?.find(values, grants::attestation_key)? {
        return Ok(Added::New(row.sha256));
    }
    let same = find(c, &key.instance)?.is_some_and(|there| {
        there.device == key.device
            && there.spki == key.spki
            && there.maker_sha256 == key.maker
            && there.model == key.model
    });
    Ok(if same { Added::Unchanged } else { Added::Conflict })
}

/// Removes a key, and says whose it was.
pub(super) fn remove(
    c: &Connection,
    instance: &Sha256,
    now: UnixTime,
) -> Result<Option<DeviceId>, StoreError> {
    let sql = "DELETE FROM attestation_keys WHERE instance = ? RETURNING *";
    let found = c
        .prepare_cached(sql)?
        .find(params![instance], |row| Ok((grants::attestation_key(row)?, device_column(row, "device")?)));
    let Some((row, device)) = found? else { return Ok(None) };
    events::add(c, &NewEvent::new(now, EventKind::AttestationKeyRemoved, row.said()).about(&device))?;
    Ok(Some(device))
}

fn key(row: &Row<'_>) -> Result<AttestationKey, StoreError> {
    Ok(AttestationKey {
        instance: sha256(row, "instance")?,
        device: device_column(row, "device")?,
        spki: row.get("spki")?,
        maker: row.get("maker_name")?,
        maker_sha256: row.get("maker")?,
        model: row.get("model")?,
        added: time(row, "added")?,
    })
}
