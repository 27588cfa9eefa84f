//! Cursors, leases and parked events of webhooks.

use shared::UnixTime;

use super::convert::{optional_time, secs, time, unsigned};
use super::events::{self, conditions, event_row};
use crate::audit::EventKind;
use crate::store::database::{Connection, Row, borrowed, params};
use crate::store::{
    CursorStep, EventQuery, Failure, Lag, Lease, MAX_PARKED, NewEvent, Parked, Parking, Pending, Replay,
    StoreError, WebhookState,
};

/// So many rows are looked at for one page, whether they fit or not: a webhook that wants little does not make each
/// look long.
const WINDOW: u64 = 5_000;
/// Most events that a lag counts.
const MAX_LAG: u32 = 10_000;
/// No lease is longer: one that seems to be was given by a clock that was ahead.
const MAX_LEASE: core::time::Duration = core::time::Duration::from_secs(600);
/// For how long a webhook that parks events does not say so again.
const QUIET: core::time::Duration = core::time::Duration::from_secs(3_600);

pub(super) fn open(c: &Connection, name: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhooks (name, cursor) VALUES (?, (SELECT coalesce(max(number), 0) FROM events)) \
               ON CONFLICT DO NOTHING";
    c.prepare_cached(sql)?.execute(params![name])?;
    Ok(())
}

pub(super) fn state(c: &Connection, name: &str) -> Result<Option<WebhookState>, StoreError> {
    let sql = "SELECT *, (SELECT count(*) FROM webhook_parked WHERE webhook = name) AS parked \
               FROM webhooks WHERE name = ?";
    c.prepare_cached(sql)?.find(params![name], state_row)
}

fn state_row(row: &Row<'_>) -> Result<WebhookState, StoreError> {
    let count = |column: &'static str| unsigned(row, column);
    let owner: Option<String> = row.get("lease_owner")?;
    let until = optional_time(row, "lease_until")?;
    Ok(WebhookState {
        name: row.get("name")?,
        cursor: count("cursor")?,
        attempts: row.get("attempts")?,
        next_attempt: optional_time(row, "next_attempt")?,
        problem: row.get("problem")?,
        last_attempt: optional_time(row, "last_attempt")?,
        last_delivery: optional_time(row, "last_delivery")?,
        delivered: count("delivered")?,
        failed: count("failed")?,
        parked: count("parked")?,
        lease: owner.zip(until).map(|(owner, until)| Lease { owner, until }),
    })
}

pub(super) fn lease(c: &Connection, name: &str, lease: &Lease, now: UnixTime) -> Result<bool, StoreError> {
    let sql = "UPDATE webhooks SET lease_owner = ?1, lease_until = ?2 WHERE name = ?3 \
               AND (lease_owner IS NULL OR lease_owner = ?1 OR lease_until <= ?4 OR lease_until > ?5)";
    let values = params![lease.owner, secs(lease.until), name, secs(now), secs(now.after(MAX_LEASE))];
    Ok(c.prepare_cached(sql)?.execute(values)? > 0)
}

pub(super) fn release(c: &Connection, name: &str, owner: &str) -> Result<(), StoreError> {
    let sql = "UPDATE webhooks SET lease_owner = NULL, lease_until = NULL WHERE name = ? AND lease_owner = ?";
    c.prepare_cached(sql)?.execute(params![name, owner])?;
    Ok(())
}

pub(super) fn pending(c: &Connection, query: &EventQuery) -> Result<Pending, StoreError> {
    let last = last_number(c)?;
    let seen = last.min(query.after.saturating_add(WINDOW)).max(query.after);
    let (mut text, mut values) = conditions(query);
    values.push(Box::new(seen));
    values.push(Box::new(query.limit));
    text += " AND number <= ?";
    // By number alone: an index by kind would have to sort all that waits for every page.
    let sql = format!("SELECT * FROM events NOT INDEXED WHERE {text} ORDER BY number LIMIT ?");
    let mut statement = c.prepare_cached(&sql)?;
    let events = statement.query_map(&borrowed(&values), event_row)?;
    // A full page may end before the window does.
    let full = u32::try_from(events.len()).is_ok_and(|length| length == query.limit);
    let seen = events.last().filter(|_| full).map_or(seen, |event| event.number);
    Ok(Pending { events, seen })
}

fn last_number(c: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(number), 0) AS number FROM events";
    c.prepare_cached(sql)?.query_row(params![], |row| unsigned(row, "number"))
}

pub(super) fn lag(c: &Connection, query: &EventQuery) -> Result<Lag, StoreError> {
    let (text, mut values) = conditions(query);
    values.push(Box::new(MAX_LAG));
    let sql = format!(
        "SELECT count(*) AS events, min(at) AS oldest FROM \
         (SELECT at FROM events NOT INDEXED WHERE {text} ORDER BY number LIMIT ?) AS waiting"
    );
    let mut statement = c.prepare_cached(&sql)?;
    statement.query_row(&borrowed(&values), |row| {
        Ok(Lag { events: unsigned(row, "events")?, oldest: optional_time(row, "oldest")? })
    })
}

const MINE: &str = "WHERE name = ? AND lease_owner = ? AND cursor = ?";

