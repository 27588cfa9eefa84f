//! Completing an intent with the certificate that was signed, and giving it up: each runs inside one change of the writer.

use appraisal::record::rule;
use ca::{RecordedIntent as _, Serial};
use shared::{DeviceId, UnixTime};

use super::convert::{certificate_state, device as device_column, named_device_state, time};
use super::{actions, events, log, read, renewals, revoke};
use crate::audit::{Actor, EventKind};
use crate::intent_key::NotOurs;
use crate::store::database::{Connection, params};
use crate::store::{
    CertificateState, Completed, DeviceState, Move, NewEvent, Recorded, Sha256, Standing, StoreError, Via,
};

pub(super) fn complete(
    c: &Connection,
    intent: &Recorded,
    der: &[u8],
    now: UnixTime,
) -> Result<Completed, StoreError> {
    let (serial, device) = (intent.serial(), intent.device());
    let found = asked(c, serial, device)?;
    let from = found.from;
    match found.state {
        Some(CertificateState::Intent) => {}
        Some(CertificateState::Issued) => {
            return found.der.map(Completed::Issued).ok_or(StoreError::Damaged { field: "der" });
        }
        // It was signed: the log says so, and that nobody got it.
        Some(_) => {
            log::discarded(c, serial, intent.issuer(), der, now)?;
            return Ok(Completed::Voided(from));
        }
        None => return Ok(Completed::Voided(from)),
    }
    // Whoever takes a device out of service voids its intents too; this holds even where that was forgotten.
    let Ok(step) = Move::Issue.check(device, from) else {
        void(c, serial, "its device was taken out of service", now)?;
        log::discarded(c, serial, intent.issuer(), der, now)?;
        return Ok(Completed::Voided(from));
    };
    let sql = "UPDATE certificates SET state = 'issued', der = ?, intent_mac = NULL WHERE serial = ?";
    c.prepare_cached(sql)?.execute(params![der, serial.as_bytes()])?;
    log::issued(c, serial, intent.issuer(), der, now)?;
    if found.others {
        revoke::superseded(c, device, serial, now)?;
    }
    if found.open {
        give_up_others(c, device, serial, now)?;
    }
    let to = step.to(Standing { request: found.request, certificate: true });
    actions::grant(c, device, (from, to), intent.trust(), now)?;
    let mut detail = format!("serial {serial} until {}", intent.validity().not_after);
    if found.via != Via::Native {
        detail = format!("{detail}, {}", found.via.phrase());
    }
    let mut event = NewEvent::new(now, EventKind::Issued, detail).about(device).by(Actor::Device);
    if renewals::forget(c, device)? {
        event = event.because(EventKind::RenewalWanted.name());
    }
    events::add(c, &event.on(found.evidence_sha256))?;
    if found.is_renewal {
        note_grace(c, device, serial, now)?;
    }
    Ok(Completed::Issued(der.to_vec()))
}

/// What a certificate that was signed meets in the store.
struct Awaited {
    /// The device's state.
    from: DeviceState,
    /// A request of the device waits for an operator.
    request: bool,
    /// The device has certificates in force.
    others: bool,
    /// Other requests of the device were recorded, and came to no end.
    open: bool,
    /// The state of what was asked for, if it was.
    state: Option<CertificateState>,
    /// The certificate, where it was signed and stored before.
    der: Option<Vec<u8>>,
    is_renewal: bool,
    via: Via,
    evidence_sha256: Option<Sha256>,
}

pub(super) const ASKED: &str = "SELECT devices.state AS device_state, asked.state AS state, via, evidence, der, \
    parent IS NOT NULL AS is_renewal, \
    EXISTS (SELECT 1 FROM certificates WHERE device = ?2 AND state = 'held') AS request, \
    EXISTS (SELECT 1 FROM certificates WHERE device = ?2 AND state = 'issued') AS others, \
    EXISTS (SELECT 1 FROM certificates WHERE device = ?2 AND state = 'intent' AND serial <> ?1) AS open \
    FROM devices LEFT JOIN certificates AS asked ON asked.serial = ?1 WHERE devices.device = ?2";

