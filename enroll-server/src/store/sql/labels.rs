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
        let details = match label {
            Label::Group(group) => set_group(c, &device, group.as_str())?.into_iter().collect(),
            Label::Tags { remove, add } => match set_tags(c, &device, remove, add)? {
                Some(details) => details,
                None => {
                    labelled.full.push(device.to_string());
                    continue;
                }
            },
        };
        labelled.changed += u64::from(!details.is_empty());
        for detail in details {
            events::add(c, &NewEvent::new(now, EventKind::Labelled, detail).about(&device))?;
        }
    }
    Ok(labelled)
}

/// What changed, for the trail; `None` where nothing did.
fn set_group(c: &Connection, device: &DeviceId, group: &str) -> Result<Option<String>, StoreError> {
    let mut query = c.prepare_cached("SELECT device_group FROM devices WHERE device = ?")?;
    let before: String = query.query_row(params![device.as_str()], |row| row.get(0))?;
    let sql = "UPDATE devices SET device_group = ?2 WHERE device = ?1 AND device_group <> ?2";
    let changed = c.prepare_cached(sql)?.execute(params![device.as_str(), group])? > 0;
    Ok(changed.then(|| format!("from group {before} to {group}")))
}

/// Takes tags from a device, and gives it others; says what changed, for the trail. `None`: it would have too many, and has
/// what it had.
pub(super) fn set_tags(
    c: &Connection,
    device: &DeviceId,
    remove: &[Tag],
    add: &[Tag],
) -> Result<Option<Vec<String>>, StoreError> {
    let mut query = c.prepare_cached("SELECT tag FROM device_tags WHERE device = ?")?;
    let there: Vec<String> = query.query_map(params![device.as_str()], |row| row.get::<_, String>(0))?;
    let is_there = |tag: &&Tag| there.iter().any(|old| old == tag.as_str());
    let gone = distinct(remove.iter().filter(is_there).filter(|tag| !add.contains(tag)));
    let new = distinct(add.iter().filter(|tag| !is_there(tag)));
    // To take some away is always allowed.
    if !new.is_empty() && there.len() - gone.len() + new.len() > MAX_TAGS {
        return Ok(None);
    }
    for (sql, tags) in [
        ("DELETE FROM device_tags WHERE tag = ? AND device = ?", &gone),
        ("INSERT INTO device_tags (tag, device) VALUES (?, ?)", &new),
    ] {
        let mut change = c.prepare_cached(sql)?;
        for tag in tags {
            change.execute(params![tag.as_str(), device.as_str()])?;
        }
    }
    let told = [("removed", gone), ("added", new)].into_iter().filter(|(_, tags)| !tags.is_empty());
    Ok(Some(told.map(|(how, tags)| format!("tags {how}: {}", list(tags))).collect()))
}

/// Each once, in their order.
fn distinct<'t>(tags: impl Iterator<Item = &'t Tag>) -> Vec<&'t Tag> {
    let mut tags: Vec<_> = tags.collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn list(tags: Vec<&Tag>) -> String {
    tags.into_iter().map(Tag::as_str).collect::<Vec<_>>().join(" ")
}
