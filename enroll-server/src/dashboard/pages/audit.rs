//! The audit trail, the newest first.

use axum::extract::State;
use axum::http::Uri;
use maud::{Markup, html};
use shared::DeviceId;

use super::{Answer, query};
use crate::audit::{EventKind, Severity};
use crate::dashboard::fields::Fields;
use crate::dashboard::layout::{self, Place};
use crate::dashboard::session::SignedIn;
use crate::dashboard::{Refusal, Shared, parts};
use crate::store::{Event, EventQuery};

/// Events of one page.
const PAGE: u32 = 50;

const KIND: &str = "kind";
const SEVERITY: &str = "severity";
const DEVICE: &str = "device";
const BEFORE: &str = "before";

pub(in crate::dashboard) async fn show(State(dashboard): Shared, who: SignedIn, address: Uri) -> Answer {
    let fields = query(&address, &[KIND, SEVERITY, DEVICE, BEFORE])?;
    let query = read(&fields)?;
    let first = query.before.is_some();
    let mut events = dashboard.access.reading(&who).events(query).await?;
    let more = events.len() > PAGE as usize;
    events.truncate(PAGE as usize);
    let here = |before: Option<&str>| {
        let same = [KIND, SEVERITY, DEVICE].map(|name| (name, fields.get(name)));
        parts::address(Place::Audit.path(), &[&same[..], &[(BEFORE, before)]].concat())
    };
    let next = events.last().filter(|_| more).map(|last| here(Some(&last.number.to_string())));
    let first = first.then(|| here(None));
    let content = html! {
        h1 { "Audit log" }
        (search(&fields))
        @if events.is_empty() { p { "There are no such events." } } @else { (list(&events, true)) }
        (parts::paging(first.as_deref(), next.as_deref()))
    };
    Ok(layout::page(&who, Place::Audit, "Audit log", None, &content))
}

fn read(fields: &Fields) -> Result<EventQuery, Refusal> {
    let unknown = |what: &str| Refusal::Malformed(format!("there is no such {what}"));
    let kind = fields.get(KIND).map(|name| EventKind::from_name(name).ok_or_else(|| unknown(KIND)));
    let severity =
        fields.get(SEVERITY).map(|name| Severity::from_name(name).ok_or_else(|| unknown(SEVERITY)));
    let device = fields.get(DEVICE).map(DeviceId::new).transpose();
    Ok(EventQuery {
        kinds: kind.transpose()?.into_iter().collect(),
        severity: severity.transpose()?,
        device: device.map_err(|error| Refusal::Malformed(format!("{DEVICE}: {error}")))?,
        before: fields.parsed(BEFORE)?,
        // One more than is shown, to know whether there are more.
        ..EventQuery::last(PAGE + 1)
    })
}

fn search(fields: &Fields) -> Markup {
    let options = |chosen: Option<&str>, names: &[&str]| {
        html! {
            option value="" { "any" }
            @for name in names { option value=(name) selected[chosen == Some(*name)] { (name) } }
        }
    };
    let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    html! {
        form.search method="get" action="/audit" role="search" {
            div {
                label for="severity" { "At least" }
                select #severity name=(SEVERITY) { (options(fields.get(SEVERITY), &Severity::ALL.map(Severity::name))) }
            }
            div {
                label for="kind" { "Event" }
                select #kind name=(KIND) { (options(fields.get(KIND), &kinds)) }
            }
            div {
                label for="device" { "Device" }
                input #device name=(DEVICE) value=[fields.get(DEVICE)] maxlength="64" autocomplete="off";
            }
            button { "Search" }
        }
    }
}

/// Events as a table; `whose` where they are about several devices.
pub(super) fn list(events: &[Event], whose: bool) -> Markup {
    let rows = html! {
        @for event in events {
            tr {
                td { time datetime=(event.at) { (event.at.to_string().replace('T', " ").trim_end_matches('Z')) } }
                th.line scope="row" { (event.kind) br;  (parts::severity(&event.severity)) }
                @if whose {
                    td { @match &event.device { Some(device) => (linked(device)), None => span.none { "none" } } }
                }
                td.cause { (cause(event)) }
                td.detail {
                    @if let Some(reason) = &event.reason { code { (reason) } " " }
                    (event.detail)
                    (advice(event))
                }
            }
        }
    };
    let head: &[&str] =
        if whose { &["At", "Event", "Device", "By", "Detail"] } else { &["At", "Event", "By", "Detail"] };
    parts::table("Events, the newest first", head, &rows)
}

/// A device that an event names. What was refused may name one that is none.
fn linked(device: &str) -> Markup {
    if DeviceId::new(device).is_ok() {
        parts::device_link(device)
    } else {
        html! { (device) }
    }
}

fn cause(event: &Event) -> Markup {
    html! {
        span.name { (event.actor) }
        @if let Some(source) = &event.source { span.far { " from " (source) } }
        @if let Some(action) = &event.action { br; code.far { (action) } }
    }
}

/// What to do about an event that asks for something.
fn advice(event: &Event) -> Markup {
    let kind = EventKind::from_name(&event.kind).filter(|kind| kind.severity() >= Severity::Warning);
    html! { @if let Some(kind) = kind { p.far { (kind.meaning()) " " (kind.operator_action()) } } }
}