fn asked(c: &Connection, serial: Serial, device: &DeviceId) -> Result<Awaited, StoreError> {
    let mut query = c.prepare_cached(ASKED)?;
    let row = query.find(params![serial.as_bytes(), device.as_str()], |row| {
        let there = row.get::<_, Option<String>>("state")?.is_some();
        Ok(Awaited {
            from: named_device_state(row, "device_state")?,
            request: row.get("request")?,
            others: row.get("others")?,
            open: row.get("open")?,
            state: there.then(|| certificate_state(row)).transpose()?,
            der: row.get("der")?,
            is_renewal: row.get("is_renewal")?,
            via: if there { read::via(row)? } else { Via::Native },
            evidence_sha256: row.get::<_, Option<Vec<u8>>>("evidence")?.and_then(|body| events::hash(&body)),
        })
    });
    row?.ok_or(StoreError::Damaged { field: "device" })
}

/// Says in the trail that a certificate was renewed after its end: the policy's grace allowed it.
fn note_grace(c: &Connection, device: &DeviceId, serial: Serial, now: UnixTime) -> Result<(), StoreError> {
    let sql = "SELECT old.serial AS serial, old.not_after AS ended, new.recorded AS renewed \
               FROM certificates new JOIN certificates old ON old.serial = new.parent \
               WHERE new.serial = ? AND old.not_after < new.recorded";
    let mut query = c.prepare_cached(sql)?;
    let row = query.find(params![serial.as_bytes()], |row| {
        Ok((super::convert::serial(row)?, time(row, "ended")?, time(row, "renewed")?))
    });
    if let Some((old, ended, renewed)) = row? {
        let late = renewed.since(ended).as_secs();
        let detail = format!("serial {serial} for {old}, {late} s after its end at {ended}");
        let event = NewEvent::new(now, EventKind::RenewedInGrace, detail).about(device).by(Actor::Device);
        events::add(c, &event.because(rule::RENEWAL_GRACE))?;
    }
    Ok(())
}

pub(super) const OTHERS: &str = "UPDATE certificates SET state = 'voided', intent_mac = NULL \
    WHERE device = ?1 AND state = 'intent' AND serial <> ?2 RETURNING serial";

/// What was recorded for a device whose client then went away, or when the CA's key did not answer, is of no use any more: to
/// finish it at the next start would revoke the certificate that the device has, and could give one to whoever held its key
/// before.
fn give_up_others(
    c: &Connection,
    device: &DeviceId,
    newest: Serial,
    now: UnixTime,
) -> Result<(), StoreError> {
    let mut query = c.prepare_cached(OTHERS)?;
    let given_up = query.query_map(params![device.as_str(), newest.as_bytes()], super::convert::serial)?;
    for serial in given_up {
        note_void(c, serial, device, &format!("the device has {newest} instead"), now)?;
    }
    Ok(())
}

pub(super) fn void(c: &Connection, serial: Serial, reason: &str, now: UnixTime) -> Result<(), StoreError> {
    let sql = "UPDATE certificates SET state = 'voided', intent_mac = NULL \
               WHERE serial = ? AND state = 'intent' RETURNING device";
    let mut query = c.prepare_cached(sql)?;
    let row = query.find(params![serial.as_bytes()], |row| device_column(row, "device"));
    match row? {
        Some(device) => note_void(c, serial, &device, reason, now),
        None => Ok(()),
    }
}

/// Gives an intent up that no server recorded as it stands there.
pub(super) fn disown(c: &Connection, serial: Serial, why: NotOurs, now: UnixTime) -> Result<(), StoreError> {
    let mut query = c.prepare_cached("SELECT device FROM certificates WHERE serial = ?")?;
    let event = NewEvent::new(now, EventKind::IntentNotOurs, format!("serial {serial}: {why}"));
    let event = match query.find(params![serial.as_bytes()], |row| device_column(row, "device"))? {
        Some(device) => event.about(&device),
        None => event,
    };
    events::add(c, &event)?;
    void(c, serial, "no server recorded it as it stands there", now)
}

/// Says in the trail that a request came to no end.
fn note_void(
    c: &Connection,
    serial: Serial,
    device: &DeviceId,
    reason: &str,
    now: UnixTime,
) -> Result<(), StoreError> {
    let detail = format!("serial {serial}: {reason}");
    events::add(c, &NewEvent::new(now, EventKind::Voided, detail).about(device))
}
