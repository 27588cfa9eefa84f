//! Between columns and domain types. What does not fit is an error, never a default.

use appraisal::GroupName;
use ca::{Serial, Validity};
use shared::{DeviceId, UnixTime};

use crate::store::database::Row;
use crate::store::{CertificateState, DeviceState, Sha256, StoreError};

pub(super) fn secs(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// A number that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| StoreError::Damaged { field: column })
}

pub(super) fn time(row: &Row<'_>, column: &'static str) -> Result<UnixTime, StoreError> {
    unsigned(row, column).map(UnixTime::from_secs)
}

pub(super) fn optional_time(row: &Row<'_>, column: &'static str) -> Result<Option<UnixTime>, StoreError> {
    let there = row.get::<_, Option<i64>>(column)?.is_some();
    if there { time(row, column).map(Some) } else { Ok(None) }
}

pub(super) fn device(row: &Row<'_>, column: &'static str) -> Result<DeviceId, StoreError> {
    let text: String = row.get(column)?;
    DeviceId::new(&text).map_err(|_| StoreError::Damaged { field: column })
}

pub(super) fn optional_device(row: &Row<'_>, column: &'static str) -> Result<Option<DeviceId>, StoreError> {
    let there = row.get::<_, Option<String>>(column)?.is_some();
    if there { device(row, column).map(Some) } else { Ok(None) }
}

pub(super) fn optional_group(row: &Row<'_>) -> Result<Option<GroupName>, StoreError> {
    let found: Option<String> = row.get("device_group")?;
    found.map(|name| name.parse().map_err(|_| StoreError::Damaged { field: "device_group" })).transpose()
}

pub(super) fn serial(row: &Row<'_>) -> Result<Serial, StoreError> {
    Serial::from_bytes(row.get("serial")?).ok_or(StoreError::Damaged { field: "serial" })
}

pub(super) fn validity(row: &Row<'_>) -> Result<Validity, StoreError> {
    Ok(Validity { not_before: time(row, "not_before")?, not_after: time(row, "not_after")? })
}

pub(super) fn sha256(row: &Row<'_>, column: &'static str) -> Result<Sha256, StoreError> {
    row.get(column)
}

pub(super) fn device_state(row: &Row<'_>) -> Result<DeviceState, StoreError> {
    named_device_state(row, "state")
}

/// As [`device_state`], from another column.
pub(super) fn named_device_state(row: &Row<'_>, column: &'static str) -> Result<DeviceState, StoreError> {
    let name: String = row.get(column)?;
    DeviceState::from_name(&name).ok_or(StoreError::Damaged { field: "state" })
}

pub(super) fn certificate_state(row: &Row<'_>) -> Result<CertificateState, StoreError> {
    let name: String = row.get("state")?;
    let found = CertificateState::ALL.into_iter().find(|state| state.name() == name);
    found.ok_or(StoreError::Damaged { field: "state" })
}
