//! Requests that wait for an operator, with what the devices showed.

use axum::extract::State;
use axum::http::Uri;
use maud::{Markup, html};
use serde_json::Value;
use shared::{DeviceId, UnixTime};

use super::device::{SENTENCES, decide};
use super::{Answer, DONE, query, told};
use crate::dashboard::layout::{self, Place};
use crate::dashboard::session::SignedIn;
use crate::dashboard::{Refusal, Role, Shared, parts};
use crate::store::{HeldRequest, Page};

/// Requests of one page.
const PAGE: u32 = 20;
const AFTER: &str = "after";

pub(in crate::dashboard) async fn show(State(dashboard): Shared, who: SignedIn, address: Uri) -> Answer {
    let fields = query(&address, &[AFTER, DONE])?;
    let after = fields.get(AFTER).map(DeviceId::new).transpose();
    let after = after.map_err(|error| Refusal::Malformed(format!("{AFTER}: {error}")))?;
    let first = after.as_ref().map(|_| Place::Approvals.path());
    let reading = dashboard.access.reading(&who);
    let now = reading.now();
    let found = reading.held(Page { after, limit: PAGE }).await?;
    let next =
        found.next.map(|next| parts::address(Place::Approvals.path(), &[(AFTER, Some(next.as_str()))]));
    let content = html! {
        h1 { "Approvals" }
        @if found.requests.is_empty() { p { "Nothing waits for you." } }
        @else { p.far { "Devices whose policy wants a person to decide. Compare the identity with what you know of it." } }
        @for request in &found.requests { (one(&who, request, now)) }
        (parts::paging(first, next.as_deref()))
    };
    Ok(layout::page(&who, Place::Approvals, "Approvals", told(&fields, SENTENCES), &content))
}

fn one(who: &SignedIn, request: &HeldRequest, now: UnixTime) -> Markup {
    let device = request.device.as_str();
    let shown = |field: &str| request.shown.get(field).and_then(Value::as_str);
    let claim = |field: &str| request.shown.pointer(&format!("/claims/{field}")).and_then(Value::as_str);
    html! {
        article.request aria-labelledby={ "request-" (device) } {
            h2 id={ "request-" (device) } { (parts::device_link(device)) }
            p { "Waits since " (parts::time_from(request.since, now)) @if let Some(rule) = shown("rule") { ", by the rule " code { (rule) } } }
            div.beside {
                dl.facts {
                    dt { "Group" } dd { (request.group.to_string()) }
                    dt { "Evidence" } dd { (parts::or_dash(shown("kind"))) }
                    dt { "Maker" } dd { (parts::or_dash(shown("maker"))) }
                    dt { "Model" } dd { (parts::or_dash(shown("model"))) }
                    @if let Some(name) = claim("software_name") {
                        dt { "Firmware" } dd { (name) " " (claim("software_version").unwrap_or_default()) }
                    }
                    @if let Some(debug) = claim("debug") { dt { "Debug" } dd { (debug) } }
                    dt { "Identity key" }
                    dd { @match shown("identity_sha256") { Some(hash) => code.hash { (hash) }, None => span.none { "none" } } }
                    dt { "Asks for the key" } dd { (parts::hash(&request.key_sha256)) }
                }
                div.panel {
                    @if who.role() >= Role::Operator { (decide(who, request, "queue")) }
                    @else { p.far { "It takes the role operator to decide." } }
                }
            }
        }
    }
}
