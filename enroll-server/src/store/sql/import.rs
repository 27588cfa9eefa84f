//! Inventory rows: new devices, what completes known ones, what contradicts them; and how far a file is.

use shared::UnixTime;

use super::convert::{secs, unsigned};
use super::{events, labels, read};
use crate::audit::EventKind;
use crate::inventory::Position;
use crate::store::database::{Connection, params};
use crate::store::{
    Device, DeviceState, ImportChunk, ImportCounts, ImportState, InventoryEntry, NewEvent, RowOutcome,
    Sha256, StoreError, Tag,
};

/// Stores a chunk and its position.
pub(super) fn chunk(
    c: &Connection,
    chunk: &ImportChunk,
    now: UnixTime,
) -> Result<Vec<RowOutcome>, StoreError> {
    let (mut outcomes, mut counts) = (Vec::with_capacity(chunk.entries.len()), chunk.before);
    for entry in &chunk.entries {
        let outcome = row(c, entry, now)?;
        counts.add(outcome);
        outcomes.push(outcome);
    }
    let sql = "INSERT INTO imports (sha256, started, updated, bytes, lines, added, completed, unchanged, \
               conflicting, bad, finished) VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
               ON CONFLICT (sha256) DO UPDATE SET updated = ?2, bytes = ?3, lines = ?4, added = ?5, \
               completed = ?6, unchanged = ?7, conflicting = ?8, bad = ?9, finished = ?10";
    c.prepare_cached(sql)?.execute(params![
        chunk.file,
        secs(now),
        chunk.at.bytes,
        chunk.at.lines,
        counts.added,
        counts.completed,
        counts.unchanged,
        counts.conflicting,
        counts.bad,
        chunk.finished
    ])?;
    if chunk.finished {
        let ImportCounts { added, completed, unchanged, conflicting, bad } = counts;
        let detail = format!(
            "{added} added, {completed} completed, {unchanged} unchanged, {conflicting} conflicting, {bad} bad; \
             file {}",
            hex::encode(chunk.file)
        );
        events::add(c, &NewEvent::new(now, EventKind::Imported, detail))?;
    }
    Ok(outcomes)
}

/// How far the import of a file is, where one was begun.
pub(super) fn state(c: &Connection, file: &Sha256) -> Result<Option<ImportState>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM imports WHERE sha256 = ?")?;
    query.find(params![file], |row| {
        Ok(ImportState {
            at: Position { bytes: unsigned(row, "bytes")?, lines: unsigned(row, "lines")? },
            counts: ImportCounts {
                added: unsigned(row, "added")?,
                completed: unsigned(row, "completed")?,
                unchanged: unsigned(row, "unchanged")?,
                conflicting: unsigned(row, "conflicting")?,
                bad: unsigned(row, "bad")?,
            },
            finished: row.get("finished")?,
        })
    })
}

/// Adds what is new, completes what was unknown, changes nothing that is there.
pub(super) fn row(c: &Connection, entry: &InventoryEntry, now: UnixTime) -> Result<RowOutcome, StoreError> {
    let sql = "INSERT INTO devices (device, model, idevid_sha256, state, changed, added, device_group) \
               VALUES (?1, ?2, ?3, 'registered', ?4, ?4, coalesce(?5, 'default')) ON CONFLICT DO NOTHING";
    let (name, group) = (entry.device.as_str(), entry.group.as_ref().map(|group| group.as_str()));
    let values = params![name, entry.model, entry.idevid_sha256, secs(now), group];
    if c.prepare_cached(sql)?.execute(values)? == 1 {
        if !entry.tags.is_empty() {
            labels::set_tags(c, &entry.device, &[], &entry.tags)?;
        }
        return Ok(RowOutcome::Added);
    }
    let outcome = preview(c, entry)?;
    if outcome == RowOutcome::Completed {
        let sql = "UPDATE devices SET model = coalesce(model, ?2), idevid_sha256 = coalesce(idevid_sha256, ?3), \
                   device_group = coalesce(?4, device_group) WHERE device = ?1";
        c.prepare_cached(sql)?.execute(params![name, entry.model, entry.idevid_sha256, group])?;
        labels::set_tags(c, &entry.device, &[], &entry.tags)?;
    }
    Ok(outcome)
}

/// What a row would do.
pub(super) fn preview(c: &Connection, entry: &InventoryEntry) -> Result<RowOutcome, StoreError> {
    if let Some(identity) = &entry.idevid_sha256 {
        let sql = "SELECT 1 FROM devices WHERE idevid_sha256 = ? AND device <> ?";
        if c.prepare_cached(sql)?.exists(params![identity, entry.device.as_str()])? {
            let reason = "another device is known with this identity";
            return Ok(RowOutcome::Conflict { column: "idevid_sha256", reason });
        }
    }
    Ok(match read::device(c, &entry.device)? {
        None => RowOutcome::Added,
        Some(there) => compare(&there, entry),
    })
}

fn compare(there: &Device, entry: &InventoryEntry) -> RowOutcome {
    let conflict = |column, reason| RowOutcome::Conflict { column, reason };
    if differ(there.idevid_sha256.as_ref(), entry.idevid_sha256.as_ref()) {
        return conflict("idevid_sha256", "the device is known with another identity");
    }
    if differ(there.model.as_ref(), entry.model.as_ref()) {
        return conflict("model", "the device is known with another model");
    }
    let moves = entry.group.as_ref().is_some_and(|group| *group != there.group);
    // A group decides which policy is for a device: one that has begun its life is moved on purpose only.
    if moves && !(there.group.is_default() && there.state == DeviceState::Registered) {
        return conflict("group", "the device is in another group: move it with device set-group");
    }
    let new: Vec<&Tag> = entry.tags.iter().filter(|tag| !there.tags.contains(tag)).collect();
    if there.tags.len() + new.len() > crate::store::MAX_TAGS {
        return conflict("tags", "the device would have too many tags");
    }
    let completes = there.idevid_sha256.is_none() && entry.idevid_sha256.is_some()
        || there.model.is_none() && entry.model.is_some()
        || moves
        || !new.is_empty();
    if completes { RowOutcome::Completed } else { RowOutcome::Unchanged }
}

/// Whether both are known and not the same.
fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
