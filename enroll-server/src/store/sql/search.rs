//! Devices and held requests, looked for and given page by page.

use shared::DeviceId;

use super::convert::{device as device_column, secs, serial, sha256, time};
use super::read;
use crate::store::database::{Bind, Connection, Row};
use crate::store::{
    DeviceFilter, DevicePage, DeviceState, Find, HeldPage, HeldRequest, Page, Selection, StoreError,
};

/// Most rows of a page.
pub(super) const MAX_PAGE: u32 = 1_000;

/// A condition with its values. The text is made of this file's own words; what a caller gives is bound.
#[derive(Default)]
pub(super) struct Conditions {
    text: String,
    values: Vec<Box<dyn Bind>>,
}

impl Conditions {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Box<dyn Bind>>) {
        self.text.push_str(if self.text.is_empty() { "WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.values.extend(values);
    }

    fn text(&mut self, condition: &str, value: impl Into<String>) {
        self.and(condition, [Box::new(value.into()) as Box<dyn Bind>]);
    }

    /// The devices of a selection; the query has the columns of `devices`.
    pub(super) fn selection(&mut self, selection: &Selection) {
        match selection {
            Selection::One(device) => self.text("device = ?", device.as_str()),
            Selection::Request(device, serial) => {
                self.text("device = ?", device.as_str());
                let waits = "device IN (SELECT device FROM certificates WHERE serial = ? AND state = 'held')";
                self.and(waits, [Box::new(serial.as_bytes().to_vec()) as Box<dyn Bind>]);
            }
            Selection::Group(group) => self.text("device_group = ?", group.as_str()),
            Selection::Tag(tag) => {
                self.text("device IN (SELECT device FROM device_tags WHERE tag = ?)", tag.as_str());
            }
            Selection::All => {}
        }
    }

    /// Those behind the page before.
    pub(super) fn after(&mut self, page: &Page) {
        if let Some(after) = &page.after {
            self.text("device > ?", after.as_str());
        }
    }

    pub(super) fn select<T>(
        mut self,
        c: &Connection,
        from: &str,
        order: &str,
        limit: u32,
        row: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.values.push(Box::new(limit));
        let mut query = c.prepare_cached(&format!("{from} {} ORDER BY {order} LIMIT ?", self.text))?;
        let values: Vec<&dyn Bind> = self.values.iter().map(AsRef::as_ref).collect();
        query.query_map(values.as_slice(), row)
    }
}

pub(super) fn devices(c: &Connection, filter: &DeviceFilter, page: &Page) -> Result<DevicePage, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let mut conditions = Conditions::default();
    match filter.state {
        // As literals, so that the index of the rare states serves.
        Some(
            state
            @ (DeviceState::Held | DeviceState::Suspended | DeviceState::Revoked | DeviceState::Retired),
        ) => conditions.and(&format!("state = '{}'", state.name()), []),
        Some(state) => conditions.text("state = ?", state.name()),
        None => {}
    }
    if let Some(group) = &filter.group {
        conditions.text("device_group = ?", group.as_str());
    }
    if let Some(model) = &filter.model {
        conditions.text("model = ?", model);
    }
    for tag in &filter.tags {
        conditions.text("device IN (SELECT device FROM device_tags WHERE tag = ?)", tag.as_str());
    }
    if let Some(prefix) = &filter.prefix {
        conditions.text("device >= ?", prefix);
        // Identifiers are ASCII: nothing that begins so comes after this.
        conditions.text("device < ?", format!("{prefix}\u{7f}"));
    }
    if let Some(find) = &filter.find {
        identities(&mut conditions, find);
    }
    if let Some(end) = filter.expires_before {
        let end = secs(end);
        conditions.and(EXPIRING, [Box::new(end) as Box<dyn Bind>, Box::new(end)]);
    }
    if let Some(after) = &page.after {
        conditions.text("device > ?", after.as_str());
    }
    let mut devices = conditions.select(c, read::DEVICES, "device", limit + 1, read::device_row)?;
    let next = cut(&mut devices, limit, |device| device.device.clone());
    Ok(DevicePage { devices, next })
}

