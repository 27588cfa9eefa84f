//! Groups and tags of devices.

use shared::{DeviceId, UnixTime};

use super::{events, search};
use crate::audit::EventKind;
use crate::store::database::{Connection, params};
use crate::store::{Label, Labelled, MAX_TAGS, NewEvent, Page, Selection, StoreError, Tag};

/// Changes the labels of one page of `selection`.
pub(super) fn put(
    c: &Connection,
    selection: &Selection,
    label: &Label,
    page: &Page,
    now: UnixTime,
) -> Result<Labelled, StoreError> {
    let (selected, next) = search::select(c, selection, None, page)?;
    let mut labelled = Labelled { next, ..Labelled::default() };
    for (device, _) in selected {
        labelled.seen += 1;
        let changed = match label {
            Label::Group(group) => set_group(c, &device, group.as_str())?,
            Label::Add(tags) => match add_tags(c, &device, tags)? {
                Some(added) => added,
                None => {
                    labelled.full.push(device.to_string());
                    continue;
                }
            },
            Label::Remove(tags) => remove_tags(c, &device, tags)?,
        };
        if let Some(detail) = changed {
            labelled.changed += 1;
            events::add(c, &NewEvent::new(now, EventKind::Labelled, detail).about(&device))?;
        }
    }
    Ok(labelled)
}

/// What changed, for the trail; `None` where nothing did.
type Changed = Option<String>;

fn set_group(c: &Connection, device: &DeviceId, group: &str) -> Result<Changed, StoreError> {
    let mut query = c.prepare_cached("SELECT device_group FROM devices WHERE device = ?")?;
    let before: String = query.query_row(params![device.as_str()], |row| row.get(0))?;
    let sql = "UPDATE devices SET device_group = ?2 WHERE device = ?1 AND device_group <> ?2";
    let changed = c.prepare_cached(sql)?.execute(params![device.as_str(), group])? > 0;
    Ok(changed.then(|| format!("from group {before} to {group}")))
}

/// Adds tags to a device. `None`: it would have too many, and has what it had.
pub(super) fn add_tags(
    c: &Connection,
    device: &DeviceId,
    tags: &[Tag],
) -> Result<Option<Changed>, StoreError> {
    let mut query = c.prepare_cached("SELECT tag FROM device_tags WHERE device = ?")?;
    let there: Vec<String> = query.query_map(params![device.as_str()], |row| row.get::<_, String>(0))?;
    let mut new: Vec<&Tag> = tags.iter().filter(|tag| there.iter().all(|old| old != tag.as_str())).collect();
    new.sort_unstable();
    new.dedup();
    if there.len() + new.len() > MAX_TAGS {
        return Ok(None);
    }
    let mut insert = c.prepare_cached("INSERT INTO device_tags (tag, device) VALUES (?, ?)")?;
    for tag in &new {
        insert.execute(params![tag.as_str(), device.as_str()])?;
    }
    Ok(Some((!new.is_empty()).then(|| format!("tags added: {}", list(new)))))
}

fn remove_tags(c: &Connection, device: &DeviceId, tags: &[Tag]) -> Result<Changed, StoreError> {
    let mut delete = c.prepare_cached("DELETE FROM device_tags WHERE tag = ? AND device = ?")?;
    let mut gone = Vec::new();
    for tag in tags {
        if delete.execute(params![tag.as_str(), device.as_str()])? > 0 {
            gone.push(tag);
        }
    }
    Ok((!gone.is_empty()).then(|| format!("tags removed: {}", list(gone))))
}

fn list(tags: Vec<&Tag>) -> String {
    tags.into_iter().map(Tag::as_str).collect::<Vec<_>>().join(" ")
}
