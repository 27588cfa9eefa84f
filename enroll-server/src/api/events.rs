//! The audit trail over the admin API, page by page.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{DeviceId, UnixTime};

use super::Api;
use super::call::{Bounded, Commas, MAX_EXACT, Maybe, PageSize, Query, Refusal};
use super::selected::rows;
use crate::audit::{EventKind, Severity};
use crate::store::{Event, EventQuery};
use crate::written::Text;

/// What can be asked; the conditions add up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    /// Number of the last event that is known already: the `next` of the page before.
    after: Maybe<Bounded<0, MAX_EXACT>>,
    /// Most events of the page; 100 where nothing is said.
    limit: Maybe<PageSize>,
    /// Of one of these kinds.
    kind: Commas<EventKind>,
    /// About this device.
    device: Maybe<Text<DeviceId>>,
    /// Not older than this, in seconds since 1970.
    since: Maybe<Bounded<0, MAX_EXACT>>,
    /// At least so severe.
    severity: Maybe<Text<Severity>>,
}

/// One page of the audit trail.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventPage")]
pub(super) struct Page {
    /// By rising number.
    events: Vec<Event>,
    /// The `after` of the next page.
    next: u64,
}

/// Events by rising number, from the one after `after`.
pub(super) async fn events(api: Arc<Api>, Query(asked): Query<Asked>) -> Result<Page, Refusal> {
    let after = asked.after.0.map_or(0, Bounded::get);
    let query = EventQuery {
        kinds: asked.kind.0,
        device: asked.device.value(),
        since: asked.since.0.map(|since| UnixTime::from_secs(since.get())),
        severity: asked.severity.value(),
        ..EventQuery::after(after, rows(&asked.limit))
    };
    let events = api.admin.find_events(query).await?;
    let next = events.last().map_or(after, |event| event.number);
    Ok(Page { events, next })
}