pub(super) fn advance(
    c: &Connection,
    step: &CursorStep,
    delivered: bool,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let sql = "UPDATE webhooks SET cursor = ?, attempts = 0, next_attempt = NULL \
               WHERE name = ? AND lease_owner = ? AND cursor = ?";
    let moved = c.prepare_cached(sql)?.execute(params![step.to, step.webhook, step.owner, step.from])? > 0;
    if moved && delivered {
        let sql = "UPDATE webhooks SET last_attempt = ?1, last_delivery = ?1, problem = NULL, \
                   delivered = delivered + 1 WHERE name = ?2";
        c.prepare_cached(sql)?.execute(params![secs(now), step.webhook])?;
    }
    Ok(moved)
}

pub(super) fn failed(c: &Connection, step: &CursorStep, failure: &Failure) -> Result<bool, StoreError> {
    let sql = format!(
        "UPDATE webhooks SET attempts = attempts + 1, failed = failed + 1, next_attempt = ?, problem = ?, \
         last_attempt = ? {MINE}"
    );
    let Failure { at, problem, next_attempt } = failure;
    let values = params![secs(*next_attempt), problem, secs(*at), step.webhook, step.owner, step.from];
    Ok(c.prepare_cached(&sql)?.execute(values)? > 0)
}

pub(super) fn park(c: &Connection, step: &CursorStep, failure: &Failure) -> Result<Parking, StoreError> {
    let Some(found) = state(c, &step.webhook)? else { return Ok(Parking::Lost) };
    if found.parked >= MAX_PARKED {
        return Ok(Parking::Full);
    }
    let sql = format!(
        "UPDATE webhooks SET cursor = ?, attempts = 0, next_attempt = NULL, failed = failed + 1, problem = ?, \
         last_attempt = ? {MINE}"
    );
    let Failure { at, problem, .. } = failure;
    let values = params![step.to, problem, secs(*at), step.webhook, step.owner, step.from];
    if c.prepare_cached(&sql)?.execute(values)? == 0 {
        return Ok(Parking::Lost);
    }
    let sql = "INSERT INTO webhook_parked (webhook, event, at, problem) VALUES (?, ?, ?, ?) \
               ON CONFLICT (webhook, event) DO UPDATE SET at = excluded.at, problem = excluded.problem, again = 0";
    c.prepare_cached(sql)?.execute(params![step.webhook, step.to, secs(*at), problem])?;
    let said = "SELECT 1 FROM events WHERE kind = ? AND reason = ? AND at > ?";
    let kind = EventKind::WebhookParked;
    let recent = params![kind.name(), step.webhook, secs(at.before(QUIET))];
    if !c.prepare_cached(said)?.exists(recent)? {
        let detail = format!("event {} of {}: {problem}", step.to, step.webhook);
        events::add(c, &NewEvent::new(*at, kind, detail).because(&step.webhook))?;
    }
    Ok(Parking::Parked)
}

pub(super) fn parked(c: &Connection, name: &str, again: bool, limit: u32) -> Result<Vec<Parked>, StoreError> {
    let sql = "SELECT e.*, p.at AS parked_at, p.problem, p.again FROM webhook_parked p \
               JOIN events e ON e.number = p.event \
               WHERE p.webhook = ? AND p.again >= ? ORDER BY p.event LIMIT ?";
    let mut query = c.prepare_cached(sql)?;
    query.query_map(params![name, again, limit], |row| {
        Ok(Parked {
            at: time(row, "parked_at")?,
            problem: row.get("problem")?,
            again: row.get("again")?,
            event: event_row(row)?,
        })
    })
}

pub(super) fn sent_again(
    c: &Connection,
    name: &str,
    event: u64,
    problem: Option<&str>,
    now: UnixTime,
) -> Result<(), StoreError> {
    // It was answered, so the receiver is not ill, or not any more.
    let count = match problem {
        None => {
            c.prepare_cached("DELETE FROM webhook_parked WHERE webhook = ? AND event = ?")?
                .execute(params![name, event])?;
            "UPDATE webhooks SET attempts = 0, next_attempt = NULL, delivered = delivered + 1, \
             last_attempt = ?1, last_delivery = ?1, problem = NULL WHERE name = ?2"
        }
        Some(problem) => {
            let sql =
                "UPDATE webhook_parked SET again = 0, problem = ?, at = ? WHERE webhook = ? AND event = ?";
            c.prepare_cached(sql)?.execute(params![problem, secs(now), name, event])?;
            "UPDATE webhooks SET attempts = 0, next_attempt = NULL, failed = failed + 1, last_attempt = ?1 \
             WHERE name = ?2"
        }
    };
    c.prepare_cached(count)?.execute(params![secs(now), name])?;
    Ok(())
}

pub(super) fn replay(c: &Connection, name: &str, what: Replay) -> Result<Option<u64>, StoreError> {
    let Some(standing) = state(c, name)? else { return Ok(None) };
    let changed = match what {
        Replay::Parked => c
            .prepare_cached("UPDATE webhook_parked SET again = 1 WHERE webhook = ?")?
            .execute(params![name])?,
        Replay::Event(event) => c
            .prepare_cached("UPDATE webhook_parked SET again = 1 WHERE webhook = ? AND event = ?")?
            .execute(params![name, event])?,
        Replay::From(event) => {
            let sql = "UPDATE webhooks SET cursor = ?, attempts = 0, next_attempt = NULL WHERE name = ?";
            let last = last_number(c)?;
            let cursor = event.saturating_sub(1).min(standing.cursor);
            c.prepare_cached(sql)?.execute(params![cursor, name])?;
            return Ok(Some(last.saturating_sub(cursor)));
        }
    };
    Ok(Some(u64::try_from(changed).unwrap_or(u64::MAX)))
}
