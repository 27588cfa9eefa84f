//! Makers and the inventory.

use rusqlite::{Connection, params};
use shared::UnixTime;

use super::convert::{lift, secs, sha256, time};
use super::{events, read, revoke};
use crate::audit::EventKind;
use crate::store::{ImportReport, InventoryEntry, Maker, NewEvent, StoreError};

pub(super) fn add_maker(c: &Connection, maker: Maker) -> Result<Maker, StoreError> {
    if let Some(there) = makers(c)?.into_iter().find(|there| there.sha256 == maker.sha256) {
        return Ok(there);
    }
    let sql = "INSERT INTO makers (sha256, name, der, added) VALUES (?, ?, ?, ?)";
    c.prepare_cached(sql)?.execute(params![maker.sha256, maker.name, maker.der, secs(maker.added)])?;
    revoke::raise(c, "makers")?;
    let detail = format!("{} {}", maker.name, hex::encode(maker.sha256));
    events::add(c, &NewEvent::new(maker.added, EventKind::MakerAdded, detail))?;
    Ok(maker)
}

pub(super) fn makers(c: &Connection) -> Result<Vec<Maker>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM makers ORDER BY name, sha256")?;
    let rows = query.query_map(
        [],
        lift(|row| {
            Ok(Maker {
                name: row.get("name")?,
                sha256: sha256(row, "sha256")?,
                added: time(row, "added")?,
                der: row.get("der")?,
            })
        }),
    )?;
    rows.map(|row| row?).collect()
}

/// Adds what is new, completes what was unknown, changes nothing that is there.
pub(super) fn import(
    c: &Connection,
    entries: &[InventoryEntry],
    now: UnixTime,
) -> Result<ImportReport, StoreError> {
    let mut report = ImportReport::default();
    for entry in entries {
        import_one(c, entry, now, &mut report)?;
    }
    let detail = format!(
        "{} added, {} completed, {} unchanged, {} conflicting",
        report.added,
        report.completed,
        report.unchanged,
        report.conflicting.len()
    );
    events::add(c, &NewEvent::new(now, EventKind::Imported, detail))?;
    Ok(report)
}

fn import_one(
    c: &Connection,
    entry: &InventoryEntry,
    now: UnixTime,
    report: &mut ImportReport,
) -> Result<(), StoreError> {
    let name = entry.device.as_str();
    let key_elsewhere = match &entry.idevid_sha256 {
        Some(key) => c
            .prepare_cached("SELECT 1 FROM devices WHERE idevid_sha256 = ? AND device <> ?")?
            .exists(params![key, name])?,
        None => false,
    };
    let there = read::device(c, &entry.device)?;
    let differs = there.as_ref().is_some_and(|there| {
        differ(there.idevid_sha256.as_ref(), entry.idevid_sha256.as_ref())
            || differ(there.model.as_ref(), entry.model.as_ref())
    });
    if key_elsewhere || differs {
        report.conflicting.push(name.to_owned());
        return Ok(());
    }
    let Some(there) = there else {
        let sql = "INSERT INTO devices (device, model, idevid_sha256, state, changed, added) \
                   VALUES (?1, ?2, ?3, 'registered', ?4, ?4)";
        c.prepare_cached(sql)?.execute(params![name, entry.model, entry.idevid_sha256, secs(now)])?;
        report.added += 1;
        return Ok(());
    };
    let completes = there.idevid_sha256.is_none() && entry.idevid_sha256.is_some()
        || there.model.is_none() && entry.model.is_some();
    if completes {
        let sql = "UPDATE devices SET model = coalesce(model, ?), \
                   idevid_sha256 = coalesce(idevid_sha256, ?) WHERE device = ?";
        c.prepare_cached(sql)?.execute(params![entry.model, entry.idevid_sha256, name])?;
        report.completed += 1;
    } else {
        report.unchanged += 1;
    }
    Ok(())
}

/// Whether both are known and not the same.
fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
