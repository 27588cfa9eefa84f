//! One-time tokens.

use appraisal::GroupName;
use shared::{DeviceId, UnixTime};

use super::convert::{optional_device, optional_group, secs, time};
use super::events;
use crate::audit::EventKind;
use crate::store::database::{Connection, Row, params};
use crate::store::{NewEvent, Sha256, StoreError, Token};

/// A token as the issuance needs it.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) device: Option<DeviceId>,
    pub(super) group: Option<GroupName>,
    pub(super) expires: UnixTime,
    pub(super) used_by_key: Option<Sha256>,
    pub(super) revoked: bool,
}

pub(super) fn find(c: &Connection, sha256: &Sha256) -> Result<Option<Found>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM tokens WHERE sha256 = ?")?;
    query.find(params![sha256], |row| {
        Ok(Found {
            id: row.get("id")?,
            device: optional_device(row, "device")?,
            group: optional_group(row)?,
            expires: time(row, "expires")?,
            used_by_key: row.get("used_by_key")?,
            revoked: row.get("revoked")?,
        })
    })
}

pub(super) fn use_up(
    c: &Connection,
    sha256: &Sha256,
    device: &DeviceId,
    key: &Sha256,
) -> Result<(), StoreError> {
    let sql = "UPDATE tokens SET used_by = ?, used_by_key = ? WHERE sha256 = ? AND used_by IS NULL";
    let used = c.prepare_cached(sql)?.execute(params![device.as_str(), key, sha256])?;
    // The decision before has seen to it; a store in which it does not hold is not to be trusted.
    if used == 1 { Ok(()) } else { Err(StoreError::Damaged { field: "used_by" }) }
}

pub(super) fn add(c: &Connection, token: &Token, sha256: &Sha256) -> Result<(), StoreError> {
    let sql = "INSERT INTO tokens (sha256, id, device, device_group, created, expires) \
               VALUES (?, ?, ?, ?, ?, ?)";
    let (created, expires) = (secs(token.created), secs(token.expires));
    let device = token.device.as_ref().map(DeviceId::as_str);
    let group = token.group.as_ref().map(GroupName::as_str);
    c.prepare_cached(sql)?.execute(params![sha256, token.id, device, group, created, expires])?;
    let detail = format!("token {} until {}", token.id, token.expires);
    let event = NewEvent::new(token.created, EventKind::TokenCreated, detail);
    events::add(c, &NewEvent { device: token.device.clone(), ..event })
}

pub(super) fn all(c: &Connection) -> Result<Vec<Token>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM tokens ORDER BY created DESC, id")?;
    query.query_map(params![], token)
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.get("id")?,
        device: optional_device(row, "device")?,
        group: optional_group(row)?,
        created: time(row, "created")?,
        expires: time(row, "expires")?,
        used_by: optional_device(row, "used_by")?,
        revoked: row.get("revoked")?,
    })
}

pub(super) fn revoke(c: &Connection, id: &str, now: UnixTime) -> Result<bool, StoreError> {
    let sql = "UPDATE tokens SET revoked = 1 WHERE id = ?";
    let found = c.prepare_cached(sql)?.execute(params![id])? > 0;
    if found {
        events::add(c, &NewEvent::new(now, EventKind::TokenRevoked, format!("token {id}")))?;
    }
    Ok(found)
}