/// With a certificate that ends before a time, and none that does not. Out of the index of certificates in force, CA by CA: what is
/// read are those that end before.
pub(super) const EXPIRING: &str = "device IN (SELECT device FROM certificates WHERE state = 'issued' \
    AND issuer IN (SELECT number FROM issuers) AND not_after < ?) \
    AND NOT EXISTS (SELECT 1 FROM certificates later WHERE later.device = devices.device \
    AND later.state = 'issued' AND later.not_after >= ?)";

fn identities(conditions: &mut Conditions, find: &Find) {
    let escaped: String = find
        .as_str()
        .chars()
        .flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c]))
        .collect();
    let pattern = format!("%{escaped}%");
    let mut any = vec![
        "device LIKE ? ESCAPE '\\'",
        "model LIKE ? ESCAPE '\\'",
        "device_group LIKE ? ESCAPE '\\'",
        "device IN (SELECT device FROM device_tags WHERE tag LIKE ? ESCAPE '\\')",
    ];
    let mut values: Vec<Box<dyn Bind>> =
        any.iter().map(|_| Box::new(pattern.clone()) as Box<dyn Bind>).collect();
    if let Some((low, high)) = find.range() {
        // SQLite orders blobs by their bytes, as hashes and serial numbers are ordered.
        let high = high.unwrap_or_else(|| vec![0xff; 33]);
        for condition in [
            "idevid_sha256 >= ? AND idevid_sha256 < ?",
            "device IN (SELECT device FROM certificates WHERE serial >= ? AND serial < ?)",
            "device IN (SELECT device FROM certificates WHERE key_sha256 >= ? AND key_sha256 < ?)",
        ] {
            any.push(condition);
            values.push(Box::new(low.clone()));
            values.push(Box::new(high.clone()));
        }
    }
    conditions.and(&format!("({})", any.join(" OR ")), values);
}

pub(super) fn held(
    c: &Connection,
    selection: Option<&Selection>,
    page: &Page,
) -> Result<HeldPage, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let mut conditions = Conditions::default();
    conditions.and("certificates.state = 'held'", []);
    if let Some(selection) = selection {
        conditions.selection(selection);
    }
    conditions.after(page);
    let from = "SELECT device, device_group, serial, key_sha256, recorded, shown, approval, denied \
                FROM certificates JOIN devices USING (device)";
    let mut requests = conditions.select(c, from, "device", limit + 1, request)?;
    let next = cut(&mut requests, limit, |request| request.device.clone());
    Ok(HeldPage { requests, next })
}

fn request(row: &Row<'_>) -> Result<HeldRequest, StoreError> {
    let shown: Option<String> = row.get("shown")?;
    let shown = shown.map(|text| serde_json::from_str(&text)).transpose();
    Ok(HeldRequest {
        device: device_column(row, "device")?,
        group: read::group(row)?,
        serial: serial(row)?,
        key_sha256: sha256(row, "key_sha256")?,
        since: time(row, "recorded")?,
        approved: read::is_approved(row)?,
        shown: shown.map_err(|_| StoreError::Damaged { field: "shown" })?.unwrap_or_default(),
    })
}

/// Cuts what was read, which is one row more than a page if there are so many, to a page. Gives the last row's device
/// where another page follows: that one begins behind it.
pub(super) fn cut<T, D>(rows: &mut Vec<T>, limit: u32, device: impl Fn(&T) -> D) -> Option<D> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    rows.last().filter(|_| more).map(device)
}

/// Devices with their states, and where the next page begins.
type Selected = (Vec<(DeviceId, DeviceState)>, Option<DeviceId>);

/// One page of a selection's devices, and where the next one begins.
pub(super) fn select(
    c: &Connection,
    selection: &Selection,
    only: Option<DeviceState>,
    page: &Page,
) -> Result<Selected, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let mut conditions = Conditions::default();
    conditions.selection(selection);
    if let Some(state) = only {
        conditions.text("state = ?", state.name());
    }
    conditions.after(page);
    let from = "SELECT device, state FROM devices";
    let mut selected = conditions.select(c, from, "device", limit + 1, |row| {
        Ok((device_column(row, "device")?, super::convert::device_state(row)?))
    })?;
    let next = cut(&mut selected, limit, |(device, _)| device.clone());
    Ok((selected, next))
}
