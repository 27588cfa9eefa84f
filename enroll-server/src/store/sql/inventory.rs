//! Makers and the inventory.

use shared::UnixTime;

use super::convert::{secs, sha256, time};
use super::{events, import, revoke};
use crate::audit::EventKind;
use crate::store::database::{Connection, params};
use crate::store::{ImportReport, InventoryEntry, Maker, NewEvent, RowOutcome, StoreError};

pub(super) fn add_maker(c: &Connection, maker: &Maker) -> Result<Maker, StoreError> {
    if let Some(there) = makers(c)?.into_iter().find(|there| there.sha256 == maker.sha256) {
        return Ok(there);
    }
    let sql = "INSERT INTO makers (sha256, name, der, added) VALUES (?, ?, ?, ?)";
    c.prepare_cached(sql)?.execute(params![maker.sha256, maker.name, maker.der, secs(maker.added)])?;
    revoke::raise(c, "makers")?;
    let detail = format!("{} {}", maker.name, hex::encode(maker.sha256));
    events::add(c, &NewEvent::new(maker.added, EventKind::MakerAdded, detail))?;
    Ok(maker.clone())
}

pub(super) fn makers(c: &Connection) -> Result<Vec<Maker>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM makers ORDER BY name, sha256")?;
    query.query_map(params![], |row| {
        Ok(Maker {
            name: row.get("name")?,
            sha256: sha256(row, "sha256")?,
            added: time(row, "added")?,
            der: row.get("der")?,
        })
    })
}

/// Adds what is new, completes what was unknown, changes nothing that is there.
pub(super) fn import(
    c: &Connection,
    entries: &[InventoryEntry],
    now: UnixTime,
) -> Result<ImportReport, StoreError> {
    let mut report = ImportReport::default();
    for entry in entries {
        match import::row(c, entry, now)? {
            RowOutcome::Added => report.added += 1,
            RowOutcome::Completed => report.completed += 1,
            RowOutcome::Unchanged => report.unchanged += 1,
            RowOutcome::Conflict { .. } => report.conflicting.push(entry.device.to_string()),
        }
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
