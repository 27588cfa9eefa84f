//! One device: who it is, its certificates, why it was decided about as it was, what happened to it, and what can be done.

mod actions;

use axum::extract::{Path, State};
use axum::http::Uri;
use maud::{Markup, html};
use shared::{DeviceId, UnixTime};

pub(super) use actions::{SENTENCES, decide};
pub(in crate::dashboard) use actions::{approve, deny, renew, resume, retire, revoke, suspend};

use super::{Answer, DONE, audit, explained, query, told};
use crate::dashboard::layout::{self, Place};
use crate::dashboard::session::SignedIn;
use crate::dashboard::{Refusal, Shared, parts};
use crate::explanation::Explanation;
use crate::store::{Certificate, Device, EventQuery};

/// Most certificates that are shown.
const CERTIFICATES: u32 = 20;
/// Most decisions.
const DECISIONS: u32 = 5;
/// Most events.
const EVENTS: u32 = 30;

pub(in crate::dashboard) async fn show(
    State(dashboard): Shared,
    who: SignedIn,
    Path(name): Path<String>,
    address: Uri,
) -> Answer {
    let device = named(&name)?;
    let fields = query(&address, &[DONE])?;
    let reading = dashboard.access.reading(&who);
    let now = reading.now();
    let row = reading.device(&device).await?;
    let held = reading.held_of(&device).await?;
    let certificates = reading.certificates(&device, CERTIFICATES).await?;
    let explanations = reading.explanations(&device, DECISIONS).await?;
    let about = EventQuery { device: Some(device.clone()), ..EventQuery::last(EVENTS) };
    let events = reading.events(about).await?;
    let content = html! {
        div.head { h1 { (device.as_str()) } (parts::device_state(row.state)) }
        div.beside {
            (identity(&row, now))
            (actions::panel(&who, &row, held.as_ref()))
        }
        (issued(&certificates, now))
        (decided(&explanations))
        section aria-labelledby="history" {
            h2 #history { "History" }
            (audit::list(&events, false))
            @if events.len() >= EVENTS as usize {
                p { a href=(parts::address("/audit", &[("device", Some(device.as_str()))])) { "All of it in the audit log" } }
            }
        }
    };
    Ok(layout::page(&who, Place::Devices, device.as_str(), told(&fields, SENTENCES), &content))
}

/// The device in a path.
fn named(name: &str) -> Result<DeviceId, Refusal> {
    DeviceId::new(name).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn identity(row: &Device, now: UnixTime) -> Markup {
    html! {
        section aria-labelledby="identity" {
            h2 #identity { "Identity" }
            dl.facts {
                dt { "Model" } dd { (parts::or_dash(row.model.as_deref())) }
                dt { "Group" } dd { (row.group.to_string()) }
                dt { "Tags" }
                dd {
                    @if row.tags.is_empty() { span.none { "none" } }
                    @for tag in &row.tags { span.tag { (tag.as_str()) } " " }
                }
                dt { "Identity key" }
                dd {
                    @match row.idevid_sha256 {
                        Some(hash) => (parts::hash(&hash)),
                        None => span.none { "not known yet: the first enrollment pins it" },
                    }
                }
                dt { "Known since" } dd { (parts::time_from(row.added, now)) }
                dt { "In this state since" } dd { (parts::time_from(row.changed, now)) }
                @if let Some(why) = &row.denied { dt { "Denied" } dd { (why) } }
                @if row.approved { dt { "Approved" } dd { "It gets its certificate when it asks again." } }
            }
        }
    }
}

fn issued(certificates: &[Certificate], now: UnixTime) -> Markup {
    let rows = html! {
        @for certificate in certificates {
            tr {
                th scope="row" { code.hash { (certificate.serial.to_string()) } }
                td { (parts::certificate_state(certificate.state, now > certificate.not_after)) }
                td { (parts::time(certificate.not_before)) }
                td { (parts::time_from(certificate.not_after, now)) }
                td { (certificate.via.name()) }
                td {
                    @if let Some(revocation) = certificate.revoked {
                        (revocation.reason.name()) ", " (parts::time(revocation.at))
                    } @else { span.none { "no" } }
                }
            }
        }
    };
    html! {
        section aria-labelledby="certificates" {
            h2 #certificates { "Certificates" }
            @if certificates.is_empty() { p { "There are none." } }
            @else {
                (parts::table("Certificates", &["Serial number", "State", "From", "Until", "Came by", "Revoked"], &rows))
            }
            @if certificates.len() >= CERTIFICATES as usize { p.far { "The newest " (CERTIFICATES) " are shown." } }
        }
    }
}

fn decided(explanations: &[Explanation]) -> Markup {
    html! {
        section aria-labelledby="decisions" {
            h2 #decisions { "Evidence and decisions" }
            @if explanations.is_empty() { p { "No request of this device is on record." } }
            @for (place, explanation) in explanations.iter().enumerate() { (explained::one(explanation, place == 0)) }
        }
    }
}
