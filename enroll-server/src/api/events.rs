//! The audit trail over the admin API, page by page.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::Response;
use serde::{Deserialize, Serialize};
use shared::{DeviceId, UnixTime};

use super::Shared;
use super::admin::{bad, reply};
use crate::audit::{EventKind, Severity};
use crate::store::{Event, EventQuery};

/// Most events of one page.
const MAX_PAGE: u32 = 1_000;

/// What can be asked. A field that is not one of these is a mistake and not ignored: a filter that is misspelt
/// would give everything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Number of the last event that is known already.
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
    kind: Option<String>,
    device: Option<String>,
    since: Option<u64>,
    severity: Option<String>,
}

/// One page: `after` of the next one is `next`.
#[derive(Debug, Serialize)]
struct Page {
    events: Vec<Event>,
    next: u64,
}

/// Events by rising number, from the one after `after`.
pub(super) async fn events(
    State(api): Shared,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response<Body> {
    let query = match asked.map_err(|error| error.to_string()).and_then(|Query(asked)| read(&asked)) {
        Ok(query) => query,
        Err(problem) => return bad(&problem),
    };
    let after = query.after;
    reply(api.admin.find_events(query).await.map(|events| {
        let next = events.last().map_or(after, |event| event.number);
        Page { events, next }
    }))
}

fn read(asked: &Asked) -> Result<EventQuery, String> {
    let limit = asked.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(format!("limit is a whole number from 1 to {MAX_PAGE}"));
    }
    let kinds = asked.kind.iter().flat_map(|list| list.split(','));
    let kinds =
        kinds.map(|name| EventKind::from_name(name).ok_or_else(|| format!("there is no kind {name:?}")));
    let device = asked.device.as_deref().map(DeviceId::new).transpose();
    let severity = asked.severity.as_deref().map(|name| {
        Severity::from_name(name).ok_or_else(|| "severity is info, notice, warning or critical".to_owned())
    });
    Ok(EventQuery {
        kinds: kinds.collect::<Result<_, _>>()?,
        device: device.map_err(|error| format!("device: {error}"))?,
        since: asked.since.map(UnixTime::from_secs),
        severity: severity.transpose()?,
        ..EventQuery::after(asked.after, limit)
    })
}
