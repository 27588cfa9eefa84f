//! The places that a policy's quota leaves to the devices of a group.

use appraisal::GroupName;
use shared::DeviceId;

use crate::authorization::Authorized;
use crate::store::StoreError;
use crate::store::database::{Connection, params};

/// The quota of the policy, where the request would take a place of it: who has an identity already takes no more
/// room with another one.
pub(super) fn wanted(c: &Connection, request: &Authorized) -> Result<Option<u32>, StoreError> {
    let Some(quota) = request.appraised().quota().filter(|_| !request.appraised().is_renewal()) else {
        return Ok(None);
    };
    Ok(if has_place(c, request.device())? { None } else { Some(quota) })
}

/// Whether the quota leaves no room for one more device of the group.
pub(super) fn is_full(c: &Connection, request: &Authorized) -> Result<bool, StoreError> {
    let full = look(c, request);
    #[cfg(test)]
    if crate::store::database::injected::forgives(c) {
        return Ok(full.unwrap_or(false));
    }
    full
}

fn look(c: &Connection, request: &Authorized) -> Result<bool, StoreError> {
    match wanted(c, request)? {
        Some(quota) => Ok(taken(c, &request.basis().group, quota)? >= quota),
        None => Ok(false),
    }
}

/// Who has a place, as the index of those by group has it: a device that has a certificate keeps it while a request of its waits
/// for an operator.
const HOLDERS: &str = "(devices.state = 'held' OR devices.state = 'enrolled' OR devices.state = 'suspended') \
    AND (devices.state <> 'held' OR EXISTS \
    (SELECT 1 FROM certificates live WHERE live.device = devices.device AND live.state = 'issued'))";

/// A suspended device gets nothing, and asks for no place.
fn has_place(c: &Connection, device: &DeviceId) -> Result<bool, StoreError> {
    let sql = format!("SELECT 1 FROM devices WHERE device = ?1 AND {HOLDERS}");
    c.prepare_cached(&sql)?.exists(params![device.as_str()])
}

/// By the index of those few that are open, whose words it repeats.
pub(super) fn taken_text() -> String {
    format!(
        "SELECT count(*) FROM (\
         SELECT devices.device FROM devices WHERE device_group = ?1 AND {HOLDERS} \
         UNION ALL SELECT DISTINCT device FROM certificates CROSS JOIN devices USING (device) \
         WHERE certificates.state IN ('held', 'intent') AND certificates.state = 'intent' \
         AND devices.device_group = ?1 AND NOT ({HOLDERS}) LIMIT ?2) AS holders"
    )
}

/// How many devices of a group hold an identity or are about to; counts no further than `most`.
pub(super) fn taken(c: &Connection, group: &GroupName, most: u32) -> Result<u32, StoreError> {
    let count: i64 =
        c.prepare_cached(&taken_text())?.query_row(params![group.as_str(), most], |row| row.get(0))?;
    u32::try_from(count).map_err(|_| StoreError::Damaged { field: "count" })
}
