//! Superseded certificates, those that are no device's, and numbers that rise with what is revoked.

use ca::Serial;
use ca::crl::Reason;
use shared::{DeviceId, UnixTime};

use super::convert::secs;
use super::{events, issuers, log};
use crate::audit::{Actor, EventKind};
use crate::store::database::{Bind, Connection, params};
use crate::store::{NewEvent, Revocation, RevokedPeer, StoreError};

/// Revokes what the certificate `newest` takes the place of: all others of the device, except the one it was
/// renewed with. A device tries the new one before it drops the old, so it may need that once more.
pub(super) fn superseded(
    c: &Connection,
    device: &DeviceId,
    newest: Serial,
    now: UnixTime,
) -> Result<(), StoreError> {
    let others =
        "serial <> ?4 AND serial IS DISTINCT FROM (SELECT parent FROM certificates WHERE serial = ?4)";
    let revoked = revoke(c, device, others, newest.as_bytes(), Reason::Superseded, now)?;
    if revoked > 0 {
        raise(c, "revocations")?;
        let detail = format!("{revoked} certificates by serial {newest}");
        events::add(c, &NewEvent::new(now, EventKind::Superseded, detail).about(device).by(Actor::Device))?;
    }
    Ok(())
}

/// Revokes the certificate that `shown` was renewed with: the device goes by `shown`, and has erased the other's key.
pub(super) fn renewed_with(
    c: &Connection,
    device: &DeviceId,
    shown: Serial,
    now: UnixTime,
) -> Result<(), StoreError> {
    let parent = "serial = (SELECT parent FROM certificates WHERE serial = ?4 AND state = 'issued')";
    let revoked = revoke(c, device, parent, shown.as_bytes(), Reason::Superseded, now)?;
    if revoked > 0 {
        raise(c, "revocations")?;
        let detail = format!("the certificate that {shown} was renewed with");
        events::add(c, &NewEvent::new(now, EventKind::Superseded, detail).about(device).by(Actor::Device))?;
    }
    Ok(())
}

/// Revokes all certificates of a device. Gives their number.
pub(super) fn all(
    c: &Connection,
    device: &DeviceId,
    reason: Reason,
    now: UnixTime,
) -> Result<usize, StoreError> {
    revoke(c, device, "?4 IS NULL", &None::<&[u8]>, reason, now)
}

/// Revokes a certificate that is no device's. It has no leaf in the log, which has no such certificate; its event has one.
pub(super) fn peer(c: &Connection, peer: &RevokedPeer) -> Result<bool, StoreError> {
    let Revocation { at, reason } = peer.revocation;
    let is_new = list_peer(c, peer)?;
    if is_new {
        let detail = format!("serial {} until {}: {}", peer.serial, peer.not_after, peer.subject);
        events::add(c, &NewEvent::new(at, EventKind::PeerRevoked, detail).because(reason.name()))?;
    }
    Ok(is_new)
}

/// Puts a certificate that is no device's on the complete list of its CA; `false` where it is there already.
pub(super) fn list_peer(c: &Connection, peer: &RevokedPeer) -> Result<bool, StoreError> {
    let RevokedPeer { serial, issuer, not_after, subject, revocation: Revocation { at, reason } } = peer;
    let sql = "INSERT INTO peer_revocations (serial, issuer, not_after, subject, revoked, reason) \
               VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (serial) DO NOTHING";
    let (not_after, at) = (secs(*not_after), secs(*at));
    let row = params![serial.as_bytes(), issuer.get(), not_after, subject, at, reason.name()];
    if c.prepare_cached(sql)?.execute(row)? == 0 {
        return Ok(false);
    }
    // Not by a trigger: a move to PostgreSQL writes both tables as they are.
    let sql = "INSERT INTO revocation_changes (serial) VALUES (?)";
    c.prepare_cached(sql)?.execute(params![serial.as_bytes()])?;
    raise(c, "revocations")?;
    Ok(true)
}

/// Of one device.
pub(super) const IN_FORCE: &str = "UPDATE certificates SET state = 'revoked', revoked = ?1, reason = ?2 \
    WHERE device = ?3 AND state = 'issued'";

/// Revokes those certificates of a device that are in force and fulfil `condition`, a text of this file in which ?4
/// stands for `value`; each gets its leaf in the log.
fn revoke(
    c: &Connection,
    device: &DeviceId,
    condition: &str,
    value: &impl Bind,
    reason: Reason,
    now: UnixTime,
) -> Result<usize, StoreError> {
    let sql = format!("{IN_FORCE} AND {condition} RETURNING serial, issuer");
    let mut query = c.prepare_cached(&sql)?;
    let mut revoked = query.query_map(params![secs(now), reason.name(), device.as_str(), value], |row| {
        Ok((row.get::<_, [u8; 16]>("serial")?, issuers::number(row, "issuer")?))
    })?;
    // In which order rows are given back is not said.
    revoked.sort_unstable_by_key(|(serial, _)| *serial);
    for (serial, issuer) in &revoked {
        log::revoked(c, serial, *issuer, reason, now)?;
    }
    Ok(revoked.len())
}

pub(super) fn raise(c: &Connection, counter: &str) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE counters SET value = value + 1 WHERE name = ?")?.execute(params![counter])?;
    Ok(())
}
