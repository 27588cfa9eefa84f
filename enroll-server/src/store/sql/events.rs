//! The audit trail: adding events, finding them, and comparing claims.

use ca::Serial;
use shared::DeviceId;
use shared::evidence::DebugStatus;

use super::convert::{secs, time, unsigned};
use super::{actor, log};
use crate::audit::changes::{LastClaims, compare};
use crate::audit::{Actor, QUIET, Severity};
use crate::store::database::{Bind, Connection, Row, borrowed, params};
use crate::store::{Event, EventQuery, NewEvent, Observed, Order, Sha256, StoreError};

pub(super) fn add(c: &Connection, event: &NewEvent) -> Result<(), StoreError> {
    let sql = "INSERT INTO events (at, kind, severity, device, reason, evidence_sha256, actor, source, action, \
               detail, salt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number";
    let caller = actor::current();
    // What a device caused while an administrator acted was not done by the administrator.
    let (actor, source, action) = match &event.actor {
        Some(actor) if *actor != caller.actor => (actor.to_string(), None, None),
        _ => (caller.actor.to_string(), caller.source, caller.action),
    };
    #[cfg(test)]
    crate::store::database::injected::draws(c)?;
    let mut row = Event {
        // The database gives it.
        number: 0,
        at: event.at,
        kind: event.kind.name().to_owned(),
        severity: event.kind.severity().name().to_owned(),
        device: event.device.as_ref().map(|device| device.as_str().to_owned()),
        reason: event.reason.clone(),
        evidence_sha256: event.evidence_sha256,
        actor,
        source,
        action,
        salt: Some(log::salt()?.to_vec()),
        detail: event.detail.clone(),
    };
    let values = params![
        secs(row.at),
        row.kind,
        row.severity,
        row.device,
        row.reason,
        row.evidence_sha256,
        row.actor,
        row.source,
        row.action,
        row.detail,
        row.salt
    ];
    row.number = c.prepare_cached(sql)?.query_row(values, |row| unsigned(row, "number"))?;
    log::event(c, &row)
}

/// The numbers up to `last` are taken: the log has commitments to rows with them, which this database does not have.
pub(super) fn pass_over(c: &Connection, last: u64) -> Result<(), StoreError> {
    // SQLite has no number before the first row.
    let sql = "INSERT INTO sqlite_sequence (name, seq) SELECT 'events', 0 \
               WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events')";
    c.prepare_cached(sql)?.execute(params![])?;
    let sql = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'events' AND seq < ?1";
    c.prepare_cached(sql)?.execute(params![last])?;
    Ok(())
}

/// Adds an event unless there is one of its kind about its device since `quiet` before.
pub(super) fn add_once(
    c: &Connection,
    event: &NewEvent,
    quiet: core::time::Duration,
) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM events WHERE device = ? AND kind = ? AND at > ?";
    let device = event.device.as_ref().map(DeviceId::as_str);
    let since = secs(event.at.before(quiet));
    if !quiet.is_zero() && c.prepare_cached(sql)?.exists(params![device, event.kind.name(), since])? {
        return Ok(());
    }
    add(c, event)
}

/// Adds the event of a certificate that is no device's, unless its serial number is noted, and notes it.
pub(super) fn add_of_peer(c: &Connection, serial: Serial, event: &NewEvent) -> Result<(), StoreError> {
    let sql = "INSERT INTO notes (name, text) VALUES (?, ?) ON CONFLICT DO NOTHING";
    let name = format!("certificate {serial}");
    match c.prepare_cached(sql)?.execute(params![name, event.kind.name()])? {
        0 => Ok(()),
        _ => add(c, event),
    }
}

pub(super) fn find(c: &Connection, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
    let (text, mut values) = conditions(query);
    let order = match query.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    values.push(Box::new(query.limit));
    let sql = format!("SELECT * FROM events WHERE {text} ORDER BY number {order} LIMIT ?");
    let mut statement = c.prepare_cached(&sql)?;
    statement.query_map(&borrowed(&values), event_row)
}

/// Values to be bound.
pub(super) type Values = Vec<Box<dyn Bind>>;

/// What the rows of a query fulfil, and the values to be bound. Only words of ours become part of the text.
pub(super) fn conditions(query: &EventQuery) -> (String, Values) {
    let mut text = "number > ?".to_owned();
    let mut values: Values = vec![Box::new(query.after)];
    let mut among = |column: &str, names: Vec<&'static str>| {
        let marks = vec!["?"; names.len()].join(", ");
        values.extend(names.into_iter().map(|name| Box::new(name) as Box<dyn Bind>));
        text += &format!(" AND {column} IN ({marks})");
    };
    if !query.kinds.is_empty() {
        among("kind", query.kinds.iter().map(|kind| kind.name()).collect());
    }
    if let Some(least) = query.severity {
        let names = Severity::ALL.into_iter().filter(|severity| *severity >= least).map(Severity::name);
        among("severity", names.collect());
    }
    if let Some(device) = &query.device {
        text += " AND device = ?";
        values.push(Box::new(device.as_str().to_owned()));
    }
    if let Some(before) = query.before {
        text += " AND number < ?";
        values.push(Box::new(i64::try_from(before).unwrap_or(i64::MAX)));
    }
    if let Some(since) = query.since {
        text += " AND at >= ?";
        values.push(Box::new(secs(since)));
    }
    (text, values)
}

