//! Registered attestation keys.

use shared::{DeviceId, UnixTime};

use super::convert::{device as device_column, secs, sha256, time};
use super::events;
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
    let mut added = None;
    for key in keys {
        match add_one(c, key, now)? {
            Added::New => {
                report.added += 1;
                added = Some(&key.device);
            }
            Added::Unchanged => report.unchanged += 1,
            Added::Conflict => report.conflicting.push(key.device.to_string()),
        }
    }
    let detail = format!(
        "{} added, {} unchanged, {} conflicting",
        report.added,
        report.unchanged,
        report.conflicting.len()
    );
    let event = NewEvent::new(now, EventKind::AttestationKeysAdded, detail);
    // An event about one device can be found by it.
    let device = added.filter(|_| report.added == 1).cloned();
    events::add(c, &NewEvent { device, ..event })?;
    Ok(report)
}

enum Added {
    New,
    Unchanged,
    Conflict,
}

fn add_one(c: &Connection, key: &NewAttestationKey, now: UnixTime) -> Result<Added, StoreError> {
    let sql = "INSERT INTO attestation_keys (instance, device, spki, maker, model, added) \
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let device = key.device.as_str();
    let values = params![key.instance, device, key.spki, key.maker, key.model, secs(now)];
    if c.prepare_cached(sql)?.execute(values)? == 1 {
        return Ok(Added::New);
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
    let sql = "DELETE FROM attestation_keys WHERE instance = ? RETURNING device";
    let found: Option<String> = c.prepare_cached(sql)?.find(params![instance], |row| row.get("device"))?;
    let Some(found) = found else { return Ok(None) };
    let device = DeviceId::new(&found).map_err(|_| StoreError::Damaged { field: "device" })?;
    let detail = format!("instance {}", hex::encode(instance));
    events::add(c, &NewEvent::new(now, EventKind::AttestationKeyRemoved, detail).about(&device))?;
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
