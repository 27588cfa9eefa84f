//! `event`.

use core::time::Duration;

use serde_json::json;

use super::args::{Event, EventFilter};
use super::failure::Failure;
use super::output::{Output, or_dash};
use crate::admin::Admin;
use crate::audit::EventKind;
use crate::store::{Event as Row, EventQuery, Order};

/// How often the store is asked for what is new.
const POLL: Duration = Duration::from_millis(250);
/// Most events that are fetched at once.
const PAGE: u32 = 1_000;

pub(super) async fn run(admin: Admin, command: Event, output: &Output) -> Result<(), Failure> {
    match command {
        Event::List { filter, count } => list(&admin, filter, count, output).await,
        Event::Follow { filter } => follow(&admin, filter, output).await,
        Event::Kinds => {
            kinds(output);
            Ok(())
        }
    }
}

async fn list(admin: &Admin, filter: EventFilter, count: u32, output: &Output) -> Result<(), Failure> {
    let query = EventQuery { limit: count, ..query(admin, filter) };
    output.list(
        &admin.find_events(query).await?,
        "There are no such events.",
        ["Number", "At", "Event", "Severity", "Device", "Reason", "By", "Detail"],
        |event| {
            [
                event.number.to_string(),
                event.at.to_string(),
                event.kind.clone(),
                event.severity.clone(),
                or_dash(event.device.as_ref()),
                or_dash(event.reason.as_ref()),
                who(event),
                event.detail.clone(),
            ]
        },
    );
    Ok(())
}

/// Prints what there is since the time asked for, and then what comes.
async fn follow(admin: &Admin, filter: EventFilter, output: &Output) -> Result<(), Failure> {
    let newest = admin.find_events(EventQuery::last(1)).await?.first().map_or(0, |event| event.number);
    let after = if filter.since.is_some() { 0 } else { newest };
    let mut query = EventQuery { after, order: Order::OldestFirst, limit: PAGE, ..query(admin, filter) };
    loop {
        let events = admin.find_events(query.clone()).await?;
        for event in &events {
            query.after = event.number;
            if !output.line(event, || line(event)) {
                return Ok(());
            }
        }
        if events.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    }
}

fn query(admin: &Admin, filter: EventFilter) -> EventQuery {
    let EventFilter { kinds, device, since, severity } = filter;
    let since = since.map(|since| admin.now().before(since));
    EventQuery { kinds, device, since, severity, ..EventQuery::default() }
}

/// Who caused it, and from where.
fn who(event: &Row) -> String {
    match &event.source {
        Some(source) => format!("{} from {source}", event.actor),
        None => event.actor.clone(),
    }
}

fn line(event: &Row) -> String {
    let device = or_dash(event.device.as_ref());
    let reason = or_dash(event.reason.as_ref());
    format!(
        "{} {} {} {} {device} {reason} {} {}",
        event.number,
        event.at,
        event.severity,
        event.kind,
        who(event),
        event.detail
    )
}

fn kinds(output: &Output) {
    let rows: Vec<_> = EventKind::ALL
        .iter()
        .map(|kind| {
            json!({
                "kind": kind.name(),
                "severity": kind.severity().name(),
                "meaning": kind.meaning(),
                "operator": kind.operator_action(),
            })
        })
        .collect();
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    output.list(&rows, "There are none.", ["Event", "Severity", "Meaning", "What to do"], |row| {
        [text(row, "kind"), text(row, "severity"), text(row, "meaning"), text(row, "operator")]
    });
}