pub(super) fn event_row(row: &Row<'_>) -> Result<Event, StoreError> {
    let number: i64 = row.get("number")?;
    Ok(Event {
        number: u64::try_from(number).map_err(|_| StoreError::Damaged { field: "number" })?,
        at: time(row, "at")?,
        kind: row.get("kind")?,
        severity: row.get("severity")?,
        device: row.get("device")?,
        reason: row.get("reason")?,
        evidence_sha256: row.get("evidence_sha256")?,
        actor: row.get("actor")?,
        source: row.get("source")?,
        action: row.get("action")?,
        salt: row.get("salt")?,
        detail: row.get("detail")?,
    })
}

/// The device was accepted with these claims: what changed since the last time is an event, and they are what the
/// next ones are compared with.
pub(super) fn accepted(c: &Connection, observed: &Observed) -> Result<(), StoreError> {
    let before = last_claims(c, &observed.device)?.unwrap_or_default();
    add_changes(c, &before, observed, core::time::Duration::ZERO)?;
    let now = before.then(observed.claims.clone());
    if now.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO device_claims \
               (device, software_name, software_version, debug, measurements, evidence_sha256, at) \
               VALUES (?, ?, ?, ?, ?, ?, ?) \
               ON CONFLICT (device) DO UPDATE SET software_name = excluded.software_name, \
               software_version = excluded.software_version, debug = excluded.debug, \
               measurements = excluded.measurements, evidence_sha256 = excluded.evidence_sha256, \
               at = excluded.at";
    c.prepare_cached(sql)?.execute(params![
        observed.device.as_str(),
        now.software_name,
        now.software_version,
        now.debug.map(DebugStatus::code),
        serde_json::to_string(&now.measurements).map_err(|error| StoreError::Failed(error.to_string()))?,
        observed.evidence_sha256,
        secs(observed.at)
    ])?;
    Ok(())
}

/// The device showed these claims and was not accepted, or not yet. It may come again and again with them, so an
/// event of one kind is not repeated for a while.
pub(super) fn observed(c: &Connection, observed: &Observed) -> Result<(), StoreError> {
    match last_claims(c, &observed.device)? {
        Some(before) => add_changes(c, &before, observed, QUIET),
        None => Ok(()),
    }
}

/// Whether [`observed`] would find an event: asked before, so that ordinary refusals write nothing.
pub(super) fn differs(c: &Connection, observed: &Observed) -> Result<bool, StoreError> {
    let before = last_claims(c, &observed.device)?;
    Ok(before.is_some_and(|before| !compare(&before, &observed.claims).is_empty()))
}

fn add_changes(
    c: &Connection,
    before: &LastClaims,
    observed: &Observed,
    quiet: core::time::Duration,
) -> Result<(), StoreError> {
    for change in compare(before, &observed.claims) {
        let event = NewEvent::new(observed.at, change.kind, change.detail)
            .about(&observed.device)
            .because(change.reason)
            .on(observed.evidence_sha256)
            .by(Actor::Device);
        add_once(c, &event, quiet)?;
    }
    Ok(())
}

fn last_claims(c: &Connection, device: &DeviceId) -> Result<Option<LastClaims>, StoreError> {
    let mut query = c.prepare_cached("SELECT * FROM device_claims WHERE device = ?")?;
    query.find(params![device.as_str()], claims_row)
}

fn claims_row(row: &Row<'_>) -> Result<LastClaims, StoreError> {
    let debug: Option<u8> = row.get("debug")?;
    let debug = debug.map(|code| DebugStatus::from_code(code).ok_or(StoreError::Damaged { field: "debug" }));
    let measurements: String = row.get("measurements")?;
    Ok(LastClaims {
        software_name: row.get("software_name")?,
        software_version: row.get("software_version")?,
        debug: debug.transpose()?,
        measurements: serde_json::from_str(&measurements)
            .map_err(|_| StoreError::Damaged { field: "measurements" })?,
    })
}

/// SHA-256 of evidence as it came; none where there was none, or only a token's, whose text is a secret.
pub(super) fn hash(body: &[u8]) -> Option<Sha256> {
    (!body.is_empty()).then(|| crate::issuance::sha256(body))
}
