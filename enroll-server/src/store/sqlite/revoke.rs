//! Superseded certificates, and numbers that rise with what is revoked.

use ca::Serial;
use ca::crl::Reason;
use rusqlite::{Connection, params};
use shared::{DeviceId, UnixTime};

use super::convert::secs;
use super::events;
use crate::audit::{Actor, EventKind};
use crate::store::{NewEvent, StoreError};

/// Revokes what the certificate `newest` takes the place of: all others of the device, except the one it was
/// renewed with. A device tries the new one before it drops the old, so it may need that once more.
pub(super) fn superseded(
    c: &Connection,
    device: &DeviceId,
    newest: Serial,
    now: UnixTime,
) -> Result<(), StoreError> {
    let sql = "UPDATE certificates SET state = 'revoked', revoked = ?1, reason = ?2 \
               WHERE device = ?3 AND state = 'issued' AND serial <> ?4 \
               AND serial IS NOT (SELECT parent FROM certificates WHERE serial = ?4)";
    let reason = Reason::Superseded;
    let revoked = c.prepare_cached(sql)?.execute(params![
        secs(now),
        reason.name(),
        device.as_str(),
        newest.as_bytes()
    ])?;
    if revoked > 0 {
        raise(c, "revocations")?;
        let detail = format!("{revoked} certificates by serial {newest}");
        events::add(c, &NewEvent::new(now, EventKind::Superseded, detail).about(device).by(Actor::Device))?;
    }
    Ok(())
}

pub(super) fn raise(c: &Connection, counter: &str) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE counters SET value = value + 1 WHERE name = ?")?.execute([counter])?;
    Ok(())
}
